"""How far the chapters are, and how long the rest may take: said while they run.

On a terminal it is one line that is written over; elsewhere a line for each chapter. The time left
is a guess from how long the chapters took before, or on the images of the book, and from how much
faster or slower this run has been.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import TextIO

from nbformat import NotebookNode

from replication_records import read_records

GUESSED_SECONDS = 60.0  # a chapter's, where nothing is known
TRUSTED_SECONDS = 30.0  # how long the guesses are believed as much as what is measured
CLEAR_LINE = "\r\x1b[K"


class Progress:
    """Says which chapter and which cell runs, and about how much time is left."""

    def __init__(
        self,
        before: Mapping[str, NotebookNode | None],
        done: set[str],
        *,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.names, self.out, self.clock = list(before), out or sys.stdout, clock
        self.rewrites = self.out.isatty()
        self.expected = {
            name: expected for name, expected in guesses(before).items() if name not in done
        }
        self.finished = 0.0  # of what was expected, the seconds that are behind us
        self.began = clock()

    def begin(self, name: str) -> Callable[[int, int, str], None]:
        """Say that a chapter begins; return what is told of its cells."""

        def told(number: int, cells: int, line: str) -> None:
            share = (number - 1) / max(cells, 1)
            left = in_words(self.left(self.finished + share * self.expected[name]))
            where = f"{self.place(name)}, cell {number} of {cells}"
            self.show(f"{where}, {left} left: {line}")

        return told

    def end(self, name: str, parts_left_out: int) -> None:
        """Say that a chapter is done."""
        self.finished += self.expected[name]
        parts = f"{parts_left_out} part{'s' * (parts_left_out != 1)} left out"
        said = f"{self.place(name)} done" + (f", {parts}" if parts_left_out else "")
        is_last = self.finished >= sum(self.expected.values())
        self.line(said if is_last else f"{said}; {in_words(self.left(self.finished))} left")

    def unchanged(self, name: str) -> None:
        """Say that a chapter was done before."""
        self.line(f"{self.place(name)} unchanged")

    def left(self, finished: float) -> float:
        """The seconds that are left when so many of the expected ones are behind us."""
        taken = self.clock() - self.began
        pace = (taken + TRUSTED_SECONDS) / (finished + TRUSTED_SECONDS)
        return pace * (sum(self.expected.values()) - finished)

    def place(self, name: str) -> str:
        """Which chapter it is."""
        return f"chapter {self.names.index(name) + 1} of {len(self.names)} ({name})"

    def show(self, text: str) -> None:
        """Write over the line, where that is possible."""
        if self.rewrites:
            width = shutil.get_terminal_size().columns - 1
            cut = text if len(text) <= width else text[: width - 1] + "…"
            print(f"{CLEAR_LINE}{cut}", end="", file=self.out, flush=True)

    def line(self, text: str) -> None:
        """Write a line that stays."""
        print(f"{CLEAR_LINE if self.rewrites else ''}{text}", file=self.out, flush=True)


def guesses(before: Mapping[str, NotebookNode | None]) -> dict[str, float]:
    """The seconds that each chapter took before on these images, or else on the book's."""
    known: dict[str, list[float]] = {}
    for record in read_records().values():
        for name, chapter in record["chapters"].items():
            known.setdefault(name, []).append(float(chapter["run"]["seconds"]))
    bundled = {name: median(seconds) for name, seconds in known.items()}
    return {
        name: run.metadata["run"]["seconds"] if run else bundled.get(name, GUESSED_SECONDS)
        for name, run in before.items()
    }


def in_words(seconds: float) -> str:
    """A time as people say it.

    >>> in_words(20), in_words(700), in_words(9000)
    ('less than a minute', 'about 12 min', 'about 2.5 h')
    """
    if seconds < 60:
        return "less than a minute"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
