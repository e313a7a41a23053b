"""The words of a check: what it found, that all is fine, or why it could not be run."""

from __future__ import annotations

from dataclasses import dataclass, field

from companion.findings import Finding

WORDS = ("fault", "note", "fine", "not run")


class NotRunError(Exception):
    """A check cannot say anything about this pipeline: its message says why."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check saw: how bad it is, in numbers, and words of its own where the page's are not.

    `severity` is "error" (the result is wrong), "warning" (it probably is) or "note". `why` and
    `remedy` stand in the place of those of the check's page.
    """

    severity: str
    text: str
    why: str = ""
    remedy: str = ""


Result = str | Seen | list[Seen]
"""What a check returns: a sentence on what it looked at and found fine, or what it saw."""


@dataclass(frozen=True)
class Outcome:
    """What became of one check: its word, what it looked at or why it was not run, its findings.

    `word` is "fault" (an error or a warning), "note", "fine" or "not run".

    >>> Outcome("LBL001", "Labels", "fine", "512 labels").word
    'fine'
    """

    code: str
    title: str
    word: str
    said: str
    findings: tuple[Finding, ...] = field(default=())

    def to_dict(self) -> dict[str, object]:
        """Return the outcome as plain values, for JSON.

        >>> Outcome("LBL001", "Labels", "fine", "512 labels").to_dict()["word"]
        'fine'
        """
        return {
            "code": self.code,
            "title": self.title,
            "word": self.word,
            "said": self.said,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def error(text: str, *, why: str = "", remedy: str = "") -> Seen:
    """Return what makes the result wrong.

    >>> error("2 of 3 are wrong").severity
    'error'
    """
    return Seen("error", text, why, remedy)


def warning(text: str, *, why: str = "", remedy: str = "") -> Seen:
    """Return what probably makes the result wrong.

    >>> warning("2 of 3 may be wrong").severity
    'warning'
    """
    return Seen("warning", text, why, remedy)


def note(text: str, *, why: str = "", remedy: str = "") -> Seen:
    """Return what is worth knowing, and alarms nobody.

    >>> note("3 images").severity
    'note'
    """
    return Seen("note", text, why, remedy)


def word_of(findings: tuple[Finding, ...]) -> str:
    """Return the word of a check by the findings that it made.

    >>> word_of(()), word_of((Finding("LBL001", "note", "seen"),))
    ('fine', 'note')
    """
    if not findings:
        return "fine"
    return "note" if all(finding.severity == "note" for finding in findings) else "fault"
