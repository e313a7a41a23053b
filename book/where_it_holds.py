"""A Sphinx extension: the findings by the variations under which they were measured again.

The directive ``where-it-holds`` draws the records of ``book/replications`` as a table with a row
for each claim and a column for each variation; ``_static/where_it_holds.js`` filters and sorts it
in the browser, and without it the table is whole. ``verdicts`` tells the claim cards in how many
variations a claim holds. In a reader's build, which has a record of its own beside the pages, their
images are the first column, and what was left out has a row all the same.
"""

from __future__ import annotations

import functools
import hashlib
import html
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import nbformat
from docutils import nodes
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from companion.teaching.claims import ClaimLine
from conditions import Said, said_by
from execute import NOTEBOOKS
from replication_records import (
    HOLDS,
    NOT_REACHED,
    RECORDS,
    STATES,
    Measured,
    claims_in,
    read_record,
    read_records,
)

PAGE = "where-it-holds"
NOT_MEASURED = "not measured"
SIGNS = {HOLDS: "●", "weaker": "◐", "open": "○", "reversed": "✕", NOT_REACHED: "–"}
SIGNS[NOT_MEASURED] = "·"
CONTROL = "shuffled"
YOURS = "your images"
YOUR_RECORD = "yours.json"

Records = dict[str, dict[str, Any]]


class Chapter(NamedTuple):
    """A chapter's heading, what it claims, and what it tells of that."""

    title: str
    claims: list[ClaimLine]
    said: Said = Said(frozenset(), {})


def anchor(statement: str) -> str:
    """The mark of a claim's row, which stays when its chapter changes."""
    return f"claim-{hashlib.sha256(statement.encode()).hexdigest()[:10]}"


def is_control(record: dict[str, Any]) -> bool:
    """Whether a variation is one in which no finding ought to hold."""
    return CONTROL in record.get("vary", {})


def found_in(record: dict[str, Any], chapter: str) -> dict[str, Measured]:
    """The claims of a chapter in a record, by their statements."""
    claims = record["chapters"].get(chapter, {}).get("claims", [])
    return {each.statement: each for each in claims}


def verdicts(records: Records, chapter: str, statement: str) -> tuple[int, int]:
    """In how many variations a claim holds, and in how many it was measured; no control counts."""
    states = [
        found[statement].state
        for record in records.values()
        if not is_control(record) and statement in (found := found_in(record, chapter))
    ]
    return states.count(HOLDS), len(states) - states.count(NOT_REACHED)


@functools.cache
def recorded() -> Records:
    """The records of the book, read once for all pages."""
    return read_records(RECORDS)


def chapters_in(folder: Path) -> dict[str, Chapter]:
    """What the stored notebooks of a folder claim, by their names."""
    return {
        path.stem: chapter_of(nbformat.read(path, as_version=4))
        for path in sorted(folder.glob("*.ipynb"))
    }


@functools.cache
def own_chapters() -> dict[str, Chapter]:
    """What the book claims on its own images, read once for all pages."""
    return chapters_in(NOTEBOOKS)


def with_left_out(chapters: dict[str, Chapter], own: dict[str, Chapter]) -> dict[str, Chapter]:
    """The chapters of a reader's build, each with the book's claims that are not among theirs.

    And with all that the book tells of them: what it measured is the same in this copy.
    """
    return {
        name: Chapter(
            each.title,
            each.claims + left_out(each, own.get(name)),
            own[name].said if name in own else each.said,
        )
        for name, each in chapters.items()
    }


def left_out(chapter: Chapter, own: Chapter | None) -> list[ClaimLine]:
    """The book's claims that a chapter of a reader's build does not have."""
    said = {each.statement for each in chapter.claims}
    return [each for each in (own.claims if own else []) if each.statement not in said]


class WhereItHolds(SphinxDirective):
    """Puts the summary and the table in its place."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """Read the stored notebooks beside the page, and the records."""
        folder = Path(self.env.srcdir) / "notebooks"
        chapters = chapters_in(folder)
        for path in [*RECORDS.glob("*.json"), *folder.glob("*.ipynb")]:
            self.env.note_dependency(str(path))
        yours = read_record(Path(self.env.srcdir) / YOUR_RECORD)
        if yours:
            chapters = with_left_out(chapters, own_chapters())
        return [nodes.raw("", drawn(chapters, recorded(), yours), format="html")]


def drawn(
    chapters: dict[str, Chapter], records: Records, yours: dict[str, Any] | None = None
) -> str:
    """The HTML of summary and table; a reader's record is a column, and not counted."""
    if not records and not yours:
        return "<p>No variation is on record yet.</p>"
    columns = {YOURS: yours, **records} if yours else records
    return "\n".join(
        [
            '<div class="holds">',
            summary(chapters, records),
            legend(),
            controls(chapters),
            '<div class="holds-scroll"><table class="holds-matrix">',
            head(columns),
            "<tbody>",
            *(
                row(name, each, columns, chapter.said)
                for name, chapter in chapters.items()
                for each in chapter.claims
            ),
            "</tbody></table></div></div>",
        ]
    )


def states_of(chapter: str, statement: str, records: Records) -> dict[str, str]:
    """The word for a claim under each variation."""
    found = {}
    for name, record in records.items():
        measured = found_in(record, chapter).get(statement)
        found[name] = measured.state if measured else NOT_MEASURED
    return found


def summary(
    chapters: dict[str, Chapter], records: Records, missed: dict[str, int] | None = None
) -> str:
    """How many claims of each chapter are in each state, over all variations but the control.

    A column says of how many the chapter states the condition; with ``missed``, how many of each
    chapter were left out, and how many no image of a reader's goes into.
    """
    shown = STATES if missed is None else (*STATES, NOT_REACHED)
    rows = []
    for name, chapter in chapters.items():
        counts: Counter[str] = Counter()
        told = 0
        for each in chapter.claims:
            states = states_of(name, each.statement, records)
            counts.update(s for n, s in states.items() if not is_control(records[n]))
            told += sum((n, each.statement) in chapter.said.told for n in records)
        measured = sum(counts[state] for state in shown)
        bar = "".join(
            f'<span class="state-{state}" style="flex-grow:{counts[state]}"></span>'
            for state in STATES
            if counts[state]
        )
        numbers = "".join(f"<td>{counts[state]}</td>" for state in shown)
        if missed is None:
            numbers += f"<td>{told}</td>"
        else:
            numbers += f"<td>{missed[name]}</td>"
            measured += missed[name]
        rows.append(
            f'<tr><th scope="row"><a href="notebooks/{name}.html">{heading(name, chapter)}</a></th>'
            f"{numbers}<td>{measured}</td>"
            f'<td class="holds-bar" aria-hidden="true"><div>{bar}</div></td></tr>'
        )
    heads = "".join(f'<th scope="col">{SIGNS[state]} {state}</th>' for state in shown)
    last = "condition stated" if missed is None else "left out"
    return (
        '<table class="holds-summary"><thead><tr><th scope="col">Chapter</th>'
        f'{heads}<th scope="col">{last}</th><th scope="col">in all</th>'
        '<th aria-hidden="true"></th></tr></thead><tbody>'
        f"{''.join(rows)}</tbody></table>"
    )


def chapter_of(notebook: NotebookNode) -> Chapter:
    """The first heading of a notebook, and its claims."""
    text = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    lines = "\n".join(text).splitlines()
    title = next(line for line in lines if line.startswith("# "))[2:]
    return Chapter(title, claims_in(notebook), said_by("\n\n".join(text)))


def heading(name: str, chapter: Chapter) -> str:
    """A chapter's number and title."""
    return f"{int(name[:2])}. {html.escape(chapter.title, quote=False)}"


def legend() -> str:
    """What the signs mean."""
    told = (
        f'<span class="state-{state.replace(" ", "-")}"><span aria-hidden="true">{sign}</span> '
        f"{state}</span>"
        for state, sign in SIGNS.items()
    )
    return f'<p class="holds-legend">{" ".join(told)}</p>'


def controls(chapters: dict[str, Chapter]) -> str:
    """What filters the table; the script shows it where there is one."""
    chosen = "".join(
        f'<option value="{n}">{heading(n, each)}</option>' for n, each in chapters.items()
    )
    states = "".join(f'<option value="{each}">{each} somewhere</option>' for each in STATES[1:])
    return (
        '<form class="holds-filter" hidden>'
        '<label>Words <input type="search" name="words"></label> '
        f'<label>Chapter <select name="chapter"><option value="">all</option>{chosen}</select>'
        f'</label> <label>State <select name="state"><option value="">any</option>{states}'
        '</select></label> <output name="shown"></output></form>'
    )


def head(records: Records) -> str:
    """The row of the variations' names."""
    columns = "".join(
        f'<th scope="col" class="holds-variation" title="{html.escape(record["says"])}">'
        f"<span>{html.escape(name)}</span></th>"
        for name, record in records.items()
    )
    return f'<thead><tr><th scope="col">Claim</th>{columns}</tr></thead>'


def row(chapter: str, claim: ClaimLine, records: Records, said: Said) -> str:
    """A claim and what became of it under each variation, and whether its chapter tells that."""
    states = states_of(chapter, claim.statement, records)
    cells = []
    for name, state in states.items():
        measured = found_in(records[name], chapter).get(claim.statement)
        told = state
        if measured:
            told += f": {measured.value:g} [{measured.low:g}, {measured.high:g}], {measured.bound}"
        is_told = (name, claim.statement) in said.told
        if is_told:
            told += "; the chapter states the condition"
        if is_control(records[name]) and state == HOLDS and claim.statement in said.without_signal:
            told += f"; {said.without_signal[claim.statement]}"
        mark = " told" if is_told else ""
        cells.append(
            f'<td class="state-{state.replace(" ", "-")}{mark}" data-state="{state}" '
            f'title="{html.escape(f"{name}: {told}")}"><span aria-hidden="true">{SIGNS[state]}'
            f'</span><span class="holds-said">{state}</span></td>'
        )
    seen = " ".join(sorted({s for n, s in states.items() if not is_control(records[n])}))
    return (
        f'<tr id="{anchor(claim.statement)}" data-chapter="{chapter}" data-states="{seen}">'
        f'<th scope="row"><a href="notebooks/{chapter}.html">{int(chapter[:2])}</a> '
        f"{html.escape(claim.statement)}</th>{''.join(cells)}</tr>"
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive(PAGE, WhereItHolds)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
