"""Run the chapters again under stated variations, side by side, and record how numbers moved.

``variations.toml`` names the variations. What they print is kept under ``_build/drift``, one
notebook each, and runs again only when the chapter's code, the companion, the versions or the
variation changed; a run that was stopped goes on where it was. ``drift_records`` turns it into
the small records that are part of the book.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

import execute

VARIATIONS = Path(__file__).with_name("variations.toml")
KEPT = execute.ROOT / "_build" / "drift"
GUESSED_SECONDS = 90.0  # a chapter's, until one has been timed

# What a kernel says of the place where it runs, as JSON.
ASK = """
import json, platform, sys
import numpy, torch, torchvision
print(json.dumps({
    "python": platform.python_version(), "torch": torch.__version__,
    "torchvision": torchvision.__version__, "numpy": numpy.__version__,
    "instructions": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads(),
    "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
}))
"""


class Variation(NamedTuple):
    """What is different in one set of runs."""

    name: str
    says: str
    environment: dict[str, str]
    python: str | None = None
    needs: str | None = None


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


def read_variations(path: Path = VARIATIONS) -> list[Variation]:
    """The variations that a file describes, in its order."""
    described = tomllib.loads(path.read_text(encoding="utf-8"))
    return [Variation(name=name, **each) for name, each in described.items()]


def environment_for(variation: Variation) -> dict[str, str]:
    """All that is set for a kernel of this variation."""
    environment = execute.kernel_environment()
    for name in ("ATEN_CPU_CAPABILITY", "OMP_NUM_THREADS"):
        environment.pop(name, None)  # the variation's to choose, not the shell's
    return environment | variation.environment


def place_of(variation: Variation, executable: str) -> dict[str, Any]:
    """The versions and the processor that the variation's kernels will meet."""
    command = [executable, "-c", ASK]
    environment = environment_for(variation)
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        raise execute.ChapterError(
            f"{executable} cannot run the book under {variation.name!r}: "
            f"{result.stderr.strip().rpartition(chr(10))[2]}. Install the requirements there."
        )
    place: dict[str, Any] = json.loads(result.stdout)
    return place


def key_of(source: Path, variation: Variation, place: dict[str, Any]) -> str:
    """A digest of all that decides what a chapter prints: its code, not its prose or metadata."""
    parts: list[Any] = [code for code in code_of(execute.read_source(source))]
    for path in sorted((execute.ROOT / "companion").rglob("*.py")):
        parts.append((str(path.relative_to(execute.ROOT)), execute.file_digest(path)))
    parts += [variation.environment, place]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def code_of(notebook: NotebookNode) -> list[str]:
    """The sources of the code cells."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def is_done(task: Task) -> bool:
    """Whether the run that is kept is the one that the task asks for."""
    kept = kept_run(task.target)
    return kept is not None and kept.metadata["drift"]["key"] == task.key


def kept_run(path: Path) -> NotebookNode | None:
    """A run that was kept; None where there is none, or only a broken file."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError):
        return None
    return notebook if "drift" in notebook.metadata else None


def perform(task: Task) -> float:
    """Run one chapter to its end, whatever its cells raise, and keep it; return the seconds."""
    began = time.perf_counter()
    notebook = execute.read_source(task.source)
    client = execute.client_for(
        notebook,
        execute.NOTEBOOKS,
        kernel_manager_class=execute.manager_for(task.executable),
        allow_errors=True,
        force_raise_errors=False,
    )
    client.execute(env=environment_for(task.variation))
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
        if variation.python is not None and variation.python not in pythons:
            print(f"{variation.name}: skipped; give --python {variation.python}=PATH")
            continue
        executable = pythons[variation.python] if variation.python else sys.executable
        place = place_of(variation, executable)
        wanted = variation.environment.get("ATEN_CPU_CAPABILITY", place["instructions"])
        if wanted.lower() not in place["instructions"].lower().replace("no avx", "default"):
            print(f"{variation.name}: skipped; this machine has {place['instructions']} at best")
            continue
        if variation.needs == "cuda" and place["cuda"] is None:
            print(f"{variation.name}: skipped; this machine has no CUDA device")
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
        except (CellTimeoutError, DeadKernelError, OSError, RuntimeError) as error:
            said = f"not finished: {type(error).__name__}: {error}"
            failures.append(f"{task.variation.name}, {task.source.stem}: {said}")
        share = finished / sum(expected.values())
        left = (time.perf_counter() - began) * (1 - share) / share
        where = f"[{number}/{len(waiting)}, about {left / 60:.0f} min left]"
        print(f"{where} {task.variation.name}, {task.source.stem}: {said}", flush=True)
    return failures


def run_side_by_side(tasks: list[Task], jobs: int) -> Iterator[tuple[Task, Future[float]]]:
    """Each task with its result as it ends, each in a process of its own."""
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        futures = {pool.submit(perform, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def expected_seconds(tasks: list[Task]) -> dict[Path, float]:
    """How long each task may take: as long as its chapter did before."""
    known: dict[str, float] = {}
    for path in tasks[0].kept.glob("*/*.ipynb"):
        run = kept_run(path)
        if run is not None:
            known[path.stem] = run.metadata["drift"]["seconds"]
    return {task.target: known.get(task.source.stem, GUESSED_SECONDS) for task in tasks}


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; the exit status is 1 where a chapter could not be run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("chapters", nargs="*", help="beginnings of names; all when left out")
    parser.add_argument("--only", action="append", help="a variation's name; all when left out")
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1)))
    options = parser.parse_args(arguments)
    variations = read_variations()
    variations = [v for v in variations if not options.only or v.name in options.only]
    pythons = dict(each.split("=", 1) for each in options.python)
    tasks = plan(execute.find_sources(options.chapters), variations, pythons)
    failures = carry_out(tasks, options.jobs)
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
