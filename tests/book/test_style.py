"""The form that every chapter keeps: short cells, sentences between them, figures that speak."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nbformat import NotebookNode

from book_files import NOTEBOOKS, SOURCES, read_notebook
from execute import first_line, read_source

LINES_PER_CELL = 30
SECTIONS = ("Summary", "Exercises", "Further reading")
WORDS_OF_ALT_TEXT = 5
OPTING_OUT = re.compile(r"nbval[-_]\w+|raises-exception|PYTEST_VALIDATE_IGNORE_OUTPUT", re.I)

each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@each_source
def test_code_cells_are_short(source: Path) -> None:
    for cell in code_cells(read_source(source)):
        lines = len(cell.source.splitlines())
        assert lines <= LINES_PER_CELL, f"{source.name}: `{first_line(cell)}` has {lines} lines."


@each_source
def test_a_sentence_stands_before_each_code_cell(source: Path) -> None:
    before = ""
    for cell in read_source(source).cells:
        if "remove-cell" in cell.metadata.get("tags", []):
            continue  # on no page, so that nobody meets it without a sentence
        if cell.cell_type == "code":
            where = f"{source.name}: no sentence stands before `{first_line(cell)}`."
            last = before.strip().rpartition("\n\n")[2]
            assert re.search(r"^[^#].*[.:?!]\W*$", last, re.DOTALL), where
        before = cell.source if cell.cell_type == "markdown" else ""


@each_source
def test_no_cell_opts_out_of_being_checked(source: Path) -> None:
    for cell in code_cells(read_source(source)):
        marks = " ".join([cell.source, *cell.metadata.get("tags", [])])
        assert not OPTING_OUT.search(marks), f"{source.name}: `{first_line(cell)}`"


@each_source
def test_chapter_has_one_title_and_the_standard_sections_last(source: Path) -> None:
    text = "\n\n".join(c.source for c in read_source(source).cells if c.cell_type == "markdown")
    titles = re.findall(r"^# (.+)$", text, re.MULTILINE)
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert len(titles) == 1, f"{source.name} has the titles {titles}."
    assert tuple(sections[-len(SECTIONS) :]) == SECTIONS, f"{source.name} ends with {sections}."


@each_notebook
def test_every_figure_has_alt_text_a_caption_and_a_name(path: Path) -> None:
    for cell in code_cells(read_notebook(path)):
        pictures = [out for out in cell.outputs if "image/png" in out.get("data", {})]
        if not pictures:
            continue
        where = f"{path.name}: the figure of `{first_line(cell)}`"
        options = cell.metadata.get("mystnb", {})
        assert len(pictures) == 1, f"{where} is {len(pictures)} figures; show one in a cell."
        alt = options.get("image", {}).get("alt", "")
        assert len(alt.split()) >= WORDS_OF_ALT_TEXT, f"{where} needs mystnb: image: alt."
        for part in ("caption", "name"):
            assert options.get("figure", {}).get(part), f"{where} needs mystnb: figure: {part}."
