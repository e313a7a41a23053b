"""Where the book's files are, and what a source says: shared by the tests of the book."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
SOURCES = sorted((BOOK / "chapters").glob("*.md"))
NOTEBOOKS = sorted((BOOK / "notebooks").glob("*.ipynb"))
PAGES = sorted(BOOK.glob("*.md"))

_GLUE_ROLE = re.compile(r"\{glue(?::(?P<kind>\w*))?\}`(?P<target>[^`]+)`")


def read_notebook(path: Path) -> NotebookNode:
    """The notebook as it is stored."""
    return nbformat.read(path, as_version=4)


def glued_names(notebook: NotebookNode) -> list[str]:
    """The names under which a notebook's cells stored values for the prose, with repeats."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    marks = [output.get("metadata", {}).get("scrapbook") for output in outputs]
    return [mark["name"] for mark in marks if mark]


def glue_targets(text: str) -> list[tuple[str | None, str]]:
    """The (page, name) of each glue role in ``text``; the page is None for the text's own."""
    targets: list[tuple[str | None, str]] = []
    for match in _GLUE_ROLE.finditer(text):
        page, apart, name = match["target"].rpartition("::")
        if match["kind"] in ("text", "md"):
            name = name.rsplit(":", 1)[0]
        targets.append((page if apart else None, name))
    return targets
