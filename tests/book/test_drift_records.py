"""What the comparison of the notebooks allows is what was measured: see ``book/drifts``.

Each measured quantity of each cell was run again under the variations of
``book/variations.toml``. These tests hold three things to each other: what the notebooks store,
how far it moved (the records), and how far it may move (``tolerance.py`` and the cells'
``tolerance``). An allowance is at least twice the largest drift on record, so that the next
processor is no surprise, and at most half of what would matter:

- for a **mean** with its interval, two half widths of the difference between the two runs, half
  of which is where the book begins to call one of two results better; and a tenth where the half
  width is below a twentieth, so that a twentieth is always found;
- for a **claim**, its margin, the way of the nearer end to the bound: what moves an end by more
  than half of it is refused, and twice what moved it on record would not have broken it;
- for a **half width**, a factor of twelve: over five seeds, one in twenty is three times as large
  as another by chance alone, and what a claim makes of it is in its margin;
- for a **number** printed alone, a twentieth; and where a cell states a tolerance, twice what the
  record needs, as one that nothing needs is too wide.

Where two runs print the same, nothing moved; a word or a count that moved is a failure.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import pytest
from nbformat import NotebookNode

from book_files import NOTEBOOKS, read_notebook
from drift_records import FIXED, RECORDS, Drift, code_cells, nothing_moved, read_record
from execute import first_line
from outputs import texts
from tolerance import (
    ALLOWED,
    DEFAULT_TOLERANCE,
    TWENTIETH,
    Change,
    allowance,
    differences,
    is_allowed,
    quantities,
)
from variations import read_variations

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
MATTERS = {"mean": 2.0, "half width": 11.0, "claim": 1.0}


class Recorded(NamedTuple):
    """A measured quantity with its drift, and the cell that prints it."""

    drift: Drift
    tolerance: float | None
    where: str

    @property
    def twice(self) -> Change:
        """A change of twice the drift."""
        kind, stored, size, moved, _ = self.drift
        if kind == "claim":
            size /= 2  # so that it is the whole margin, and not the half, which has to hold twice
        return Change(kind, stored, "twice as far", 2 * size, 2 * moved)

    def __str__(self) -> str:
        kind, stored, size, moved, under = self.drift
        return (
            f"{self.where} the {kind} of {stored} moved by {size:.3g} of its units ({moved:.3g}) "
            f"under {under}; {allowance(kind, self.tolerance):g} is allowed"
        )


def recorded(path: Path) -> list[Recorded]:
    """All that the record of a notebook says of its cells."""
    cells = code_cells(read_notebook(path))
    record = read_record(RECORDS / f"{path.stem}.json")["cells"]
    return [
        Recorded(drift, cell.metadata.get("tolerance"), f"{path.name}, `{first_line(cell)}`:")
        for name, cell in cells.items()
        for drift in record.get(name, [])
    ]


@each_notebook
def test_record_is_of_what_the_notebook_stores(path: Path) -> None:
    record = read_record(RECORDS / f"{path.stem}.json")["cells"]
    for name, cell in code_cells(read_notebook(path)).items():
        stored = [each[:2] for each in nothing_moved(cell).values()]
        known = [each[:2] for each in record.get(name, []) if each.kind not in FIXED]
        where = f"{path.name}, `{first_line(cell)}`"
        assert known == stored, f"{where} prints what was not measured: run `make drift`."
    assert set(record) <= set(code_cells(read_notebook(path))), "run `make drift`: cells are gone"


@each_notebook
def test_record_covers_every_variation_that_a_plain_machine_can_run(path: Path) -> None:
    runs = read_record(RECORDS / f"{path.stem}.json")["runs"]
    wanted = {each.name for each in read_variations() if each.needs is None and not each.extra}
    assert wanted - set(runs) == set(), "run `make drift`"
    for run in runs.values():
        assert set(run) == {"date", "place", "seconds"}
        assert {"torch", "torchvision", "numpy", "instructions", "threads"} <= set(run["place"])


@each_notebook
def test_words_and_counts_never_moved(path: Path) -> None:
    moved = [str(each) for each in recorded(path) if each.drift.kind in FIXED]
    assert moved == []


@each_notebook
def test_twice_the_largest_drift_is_allowed(path: Path) -> None:
    narrow = [str(r) for r in recorded(path) if not is_allowed(r.twice, r.tolerance)]
    assert narrow == [], "a bound is too close, too few seeds, or a tolerance is missing"


@pytest.mark.parametrize("kind", sorted(ALLOWED))
def test_half_of_what_would_matter_is_not_allowed(kind: str) -> None:
    assert ALLOWED[kind] <= MATTERS[kind] / 2
    assert DEFAULT_TOLERANCE <= TWENTIETH / 2


@each_notebook
def test_tolerance_of_a_cell_is_one_that_it_needs(path: Path) -> None:
    for name, cell in code_cells(read_notebook(path)).items():
        stated = cell.metadata.get("tolerance")
        if not stated:
            continue  # none, or 0: equality
        record = read_record(RECORDS / f"{path.stem}.json")["cells"].get(name, [])
        twice = [Recorded(each, None, "").twice for each in record if math.isfinite(each.moved)]
        needed = max((each.moved for each in twice if not is_allowed(each, None)), default=0.0)
        where = f"{path.name}, `{first_line(cell)}`"
        assert needed > 0, f"{where} needs no tolerance: remove it."
        assert stated <= 2 * needed, f"{where} needs a tolerance of {needed:.2g}, not {stated}."


@each_notebook
def test_change_by_a_twentieth_is_found(path: Path) -> None:
    """Each number of each line in turn, where nothing says that it is known less well."""
    checked = 0
    for cell in code_cells(read_notebook(path)).values():
        stated = cell.metadata.get("tolerance")
        for line in stored_lines(cell):
            for quantity in quantities(line):
                number = quantity.number
                known_to = max(
                    {"mean": quantity.half_width, "number": 0.0}.get(quantity.kind, math.inf),
                    stated or 0.0,
                )
                if known_to >= TWENTIETH or not math.isfinite(number.value):
                    continue
                places = max(2, round(-math.log10(number.place)))
                changed = f"{number.value + TWENTIETH * number.scale:.{places}f}"
                edited = line[: number.start] + changed + line[number.end :]
                assert differences(edited, line, stated), f"{path.name}: {edited}"
                checked += 1
    assert checked > 10


def stored_lines(cell: NotebookNode) -> set[str]:
    """The lines of all texts that a cell put out."""
    return {
        line for output in cell.outputs for _, text in texts(output) for line in text.splitlines()
    }
