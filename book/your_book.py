"""A copy of the book for a reader's images: its pages, its notebooks as they were run, its record.

Everything is under ``_build/yours``: `runs` keeps what each chapter printed, `book` is what is
rendered, made anew each time from the runs and the book's own pages.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

import execute
import where_it_holds
from execute import ChapterError
from left_out import FILE as GONE
from mended import Mender, glued_in
from replicate import lock
from replication_records import FORM, chapter_record, write_record
from sections import FIGURE, escaped
from where_it_holds import YOUR_RECORD, Chapter, chapter_of
from your_images import YourImages, described, look_at
from yours import run_chapters, sentence_of

PASSED_ON = ("COMPANION_ROOT", "COMPANION_DOWNLOAD")  # where standard sets are, and may be fetched
FRONT = "intro.md"
COUNTED = "; here: "  # of what `needs` says
TAKEN = "A number after “here” counts what the chapter took of your images, which may be fewer."
STYLE = Path(__file__).with_name("yours.css")  # no part of the pages of the book itself


def make_your_book(
    data: str,
    *,
    book: Path,
    into: Path,
    everything: bool = False,
    seconds: float = execute.SECONDS_PER_CELL,
) -> Path:
    """Run the chapters of `book` on `data`, and return the copy that is to be rendered.

    Raises `ChapterError` where the images cannot be loaded at all, where `into` cannot be written,
    and where another process writes there. A chapter that fails is told of on its page.
    """
    with told_if_unwritable(into), lock(into, "Another build of a book on somebody's images"):
        environment = execute.kernel_environment(data)
        environment |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        print("Looking at the images", flush=True)
        images = look_at(data, environment)
        print(f"{described(images)}.", flush=True)
        copy = copy_pages(book, into / "book")
        runs = run_chapters(
            execute.find_sources([], book / "chapters"),
            into / "runs",
            copy / "notebooks",
            environment,
            data=data,
            everything=everything,
            seconds=seconds,
        )
        assemble(copy, runs, images, notebooks_in(book / "notebooks"))
        return copy


@contextmanager
def told_if_unwritable(folder: Path) -> Iterator[None]:
    """Say what to do where a disk is full or a folder not ours."""
    try:
        yield
    except OSError as error:
        if error.errno not in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOTDIR,
            errno.EEXIST,
        ):
            raise
        raise ChapterError(
            f"The book of your images is written into {folder}, which failed: {error}. Make room "
            "or make it writable, and run the same command: chapters that are done are kept."
        ) from error


def copy_pages(book: Path, copy: Path) -> Path:
    """Copy the pages of the book, without its notebooks, over those that were there."""
    shutil.rmtree(copy, ignore_errors=True)
    left = shutil.ignore_patterns("notebooks", "_pictures", "__pycache__", ".ipynb_checkpoints")
    shutil.copytree(book, copy, ignore=left)
    (copy / "notebooks").mkdir()
    (copy / "_static").mkdir(exist_ok=True)
    shutil.copy(STYLE, copy / "_static")
    return copy


def assemble(
    copy: Path, runs: dict[str, NotebookNode], images: YourImages, own: dict[str, NotebookNode]
) -> None:
    """Put the runs, the record and the summary into a copy of the pages, and mend what refers."""
    places = {
        label.lower(): {"page": f"notebooks/{name}", "note": part["note"], "words": words}
        for name, run in runs.items()
        for part in run.metadata["left_out"]
        for label, words in part["labels"].items()
    }
    mender = Mender({name: glued_in(run) for name, run in runs.items()}, places)
    for name, run in runs.items():
        execute.write(mender.notebook(run, name), copy / "notebooks" / f"{name}.ipynb")
    for page in sorted(copy.glob("*.md")):
        page.write_text(mender.text(page.read_text(encoding="utf-8")), encoding="utf-8")
    for label in mender.dropped:
        places[label.lower()] = {"page": "", "note": "", "words": FIGURE}
    (copy / GONE).write_text(json.dumps(places), encoding="utf-8")
    record = record_of(runs, images, own)
    write_record(record, copy)
    front = copy / FRONT
    front.write_text(
        with_summary(front.read_text(encoding="utf-8"), summary_of(runs, record, images, own)),
        encoding="utf-8",
    )


def notebooks_in(folder: Path) -> dict[str, NotebookNode]:
    """The notebooks of a folder, by their names."""
    return {path.stem: nbformat.read(path, as_version=4) for path in sorted(folder.glob("*.ipynb"))}


def record_of(
    runs: dict[str, NotebookNode], images: YourImages, own: dict[str, NotebookNode]
) -> dict[str, Any]:
    """The reader's record, of the form that the records of variations have."""
    name = Path(YOUR_RECORD).stem
    chapters = {name: chapter_record(run, own.get(name)) for name, run in runs.items()}
    return {"form": FORM, "name": name, "says": described(images), "chapters": chapters}


def with_summary(page: str, summary: str) -> str:
    """The front page with the summary before its first section, or at its end."""
    head, apart, rest = page.partition("\n## ")
    return f"{head.rstrip()}\n\n{summary}\n{apart}{rest}"


def summary_of(
    runs: dict[str, NotebookNode],
    record: dict[str, Any],
    images: YourImages,
    own: dict[str, NotebookNode],
) -> str:
    """What held on a reader's images, which images they were, and what was left out: MyST."""
    chapters = {name: chapter_of(run) for name, run in runs.items()}
    missed = {
        name: len(where_it_holds.left_out(chapter, chapter_of(own[name]) if name in own else None))
        for name, chapter in chapters.items()
    }
    table = where_it_holds.summary(chapters, {where_it_holds.YOURS: record}, missed)
    heard = "".join(f"\n- {escaped(said)}" for said in images.warnings)
    versions = ", ".join(f"{name} {number}" for name, number in images.versions.items())
    return "\n".join(
        [
            "(your-images)=",
            "## On your images",
            "",
            f"This copy of the book was run on {escaped(images.data)}: "
            f"{escaped(described(images))}. Each chapter takes of these no more classes and images "
            "than it has of its own, at most at twice the side. "
            f"It was finished on {images.date}, with {versions}, on {escaped(images.device)}.",
            f"\nWhen they were loaded, this was said:\n{heard}" if heard else "",
            "",
            "The table counts the book's findings by what became of them here. "
            "[Where it holds](where-it-holds.md) says what the words mean, and has each finding "
            "with your images in the first column. *Not reached* are those that none of your "
            "images goes into: their numbers are the book's.",
            "",
            "```{raw} html",
            f'<div class="holds">{table}</div>',
            "```",
            "",
            "### What was left out",
            "",
            left_out_list(chapters, runs),
        ]
    )


def left_out_list(chapters: dict[str, Chapter], runs: dict[str, NotebookNode]) -> str:
    """Each part that was left out, with its reason and a link; a sentence where there is none.

    What was left out because it builds on another part is named behind that one.
    """
    lines = []
    left_out = {name: run.metadata["left_out"] for name, run in runs.items()}
    for name, parts in left_out.items():
        if parts:
            title = where_it_holds.heading(name, chapters[name]).replace(". ", "\\. ", 1)
            lines.append(f"- [{title}](notebooks/{name}.ipynb)")
        for part in parts:
            if "because" not in part:
                along = [link_to(each) for each in parts if each.get("because") == part["note"]]
                behind = f" With it went what builds on it: {'; '.join(along)}." if along else ""
                lines.append(f"  - {link_to(part)}: {sentence_of(part)}{behind}")
    if not lines:
        return "Nothing: every cell of every chapter could be run."
    counted = any(COUNTED in part["why"] for parts in left_out.values() for part in parts)
    return "\n".join([TAKEN, "", *lines] if counted else lines)


def link_to(part: dict[str, Any]) -> str:
    """A link to the note of a part that was left out."""
    return f"[{escaped(part['title'])}]({part['note']})"
