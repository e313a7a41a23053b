"""The checks, each registered under its code, in the order in which they are run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from companion.doctor.pages import Page, read_page
from companion.doctor.words import Result
from companion.inputs import brief, listed_names

if TYPE_CHECKING:
    from companion.doctor.pipeline import Pipeline

Run = Callable[["Pipeline"], Result]
AREAS = {
    "PRO": "protocol",
    "LBL": "labels",
    "MOD": "model and head",
    "SMP": "sampling and loss",
    "OPT": "optimiser and schedule",
}


@dataclass(frozen=True)
class Check:
    """One check: its code, its page, what it needs, and what it explains when it finds a fault.

    `explains` are the codes of its consequences. `false_errors` is the largest share of healthy
    pipelines in which it reports an error by chance: 0 where nothing random decides.
    """

    code: str
    run: Run
    page: Page
    needs: tuple[str, ...] = ()
    explains: tuple[str, ...] = ()
    false_errors: float = 0.0

    @property
    def title(self) -> str:
        """The fault in one sentence."""
        return self.page.title

    @property
    def link(self) -> str:
        """The address of the check's page, relative to the book's front page."""
        return f"checks/{self.code}.html"


CHECKS: dict[str, Check] = {}


def check(
    code: str,
    *,
    chapter: str,
    needs: Iterable[str] = (),
    explains: Iterable[str] = (),
    false_errors: float = 0.0,
) -> Callable[[Run], Run]:
    """Register a function of the pipeline as the check of a code; its docstring is its page.

    `chapter` is the label of the section of the book that teaches it, `needs` names what has to be
    given ("model", "train", "loss", …). Raises `ValueError` for a code of another form or one that
    is taken, and for a docstring without the parts of a page.

    >>> "LBL003" in CHECKS
    True
    """

    def registered(run: Run) -> Run:
        if not re.fullmatch(r"[A-Z]{3}[0-9]{3}", code) or code[:3] not in AREAS or code in CHECKS:
            raise ValueError(f"a check has a code of its own, such as LBL003; received {code!r}.")
        page = read_page(code, run.__doc__ or "", chapter)
        CHECKS[code] = Check(code, run, page, tuple(needs), tuple(explains), false_errors)
        return run

    return registered


def false_error_rate(checks: Iterable[Check] | None = None) -> float:
    """Return the largest share of healthy pipelines with an error by chance, over all checks.

    It is the sum of the checks' own shares, which bounds the share of pipelines in which any of
    them errs, however they depend on each other (Boole's inequality).

    >>> false_error_rate() <= 1 / 1000
    True
    """
    chosen = CHECKS.values() if checks is None else checks
    return sum(each.false_errors for each in chosen)


def selected(select: Iterable[str] | None, ignore: Iterable[str] | None) -> list[Check]:
    """Return the checks that were asked for, in their order.

    `select` and `ignore` are codes or beginnings of them, as "LBL". Raises `ValueError` for one
    that no code begins with, `TypeError` for a single string.

    >>> [each.code for each in selected(["LBL003", "LBL004"], ["LBL004"])]
    ['LBL003']
    """
    wanted = None if select is None else _prefixes(select, "select")
    left_out = () if ignore is None else _prefixes(ignore, "ignore")
    return [
        each
        for each in CHECKS.values()
        if (wanted is None or each.code.startswith(wanted)) and not each.code.startswith(left_out)
    ]


def find_check(code: str) -> Check:
    """Return the check of a code; raise `ValueError`, naming what is near, for another.

    >>> find_check("lbl003").code
    'LBL003'
    """
    wanted = code.strip().upper()
    if wanted not in CHECKS:
        near = [each for each in CHECKS if wanted and each.startswith(wanted[:3])] or [*CHECKS]
        raise ValueError(
            f"a code must be one of the {len(CHECKS)} checks'; received {code!r}. "
            f"There are {brief(sorted(near), quote=False)}."
        )
    return CHECKS[wanted]


def _prefixes(given: Iterable[str], what: str) -> tuple[str, ...]:
    listed = tuple(str(each).strip().upper() for each in listed_names(given, what=what))
    idle = [each for each in listed if not any(code.startswith(each) for code in CHECKS)]
    if idle or "" in listed:
        raise ValueError(
            f"{what} takes codes, or how they begin; no check is called {brief(idle or listed)}. "
            f"They begin with {', '.join(AREAS)}."
        )
    return listed
