"""One tool asked about one patient, in a process of its own, with an end to its time."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch

from companion.ward import Patient, patients
from doctor_patients import SPEED, CannotTakeError
from doctor_tools import TOOLS

LIMIT = 60.0  # seconds for a tool and a patient
# A forked process has everything imported already; elsewhere each one imports it anew.
CONTEXT: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


@dataclass(frozen=True)
class Verdict:
    """What a tool came to: a word, its alarms as pairs of level and rule, and how long it took."""

    word: str
    alarms: tuple[tuple[str, str], ...] = ()
    why: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        rules = sorted({f"{rule} ({level})" for level, rule in self.alarms})
        return ": ".join(filter(None, (self.word, ", ".join(rules) or self.why)))


def ask(tool: str, patient: Patient) -> Verdict:
    """Return what a tool says of a patient, asked here and now; what it raises is a crash."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = patient.make(Path(folder))
        begun = time.perf_counter()
        try:
            alarms = TOOLS[tool].ask(patient, made)
        except CannotTakeError as reason:
            return Verdict("cannot take it", why=str(reason))
        except Exception as error:  # other people's code runs here
            took = time.perf_counter() - begun
            return Verdict("crashed", why=f"{type(error).__name__}: {error}"[:200], seconds=took)
        took = time.perf_counter() - begun
    said = tuple((each.level, each.rule) for each in alarms if each.level != SPEED)
    levels = {level for level, _ in said}
    word = "error" if "error" in levels else "warning" if levels else "silent"
    return Verdict(word, said, seconds=took)


def _answer(tool: str, name: str, answer: Connection) -> None:
    """Ask in a new process, without a sound, and send the verdict."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    patient = next(each for each in patients() if each.name == name)
    answer.send(ask(tool, patient))
    answer.close()


@dataclass
class _Asked:
    process: Any
    place: int
    begun: float


def ask_all(
    tool: str,
    chosen: Sequence[Patient],
    *,
    limit: float = LIMIT,
    jobs: int = 1,
    tell: Callable[[], Any] = lambda: None,
) -> list[Verdict]:
    """Return a tool's verdict of each patient; each in a process, `jobs` of them at a time.

    A process that takes longer than `limit` seconds is ended, and has crashed, as has one that
    ends without an answer. `tell` is called after each.
    """
    importlib.import_module(TOOLS[tool].package)
    verdicts: list[Verdict | None] = [None] * len(chosen)
    waiting, running = list(enumerate(chosen)), dict[Connection, _Asked]()
    while waiting or running:
        while waiting and len(running) < jobs:
            place, patient = waiting.pop(0)
            ours, theirs = CONTEXT.Pipe(duplex=False)
            process = CONTEXT.Process(target=_answer, args=(tool, patient.name, theirs))
            process.start()
            theirs.close()
            running[ours] = _Asked(process, place, time.monotonic())
        ready = wait(list(running), timeout=0.5)
        for answer, asked in list(running.items()):
            late = time.monotonic() - asked.begun > limit
            if answer not in ready and not late:
                continue
            verdicts[asked.place] = _verdict(answer, limit) if answer in ready else None
            if verdicts[asked.place] is None:
                why = f"more than {limit:g} s"
                verdicts[asked.place] = Verdict("crashed", why=why, seconds=limit)
            _ended(asked.process)
            answer.close()
            del running[answer]
            tell()
    return [each for each in verdicts if each is not None]


def _verdict(answer: Connection, limit: float) -> Verdict:
    try:
        return answer.recv()
    except EOFError:
        return Verdict("crashed", why="the process ended", seconds=limit)


def _ended(process: Any) -> None:
    process.join(1)
    if process.is_alive():
        process.kill()
        process.join()
