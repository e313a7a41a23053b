"""Counts and weights of classes, and a loss that uses the weights as they are meant."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.inputs import IGNORE_INDEX, whole_number
from companion.sampling.reading import labels_of
from companion.sampling.rows import COUNTS, WEIGHTS, along_classes, checked_weights, made_as

SCHEMES = ("inverse", "square-root", "effective")


def class_counts(labels: Any, *, num_classes: int | None = None) -> Tensor:
    """Return how many images each class has, (classes,) int64, zeros included.

    `labels` is a data set or its labels (`labels_of`); labels of −100 count for no class.
    `num_classes` is by default what the data set declares (`classes`), else the highest label
    plus one. The result remembers that it is counts, and no loss takes it for weights.

    Raises `ValueError` for a label beyond `num_classes`, and the errors of `labels_of`.

    >>> class_counts([0, 0, 2], num_classes=4)
    tensor([2, 0, 1, 0])
    """
    found = labels_of(labels)
    found = found[found != IGNORE_INDEX]
    declared = getattr(labels, "classes", None)
    width = len(declared) if declared else 0
    if num_classes is not None:
        width = whole_number(num_classes, "num_classes")
    if width and len(found) and int(found.max()) >= width:
        raise ValueError(
            f"labels must lie below the number of classes, {width}; received {int(found.max())}. "
            "Count with the number of outputs of the head."
        )
    return made_as(torch.bincount(found, minlength=width), COUNTS)


def class_weights(
    labels: Any, *, scheme: str = "inverse", num_classes: int | None = None, beta: float = 0.999
) -> Tensor:
    """Return a weight for each class, (classes,) float32, with mean 1 over the images.

    `scheme` is "inverse" (1 / count: every class weighs the same in all), "square-root"
    (1 / √count, halfway) or "effective" ((1 − β) / (1 − β^count): Cui et al., "Class-Balanced
    Loss Based on Effective Number of Samples", CVPR 2019). The mean over images is 1, so that
    the learning rate keeps its meaning. Weights are for a loss; a sampler makes its own. The
    result remembers that it is weights, and nothing takes it for counts.

    Raises `ValueError` for a class without images, whose weight would be infinite, an unknown
    scheme and a `beta` outside 0 … 1; and the errors of `class_counts`.

    >>> class_weights([0, 0, 0, 1])
    tensor([0.6667, 2.0000])
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}; received {scheme!r}.")
    if not 0 <= beta < 1:
        raise ValueError(f"beta must lie in 0 … 1, below 1; received {beta}. Use 0.999.")
    counts = class_counts(labels, num_classes=num_classes).double()
    empty = (counts == 0).nonzero().flatten().tolist()
    if empty or not len(counts):
        which = f"classes {empty} have none" if empty else f"all labels are {IGNORE_INDEX}"
        raise ValueError(
            f"every class needs an image to have a weight; {which}. Leave them out of the label "
            "map, or collect some."
        )
    raw = {
        "inverse": 1 / counts,
        "square-root": counts.rsqrt(),
        "effective": (1 - beta) / (1 - beta**counts),
    }[scheme]
    return made_as((raw * counts.sum() / (raw * counts).sum()).float(), WEIGHTS)


class WeightedLoss(nn.Module):
    """Cross-entropy in which each image counts by the weight of its class.

    The mean is over the images of the batch. `F.cross_entropy(weight=…)` divides by the batch's
    sum of weights instead: in a batch of one class the weights cancel, and in small batches they
    do so in part (pytorch/pytorch#72047). Label smoothing is taken of the image's own loss;
    `F.cross_entropy` weighs each smoothed target by its own class (pytorch/pytorch#104776).
    Labels of −100 count for nothing. Logits are (N, classes) or, for an answer in each place,
    (N, classes, …). `weights` (classes,) are copied.

    Raises `ValueError` for weights that are negative, not finite or all zero, for counts in their
    place, and for logits of another width; `TypeError` for labels that are no integers.

    >>> loss = WeightedLoss(torch.tensor([0.5, 2.0]))
    >>> loss(torch.zeros(1, 2), torch.tensor([1])) / loss(torch.zeros(1, 2), torch.tensor([0]))
    tensor(4.)
    """

    weights: Tensor

    def __init__(self, weights: Any, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"label_smoothing must lie in 0 … 1, below 1; received {label_smoothing}. Try 0.1."
            )
        self.register_buffer("weights", checked_weights(weights))
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over labelled images of weight × loss."""
        along_classes(self.weights, logits)
        if labels.is_floating_point():
            raise TypeError(
                f"labels must be integer indices, to have a weight; received {labels.dtype}. For "
                "mixed images add up the losses of both labels by their shares."
            )
        each = F.cross_entropy(
            logits, labels, reduction="none", label_smoothing=self.label_smoothing
        )
        weights = self.weights.to(logits)[labels.clamp(min=0)]
        return (weights * each).sum() / (labels != IGNORE_INDEX).sum()
