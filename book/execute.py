"""Run each chapter's source and store it, with what it printed, as a notebook.

``book/chapters/NN-name.md`` is what people write; ``book/notebooks/NN-name.ipynb`` is made
from it, here and nowhere else. A chapter runs again only when its source, the companion
package, the lock or the data has changed since its notebook was written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import ipykernel.kernelspec
import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "book" / "chapters"
NOTEBOOKS = ROOT / "book" / "notebooks"
RECORD = ROOT / "_build" / "notebooks.json"

SECONDS_PER_CHAPTER = 90  # more than this is worth a warning
SECONDS_PER_CELL = 1800  # a cell that takes longer is stuck

NOTEBOOK_METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}
# Metadata that jupytext and Jupyter keep for themselves; the rest of a cell's is the author's.
PRIVATE_CELL_METADATA = ("execution", "lines_to_next_cell", "collapsed", "scrolled")


def kernel_environment(data: str | None = None) -> dict[str, str]:
    """What every kernel of the book runs under, here and under nbval.

    No progress bars in what readers see, one order of sets, figures drawn into the page, and
    nothing from the settings that whoever runs this has in their home folder.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COMPANION_")}
    environment |= {
        "COMPANION_PROGRESS": "0",
        "PYTHONPATH": str(ROOT),  # the companion beside this book, whichever is installed
        # Said on stderr by tqdm, where a library that a chapter imports asks for its widgets.
        "PYTHONWARNINGS": "ignore:IProgress not found",
        "IPYTHONDIR": str(ROOT / "_build" / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": str(ROOT / "_build" / "matplotlib"),
        "PYTHONHASHSEED": "0",
    }
    # One thread adds in one order, however many cores there are; small networks gain little from
    # a second, and lose much where two threads wait for each other beside another busy program.
    environment.setdefault("OMP_NUM_THREADS", "1")
    if data is not None:
        environment["COMPANION_DATA"] = data
    if not any(Path(environment["MPLCONFIGDIR"]).glob("fontlist*.json")):
        # Matplotlib lists the fonts on its first import, and says so on stderr where that is slow.
        command = [sys.executable, "-c", "import matplotlib.font_manager"]
        subprocess.run(command, env=environment | {"MPLBACKEND": "Agg"}, check=True)
    return environment


class ChapterError(Exception):
    """A chapter could not be run; the message names the chapter, the cell and the error."""


class ThisPython(AsyncKernelManager):
    """Starts kernels in the Python that runs this file, whatever kernels are installed."""

    executable = sys.executable

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel of the environment that ``executable`` belongs to."""
        spec = ipykernel.kernelspec.get_kernel_dict()
        return KernelSpec(**spec | {"argv": [self.executable, *spec["argv"][1:]]})


def manager_for(python: str) -> type[ThisPython]:
    """A manager that starts its kernels in the Python at this path."""
    return type("OtherPython", (ThisPython,), {"executable": python})


def read_source(path: Path) -> NotebookNode:
    """The notebook that a chapter's source describes: normalised, and not run."""
    return normalise(jupytext.read(path, fmt="md:myst"))


def normalise(notebook: NotebookNode) -> NotebookNode:
    """The notebook with fixed metadata and with ids that depend on the cells' content alone."""
    seen: Counter[str] = Counter()
    cells = []
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] += 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        kept = {k: v for k, v in cell.metadata.items() if k not in PRIVATE_CELL_METADATA}
        cell["metadata"] = nbformat.from_dict(kept)
        cells.append(cell)
    return nbformat.from_dict(
        {"cells": cells, "metadata": NOTEBOOK_METADATA, "nbformat": 4, "nbformat_minor": 5}
    )


def first_line(cell: NotebookNode) -> str:
    """The first line of a cell that says something, for messages."""
    return next((line.strip() for line in cell.source.splitlines() if line.strip()), "(empty)")


def name_cell(chapter: str, notebook: NotebookNode, cell: NotebookNode) -> str:
    """How messages name a cell: chapter, number among the code cells, first line.

    Numbers start at 0, as nbval's do, so that both point to the same cell.
    """
    code_cells = [each for each in notebook.cells if each.cell_type == "code"]
    return f"{chapter}, code cell {code_cells.index(cell)} (`{first_line(cell)}`)"


def client_for(notebook: NotebookNode, folder: Path, **options: Any) -> NotebookClient:
    """What runs a notebook's cells, in a fresh kernel whose working folder is ``folder``."""
    chosen: dict[str, Any] = {"kernel_manager_class": ThisPython, "force_raise_errors": True}
    return NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        extra_arguments=["--log-level=ERROR"],  # the kernel's own advice is not for readers
        record_timing=False,
        coalesce_streams=True,  # when the kernel flushes must not show
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
        **chosen | options,
    )


def run(notebook: NotebookNode, chapter: str, folder: Path, data: str | None) -> NotebookNode:
    """The notebook with its outputs; ``ChapterError`` where a cell raises or writes to stderr."""
    try:
        client_for(notebook, folder).execute(env=kernel_environment(data))
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise ChapterError(describe_failure(notebook, chapter, error)) from error
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                raise ChapterError(
                    f"{name_cell(chapter, notebook, cell)} wrote to stderr, which readers would "
                    f"see on the page: {output.text.strip()!r}. Mend what it warns of."
                )
    return normalise(notebook)


def describe_failure(notebook: NotebookNode, chapter: str, error: Exception) -> str:
    """Chapter, cell and error, on the lines that a terminal shows last."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                where = name_cell(chapter, notebook, cell)
                traceback = "\n".join(output.traceback)
                return f"{traceback}\n{where} raised {output.ename}: {output.evalue}"
    started = [c for c in notebook.cells if c.cell_type == "code" and c.get("execution_count")]
    last = name_cell(chapter, notebook, started[-1]) if started else f"{chapter}, first cell"
    return f"{last}, or the cell after it, did not finish: {type(error).__name__}: {error}"


def write(notebook: NotebookNode, path: Path) -> None:
    """Write the notebook so that a reader sees the old file or the new, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    text = nbformat.writes(notebook, version=4, indent=1, sort_keys=True, ensure_ascii=False)
    try:
        beside.write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def kept_run(path: Path) -> NotebookNode | None:
    """A run that was kept; None where there is none, or only a broken file."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError, nbformat.reader.NotJSONError):
        return None
    return notebook if "run" in notebook.metadata else None


def file_digest(path: Path) -> str:
    """A short digest of a file's bytes, and a mark of its own for a file that is not there."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else "absent"


def key_of(source: Path, data: str | None, root: Path = ROOT) -> str:
    """A digest of all that a chapter's outputs depend on."""
    parts: list[Any] = [data]
    for path in (source, *sorted((root / "companion").rglob("*.py")), root / "requirements.lock"):
        parts.append((path.name, file_digest(path)))
    if data is not None and Path(data).is_dir():
        for path in sorted(Path(data).rglob("*")):
            # Sizes and times, not contents: reading every image would take longer than it saves.
            found = path.stat() if path.exists() else path.lstat()  # a link that leads nowhere
            parts.append((str(path), found.st_size, found.st_mtime_ns))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def read_record(path: Path) -> dict[str, dict[str, str]]:
    """What was run before; nothing where the record is missing or broken."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def execute(
    sources: list[Path],
    into: Path = NOTEBOOKS,
    *,
    data: str | None = None,
    everything: bool = False,
    record_path: Path = RECORD,
) -> list[Path]:
    """Bring the notebooks of ``sources`` up to date; return those that were run."""
    into.mkdir(parents=True, exist_ok=True)
    record = read_record(record_path)
    done = []
    for source in sources:
        target = into / f"{source.stem}.ipynb"
        name = str(target.resolve())
        key = key_of(source, data)
        if not everything and record.get(name) == {"key": key, "notebook": file_digest(target)}:
            print(f"{source.stem}: unchanged", flush=True)
            continue
        began = time.perf_counter()
        write(run(read_source(source), source.stem, into, data), target)
        seconds = time.perf_counter() - began
        print(f"{source.stem}: run in {seconds:.0f} s", flush=True)
        if seconds > SECONDS_PER_CHAPTER and data is None:
            print(f"warning: {source.stem} took longer than {SECONDS_PER_CHAPTER} s.", flush=True)
        record[name] = {"key": key, "notebook": file_digest(target)}
        record_path.parent.mkdir(parents=True, exist_ok=True)
        record_path.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
        done.append(target)
    return done


def resolve_data(data: str | None) -> str | None:
    """The name of a data set as it is; a folder as an absolute path (kernels run elsewhere)."""
    if not data:
        return None
    folder = Path(data).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if folder.exists() or len(folder.parts) > 1 or data.startswith(("~", ".")):
        raise ChapterError(
            f"--data takes a data set's name or a folder of images; {data!r} is no folder. Name "
            "the one that holds train/CLASS/picture.png, or CLASS/picture.png."
        )
    return data


def find_sources(names: list[str], chapters: Path = CHAPTERS) -> list[Path]:
    """The chapters' sources, in order: all of them, or those whose name starts as given."""
    sources = sorted(chapters.glob("[0-9][0-9]-*.md"))
    known = ", ".join(source.stem for source in sources)
    for name in names:
        if not any(source.stem.startswith(name) for source in sources):
            raise ChapterError(f"No chapter's name starts with {name!r}. There are: {known}.")
    if not names:
        return sources
    return [each for each in sources if any(each.stem.startswith(name) for name in names)]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; the exit status is 1 where a chapter fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("chapters", nargs="*", help="beginnings of names; all when left out")
    parser.add_argument("--all", action="store_true", help="also what has not changed")
    parser.add_argument("--data", help="a data set's name, or a folder of images")
    parser.add_argument("--into", type=Path, default=NOTEBOOKS, help="the notebooks' folder")
    options = parser.parse_args(arguments)
    try:
        execute(
            find_sources(options.chapters),
            options.into,
            data=resolve_data(options.data),
            everything=options.all,
        )
    except ChapterError as error:
        print(f"{error}\nThe notebook was left as it was.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
