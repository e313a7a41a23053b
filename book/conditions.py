"""What a chapter's text tells of its claims where they are measured again.

Beside the sentence that names the condition of a finding stands a comment that no reader sees,
``% told: VARIATION, VARIATION: STATEMENT``: under these variations the claim does not hold, and
the sentence says why or when. ``% without signal: STATEMENT: WHY`` stands beside the one that says
why a claim may hold where images say nothing of their labels.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import NamedTuple

TOLD = re.compile(r"^% told: (?P<variations>[\w-]+(?:, [\w-]+)*): (?P<statement>.+?)\s*$", re.M)
WITHOUT_SIGNAL = re.compile(r"^% without signal: (?P<statement>.+?): (?P<why>\S.*)$", re.M)


class Said(NamedTuple):
    """Pairs of a variation and a statement that are told, and reasons by their statements."""

    told: Set[tuple[str, str]]
    without_signal: dict[str, str]


def said_by(text: str) -> Said:
    """What the comments of a chapter's text say."""
    told = {
        (variation, found["statement"])
        for found in TOLD.finditer(text)
        for variation in found["variations"].split(", ")
    }
    explained = {found["statement"]: found["why"] for found in WITHOUT_SIGNAL.finditer(text)}
    return Said(told, explained)
