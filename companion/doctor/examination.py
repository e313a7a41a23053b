"""What an examination found: every check's word, the findings in the order to look at them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from companion.doctor.ordering import causes_first
from companion.doctor.reports import annotation, sarif
from companion.doctor.tables import html_table, plain
from companion.doctor.words import WORDS, Outcome
from companion.findings import Finding


class FaultError(ValueError):
    """A pipeline has errors: the first of them in the message, all in `findings`."""

    def __init__(self, findings: tuple[Finding, ...]):
        self.findings = findings
        first = findings[0]
        more = f" ({len(findings) - 1} more)" if len(findings) > 1 else ""
        super().__init__(f"a pipeline must have no errors; {first.explained()}{more}")

    def __reduce__(self) -> tuple[type[FaultError], tuple[tuple[Finding, ...]]]:
        return type(self), (self.findings,)


@dataclass(frozen=True)
class Examination:
    """The outcome of every check, and what all of them looked at.

    `outcomes` has one for each check, in the order of the checks; `looked_at` says in words how
    many images of each part were read; `facts` are exact facts to hold against another run's
    (`compare`); `false_errors` bounds the share of healthy pipelines with an error by chance.
    """

    outcomes: tuple[Outcome, ...]
    looked_at: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    false_errors: float = 0.0

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, in the order in which to look at them: causes before their effects."""
        return causes_first([each for outcome in self.outcomes for each in outcome.findings])

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make the result wrong."""
        return tuple(each for each in self.findings if each.severity == "error")

    @property
    def ok(self) -> bool:
        """Whether nothing makes the result wrong, as far as was looked."""
        return not self.errors

    def counts(self) -> dict[str, int]:
        """Return how many checks came to each of the four words.

        >>> Examination((Outcome("LBL001", "Labels", "fine", ""),)).counts()["fine"]
        1
        """
        return {word: sum(each.word == word for each in self.outcomes) for word in WORDS}

    def outcome(self, code: str) -> Outcome:
        """Return what became of one check; raise `KeyError` for one that was not asked for.

        >>> Examination((Outcome("LBL001", "Labels", "fine", ""),)).outcome("LBL001").word
        'fine'
        """
        found = {each.code: each for each in self.outcomes}
        if code not in found:
            raise KeyError(f"{code} is none of the {len(found)} checks of this examination")
        return found[code]

    def raise_for_errors(self) -> None:
        """Raise `FaultError` where there is an error; warnings and notes raise nothing.

        >>> Examination(()).raise_for_errors()
        """
        if not self.ok:
            raise FaultError(self.errors)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values.

        >>> Examination(()).to_dict()["ok"]
        True
        """
        return {
            "ok": self.ok,
            "counts": self.counts(),
            "looked_at": list(self.looked_at),
            "false_errors": self.false_errors,
            "findings": [each.to_dict() for each in self.findings],
            "checks": [each.to_dict() for each in self.outcomes],
            "facts": dict(self.facts),
        }

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return everything as JSON.

        >>> '"ok": true' in Examination(()).to_json()
        True
        """
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    def to_sarif(self, *, file: str = "pipeline") -> str:
        """Return the findings as SARIF 2.1.0, which code hosts read; `file` is what they are of.

        Source: OASIS, Static Analysis Results Interchange Format, version 2.1.0.

        >>> '"version": "2.1.0"' in Examination(()).to_sarif()
        True
        """
        return json.dumps(sarif(self.findings, file), indent=2, ensure_ascii=False)

    def annotations(self, *, file: str = "") -> str:
        """Return a line for each finding, in the form that GitHub's runners turn into annotations.

        >>> Examination(()).annotations()
        ''
        """
        return "\n".join(annotation(each, file) for each in self.findings)

    def table(self, *, width: int = 88, everything: bool = False) -> str:
        """Return the findings for a terminal, and with `everything` the word of each check.

        >>> print(Examination(()).table())
        no finding in 0 checks: 0 fault, 0 note, 0 fine, 0 not run
        """
        return plain(self, width=width, everything=everything)

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        return html_table(self)
