"""Run chapters under variations, side by side, and keep what they print.

Each run is kept as a notebook, and made again only when the chapter's code, the companion, the
versions or the variation changed; a set of runs that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

import execute
from execute import kept_run
from variations import Variation, environment_for, place_of, why_not
from yours import run_chapter

VARIED = Path(__file__).with_name("varied.py")
GUESSED_SECONDS = 90.0  # a chapter's, until one has been timed


class Task(NamedTuple):
    """One chapter to be run under one variation."""

    source: Path
    variation: Variation
    executable: str
    key: str
    place: dict[str, Any]
    kept: Path

    @property
    def target(self) -> Path:
        """Where the run is kept."""
        return self.kept / self.variation.name / f"{self.source.stem}.ipynb"


def key_of(source: Path, variation: Variation, place: dict[str, Any]) -> str:
    """A digest of all that decides what a chapter prints: its code, not its prose or metadata."""
    parts: list[Any] = list(code_of(execute.read_source(source)))
    for path in sorted((execute.ROOT / "companion").rglob("*.py")):
        parts.append((str(path.relative_to(execute.ROOT)), execute.file_digest(path)))
    parts += [variation.environment, place]
    if variation.vary:
        parts += [variation.vary, execute.file_digest(VARIED)]
    if variation.data:
        parts.append(folder_digest(Path(variation.data)))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def code_of(notebook: NotebookNode) -> list[str]:
    """The sources of the code cells."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def folder_digest(folder: Path) -> str:
    """A digest of what a folder of images holds: names and sizes, as contents take minutes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listed = [(str(path.relative_to(folder)), path.stat().st_size) for path in files]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


def is_done(task: Task) -> bool:
    """Whether the run that is kept is the one that the task asks for."""
    kept = kept_run(task.target)
    return kept is not None and kept.metadata["run"]["key"] == task.key


def perform(task: Task) -> float:
    """Run one chapter to its end, whatever its cells raise, and keep it; return the seconds."""
    began = time.perf_counter()
    task.target.parent.mkdir(parents=True, exist_ok=True)
    only_images = task.variation.data is not None and not task.variation.vary
    done = on_other_images(task) if only_images else under_changes(task)
    seconds = time.perf_counter() - began
    done.metadata["run"] = {
        "key": task.key,
        "seconds": round(seconds, 1),
        "date": time.strftime("%Y-%m-%d"),
        "place": task.place,
    }
    execute.write(done, task.target)
    return seconds


def on_other_images(task: Task) -> NotebookNode:
    """The chapter as a reader's build runs it: no cell takes an old value for one that failed."""
    return run_chapter(
        task.source,
        task.target.parent,
        environment_for(task.variation),
        python=task.executable,
    )


def under_changes(task: Task) -> NotebookNode:
    """The chapter with every cell run, whatever the one before it raised."""
    notebook = execute.read_source(task.source)
    if task.variation.vary:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(setup_of(task.variation)))
    client = execute.client_for(
        notebook,
        task.target.parent,
        kernel_manager_class=execute.manager_for(task.executable),
        allow_errors=True,
        force_raise_errors=False,
    )
    asyncio.run(client.async_execute(env=environment_for(task.variation)))
    if task.variation.vary:
        first = notebook.cells.pop(0)
        if raised := [each.evalue for each in first.outputs if each.output_type == "error"]:
            raise execute.ChapterError(f"{task.variation.name} could not be set up: {raised[0]}")
    return execute.normalise(notebook)


def setup_of(variation: Variation) -> str:
    """The code that changes what a kernel runs with, before the first cell of the chapter."""
    return (
        f"import sys; sys.path.insert(0, {str(VARIED.parent)!r}); import varied; "
        f"varied.vary({variation.vary!r}); sys.path.pop(0); del sys, varied"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that runs chapters under variations."""
    parser.add_argument("chapters", nargs="*", help="beginnings of names; all when left out")
    parser.add_argument("--only", action="append", help="a variation's name; all when left out")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    parser.add_argument("--record", action="store_true", help="run nothing, record what was run")


def plan(
    sources: list[Path], variations: list[Variation], pythons: dict[str, str], kept: Path
) -> list[Task]:
    """Every chapter under every variation that can run here, one variation after the other."""
    tasks = []
    for variation in variations:
        executable = sys.executable
        if variation.python is not None:
            if variation.python not in pythons:
                print(f"{variation.name}: skipped; give --python {variation.python}=PATH")
                continue
            executable = pythons[variation.python]
        place = place_of(variation, executable)
        reason = why_not(variation, place)
        if reason:
            print(f"{variation.name}: skipped; {reason}")
            continue
        for source in sources:
            if source.stem.startswith(variation.leave_out):
                continue
            key = key_of(source, variation, place)
            tasks.append(Task(source, variation, executable, key, place, kept))
    return tasks


def carry_out(tasks: list[Task], jobs: int) -> list[str]:
    """Run what is not done yet, ``jobs`` at a time; return what could not be run at all."""
    waiting = [task for task in tasks if not is_done(task)]
    print(f"{len(tasks) - len(waiting)} of {len(tasks)} runs are there already", flush=True)
    if not waiting:
        return []
    began, finished, failures = time.perf_counter(), 0.0, []
    expected = expected_seconds(waiting)
    for number, (task, future) in enumerate(run_side_by_side(waiting, jobs), start=1):
        finished += expected[task.target]
        try:
            said = f"{future.result():.0f} s"
        except Exception as error:  # whatever stopped one run must not stop the others
            said = f"not finished: {type(error).__name__}: {error}"
            failures.append(f"{task.variation.name}, {task.source.stem}: {said}")
        share = finished / sum(expected.values())
        left = (time.perf_counter() - began) * (1 - share) / share
        where = f"[{number}/{len(waiting)}, about {left / 60:.0f} min left]"
        print(f"{where} {task.variation.name}, {task.source.stem}: {said}", flush=True)
    return failures


def run_side_by_side(tasks: list[Task], jobs: int) -> Iterator[tuple[Task, Future[float]]]:
    """Each task with its result as it ends.

    Threads are enough: each waits for a kernel, which is a process of its own.
    """
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(perform, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future
        except KeyboardInterrupt:
            print("Stopped; the same command goes on from here.", flush=True)
            os._exit(130)  # not after the running chapters; their kernels end with this process


def expected_seconds(tasks: list[Task]) -> dict[Path, float]:
    """How long each task may take: as long as its chapter did before."""
    known: dict[str, float] = {}
    for path in tasks[0].kept.glob("*/*.ipynb"):
        run = kept_run(path)
        if run is not None:
            known[path.stem] = run.metadata["run"]["seconds"]
    return {task.target: known.get(task.source.stem, GUESSED_SECONDS) for task in tasks}
