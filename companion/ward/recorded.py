"""What other tools said of the ward, as it was recorded."""

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
    text = files("companion.ward").joinpath("other_tools.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
