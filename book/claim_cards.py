"""A Sphinx extension: each printed line of a claim or a check becomes a card on the page.

The notebooks hold the line that ``companion.teaching.claim`` printed, which is what nbval
compares and what a terminal shows. On the page it is a card: verdict, statement, and for a claim
the interval and its bound drawn to scale. Screen readers are given the line's own words. In a
reader's build a card has the word for what was measured on their images, and what the book found.
"""

from __future__ import annotations

import html
import math
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from companion.teaching.claims import ClaimLine, read_line
from replication_records import NOT_REACHED, state_of
from where_it_holds import (
    PAGE,
    SIGNS,
    YOUR_RECORD,
    anchor,
    own_chapters,
    recorded,
    verdicts,
)

SPARE = 0.08  # of the scale's width, free at both of its ends


class ClaimCards(SphinxPostTransform):
    """Replaces the claims and checks among what cells printed; other lines stay as they are."""

    default_priority = 5  # before highlighting
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Look at everything that a cell printed on this page."""
        chapter = PurePosixPath(self.env.docname).name
        yours = (Path(self.env.srcdir) / YOUR_RECORD).is_file()
        for block in list(self.document.findall(nodes.literal_block)):
            if "stream" in block.get("classes", []):
                block.replace_self(parts(block, chapter=chapter, yours=yours))


def parts(
    block: nodes.literal_block, *, chapter: str = "", yours: bool = False
) -> list[nodes.Node]:
    """The printed text, with a card in the place of each claim or check."""
    read = [(line, read_line(line)) for line in block.astext().splitlines()]
    if not any(found for _, found in read):
        return [block]
    made: list[nodes.Node] = []
    for is_card, group in groupby(read, key=lambda each: each[1] is not None):
        if is_card:
            cards = "\n".join(card(found, chapter, yours=yours) for _, found in group if found)
            made.append(nodes.raw("", f'<div class="claims">\n{cards}\n</div>', format="html"))
        elif text := "\n".join(line for line, _ in group).strip("\n"):
            rest = block.deepcopy()
            rest.rawsource = text
            rest.children = [nodes.Text(text)]
            made.append(rest)
    return made


def card(found: ClaimLine, chapter: str = "", *, yours: bool = False) -> str:
    """The HTML of one card, with where else its claim was seen to hold."""
    kind = "claim" if found.is_claim else "check"
    verdict = found.verdict if found.is_claim else "check" if found.margin >= 0 else found.verdict
    state = state_here(found, chapter) if yours and found.is_claim else ""
    word = verdict if state in ("", NOT_REACHED) else state
    kept = "kept" if found.margin >= 0 else "missed"
    statement = html.escape(found.statement)
    numbers = html.escape(f"{found.measured}, {found.bound}")
    why = f'<span class="claim-why">{html.escape(found.why)}</span>' if found.why else ""
    return (
        f'<div class="claim-card {kind} {kept}">'
        f'<p class="claim-statement"><span class="claim-verdict">{word}</span> '
        f"{statement}</p>"
        f"{scale(found) if found.is_claim else ''}"
        f'<p class="claim-numbers">{numbers}{why}</p>'
        f"{in_both(found, chapter, state) if state else elsewhere(found, chapter)}</div>"
    )


def state_here(found: ClaimLine, chapter: str) -> str:
    """What became of a claim in a reader's build; not reached where its numbers are the book's."""
    ours = {(own.statement, own.value, own.low, own.high) for own in claims_of(chapter)}
    same = (found.statement, found.value, found.low, found.high) in ours
    return NOT_REACHED if same and found.low < found.high else state_of(found)


def claims_of(chapter: str) -> list[ClaimLine]:
    """What the book claims in a chapter on its own images."""
    own = own_chapters().get(chapter)
    return own.claims if own else []


def in_both(found: ClaimLine, chapter: str, state: str) -> str:
    """What became of a claim on a reader's images, and apart from it what the book found."""
    if state == NOT_REACHED:
        return f'<p class="claim-yours">uses none of your images</p>{elsewhere(found, chapter)}'
    here = (
        f'<p class="claim-yours state-{state}">on your images: '
        f'<span aria-hidden="true">{SIGNS[state]}</span> {state}</p>'
    )
    if all(each.statement != found.statement for each in claims_of(chapter)):
        return here
    holds, measured = verdicts(recorded(), chapter, found.statement)
    again = f", and in {holds} of {measured} variations" if measured else ""
    return (
        f'{here}<p class="claim-elsewhere"><a href="../{PAGE}.html#{anchor(found.statement)}">'
        f"on the book's own images: holds{again}</a></p>"
    )


def elsewhere(found: ClaimLine, chapter: str) -> str:
    """In how many variations a claim holds, with a link to its row; nothing where none is known."""
    holds, measured = verdicts(recorded(), chapter, found.statement) if found.is_claim else (0, 0)
    if not measured:
        return ""
    return (
        f'<p class="claim-elsewhere"><a href="../{PAGE}.html#{anchor(found.statement)}">'
        f"holds in {holds} of {measured} variations</a></p>"
    )


def marks_of(found: ClaimLine) -> list[float]:
    """What a scale has to reach to: both ends of the interval, and the bound."""
    return [found.low, found.high, *bounds(found)]


def scale(found: ClaimLine, marks: list[float] | None = None) -> str:
    """The interval and its bound, drawn to scale; for the eye alone, as the numbers stand below.

    With ``marks`` of several claims, these are drawn on one scale.
    """
    marks = marks_of(found) if marks is None else marks
    if not all(map(math.isfinite, marks)):
        return ""
    low, high = min(marks), max(marks)
    if low > 0 and low < high - low:  # zero, where it is near
        low = 0.0
    if high < 0 and -high < high - low:
        high = 0.0
    span = (high - low) or 1.0

    def at(value: float) -> float:
        inside = (min(max(value, low), high) - low) / span
        return round(100 * (SPARE + (1 - 2 * SPARE) * inside), 2)

    start, end = at(found.low), at(found.high)
    allowed = [
        0.0 if math.isinf(found.lowest) else at(found.lowest),
        100.0 if math.isinf(found.highest) else at(found.highest),
    ]
    width = round(allowed[1] - allowed[0], 2)
    drawn = [f'<rect class="claim-allowed" x="{allowed[0]}" y="2" width="{width}" height="16"/>']
    if low <= 0 <= high:
        drawn.append(upright("claim-zero", at(0.0)))
    drawn += [upright("claim-bound", at(each)) for each in bounds(found)]
    drawn.append(f'<path class="claim-interval" d="M{start} 10 H{end}"/>')
    drawn.append(f'<path class="claim-mean" d="M{at(found.value)} 10 h0.001"/>')
    return (
        '<svg class="claim-scale" viewBox="0 0 100 20" preserveAspectRatio="none" '
        f'aria-hidden="true" focusable="false">{"".join(drawn)}</svg>'
    )


def bounds(found: ClaimLine) -> list[float]:
    """The ends of what is allowed, where there are any."""
    return [each for each in (found.lowest, found.highest) if math.isfinite(each)]


def upright(name: str, x: float) -> str:
    """A vertical line through the scale."""
    return f'<path class="{name}" d="M{x} 1 V19"/>'


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the cards."""
    app.add_post_transform(ClaimCards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
