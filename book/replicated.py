"""A Sphinx extension: a finding under each variation, as a figure beside the sentence on it.

The directive ``replicated`` lists statements of its chapter, a line each, and draws for each the
interval under every variation that is on record, on one scale, with its bound. It shows when a
finding holds and when it turns; without colours and without a picture it is a table.
"""

from __future__ import annotations

import html
from pathlib import Path, PurePosixPath
from typing import ClassVar

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from claim_cards import marks_of, scale
from companion.teaching.claims import ClaimLine, read_line
from replication_records import RECORDS, STATES, Measured, claims_in, state_of
from where_it_holds import PAGE, SIGNS, Records, anchor, found_in, is_control, recorded

OWN = "this page"


class Replicated(SphinxDirective):
    """Puts the figure of one or more statements in its place."""

    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        """Draw each statement; an error where the chapter claims no such thing."""
        chapter = PurePosixPath(self.env.docname).name
        notebook = Path(self.env.srcdir) / "notebooks" / f"{chapter}.ipynb"
        claimed = {each.statement: each for each in claims_in(nbformat.read(notebook, 4))}
        for path in [*RECORDS.glob("*.json"), notebook]:
            self.env.note_dependency(str(path))
        drawn = []
        for statement in filter(None, map(str.strip, self.content)):
            if statement not in claimed:
                raise self.error(f"{chapter} claims no {statement!r}")
            drawn.append(figure(claimed[statement], chapter, recorded()))
        return [nodes.raw("", "\n".join(drawn), format="html")]


def figure(claim: ClaimLine, chapter: str, records: Records) -> str:
    """The HTML of one statement: a row for its own page, and one for each variation."""
    rows = [(OWN, "as the book is run", claim)]
    for name, record in records.items():
        measured = found_in(record, chapter).get(claim.statement)
        if measured and measured.state in STATES and not is_control(record):
            rows.append((name, record["says"], line_of(measured)))
    marks = [mark for _, _, found in rows for mark in marks_of(found)]
    drawn = "\n".join(row(name, says, found, marks) for name, says, found in rows)
    statement = html.escape(claim.statement)
    return (
        '<figure class="replicated"><table><caption>'
        f'<a href="../{PAGE}.html#{anchor(claim.statement)}">{statement}</a>: '
        f"{html.escape(claim.bound)}</caption><tbody>\n{drawn}\n</tbody></table></figure>"
    )


def line_of(measured: Measured) -> ClaimLine:
    """What was measured elsewhere, as the line that was printed there."""
    numbers = f"{measured.value} [{measured.low}, {measured.high}]"
    found = read_line(f"differs  {measured.statement}: {numbers}, {measured.bound}")
    if found is None:
        raise ValueError(f"a record holds no claim's numbers: {measured}. Run make replicate.")
    return found


def row(name: str, says: str, found: ClaimLine, marks: list[float]) -> str:
    """One variation: its name, the interval to scale, the word for it, the numbers."""
    state = state_of(found)
    numbers = f"{found.value:.3g} [{found.low:.3g}, {found.high:.3g}]"
    return (
        f'<tr class="state-{state}"><th scope="row" title="{html.escape(says)}">'
        f'{html.escape(name.replace("-", " "))}</th><td class="replicated-scale">'
        f'{scale(found, marks)}</td><td><span aria-hidden="true">{SIGNS[state]}</span> {state}'
        f'</td><td class="replicated-numbers">{html.escape(numbers)}</td></tr>'
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("replicated", Replicated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
