"""How nbval compares the book's notebooks: see ``tolerance.py``.

nbval runs every cell and compares its outputs with the stored ones. Here its comparison is
given a new output that moved within the cell's tolerance as the stored one, and refuses some
things that it would let pass. Everything else is nbval's own and strict.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from nbval.plugin import IPyNbCell

from execute import kernel_environment
from outputs import PICTURES, describe
from tolerance import check_tolerance, differences


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Start kernels in the environment that the stored outputs were made in."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    with mock.patch.dict(os.environ, kernel_environment(), clear=True):
        return (yield)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let each notebook cell be compared by ``compare``."""
    if isinstance(item, IPyNbCell):
        item.compare_outputs = lambda new, old: compare(item, new, old)


def compare(item: IPyNbCell, new: list[Any], old: list[Any]) -> bool:
    """Whether the cell printed what it printed before; the reasons why not go to the report."""
    tolerance = check_tolerance(item.cell.metadata.get("tolerance"))
    problems = structure_problems(old, new)
    if not problems:
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            problems += [f"output {number}, {each}" for each in reconcile(before, after, tolerance)]
    same = IPyNbCell.compare_outputs(item, new, old)
    if problems or not same:
        first_line = item.cell.source.strip().partition("\n")[0]
        where = f"{item.path.name}, code cell {item.cell_num} (`{first_line}`)"
        details = getattr(item, "comparison_traceback", [])
        item.comparison_traceback = [f"{where}:", *problems, "", *details]
    return same and not problems


def structure_problems(old: list[Any], new: list[Any]) -> list[str]:
    """What nbval would not see, or would report as less than it is."""
    found = [f"it wrote to stderr: {out.text!r}" for out in new if out.get("name") == "stderr"]
    if [describe(out) for out in old] != [describe(out) for out in new]:
        before = "; ".join(map(describe, old)) or "nothing"
        after = "; ".join(map(describe, new)) or "nothing"
        found.append(f"it put out {before}; now {after}")
    return found


def reconcile(old: Any, new: Any, tolerance: float | None) -> list[str]:
    """Give ``new`` the texts of ``old`` that it equals within the tolerance, and its pictures.

    Returns the differences that are left.
    """
    if old.output_type == "stream":
        found = differences(old.text, new.text, tolerance)
        if not found:
            new.text = old.text
        return found
    found = []
    for form, text in old.get("data", {}).items():
        if form.endswith(PICTURES):
            # Pixels depend on fonts and versions; that there is a picture was compared already.
            new.data[form] = text
        elif isinstance(text, str):
            apart = differences(text, new.data[form], tolerance)
            if not apart:
                new.data[form] = text
            found += [f"{form}, {each}" for each in apart]
    return found
