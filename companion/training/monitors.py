"""Which number of the validation set decides on the best epoch."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from companion.evaluation import Report, report
from companion.inputs import brief, plain
from companion.labels import LabelMap
from companion.training.steps import Scores
from companion.training.storing import name_of

Monitor = str | Callable[[Report], float]
"""A name, or a function of the report to a number that is better the higher it is."""

OF_REPORT = tuple(item.name for item in fields(Report) if item.type in (float, "float"))
NAMES = ("loss", *OF_REPORT)


def check_monitor(monitor: Monitor, *, validated: bool) -> None:
    """Raise `ValueError` for a monitor that does not exist, or that has nothing to look at.

    >>> check_monitor("balanced_accuracy", validated=True)
    """
    if not callable(monitor) and monitor not in NAMES:
        raise ValueError(
            f"monitor must be one of {', '.join(NAMES)}, or a function of the report; received "
            f"{monitor!r}. For one class: lambda report: report.recall['cat']."
        )
    if not validated and monitor != "accuracy":
        raise ValueError(
            f"monitor={monitor!r} is a number of the validation set; pass validation= as well."
        )


def monitored(monitor: Monitor, scores: Scores, label_map: LabelMap | None) -> float:
    """Return the number that a monitor looks at; classes without a map are called by their index.

    Raises `TypeError` for what is no number, `ValueError` for one that is not finite, as no epoch
    could be the best by it.
    """
    if monitor in ("loss", "accuracy"):
        found = scores.loss if monitor == "loss" else scores.accuracy
    else:
        found = _number(monitor, _report(scores, label_map))
    if not math.isfinite(found):
        raise ValueError(
            "a monitored number must be finite, or no epoch is the best; "
            f"{_named(monitor)} is {found}. Look for NaN in the logits, and for classes that "
            "validation has no image of."
        )
    return found


def try_monitor(monitor: Monitor, scores: Scores, label_map: LabelMap | None) -> None:
    """Raise what is wrong with a monitor whatever the network learns, before it learns anything.

    That is what is no number, a class that is not there, and a number of the report that these
    classes do not have. What a function makes of an untrained network may well be NaN.
    """
    if not callable(monitor):
        monitored(monitor, scores, label_map)
        return
    with contextlib.suppress(ArithmeticError):  # a share of nothing, so far
        _number(monitor, _report(scores, label_map))


def _report(scores: Scores, label_map: LabelMap | None) -> Report:
    width = scores.logits.shape[1]
    own = label_map if label_map and len(label_map) == width else LabelMap(range(width))
    return report(scores.logits.cpu(), scores.labels.cpu(), label_map=own)


def _number(monitor: Monitor, whole: Report) -> float:
    if not callable(monitor):
        return float(getattr(whole, monitor))
    try:
        found = plain(monitor(whole))
    except LookupError as error:
        raise KeyError(
            f"a monitor is a function of the report; {_named(monitor)} looks for {error}, which is "
            f"not there. The classes are {brief(list(whole.recall))}."
        ) from error
    if getattr(found, "shape", None) is not None and math.prod(found.shape) == 1:
        found = found.item()
    if not isinstance(found, int | float):
        raise TypeError(
            "a monitor maps the report to a number, higher being better; "
            f"{_named(monitor)} returned {found!r}. Return one, such as report.accuracy."
        )
    return float(found)


def _named(monitor: Monitor) -> str:
    """Return a monitor's name, a function's with the line that it stands in."""
    code = getattr(monitor, "__code__", None)
    where = "" if code is None else f" ({Path(code.co_filename).name}, line {code.co_firstlineno})"
    return f"monitor={name_of(monitor)!r}{where}"


def improves(monitor: Monitor, newest: float, best: float | None) -> bool:
    """Return whether a number is better than the best so far; a loss is better the lower it is.

    >>> improves("loss", 0.4, 0.5), improves("accuracy", 0.4, 0.5)
    (True, False)
    """
    if best is None:
        return True
    return newest < best if monitor == "loss" else newest > best
