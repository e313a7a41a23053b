"""Run chapters on a reader's own images, where no cell that fails stops the book.

A chapter runs cell by cell. Where one fails, the rest of its part is left out, and a note says
why. What that part only defines is run all the same; what it would have computed is forgotten, so
that a later part which needs it is left out as well, and says so.
"""

from __future__ import annotations

import ast
import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import execute
from definitions import bound_by, changed, definitions, statements
from patient_kernel import FORGET, Failure, PatientKernel
from progress import Progress
from sections import escaped, labels_in, part_around, split_cells

FORM = 2  # of what is kept; another is run again
NOTE = "left-out"  # the class of the notes, and how their labels begin

Told = Callable[[int, int, str], None]
"""Called before each cell with its number, how many there are, and its first line."""


def nothing_told(number: int, cells: int, line: str) -> None:
    """Say nothing of how far a chapter is."""


class Chapter:
    """One chapter on its way through a kernel."""

    def __init__(self, name: str, cells: list[NotebookNode], kernel: PatientKernel):
        self.name, self.cells, self.kernel = name, split_cells(cells), kernel
        self.page: list[NotebookNode] = []
        self.left_out: list[dict[str, Any]] = []
        self.ran: list[str] = []  # what a new kernel would have to run again
        self.missing: dict[str, dict[str, Any]] = {}  # a name, and the part that would have made it
        self.loaded = self.revived = False

    async def run(self, told: Told) -> None:
        """Run every cell, and fill the page."""
        at, number, count = 0, 0, len(sources_of(self.cells))
        try:
            await self.kernel.start()
        except RuntimeError as error:
            first = next(i for i, cell in enumerate(self.cells) if cell.cell_type == "code")
            self.page += self.cells[:first]
            why = Failure(f"no kernel started: {error}")
            self.leave_out(first, len(self.cells), self.name, why)
            return
        while at < len(self.cells):
            cell = self.cells[at]
            if cell.cell_type != "code":
                self.page.append(cell)
                at += 1
                continue
            number += 1
            told(number, count, execute.first_line(cell))
            failure = await self.kernel.run(cell)
            if failure is None:
                self.keep(cell)
                at += 1
                continue
            end = await self.go_on(at, failure)
            number += len(sources_of(self.cells[at + 1 : end]))
            at = end

    def keep(self, cell: NotebookNode) -> None:
        """Put a cell that ended well on the page."""
        self.page.append(cell)
        self.ran.append(cell.source)
        self.loaded = self.loaded or loads(cell)
        for name in bound_by([cell.source]):
            self.missing.pop(name, None)

    async def go_on(self, at: int, failure: Failure) -> int:
        """Leave the rest of a part out, make the kernel ready, return where the next begins."""
        end, title = part_around(self.cells, at)
        without_images = loads(self.cells[at]) and not self.loaded
        if without_images or not self.ran:
            end, title = len(self.cells), part_around(self.cells, 1)[1]
        elif failure.lost and not await self.revive():
            end = len(self.cells)
        self.leave_out(at, end, title, failure)
        if end < len(self.cells):
            before, sources = sources_of(self.cells[:at]), sources_of(self.cells[at:end])
            gone = sorted(changed(sources, before) | bound_by(sources))
            for code in (FORGET.format(names=gone), definitions(sources, before)):
                await self.kernel.ask(code)
                self.ran.append(code)
        return end

    def leave_out(self, at: int, end: int, title: str, failure: Failure) -> None:
        """Put a note on the page in the place of some cells, and remember what is gone."""
        labels: dict[str, str] = {}
        for cell in self.cells[at:end]:
            labels |= labels_in(cell)
        part = {
            "note": f"{NOTE}-{self.name[:2]}-{len(self.left_out) + 1}",
            "title": title,
            "labels": labels,
            **self.reason_of(failure),
        }
        self.left_out.append(part)
        whole = end == len(self.cells) and not self.ran
        self.page.append(new_markdown_cell(note_of(part, "chapter" if whole else "part")))
        before, sources = sources_of(self.cells[:at]), sources_of(self.cells[at:end])
        self.missing |= dict.fromkeys(changed(sources, before) | bound_by(sources), part)

    def reason_of(self, failure: Failure) -> dict[str, str]:
        """Why a part is left out, plainly and for MyST: with a link where another is the cause."""
        cause = self.missing.get(failure.missing or "")
        if cause is None:
            return {"why": failure.reason, "reason": escaped(failure.reason)}
        words = "it builds on the section {}, which was left out"
        link = f"[{escaped(cause['title'])}]({cause['note']})"
        return {
            "why": words.format(cause["title"]),
            "reason": words.format(link),
            "because": cause.get("because", cause["note"]),  # the part at the beginning of it all
        }

    async def revive(self) -> bool:
        """Start another kernel and bring it where the last one was; once in a chapter."""
        await self.kernel.stop()
        if self.revived:
            return False
        self.revived = True
        try:
            await self.kernel.start()
        except RuntimeError:
            return False
        for source in self.ran:
            if await self.kernel.run(new_code_cell(source)) is not None:
                return False
        return True


def note_of(part: dict[str, Any], what: str) -> str:
    """The note that stands for what is left out, below the targets that others point to."""
    targets = "".join(f"({label})=\n" for label in part["labels"])
    return (
        f"{targets}\n:::{{admonition}} Left out on these images\n:class: {NOTE}\n"
        f":name: {part['note']}\n\nThe rest of this {what} was left out on these images: "
        f"{sentence_of(part)}\n:::"
    ).strip()


def sentence_of(part: dict[str, Any]) -> str:
    """The reason of a part that was left out, with the mark at its end."""
    reason = str(part["reason"])
    return reason if reason.endswith((".", "?", "!", "…")) else f"{reason}."


def sources_of(cells: list[NotebookNode]) -> list[str]:
    """The sources of the code cells among these."""
    return [cell.source for cell in cells if cell.cell_type == "code"]


def loads(cell: NotebookNode) -> bool:
    """Whether a cell takes the images."""
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load"
        for statement in statements(cell.source)
        for node in ast.walk(statement)
    )


def run_chapter(
    source: Path,
    folder: Path,
    environment: dict[str, str],
    *,
    seconds: float = execute.SECONDS_PER_CELL,
    told: Told = nothing_told,
    python: str = sys.executable,
) -> NotebookNode:
    """The chapter as far as it can be run, with what was left out among its notebook's metadata."""
    began = time.perf_counter()
    kernel = PatientKernel(folder, environment, seconds, python)
    chapter = Chapter(source.stem, execute.read_source(source).cells, kernel)

    async def run() -> None:
        try:
            await chapter.run(told)
        finally:
            await kernel.stop()

    to_its_end(run())
    done = execute.normalise(new_notebook(cells=chapter.page))
    done.metadata["run"] = {
        "seconds": round(time.perf_counter() - began, 1),
        "date": time.strftime("%Y-%m-%d"),
    }
    done.metadata["left_out"] = chapter.left_out
    return done


def to_its_end(task: Coroutine[Any, Any, None]) -> None:
    """Run a task here, where an interrupt reaches it; in a thread where a loop runs already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(task)
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, task).result()


def run_chapters(
    sources: list[Path],
    kept: Path,
    folder: Path,
    environment: dict[str, str],
    *,
    data: str,
    everything: bool = False,
    seconds: float = execute.SECONDS_PER_CELL,
) -> dict[str, NotebookNode]:
    """Each chapter as it was run on `data`: now, or before where nothing has changed since.

    What is run is kept in a file of `kept` at once, so that what is stopped goes on from there.
    """
    keys = {source: f"{FORM}-{execute.key_of(source, data)}" for source in sources}
    before = {source: execute.kept_run(kept / f"{source.stem}.ipynb") for source in sources}
    done = {
        source.stem: run
        for source, run in before.items()
        if run is not None and run.metadata["run"]["key"] == keys[source] and not everything
    }
    progress = Progress({s.stem: run for s, run in before.items()}, set(done))
    for source in sources:
        if source.stem in done:
            progress.unchanged(source.stem)
            continue
        told = progress.begin(source.stem)
        run = run_chapter(source, folder, environment, seconds=seconds, told=told)
        run.metadata["run"]["key"] = keys[source]
        execute.write(run, kept / f"{source.stem}.ipynb")
        done[source.stem] = run
        progress.end(source.stem, len(run.metadata["left_out"]))
    return {source.stem: done[source.stem] for source in sources}
