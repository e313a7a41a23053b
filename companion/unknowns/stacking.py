"""Calibrated stacking: a handicap for the classes with many examples."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from companion.datasets import LabelledImages
from companion.labels import ClassName, LabelMap
from companion.unknowns.rejection import share_at_least
from companion.unknowns.scores import checked_logits


def calibrated_stacking(
    logits: Tensor, penalty: float, *, label_map: LabelMap, seen: Iterable[ClassName]
) -> Tensor:
    """Return the logits (N, classes) with `penalty` subtracted from the columns of seen classes.

    Chao et al. (2016), https://arxiv.org/abs/1605.04253: the argmax over seen and new classes
    together favours the seen ones, and a constant handicap trades one side for the other.
    Nothing is mutated. Raises `ValueError` for a width other than the map's and a penalty that is
    not finite, `UnknownLabelError` for seen classes that the map lacks.

    >>> logits = torch.tensor([[2.0, 1.5]])
    >>> calibrated_stacking(logits, 1.0, label_map=LabelMap(["old", "new"]), seen=["old"])
    tensor([[1.0000, 1.5000]])
    """
    if not math.isfinite(penalty):
        raise ValueError(f"penalty must be finite; received {penalty}. Choose it by best_penalty.")
    handicap = _seen_columns(logits, label_map, seen).to(logits.dtype) * penalty
    return logits - handicap.to(logits.device)


@dataclass(frozen=True)
class SeenUnseenCurve:
    """Accuracy on seen and on unseen classes as the penalty on seen ones rises.

    Accuracies are shares of the images of their kind; `area` lies under the one as a function of
    the other (AUSUC in Chao et al., 2016), and is 1 for a classifier that needs no trade.
    """

    penalties: Tensor = field(repr=False)
    seen_accuracy: Tensor = field(repr=False)
    unseen_accuracy: Tensor = field(repr=False)
    area: float

    def best_penalty(self) -> float:
        """Return the penalty with the largest harmonic mean: choose it on validation images.

        >>> data = LabelledImages(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), ["old", "new"])
        >>> logits = torch.tensor([[3.0, 0.0], [1.0, 0.5]])
        >>> curve = seen_unseen_curve(logits, data, label_map=data.label_map, seen=["old"])
        >>> curve.best_penalty(), curve.area
        (1.75, 1.0)
        """
        product = self.seen_accuracy * self.unseen_accuracy
        total = (self.seen_accuracy + self.unseen_accuracy).clamp(min=1e-12)
        return self.penalties[int((2 * product / total).argmax())].item()


def seen_unseen_curve(
    logits: Tensor, data: LabelledImages, *, label_map: LabelMap, seen: Iterable[ClassName]
) -> SeenUnseenCurve:
    """Return both accuracies for every penalty that makes a difference, and the area.

    `logits` (N, classes) belong to the images of `data` and to `label_map`. Penalties lie halfway
    between those where an answer changes, with one below and one above all.

    Raises `ValueError` where the data have no image of a seen class or none of an unseen one, and
    the errors of `calibrated_stacking`.

    >>> data = LabelledImages(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), ["old", "new"])
    >>> logits = torch.tensor([[3.0, 0.0], [1.0, 0.5]])
    >>> seen_unseen_curve(logits, data, label_map=data.label_map, seen=["old"]).unseen_accuracy
    tensor([0., 1., 1.], dtype=torch.float64)
    """
    logits = checked_logits(logits.cpu())
    columns = _seen_columns(logits, label_map, seen)
    truth = label_map.translate(data.labels.cpu(), data.label_map, missing=-1)
    if len(logits) != len(data):
        raise ValueError(
            f"there must be logits for each of the {len(data)} images; received {len(logits)} "
            "rows. Pass what predict returned for these data."
        )
    of_seen = torch.zeros_like(truth, dtype=torch.bool)
    of_seen[truth >= 0] = columns[truth[truth >= 0]]
    if bool(columns.all()) or not bool(columns.any()) or len(of_seen.unique()) < 2:
        raise ValueError(
            "a trade-off needs seen and unseen classes, in the head and in the data; received "
            f"{int(columns.sum())} seen of {len(columns)} outputs and {int(of_seen.sum())} images "
            f"of seen classes among {len(data)}. Pass seen=, the classes trained on."
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


def _seen_columns(logits: Tensor, label_map: LabelMap, seen: Iterable[ClassName]) -> Tensor:
    if logits.dim() != 2 or logits.shape[1] != len(label_map):
        raise ValueError(
            f"logits must have shape (N, {len(label_map)}), a column for each class of the map; "
            f"received {tuple(logits.shape)}. Pass the map that belongs to the head."
        )
    columns = torch.zeros(len(label_map), dtype=torch.bool)
    columns[label_map.indices_of(seen, source="seen")] = True
    return columns
