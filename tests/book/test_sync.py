"""Each notebook is what its source describes, run from top to bottom, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from book_files import BOOK, NOTEBOOKS, SOURCES, read_notebook
from execute import NOTEBOOK_METADATA, first_line, normalise, read_source

each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
each_notebook = pytest.mark.parametrize("notebook_path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_chapters() -> None:
    assert SOURCES, f"{BOOK / 'chapters'} holds no chapter."


def test_every_source_has_its_notebook_and_every_notebook_its_source() -> None:
    sources, notebooks = ({path.stem for path in paths} for paths in (SOURCES, NOTEBOOKS))
    assert sources - notebooks == set(), "Run `make notebooks`: these have no notebook yet."
    assert notebooks - sources == set(), "Delete these notebooks: they have no source."


@each_source
def test_notebook_has_the_cells_of_its_source(source: Path) -> None:
    notebook = read_notebook(BOOK / "notebooks" / f"{source.stem}.ipynb")
    described = read_source(source)
    for number, (ours, theirs) in enumerate(zip(described.cells, notebook.cells, strict=False)):
        where = f"{source.name}, cell {number} (`{first_line(ours)}`): run `make notebooks`"
        assert theirs.cell_type == ours.cell_type, where
        assert theirs.source == ours.source, where
        assert theirs.metadata == ours.metadata, where
    assert len(notebook.cells) == len(described.cells), f"{source.name}: run `make notebooks`"


@each_notebook
def test_metadata_is_normalised(notebook_path: Path) -> None:
    notebook = read_notebook(notebook_path)
    assert notebook.metadata == NOTEBOOK_METADATA
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    stored = [(cell.id, dict(cell.metadata)) for cell in notebook.cells]
    again = [(cell.id, dict(cell.metadata)) for cell in normalise(notebook).cells]
    assert stored == again, "Notebooks are never edited: run `make notebooks ALL=1`."


@each_notebook
def test_every_code_cell_ran_in_order_and_none_failed(notebook_path: Path) -> None:
    cells = [cell for cell in read_notebook(notebook_path).cells if cell.cell_type == "code"]
    assert cells, f"{notebook_path.name} runs nothing."
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1))
    for number, cell in enumerate(cells):
        where = f"{notebook_path.name}, code cell {number} (`{first_line(cell)}`)"
        for output in cell.outputs:
            assert output.output_type != "error", f"{where} raised {output.get('evalue')}"
            assert output.get("name") != "stderr", f"{where} wrote to stderr: {output.get('text')}"


@each_notebook
def test_notebook_names_no_folder_of_the_machine_that_ran_it(notebook_path: Path) -> None:
    text = notebook_path.read_text(encoding="utf-8")
    for folder in (str(BOOK.parent), str(Path.home()), "site-packages"):
        if len(folder) > 1:
            assert folder not in text, f"{notebook_path.name} shows the path {folder}."
