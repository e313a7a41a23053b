"""Which number of the validation set decides on the best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

from companion.evaluation import Report, report
from companion.labels import LabelMap
from companion.training.steps import Scores

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

    Raises `ValueError` for a number that is not finite, as no epoch could be the best by it.
    """
    if monitor in ("loss", "accuracy"):
        found = scores.loss if monitor == "loss" else scores.accuracy
    else:
        width = scores.logits.shape[1]
        own = label_map if label_map and len(label_map) == width else LabelMap(range(width))
        whole = report(scores.logits.cpu(), scores.labels.cpu(), label_map=own)
        found = float(monitor(whole) if callable(monitor) else getattr(whole, str(monitor)))
    if not math.isfinite(found):
        raise ValueError(
            f"a monitored number must be finite, or no epoch is the best; {monitor!r} is {found}. "
            "Look for NaN in the logits, and for classes that validation has no image of."
        )
    return found


def improves(monitor: Monitor, newest: float, best: float | None) -> bool:
    """Return whether a number is better than the best so far; a loss is better the lower it is.

    >>> improves("loss", 0.4, 0.5), improves("accuracy", 0.4, 0.5)
    (True, False)
    """
    if best is None:
        return True
    return newest < best if monitor == "loss" else newest > best
