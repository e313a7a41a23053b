"""Rows of one number for each class: counts, shares or weights, told apart where they can be.

Counts in place of weights, or weights in place of counts, turn a correction round in silence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

COUNTS, WEIGHTS = "class counts", "class weights"
MADE_AS = "_companion_made_as"
LEAST_COUNT = 2  # whole numbers from here on are no weights, whose mean over images is 1
MANY = 10  # an integer from here on is hardly a weight
TOLERANCE = 1e-3  # of a sum of shares, in half precision as well


def made_as(row: Tensor, what: str) -> Tensor:
    """Return the row, which remembers what it is; copies and results of arithmetic do not."""
    setattr(row, MADE_AS, what)
    return row


def refuse_made_as(row: Any, what: str, *, wanted: str, advice: str) -> None:
    """Raise `ValueError` for a row that `made_as` marked as something else than is wanted."""
    if getattr(row, MADE_AS, None) == what:
        raise ValueError(f"{wanted} are needed here; received {what}. {advice}")


def checked_weights(weights: Any) -> Tensor:
    """Return weights of classes as float32, a copy; refuse what weighs nothing, and counts.

    >>> checked_weights([0.5, 2.0])
    tensor([0.5000, 2.0000])
    """
    advice = "Take class_weights(labels), where rare classes weigh more."
    refuse_made_as(weights, COUNTS, wanted=WEIGHTS, advice=advice)
    found = _checked_row(weights, WEIGHTS)
    positive = found[found > 0]
    counted = _of_integers(weights) and bool((found >= MANY).any())
    if counted or (_whole(positive) and bool((positive >= LEAST_COUNT).all())):
        raise ValueError(
            f"{WEIGHTS} lie around 1, so that the learning rate keeps its meaning; received "
            f"{_shortened(found)}, which look like counts. {advice} If they are weights, divide "
            "them by their mean, or write them as decimals."
        )
    return found


def checked_counts(counts: Any) -> Tensor:
    """Return counts or shares of classes as float32, a copy; refuse empty rows, and weights.

    >>> checked_counts(torch.tensor([90, 10]))
    tensor([90., 10.])
    """
    advice = "Take class_counts(labels), where frequent classes have more."
    refuse_made_as(counts, WEIGHTS, wanted=COUNTS, advice=advice)
    found = _checked_row(counts, COUNTS)
    if not _whole(found) and abs(found.double().sum().item() - 1) > TOLERANCE:
        raise ValueError(
            f"{COUNTS} are whole numbers, or shares that sum to 1; received {_shortened(found)}, "
            f"which look like weights. {advice} If they are shares, divide them by their sum."
        )
    return found


def along_classes(row: Tensor, logits: Tensor) -> Tensor:
    """Return a row of classes in the shape and type that fits logits (N, classes, …).

    The classes are dimension 1, as in `cross_entropy`, or all of (classes,). Raises `TypeError`
    for integer logits, whose type would cut the row, `ValueError` for another number of classes.

    >>> along_classes(torch.ones(3), torch.zeros(2, 3, 5, 5)).shape
    torch.Size([3, 1, 1])
    """
    if not logits.is_floating_point():
        raise TypeError(
            f"logits must be floating point; received {logits.dtype}. Pass what the head returns, "
            "not the predicted classes."
        )
    place = min(1, logits.dim() - 1)
    width = logits.shape[place] if logits.dim() else 0
    if width != len(row):
        raise ValueError(
            f"one number for each class is needed; received {len(row)} for logits of {width} "
            "classes. Count with num_classes, the head's outputs; logits are (N, classes), or "
            "(N, classes, …) for an answer in each place."
        )
    return row.to(logits).reshape(-1, *[1] * (logits.dim() - 1 - place))


def _checked_row(values: Any, what: str) -> Tensor:
    try:
        given = np.array(values) if isinstance(values, np.ndarray) else values
        found = torch.as_tensor(given, dtype=torch.float32).detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{what} must be a row of numbers, one for each class ({error}). Take "
            f"{what.replace(' ', '_')}(labels)."
        ) from error
    good = found.dim() == 1 and bool((torch.isfinite(found) & (found >= 0)).all())
    if not good or not bool((found > 0).any()):
        raise ValueError(
            f"{what} must be a row of finite numbers of at least 0, one above it; received "
            f"{_shortened(found)}. Take {what.replace(' ', '_')}(labels)."
        )
    return found


def _of_integers(values: Any) -> bool:
    """Return whether numbers were given as integers, which weights seldom are and counts are."""
    if isinstance(values, Tensor):
        return not values.is_floating_point()
    return np.asarray(values).dtype.kind in "iu"


def _whole(values: Tensor) -> bool:
    return bool((values == values.round()).all())


def _shortened(values: Tensor) -> str:
    shown = values.flatten()[:6].tolist()
    more = "…" if values.numel() > len(shown) else ""
    return f"{[round(value, 4) for value in shown]}{more} of shape {tuple(values.shape)}"
