"""The form that every chapter keeps: short cells, sentences between them, figures that speak."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book_files import NOTEBOOKS, SOURCES, read_notebook
from execute import first_line, read_source

LINES_PER_CELL = 20
MEDIAN_LINES = 6
IMPORTS = (ast.Import, ast.ImportFrom)
SECTIONS = ("Summary", "Exercises", "Further reading")
WORDS_OF_ALT_TEXT = 5
OPTING_OUT = re.compile(r"nbval[-_]\w+|raises-exception|PYTEST_VALIDATE_IGNORE_OUTPUT", re.I)

each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def visible(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The cells whose code stands open on the page."""
    folded = {"remove-cell", "remove-input", "hide-cell", "hide-input"}
    return [cell for cell in cells if not folded & set(cell.metadata.get("tags", []))]


def on_page(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The cells whose code can be read on the page, open or folded."""
    return [cell for cell in cells if "remove-cell" not in cell.metadata.get("tags", [])]


def too_long(cells: list[NotebookNode], name: str) -> list[str]:
    """The cells that have more lines than one idea needs, with their place."""
    sizes = [(len(cell.source.splitlines()), first_line(cell)) for cell in on_page(cells)]
    return [f"{name}: `{first}` has {n} lines" for n, first in sizes if n > LINES_PER_CELL]


def idle_imports(cells: list[NotebookNode], name: str) -> list[str]:
    """The names that a cell imports and does not use: they belong where they are needed."""
    return [
        f"{name}: `{first_line(cell)}` imports {imported} and does not use it"
        for cell in cells
        for imported in sorted(imports(cell.source) - uses(cell.source))
    ]


def imports(code: str) -> set[str]:
    """The names that some code imports."""
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, IMPORTS)]
    return {(alias.asname or alias.name).split(".")[0] for node in nodes for alias in node.names}


def uses(code: str) -> set[str]:
    """The names that some code reads."""
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


def unheard_helpers(notebook: NotebookNode, name: str) -> list[str]:
    """The companion's names that open code uses before a sentence has said what they do."""
    said, ours, found = "", set[str](), []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            said += cell.source
            continue
        if cell.cell_type != "code":
            continue
        ours |= from_companion(cell.source)
        if cell in visible([cell]):
            unheard = sorted(
                n for n in ours & uses(cell.source) if not re.search(rf"`[^`]*\b{n}\b", said)
            )
            found += [f"{name}: `{first_line(cell)}` uses {each}" for each in unheard]
            ours -= set(unheard)
    return found


def from_companion(code: str) -> set[str]:
    """The names that some code imports from the companion, but for those of the teaching room."""
    return {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom)
        if (node.module or "").startswith("companion") and node.module != "companion.teaching"
        for alias in node.names
    }


@each_source
def test_code_cells_are_short(source: Path) -> None:
    cells = code_cells(read_source(source))
    assert too_long(cells, source.name) == []
    median = statistics.median(len(cell.source.splitlines()) for cell in visible(cells))
    assert median <= MEDIAN_LINES, f"{source.name}: half of its open cells have {median} lines"


@each_source
def test_imports_stand_where_they_are_needed(source: Path) -> None:
    assert idle_imports(code_cells(read_source(source)), source.name) == []


@each_source
def test_helpers_are_introduced_before_they_are_used(source: Path) -> None:
    assert unheard_helpers(read_source(source), source.name) == []


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


def test_long_cells_are_named_with_their_place() -> None:
    short, long = (new_code_cell("x = 1\n" * n) for n in (20, 21))
    assert too_long([short, long], "01.md") == ["01.md: `x = 1` has 21 lines"]


def test_imports_before_their_need_are_found() -> None:
    cells = [new_code_cell("import torch\nfrom companion import fit, load\nload(torch)")]
    assert idle_imports(cells, "01.md") == ["01.md: `import torch` imports fit and does not use it"]


@pytest.mark.parametrize("sentence", ["`load` reads images.", "`companion.load(name)` reads them."])
def test_helpers_without_a_sentence_are_found(sentence: str) -> None:
    code = new_code_cell("from companion import load\nload('digits')")
    after = new_notebook(cells=[code, new_markdown_cell(sentence)])
    before = new_notebook(cells=[new_markdown_cell(sentence), code])
    assert unheard_helpers(after, "01.md") == ["01.md: `from companion import load` uses load"]
    assert unheard_helpers(before, "01.md") == []
