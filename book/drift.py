"""Run the chapters again under stated variations, side by side, and record how numbers moved.

``variations.toml`` names the variations. What they print is kept under ``_build/drift``, one
notebook each, and runs again only when the chapter's code, the companion, the versions or the
variation changed; a run that was stopped goes on where it was. ``drift_records`` turns it into
the small records that are part of the book.
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

from nbformat import NotebookNode

import drift_records
import execute
from variations import (
    Variation,
    choose,
    environment_for,
    place_of,
    read_pythons,
    read_variations,
    why_not,
)

KEPT = execute.ROOT / "_build" / "drift"
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
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def code_of(notebook: NotebookNode) -> list[str]:
    """The sources of the code cells."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def is_done(task: Task) -> bool:
    """Whether the run that is kept is the one that the task asks for."""
    kept = drift_records.kept_run(task.target)
    return kept is not None and kept.metadata["drift"]["key"] == task.key


def perform(task: Task) -> float:
    """Run one chapter to its end, whatever its cells raise, and keep it; return the seconds."""
    began = time.perf_counter()
    notebook = execute.read_source(task.source)
    task.target.parent.mkdir(parents=True, exist_ok=True)
    client = execute.client_for(
        notebook,
        task.target.parent,
        kernel_manager_class=execute.manager_for(task.executable),
        allow_errors=True,
        force_raise_errors=False,
    )
    asyncio.run(client.async_execute(env=environment_for(task.variation)))
    seconds = time.perf_counter() - began
    done = execute.normalise(notebook)
    done.metadata["drift"] = {
        "key": task.key,
        "seconds": round(seconds, 1),
        "date": time.strftime("%Y-%m-%d"),
        "place": task.place,
    }
    execute.write(done, task.target)
    return seconds


def plan(
    sources: list[Path], variations: list[Variation], pythons: dict[str, str], kept: Path = KEPT
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
        run = drift_records.kept_run(path)
        if run is not None:
            known[path.stem] = run.metadata["drift"]["seconds"]
    return {task.target: known.get(task.source.stem, GUESSED_SECONDS) for task in tasks}


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; the exit status is 1 where a chapter could not be run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("chapters", nargs="*", help="beginnings of names; all when left out")
    parser.add_argument("--only", action="append", help="a variation's name; all when left out")
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    parser.add_argument("--record", action="store_true", help="run nothing, record what was run")
    options = parser.parse_args(arguments)
    try:
        sources = execute.find_sources(options.chapters)
        variations = choose(read_variations(), options.only)
        tasks = plan(sources, variations, read_pythons(options.python))
    except execute.ChapterError as error:
        print(error, file=sys.stderr)
        return 1
    failures = [] if options.record else carry_out(tasks, options.jobs)
    for source in sources:
        drift_records.update(
            source.stem,
            {t.variation.name: t.target for t in tasks if t.source == source and is_done(t)},
        )
    print(drift_records.summary([source.stem for source in sources]))
    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
