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

import nbformat
from nbformat import NotebookNode

import execute
from execute import kept_run
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
    moved: float
    under: str | None

    @property
    def sizes(self) -> tuple[float, float]:
        """What decides which of two drifts is the larger."""
        return self.size, self.moved


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
        place: Drift(each.kind, each.old, each.size, each.moved, None)
        for place, each in found.items()
        if each.kind not in FIXED
    }


def furthest(cell: Any, runs: dict[str, Any]) -> list[Drift]:
    """The quantities of a stored cell with the furthest that each moved in the cell's runs."""
    drifts, apart = nothing_moved(cell), []
    for name, run in runs.items():
        for place, each in cell_changes(cell.get("outputs", []), run.get("outputs", [])).items():
            if each.kind in FIXED and each.size > 0:
                said = f"{each.old} became {each.new}"
                apart.append(Drift("words", said, each.size, each.moved, name))
            elif place in drifts and (each.size, each.moved) > drifts[place].sizes:
                drifts[place] = Drift(each.kind, each.old, each.size, each.moved, name)
    return [*drifts.values(), *apart]


def update(
    chapter: str,
    kept: dict[str, Path],
    folder: Path = RECORDS,
    notebooks: Path = execute.NOTEBOOKS,
) -> None:
    """Bring a chapter's record up to date with the runs that were kept of it.

    What an older record says of variations that were not run now is kept where the stored
    quantity is still the same.
    """
    stored = nbformat.read(notebooks / f"{chapter}.ipynb", as_version=4)
    runs = {name: run for name, path in kept.items() if (run := kept_run(path)) is not None}
    path = folder / f"{chapter}.json"
    before = read_record(path)
    varied = {name: code_cells(run) for name, run in runs.items()}
    cells = {}
    for name, cell in code_cells(stored).items():
        drifts = furthest(cell, {v: found[name] for v, found in varied.items() if name in found})
        old = [each for each in before["cells"].get(name, []) if each.under not in runs]
        cells[name] = merge(drifts, old)
    about = before["runs"] | {
        name: {k: v for k, v in run.metadata["run"].items() if k != "key"}
        for name, run in runs.items()
    }
    write_record({"runs": about, "cells": {k: v for k, v in cells.items() if v}}, path)


def merge(new: list[Drift], old: list[Drift]) -> list[Drift]:
    """The new drifts, each replaced by an older one of the same quantity that is larger."""
    known: dict[tuple[str, str], Drift] = {}
    for each in old:
        key = (each.kind, each.stored)
        if each.under and each.size > known.get(key, each._replace(size=0.0)).size:
            known[key] = each
    merged = [max(each, known.get(each[:2], each), key=lambda one: one.sizes) for each in new]
    there = {each[:2] for each in new}
    return merged + [each for key, each in known.items() if each.kind in FIXED and key not in there]


def write_record(record: dict[str, Any], path: Path) -> None:
    """Write a record, one quantity a line, so that a diff shows what changed."""

    def block(name: str, lines: list[str]) -> str:
        return f"{json.dumps(name)}: [\n  " + ",\n  ".join(lines) + "\n ]"

    runs = [f"{json.dumps(k)}: {json.dumps(v, sort_keys=True)}" for k, v in record["runs"].items()]
    cells = [
        block(name, [json.dumps(as_list(each), ensure_ascii=False) for each in drifts])
        for name, drifts in record["cells"].items()
    ]
    parts = [("runs", runs), ("cells", cells)]
    body = ",\n".join(f'"{name}": {{\n ' + ",\n ".join(each) + "\n}" for name, each in parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + body + "\n}\n", encoding="utf-8", newline="\n")


def as_list(drift: Drift) -> list[Any]:
    """A drift as JSON can say it, which has no word for infinitely far."""
    sizes = [None if math.isinf(each) else round(each, 4) for each in (drift.size, drift.moved)]
    return [drift.kind, drift.stored, *sizes, drift.under]


def from_list(row: list[Any]) -> Drift:
    """The drift that ``as_list`` wrote."""
    kind, stored, size, moved, under = row
    sizes = [math.inf if each is None else each for each in (size, moved)]
    return Drift(kind, stored, sizes[0], sizes[1], under)


def read_record(path: Path) -> dict[str, Any]:
    """A record with its drifts; an empty one where there is none."""
    if not path.is_file():
        return {"runs": {}, "cells": {}}
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    record["cells"] = {
        name: [from_list(row) for row in rows] for name, rows in record["cells"].items()
    }
    return record


def summary(chapters: list[str], folder: Path = RECORDS) -> str:
    """The furthest that each kind of quantity moved in each chapter, and where."""
    lines = []
    for chapter in chapters:
        record = read_record(folder / f"{chapter}.json")
        furthest: dict[str, Drift] = {}
        for drift in (each for drifts in record["cells"].values() for each in drifts):
            furthest[drift.kind] = max(
                furthest.get(drift.kind, drift), drift, key=lambda one: one.sizes
            )
        lines += [
            f"{chapter}: {each.kind} moved by {each.size:.3g} under {each.under}: {each.stored}"
            for each in furthest.values()
            if each.size
        ]
    return "\n".join(lines)
