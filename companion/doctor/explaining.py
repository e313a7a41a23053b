"""The page of a code, to be read where the finding was met."""

from __future__ import annotations

from companion.doctor.registry import find_check


def explain(code: str, *, width: int = 88) -> str:
    """Return the page of a code: the fault, the evidence, the consequence, the remedy, an example.

    Raises `ValueError` for a code that no check has.

    >>> print(explain("LBL003").splitlines()[0])
    LBL003  Two parts give a class different indices.
    """
    return find_check(code).page.as_text(width)
