"""``book/execute.py`` runs what changed, keeps the old notebook on failure, writes clean files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import execute
from book_files import read_notebook
from execute import ChapterError

HEADER = "---\nkernelspec:\n  name: python3\n  display_name: X\n  language: python\n---\n\n"


def source_text(*code: str) -> str:
    cells = [f"A sentence.\n\n```{{code-cell}} ipython3\n{each}\n```\n" for each in code]
    return HEADER + "# A chapter\n\n" + "\n".join(cells)


class Workshop:
    """A folder with one chapter, and the means to run it."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "chapters" / "01-tiny.md"
        self.source.parent.mkdir()
        self.notebook = folder / "notebooks" / "01-tiny.ipynb"
        self.record = folder / "record.json"

    def run(self, *code: str, **options: object) -> list[Path]:
        if code:
            self.source.write_text(source_text(*code), encoding="utf-8")
        into = self.notebook.parent
        return execute.execute([self.source], into, record_path=self.record, **options)

    def stream(self) -> str:
        return "".join(
            output.text
            for cell in read_notebook(self.notebook).cells
            for output in cell.get("outputs", [])
            if output.output_type == "stream"
        )


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_runs_only_what_changed(workshop: Workshop) -> None:
    assert workshop.run("print(1)") == [workshop.notebook]
    assert workshop.run() == []
    assert workshop.run(everything=True) == [workshop.notebook]
    assert workshop.run("print(2)") == [workshop.notebook]
    assert workshop.stream() == "2\n"
    text = workshop.notebook.read_text(encoding="utf-8")
    workshop.notebook.write_text(text.replace("2\\n", "3\\n"), encoding="utf-8")
    assert workshop.run() == [workshop.notebook], "a notebook edited by hand is made again"
    assert workshop.stream() == "2\n"


def test_key_depends_on_all_that_decides_the_outputs(tmp_path: Path) -> None:
    source, module = tmp_path / "01-tiny.md", tmp_path / "companion" / "inner" / "labels.py"
    lock, images = tmp_path / "requirements.lock", tmp_path / "images"
    module.parent.mkdir(parents=True)
    images.mkdir()
    for path in (source, module, lock, images / "0.png"):
        path.write_text("one", encoding="utf-8")

    def key(data: str | None = str(images)) -> str:
        return execute.key_of(source, data, root=tmp_path)

    keys = [key(), key(None), key("digits")]
    for path in (source, module, lock, images / "0.png"):
        path.write_text("another", encoding="utf-8")
        keys.append(key())
    assert len(set(keys)) == len(keys)
    assert key() == keys[-1]


def test_broken_record_counts_as_none(workshop: Workshop) -> None:
    workshop.run("print(1)")
    workshop.record.write_text("{half", encoding="utf-8")
    assert workshop.run() == [workshop.notebook]
    assert json.loads(workshop.record.read_text(encoding="utf-8"))


def test_cell_that_raises_is_named_and_the_old_notebook_stays(workshop: Workshop) -> None:
    workshop.run("print(1)")
    before = workshop.notebook.read_bytes()
    with pytest.raises(ChapterError, match=r"01-tiny, code cell 1 \(`1 / 0`\) raised ZeroDivision"):
        workshop.run("print(1)", "1 / 0", "print(3)")
    assert workshop.notebook.read_bytes() == before
    assert [path.name for path in workshop.notebook.parent.iterdir()] == ["01-tiny.ipynb"]


def test_stderr_is_refused(workshop: Workshop) -> None:
    with pytest.raises(ChapterError, match=r"code cell 0 .* wrote to stderr.*deprecated"):
        workshop.run("import warnings\nwarnings.warn('deprecated: use the other')")
    assert not workshop.notebook.exists()


def test_kernel_sees_the_data_and_no_other_setting(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPANION_DATA", "from the shell")
    monkeypatch.setenv("COMPANION_PROGRESS", "1")
    show = "import os\nprint(sorted(i for i in os.environ.items() if i[0].startswith('COMPANION')))"
    workshop.run(show)
    own = "{}('COMPANION_PROGRESS', '0')"
    assert workshop.stream() == "[" + own.format("") + "]\n"
    workshop.run(data="digits")
    assert workshop.stream() == "[" + own.format("('COMPANION_DATA', 'digits'), ") + "]\n"


def test_same_cells_make_the_same_file(workshop: Workshop) -> None:
    workshop.run("print(1)", "print(1)")
    first = workshop.notebook.read_bytes()
    ids = [cell.id for cell in read_notebook(workshop.notebook).cells]
    assert len(set(ids)) == len(ids), "repeated cells have ids of their own"
    workshop.run(everything=True)
    assert workshop.notebook.read_bytes() == first
    workshop.run("print(0)", "print(1)", "print(1)")
    assert set(ids) < {cell.id for cell in read_notebook(workshop.notebook).cells}


def test_author_metadata_is_kept(workshop: Workshop) -> None:
    options = "---\ntags: [hide-input]\ntolerance: 0.005\nmystnb:\n  image:\n    alt: Two.\n---\n"
    workshop.run(options + "print(1)")
    cell = read_notebook(workshop.notebook).cells[1]
    assert cell.metadata == {
        "tags": ["hide-input"],
        "tolerance": 0.005,
        "mystnb": {"image": {"alt": "Two."}},
    }


def test_unknown_chapter_and_missing_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "01-tiny.md").touch()
    with pytest.raises(ChapterError, match=r"starts with '07'. There are: 01-tiny"):
        execute.find_sources(["07"], tmp_path)
    with pytest.raises(ChapterError, match="is no folder"):
        execute.resolve_data(str(tmp_path / "nowhere"))
    assert execute.resolve_data(str(tmp_path)) == str(tmp_path.resolve())
    assert execute.resolve_data("digits") == "digits"
