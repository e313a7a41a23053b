"""What was said of the ward, as it was recorded: by other tools, and at first sight."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def other_tools() -> dict[str, Any]:
    """Return the record of every tool that was tried on the ward, the check-up among them.

    A dict with `date`, `device` and `versions`; `patients`, how many there are by area and kind;
    `tools`, by name the tool's version and its counts by area, kind and half; and `not_run`, why
    others are missing. `benchmarks/doctor.py`, which makes it, says what each number means.

    >>> "companion.doctor" in other_tools()["tools"]
    True
    """
    return _read("other_tools")


def first_sight() -> dict[str, Any]:
    """Return what the check-up said of each patient when the half set aside was first looked at.

    A dict with the `date`, and in `visits` by name the `half`, `errors` and `warnings` of each.
    After that day the half is set aside no more: whoever mends a check can know it.

    >>> sorted(first_sight()["visits"]["letters_counted_from_one"])
    ['errors', 'half', 'warnings']
    """
    return _read("first_sight")


def _read(name: str) -> dict[str, Any]:
    text = files("companion.ward").joinpath(f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
