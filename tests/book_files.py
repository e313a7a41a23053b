"""Where the book's files are, and what a source says: shared by the tests of the book."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
SOURCES = sorted((BOOK / "chapters").glob("*.md"))
NOTEBOOKS = sorted((BOOK / "notebooks").glob("*.ipynb"))
PAGES = sorted(BOOK.glob("*.md"))

# Chapters that have yet to be given the form that the others have. Whoever mends one takes it off
# the list: the tests of form fail where a chapter here has that form already.
FIRST_EDITION = ("05-a-new-head",)

_GLUE_ROLE = re.compile(r"\{glue(?::(?P<kind>\w*))?\}`(?P<target>[^`]+)`")


def by_form(sources: list[Path]) -> list[Any]:
    """The sources as parameters of a test of form, which those of the first edition fail."""
    reason = "written in the form of the first edition"
    old = pytest.mark.xfail(reason=reason, strict=True)
    return [
        pytest.param(source, marks=[old] if source.stem in FIRST_EDITION else [], id=source.stem)
        for source in sources
    ]


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
