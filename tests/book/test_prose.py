"""No number that a run could change is typed into a chapter by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from book_files import BOOK, PAGES, SOURCES, glue_targets, glued_names, read_notebook
from prose import prose

# Numbers that no run decides: versions, and the confidence that intervals are stated for.
_CONSTANTS = re.compile(
    r"(?:Python|PyTorch|torch|torchvision|CUDA|NumPy|Jupyter Book|CC BY)\s+v?[\d.]+"
    r"|95\s?%(?= (?:confidence )?intervals?)"
)
# What comments say of claims, word for word, for the tests of their records.
_OF_CLAIMS = re.compile(r"^% (?:told|without signal): .*$", re.MULTILINE)
_DECIMAL = re.compile(r"(?<![\w.])(?:\d+\.\d+|\.\d+)(?![\w]|\.\d)|\d+\s?%|\d+ per ?cent")


def typed_numbers(text: str) -> list[str]:
    """The decimal numbers and percentages that the prose of a MyST source states by hand.

    A line ``% typed: reason`` allows those of the paragraph that follows it.
    """
    found = []
    for paragraph in _OF_CLAIMS.sub("", prose(text)).split("\n\n"):
        if not re.search(r"^% typed: \S", paragraph, re.MULTILINE):
            found += [match[0] for match in _DECIMAL.finditer(_CONSTANTS.sub("", paragraph))]
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It reaches 0.84.", ["0.84"]),
        ("It reaches 84 % and 7%, or .5 of it.", ["84 %", "7%", ".5"]),
        ("It reaches {glue:text}`seen:.2f`, as in `lr=0.1` and $x = 0.5$.", []),
        ("A 95 % interval in Python 3.11, of 20 classes and 5 seeds.", []),
        ("```{code-cell} ipython3\nx = 0.5\n```\nThen 0.6.", ["0.6"]),
        ("---\nversion: 0.13\n---\nText.", []),
        (":::{note}\n:width: 0.5\nIt is 0.7.\n:::", ["0.7"]),
        ("````{exercise}\nIs it 0.7?\n```python\n0.8\n```\n````", ["0.7"]),
        ("> It is 0.7, they wrote.", []),
        ("% typed: a setting\nThe rate is 0.1.\n\nIt is 0.2.", ["0.2"]),
        ("% typed:\nThe rate is 0.1.", ["0.1"]),
        ("% told: wider: Kept at 95 %\n% without signal: At 0.5: why\nIt is 0.2.", ["0.2"]),
        ("$$\n0.5\n$$\nSee [this](a0.5.md) and https://a.org/0.5 and 0.3.", ["0.3"]),
    ],
)
def test_typed_numbers_are_found(text: str, found: list[str]) -> None:
    assert typed_numbers(text) == found


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_number_is_typed_into_a_chapter(source: Path) -> None:
    found = typed_numbers(source.read_text(encoding="utf-8"))
    assert found == [], (
        f"{source.name} states {found} by hand. Glue them in a cell, or write a line "
        "`% typed: reason` before the paragraph."
    )


@pytest.mark.parametrize("source", [*SOURCES, *PAGES], ids=lambda path: path.stem)
def test_glued_names_exist_once(source: Path) -> None:
    own = BOOK / "notebooks" / f"{source.stem}.ipynb"
    for page, name in glue_targets(source.read_text(encoding="utf-8")):
        notebook = own if page is None else source.parent / page
        assert notebook.is_file(), f"{source.name} glues from {notebook}, which is not there."
        names = glued_names(read_notebook(notebook))
        assert names.count(name) == 1, f"{name}: glued {names.count(name)} times in {notebook.name}"
