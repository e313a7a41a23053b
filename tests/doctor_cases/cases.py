"""Cases that every check is tried on: the fault, a pipeline without it, and a near miss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KINDS = ("fault", "healthy", "near")


@dataclass(frozen=True)
class Case:
    """A pipeline, and what a check has to say of it: its word, a severity, a piece of the text."""

    code: str
    kind: str
    name: str
    make: Callable[[], dict[str, Any]]
    word: str
    severity: str = ""
    says: str = ""


CASES: list[Case] = []


def case(
    code: str, kind: str, severity: str = "", says: str = "", *, word: str = ""
) -> Callable[[Callable[[], dict[str, Any]]], Callable[[], dict[str, Any]]]:
    """Register a function that makes a pipeline as a case of a code."""
    assert kind in KINDS
    told = word or {"": "fine", "note": "note"}.get(severity, "fault")

    def registered(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
        CASES.append(Case(code, kind, make.__name__, make, told, severity, says))
        return make

    return registered
