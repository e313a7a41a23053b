"""How far each number of the book moved under the variations: measured, written, read.

``book/drifts/NN-name.json`` is the record of a chapter: for each variation when and where it
ran, and for each cell, by its id, every measured quantity with the furthest that it moved, in
the unit of its kind (see ``tolerance.py``), and under which variation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from nbformat import NotebookNode

import execute
from outputs import describe, texts
from tolerance import Change, changes

RECORDS = execute.ROOT / "book" / "drifts"
FIXED = ("count", "words")  # must not move, so only what did is worth a line


# Where a quantity stands: its output, the form, the line, and its number on the line.
Place = tuple[int, str, int, int]


class Drift(NamedTuple):
    """The furthest that one quantity moved, and under which variation."""

    kind: str
    stored: str
    size: float
    under: str | None


def cell_changes(old: list[Any], new: list[Any]) -> dict[Place, Change]:
    """How far everything that a cell put out moved, from its old outputs to its new ones."""
    found = {}
    if [describe(each) for each in old] != [describe(each) for each in new]:
        raised = [text for each in new for form, text in texts(each) if form == "error"]
        after = "; ".join(raised or map(describe, new)) or "nothing"
        before = "; ".join(map(describe, old)) or "nothing"
        found[-1, "", 0, 0] = Change("words", before, after, math.inf)
    for number, (before, after) in enumerate(zip(old, new, strict=False)):
        forms = dict(texts(after))
        for form, text in texts(before):
            for (line, place), each in text_changes(text, forms.get(form, "")):
                found[number, form, line, place] = each
    return found


def text_changes(old: str, new: str) -> Iterator[tuple[tuple[int, int], Change]]:
    """How far everything in a text moved, with its line and its place there."""
    old_lines, new_lines = old.splitlines(), new.splitlines()
    if len(old_lines) != len(new_lines):
        yield (-1, 0), Change("words", repr(old), repr(new), math.inf)
    for line, pair in enumerate(zip(old_lines, new_lines, strict=False)):
        for place, each in enumerate(changes(*pair)):
            yield (line, place), each


def code_cells(notebook: NotebookNode) -> dict[str, Any]:
    """The code cells by their ids."""
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


def nothing_moved(cell: Any) -> dict[Place, Drift]:
    """The measured quantities that a cell stores, as if they had never moved."""
    outputs = cell.get("outputs", [])
    found = cell_changes(outputs, outputs)
    return {
        place: Drift(each.kind, each.old, 0.0, None)
        for place, each in found.items()
        if each.kind not in FIXED
    }


def furthest(cell: Any, runs: dict[str, Any]) -> list[Drift]:
    """The quantities of a stored cell with the furthest that each moved in the cell's runs."""
    drifts, apart = nothing_moved(cell), []
    for name, run in runs.items():
        for place, each in cell_changes(cell.get("outputs", []), run.get("outputs", [])).items():
            if each.kind in FIXED and each.size > 0:
                apart.append(Drift("words", f"{each.old} became {each.new}", each.size, name))
            elif place in drifts and each.kind == drifts[place].kind:
                if each.size > drifts[place].size:
                    drifts[place] = Drift(each.kind, each.old, each.size, name)
    return [*drifts.values(), *apart]


def make_record(stored: NotebookNode, runs: dict[str, NotebookNode]) -> dict[str, Any]:
    """The record of a chapter, from its stored notebook and its run under each variation."""
    varied = {name: code_cells(run) for name, run in runs.items()}
    cells = {}
    for name, cell in code_cells(stored).items():
        drifts = furthest(cell, {each: found[name] for each, found in varied.items()})
        if drifts:
            cells[name] = [list(each) for each in drifts]
    return {
        "runs": {name: dict(run.metadata["drift"]) for name, run in runs.items()},
        "cells": cells,
    }


def write_record(record: dict[str, Any], path: Path) -> None:
    """Write a record, one quantity a line, so that a diff shows what changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    runs = [
        f"  {json.dumps(k)}: {json.dumps(v, sort_keys=True)}" for k, v in record["runs"].items()
    ]
    cells = []
    for name, drifts in record["cells"].items():
        lines = [
            json.dumps(
                [kind, stored, None if math.isinf(size) else round(size, 4), under],
                ensure_ascii=False,
            )
            for kind, stored, size, under in drifts
        ]
        cells.append(f'  "{name}": [\n    ' + ",\n    ".join(lines) + "\n  ]")
    text = (
        '{\n"runs": {\n' + ",\n".join(runs) + '\n},\n"cells": {\n' + ",\n".join(cells) + "\n}\n}\n"
    )
    path.write_text(text, encoding="utf-8", newline="\n")


def read_drifts(path: Path) -> dict[str, list[Drift]]:
    """The drifts of a record by cell; none where there is no record."""
    if not path.is_file():
        return {}
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {
        name: [
            Drift(kind, stored, math.inf if size is None else size, under)
            for kind, stored, size, under in drifts
        ]
        for name, drifts in cells.items()
    }
