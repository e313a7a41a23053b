"""Checkpoints: files that are whole or not there, and that are read without running code."""

from __future__ import annotations

import os
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch

FORMAT = 1  # raised when what a file holds changes its meaning


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that belongs to another run: which, and why."""


def write_checkpoint(state: dict[str, Any], path: str | Path) -> None:
    """Write a run's state so that a reader sees the old file or the new, never half of one.

    Raises `CheckpointError` for a state that `torch.load(weights_only=True)` would not read,
    and `FileNotFoundError` for a folder that is not there; the file is then as it was.

    >>> place = Path(tempfile.mkdtemp()) / "run.pt"
    >>> write_checkpoint({"epoch": 3}, place)
    >>> read_checkpoint(place)["epoch"]
    3
    """
    target = check_place(path)
    handle, part = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(state | {"format": FORMAT}, file)
            file.flush()
            os.fsync(file.fileno())
        if not target.exists():  # the first of a run: later ones hold the same kinds of values
            _checked_readable(part)
        os.replace(part, target)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def check_place(path: str | Path) -> Path:
    """Return the path of a checkpoint; raise `FileNotFoundError` where its folder is not there.

    >>> check_place("run.pt").name
    'run.pt'
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(
            f"a checkpoint is a file; received the folder {target}. Name a file in it."
        )
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"a checkpoint lies in a folder that is there; received {target}. Make "
            f"{target.parent} first."
        )
    return target


def _checked_readable(path: str) -> None:
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            "a checkpoint must be readable without running code; the optimiser, the scheduler or "
            f"the model keeps something that is not ({str(error).splitlines()[0]}). Keep numbers "
            "and tensors in their states."
        ) from error


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return what `write_checkpoint` wrote, tensors on the CPU, read with `weights_only=True`.

    Raises `FileNotFoundError`, and `CheckpointError` for a file that is broken, is no
    checkpoint of a run, or was written by another version.

    >>> place = Path(tempfile.mkdtemp()) / "run.pt"
    >>> write_checkpoint({"epoch": 1}, place)
    >>> read_checkpoint(place)
    {'epoch': 1, 'format': 1}
    """
    try:
        with zipfile.ZipFile(path) as parts:  # torch.load does not look at the checksums
            damaged = parts.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} is damaged")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # bytes that are no pickle can raise anything
        raise CheckpointError(
            f"a checkpoint must be a whole file that fit wrote; {path} cannot be read "
            f"({type(error).__name__}). Delete it to begin anew, or take an older copy."
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise CheckpointError(
            f"a checkpoint of a run has the format {FORMAT}; {path} has {found!r}: it was written "
            "by another version, or by something else. Resume with the version that wrote it, or "
            "begin anew with another file."
        )
    return state


def check_whole(stored: dict[str, Any], wanted: set[str], path: str | Path) -> None:
    """Raise `CheckpointError` where a checkpoint lacks what a run goes on from.

    >>> check_whole({"run": {}, "model": {}}, {"run"}, "run.pt")
    """
    missing = sorted(wanted - set(stored))
    if missing:
        raise CheckpointError(
            f"a checkpoint holds all that a run goes on from; {path} lacks {', '.join(missing)}. "
            "Take one that fit wrote."
        )


def check_same_run(stored: dict[str, Any], now: dict[str, Any], path: str | Path) -> None:
    """Raise `CheckpointError` where a checkpoint is another run's, naming what differs.

    >>> check_same_run({"seed": 0}, {"seed": 0}, "run.pt")
    """
    apart = [name for name in now if stored.get(name) != now[name]]
    if apart:
        name = apart[0]
        more = f" (and {', '.join(apart[1:])})" if len(apart) > 1 else ""
        raise CheckpointError(
            f"a run goes on from its own checkpoint; in {path} {name} is {_short(stored.get(name))}"
            f", and now it is {_short(now[name])}{more}. Call fit as it was called then, or begin "
            "anew with another file."
        )


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"
