"""The parts of a chapter: what stands under one heading, or inside one exercise or solution.

A cell that fails on a reader's images takes the rest of its part with it. Here is where that part
ends, what it is called, and which labels of other pages point into it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import NamedTuple

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

FENCE = re.compile(r"^ {0,3}(?P<mark>`{3,}|~{3,}|:{3,})(?P<said>.*)$")
HEADING = re.compile(r"^(?P<marks>#{1,6})\s+(?P<title>.+?)\s*#*$")
TARGET = re.compile(r"^\((?P<label>[^()\s]+)\)=\s*$")
GATE = re.compile(r"^\{(?P<kind>exercise|solution)-(?P<end>start|end)\}\s*(?P<said>.*)$")
EXERCISE = re.compile(
    r"\{exercise(?:-start)?\}[ \t]*(?P<title>[^\n]*)\n:label:[ \t]*(?P<label>\S+)"
)
OPTION = re.compile(r"^:(?:label|name):[ \t]*(?P<label>\S+)[ \t]*$", re.MULTILINE)
FORMULA = re.compile(r"\$\$[ \t]*\((?P<label>[^()\s]+)\)|\\label\{(?P<inside>[^}]+)\}")
ROLE = re.compile(r"\{[\w:]+\}`(?P<said>[^`<]*?)(?:\s*<[^`>]*>)?`")

FIGURE = "a figure that was left out"
FORMULA_WORDS = "a formula that was left out"
OTHER = "a part that was left out"


class Opening(NamedTuple):
    """What a cell begins with: a heading of some level, or the start or end of a gate."""

    level: int = 0
    title: str = ""
    gate: str = ""


def split_cells(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The cells with the text divided wherever a heading, an exercise or a solution begins."""
    found = []
    for cell in cells:
        if cell.cell_type != "markdown":
            found.append(deepcopy(cell))
            continue
        for text in split_text(cell.source):
            found.append(new_markdown_cell(text, metadata=deepcopy(cell.metadata)))
    return found


def split_text(text: str) -> list[str]:
    """The pieces of a text, each of which begins where a part may begin or end."""
    pieces: list[list[str]] = [[]]
    for line, opening in read_lines(text):
        if opening is not None:
            # The targets just above a heading are the heading's own.
            above: list[str] = []
            while pieces[-1] and (not pieces[-1][-1].strip() or TARGET.match(pieces[-1][-1])):
                above.insert(0, pieces[-1].pop())
            pieces.append(above)
        pieces[-1].append(line)
    return [found for piece in pieces if (found := "\n".join(piece).strip("\n")).strip()]


def read_lines(text: str) -> Iterator[tuple[str, Opening | None]]:
    """Each line, with what it opens; inside a fence nothing is a heading."""
    fence = ""
    for line in text.splitlines():
        mark = FENCE.match(line)
        if fence:
            closes = mark and mark["mark"].startswith(fence) and not mark["said"].strip()
            fence = "" if closes else fence
            yield line, None
        elif mark:
            fence = mark["mark"]
            gate = GATE.match(mark["said"].strip())
            yield line, Opening(title=gate["said"], gate=gate["end"]) if gate else None
        elif heading := HEADING.match(line):
            yield line, Opening(len(heading["marks"]), plain(heading["title"]))
        else:
            yield line, None


def opening_of(cell: NotebookNode) -> Opening | None:
    """What a divided cell begins with; None for code, and for text that goes on."""
    if cell.cell_type != "markdown":
        return None
    return next((opening for _, opening in read_lines(cell.source) if opening), None)


def part_around(cells: list[NotebookNode], at: int) -> tuple[int, str]:
    """Where the part of a cell ends, and what it is called.

    A part reaches to the next heading of the same or a higher level as the nearest one above; in
    an exercise or a solution, to its end.
    """
    above = [opening for cell in cells[:at] if (opening := opening_of(cell))]
    gates = [opening for opening in above if opening.gate]
    nearest = next((each for each in reversed(above) if each.level), Opening(1, "this chapter"))
    inside = bool(gates) and gates[-1].gate == "start"
    for index in range(at + 1, len(cells)):
        below = opening_of(cells[index])
        if below and (below.gate == "end" if inside else 0 < below.level <= nearest.level):
            break
    else:
        index = len(cells)
    exercises = {label: title for cell in cells for label, title in exercises_in(cell)}
    named = exercises.get(gates[-1].title, gates[-1].title) if inside else ""
    return index, f"{nearest.title}: {named}" if named else nearest.title


def exercises_in(cell: NotebookNode) -> list[tuple[str, str]]:
    """The labels and titles of the exercises that a cell holds."""
    if cell.cell_type != "markdown":
        return []
    return [(each["label"], plain(each["title"])) for each in EXERCISE.finditer(cell.source)]


def labels_in(cell: NotebookNode) -> dict[str, str]:
    """The labels that other text may point to, with the words that stand for each."""
    if cell.cell_type == "code":
        described = cell.metadata.get("mystnb", {})
        names = [described.get(kind, {}).get("name") for kind in ("figure", "image")]
        return {name: FIGURE for name in names if name}
    if cell.cell_type != "markdown":
        return {}
    words = {each["label"]: OTHER for each in OPTION.finditer(cell.source)}
    for each in FORMULA.finditer(cell.source):
        words[each["label"] or each["inside"]] = FORMULA_WORDS
    words |= {label: title for label, title in exercises_in(cell) if title}
    waiting: list[str] = []
    for line, opening in read_lines(cell.source):
        target = TARGET.match(line)
        if target:
            waiting.append(target["label"])
        elif line.strip():
            title = opening.title if opening and opening.level else OTHER
            words |= dict.fromkeys(waiting, title)
            waiting = []
    return words | dict.fromkeys(waiting, OTHER)


def plain(title: str) -> str:
    """A heading without what only Markdown reads.

    >>> plain("Names of weights, and `strict=False` in the {term}`checkpoint <checkpoint>`")
    'Names of weights, and strict=False in the checkpoint'
    """
    return re.sub(r"[`*]", "", ROLE.sub(lambda role: role["said"], title)).strip()


def escaped(text: str) -> str:
    r"""Any text, on one line, so that MyST shows its letters and reads nothing into them.

    >>> escaped("a [b] `c`\n {d}")
    'a \\[b\\] \\`c\\` \\{d\\}'
    """
    return re.sub(r"([!-,./:-@\[-`{-~])", r"\\\1", " ".join(text.split()))
