"""A finding: what was seen in somebody's pipeline, why it matters, and what to do."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, fields

SEVERITIES = ("error", "warning", "note")
CODE = re.compile(r"[A-Z]{3}[0-9]{3}")


@dataclass(frozen=True, slots=True, repr=False)
class Finding:
    """One thing that was found, in words that stand alone.

    `code` is stable, three letters for the area and three digits (labels `LBL`, model and head
    `MOD`, sampling and loss `SMP`, optimiser and schedule `OPT`, protocol `PRO`). `severity` is
    "error" (the result is wrong), "warning" (it probably is) or "note". `seen` is the evidence
    with its numbers, `why` the consequence, `remedy` what to do, `link` where it is explained.

    It does not change, and findings of the same words are the same. `Finding(**found.to_dict())`
    makes it again.

    Raises `TypeError` for what is no string, `ValueError` for a code of another form, an unknown
    severity, and nothing seen.

    >>> found = Finding("OPT101", "warning", "the rate ends at 60% of its peak", why="The last "
    ...     "steps are too long to settle.", remedy="Make the schedule for 200 steps.")
    >>> print(found)
    OPT101 warning: the rate ends at 60% of its peak
    """

    code: str
    severity: str
    seen: str
    why: str = ""
    remedy: str = ""
    link: str = ""

    def __post_init__(self) -> None:
        for name, value in self.to_dict().items():
            if not isinstance(value, str):
                raise TypeError(
                    f"the {name} of a finding must be a string; received {value!r}. "
                    "Write it out, with its numbers."
                )
        if not CODE.fullmatch(self.code):
            raise ValueError(
                f"a finding's code is three letters and three digits; received {self.code!r}. "
                "For example LBL003."
            )
        if self.severity not in SEVERITIES:
            raise ValueError(
                f"severity must be one of {', '.join(SEVERITIES)}; received {self.severity!r}."
            )
        if not self.seen.strip():
            raise ValueError(f"a finding says what was seen; {self.code} says nothing.")

    def __str__(self) -> str:
        return f"{self.code} {self.severity}: {self.seen}"

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items() if value)
        return f"{type(self).__name__}({given})"

    def to_dict(self) -> dict[str, str]:
        """Return the fields by their names: strings alone, for JSON and tables.

        >>> Finding("OPT101", "note", "seen").to_dict()["severity"]
        'note'
        """
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def explained(self, width: int = 88) -> str:
        """Return the finding with why it matters, what to do and where to read on, in lines.

        >>> print(Finding("OPT101", "note", "seen", why="It matters.").explained())
        OPT101 note: seen
            It matters.
        """
        below = [part for part in (self.why, self.remedy, self.link) if part]
        wrapped = [
            textwrap.fill(
                part,
                width,
                initial_indent="    ",
                subsequent_indent="    ",
                break_long_words=False,  # a link is of use as a whole
                break_on_hyphens=False,
            )
            for part in below
        ]
        return "\n".join([str(self), *wrapped])


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings with errors first, then warnings, then notes, else as they came.

    >>> found = [Finding("LBL001", "note", "a"), Finding("LBL002", "error", "b")]
    >>> [each.code for each in by_severity(found)]
    ['LBL002', 'LBL001']
    """
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
