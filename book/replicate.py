"""Measure every finding again under stated variations, and record what became of it.

``replications.toml`` names the variations: other seeds, rates, lengths, networks, images. What the
chapters print is kept under ``_build/replications`` (see ``runs``), so that the same command goes
on where it was stopped; ``replication_records`` turns it into ``book/replications/NAME.json``.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock, Timeout
from nbformat import NotebookNode

import execute
import replication_records
from execute import ChapterError, kept_run
from runs import add_arguments, carry_out, folder_digest, is_done, plan
from variations import Variation, choose

KEPT = execute.ROOT / "_build" / "replications"
VARIATIONS = Path(__file__).with_name("replications.toml")
# A claim that fails here is a result. One thread, as two of a small network wait for each other.
TOLD = {"COMPANION_CLAIMS": "told", "OMP_NUM_THREADS": "1"}


def read_replications(folders: dict[str, Path], path: Path = VARIATIONS) -> list[Variation]:
    """The variations of a file, and one for each folder besides that it does not name.

    One that needs a folder is left out where none of its name is given. Raises ``ChapterError`` for
    a folder named as a variation that takes none.
    """
    described = tomllib.loads(path.read_text(encoding="utf-8"))
    for name in folders:
        if "folder" not in described.get(name, {"folder": True}):
            raise ChapterError(f"{name!r} is a variation without a folder. Choose another name.")
    found = []
    for name, each in described.items():
        needs_folder = each.pop("folder", False)
        if needs_folder and name not in folders:
            print(f"{name}: skipped; give --data {name}=FOLDER")
            continue
        data = str(folders[name]) if needs_folder else None
        left_out = tuple(each.pop("leave_out", ()))
        found.append(Variation(name, environment=TOLD, data=data, leave_out=left_out, **each))
    for name in sorted(folders.keys() - described.keys()):
        found.append(Variation(name, "your own images", TOLD, data=str(folders[name])))
    return found


def read_folders(pairs: list[str]) -> dict[str, Path]:
    """The folders that were given as NAME=PATH."""
    found = {}
    for pair in pairs:
        name, apart, path = pair.partition("=")
        folder = Path(path).expanduser().resolve()
        if not apart or not name or Path(name).name != name or not folder.is_dir():
            raise ChapterError(f"--data takes NAME=PATH of a folder of images; got {pair!r}.")
        found[name] = folder
    return found


def about(variation: Variation) -> dict[str, Any]:
    """What a record says of its variation."""
    told: dict[str, Any] = {"says": variation.says}
    if variation.vary:
        told["vary"] = variation.vary
    if variation.data:
        told["data"] = folder_digest(Path(variation.data))
    return told


def stored(chapters: Iterable[str]) -> dict[str, NotebookNode]:
    """The book's own notebooks of some chapters, where they are there."""
    paths = {name: execute.NOTEBOOKS / f"{name}.ipynb" for name in chapters}
    return {name: nbformat.read(path, 4) for name, path in paths.items() if path.is_file()}


def lock(folder: Path, what: str = "Another replication") -> FileLock:
    """Hold a folder for this process; ``ChapterError`` where another one does."""
    folder.mkdir(parents=True, exist_ok=True)
    held = FileLock(folder / "lock")
    try:
        held.acquire(timeout=0)
    except Timeout as error:
        raise ChapterError(
            f"{what} writes to {folder}. Wait for it, or stop it; what it did is kept."
        ) from error
    return held


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; the exit status is 1 where a chapter could not be run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    add_arguments(parser)
    parser.add_argument("--data", action="append", default=[], metavar="NAME=PATH")
    options = parser.parse_args(arguments)
    try:
        sources = execute.find_sources(options.chapters)
        variations = choose(read_replications(read_folders(options.data)), options.only)
        held = lock(KEPT)
        tasks = plan(sources, variations, {}, KEPT)
    except ChapterError as error:
        print(error, file=sys.stderr)
        return 1
    with held:
        failures = [] if options.record else carry_out(tasks, options.jobs)
        for variation in variations:
            done = [t for t in tasks if t.variation == variation and is_done(t)]
            runs = {t.source.stem: run for t in done if (run := kept_run(t.target)) is not None}
            if runs:
                records = replication_records.RECORDS
                replication_records.update(
                    variation.name, about(variation), runs, records, stored(runs)
                )
    print(replication_records.summary(replication_records.read_records()))
    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
