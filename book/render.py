"""Render the book's pages from its notebooks, executing nothing; any warning is an error."""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nbformat

import execute
from check_pages import write_pages

ROOT = execute.ROOT
BOOK = ROOT / "book"
BUILD = ROOT / "_build"
YOURS = BUILD / "yours"
INTERRUPTED = 130  # the exit status of what Ctrl-C stopped


def extract_pictures(book: Path) -> list[Path]:
    """Write each glued picture of the notebooks to ``book/_pictures/NAME.png``, for other pages.

    MyST-NB shows a glued picture on another page, but without alternative text or caption; as a
    file it can have both.
    """
    folder = book / "_pictures"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    written = []
    for notebook in sorted((book / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(notebook, as_version=4).cells:
            for output in cell.get("outputs", []):
                name = output.get("metadata", {}).get("scrapbook", {}).get("name")
                picture = output.get("data", {}).get("application/papermill.record/image/png")
                if name and picture:
                    written.append(folder / f"{name}.png")
                    written[-1].write_bytes(base64.b64decode(picture))
    return written


def render(book: Path = BOOK, build: Path = BUILD) -> Path:
    """Render ``book`` into ``build/html`` and return the first page.

    Starts from nothing every time: Sphinx repeats no warning of a page that it has not read
    again, and keeps pages that the book no longer has. Raises ``CalledProcessError`` when the
    build fails or warns; what was rendered stays, without the first page, to be looked at.
    """
    html = build / "html"
    extract_pictures(book)
    write_pages(book)
    shutil.rmtree(html, ignore_errors=True)
    start = "from jupyter_book.cli.main import main; main()"  # it has no __main__ of its own
    command = [sys.executable, "-c", start, "build", str(book)]
    command += ["-W", "-n", "--keep-going", "--all", "-q"]
    command += ["--config", str(ROOT / "_config.yml"), "--toc", str(book / "_toc.yml")]
    # jupyter-book adds a folder of this name to what it is given.
    command += ["--path-output", str(build.parent)]
    print(f"Rendering {book} into {html}", flush=True)
    result = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": "0"})
    first_page = html / "index.html"
    if result.returncode != 0 or not first_page.is_file():
        first_page.unlink(missing_ok=True)
        raise subprocess.CalledProcessError(result.returncode or 1, "jupyter-book build")
    return first_page


def render_yours(book: Path, build: Path) -> Path:
    """Render a reader's copy, whatever Sphinx warns of: a loose end must not cost them the book."""
    try:
        return render(book, build)
    except subprocess.CalledProcessError:
        first_page = build / "html" / "intro.html"
        if not first_page.is_file():
            raise
        print("Some references lead nowhere, see above; the pages are there all the same.")
        return first_page


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; Jupyter Book itself says where the pages are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip())
    parser.add_argument("--data", help="run the chapters on this first: a name or a folder")
    parser.add_argument("--all", action="store_true", help="with --data: run every chapter again")
    options = parser.parse_args(arguments)
    try:
        data = execute.resolve_data(options.data)
        if data is None:
            render()
            return 0
        first_page = build_yours(data, everything=options.all)
    except execute.ChapterError as error:
        print(f"{error}\nThe book was not rendered.", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print("The book was not rendered: mend the warnings above.", file=sys.stderr)
        return error.returncode or 1
    except KeyboardInterrupt:
        print(f"\nStopped; {how_to_go_on(options.all)}", file=sys.stderr)
        return INTERRUPTED
    print(f"The book of your images is at {first_page}: open it in a browser.", flush=True)
    return 0


def build_yours(data: str, *, everything: bool) -> Path:
    """The first page of the book on a reader's images; what is stopped leaves nothing running."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    from your_book import make_your_book  # and with it PyTorch, which the book itself does without

    copy = make_your_book(data, book=BOOK, into=YOURS, everything=everything)
    return render_yours(copy, YOURS / "_build")


def how_to_go_on(everything: bool) -> str:
    """What to say when somebody stops the command."""
    same = "the same command without ALL=1" if everything else "the same command"
    return f"{same} goes on from here: chapters that are done are kept."


if __name__ == "__main__":
    sys.exit(main())
