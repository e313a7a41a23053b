"""Calibrated stacking: a handicap for the classes with many examples."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from companion.inputs import (
    IGNORE_INDEX,
    ClassName,
    arrays_equal,
    check_labels_fit,
    checked_logits,
    integer_labels,
)
from companion.labels import LabelMap
from companion.unknowns.rejection import share_at_least


def calibrated_stacking(
    logits: Any, penalty: float, *, label_map: LabelMap, seen: Iterable[ClassName]
) -> Tensor:
    """Return the logits (N, classes) with `penalty` subtracted from the columns of seen classes.

    Chao et al. (2016), https://arxiv.org/abs/1605.04253: the argmax over seen and new classes
    together favours the seen ones, and a constant handicap trades one side for the other.
    Nothing is mutated. Raises `ValueError` for a width other than the map's, for NaN and for a
    penalty that is not finite, `TypeError` for integer logits, whose type would cut the penalty,
    `UnknownLabelError` for seen classes that the map lacks.

    >>> logits = torch.tensor([[2.0, 1.5]])
    >>> calibrated_stacking(logits, 1.0, label_map=LabelMap(["old", "new"]), seen=["old"])
    tensor([[1.0000, 1.5000]])
    """
    if not math.isfinite(penalty):
        raise ValueError(f"penalty must be finite; received {penalty}. Choose it by best_penalty.")
    checked = checked_logits(logits, width=len(label_map), masked=True)
    found = logits if isinstance(logits, Tensor) else checked  # half precision and gradients stay
    return found - _seen_columns(label_map, seen).to(found) * penalty


@dataclass(frozen=True, eq=False)
class SeenUnseenCurve:
    """Accuracy on seen and on unseen classes as the penalty on seen ones rises.

    Accuracies are shares of the images of their kind; `area` lies under the one as a function of
    the other (AUSUC in Chao et al., 2016), and is 1 for a classifier that needs no trade. Curves
    are equal whose numbers are.
    """

    penalties: Tensor = field(repr=False)
    seen_accuracy: Tensor = field(repr=False)
    unseen_accuracy: Tensor = field(repr=False)
    area: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SeenUnseenCurve) and arrays_equal(vars(self), vars(other))

    def __hash__(self) -> int:
        return hash((len(self.penalties), self.area))

    def best_penalty(self) -> float:
        """Return the penalty with the largest harmonic mean: choose it on validation images.

        >>> logits, head = torch.tensor([[3.0, 0.0], [1.0, 0.5]]), LabelMap(["old", "new"])
        >>> curve = seen_unseen_curve(logits, [0, 1], label_map=head, seen=["old"])
        >>> curve.best_penalty(), curve.area
        (1.75, 1.0)
        """
        product = self.seen_accuracy * self.unseen_accuracy
        total = (self.seen_accuracy + self.unseen_accuracy).clamp(min=1e-12)
        return self.penalties[int((2 * product / total).argmax())].item()


def seen_unseen_curve(
    logits: Any,
    data: Any,
    *,
    label_map: LabelMap,
    seen: Iterable[ClassName],
    classes: Iterable[ClassName] | LabelMap | None = None,
) -> SeenUnseenCurve:
    """Return both accuracies for every penalty that makes a difference, and the area.

    `logits` (N, classes) belong to `label_map`. `data` is a `LabelledImages`, or labels (N,):
    indices of `classes`, which are those of `label_map` where left out.
    Images without a label (−100) do not count. Penalties lie halfway between those where an
    answer changes, with one below and one above all.

    Raises `ValueError` where no image is of a seen class or none of an unseen one and for labels
    beyond the classes, `TypeError` for `classes` beside data that have theirs, and the errors of
    `calibrated_stacking`.

    >>> logits, head = torch.tensor([[3.0, 0.0], [1.0, 0.5]]), LabelMap(["old", "new"])
    >>> seen_unseen_curve(logits, [0, 1], label_map=head, seen=["old"]).unseen_accuracy
    tensor([0., 1., 1.], dtype=torch.float64)
    """
    truth, labelled = _truth(data, classes, label_map)
    checked = checked_logits(logits, rows=len(labelled), width=len(label_map))
    logits = checked.cpu().double()[labelled]
    columns = _seen_columns(label_map, seen)
    of_seen = torch.zeros_like(truth, dtype=torch.bool)
    of_seen[truth >= 0] = columns[truth[truth >= 0]]
    if bool(columns.all()) or not bool(columns.any()) or len(of_seen.unique()) < 2:
        raise ValueError(
            "a trade-off needs seen and unseen classes, in the head and in the data; received "
            f"{int(columns.sum())} seen of {len(columns)} outputs and {int(of_seen.sum())} images "
            f"of seen classes among {len(truth)}. Pass seen=, the classes trained on."
        )
    best_seen = logits.masked_fill(~columns, -torch.inf).max(1)
    best_unseen = logits.masked_fill(columns, -torch.inf).max(1)
    # Up to this penalty the answer is a seen class.
    lead = best_seen.values - best_unseen.values
    turns = lead.unique()
    between = (turns[1:] + turns[:-1]) / 2
    penalties = torch.cat([turns[:1] - 1, between, turns[-1:] + 1])
    seen_right = lead[of_seen & (best_seen.indices == truth)]
    unseen_right = lead[~of_seen & (best_unseen.indices == truth)]
    seen_accuracy = share_at_least(seen_right, penalties, int(of_seen.sum()))
    unseen_total = int((~of_seen).sum())
    unseen_accuracy = len(unseen_right) / unseen_total - share_at_least(
        unseen_right, penalties, unseen_total
    )
    area = torch.trapezoid(seen_accuracy, unseen_accuracy).item()
    return SeenUnseenCurve(penalties, seen_accuracy, unseen_accuracy, area)


def _truth(
    given: Any, classes: Iterable[ClassName] | LabelMap | None, head: LabelMap
) -> tuple[Tensor, Tensor]:
    """Return the head's index of each labelled image, −1 for none, and which images these are."""
    own = getattr(given, "label_map", None)
    if isinstance(own, LabelMap):
        if classes is not None:
            raise TypeError(
                "classes= names the indices of labels that have no names; received it with "
                f"{type(given).__name__}, which has its own. Leave it out, or pass the labels."
            )
        labels = given.labels.cpu()
    else:
        own = head if classes is None else classes
        own = own if isinstance(own, LabelMap) else LabelMap(own)
        labels = integer_labels(given).cpu()
    labelled = labels != IGNORE_INDEX
    if own.ignore is not None:
        labelled &= labels != own.ignore_index
    check_labels_fit(labels[labelled], len(own))
    return head.translate(labels[labelled], own, missing=-1), labelled


def _seen_columns(label_map: LabelMap, seen: Iterable[ClassName]) -> Tensor:
    columns = torch.zeros(len(label_map), dtype=torch.bool)
    columns[label_map.indices_of(seen, source="seen")] = True
    return columns
