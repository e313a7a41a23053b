"""How well a score tells seen from unseen, and what rejecting by it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from companion.inputs import arrays_equal, real_numbers


@dataclass(frozen=True)
class Detection:
    """How well a score tells images of seen classes from those of unseen ones.

    `auroc` is the chance that a random seen image scores higher than a random unseen one, ties
    counting half: 0.5 for a coin. `unseen_accepted` is the share of unseen images at or above
    `threshold`, which accepts the share `keep` of the seen ones.
    """

    auroc: float
    unseen_accepted: float
    threshold: float
    keep: float


def detection(seen_scores: Any, unseen_scores: Any, *, keep: float = 0.95) -> Detection:
    """Return how well scores (N,) of seen and (M,) of unseen images can be told apart.

    Scores are floating-point tensors or arrays. Raises `TypeError` for others,
    `ValueError` where either side is empty, as in a test set without unseen classes, for scores
    that are not finite, and for a `keep` that is not above 0 and at most 1.

    >>> detection(torch.tensor([9.0, 8.0, 7.0]), torch.tensor([7.5, 1.0, 1.0, 1.0]), keep=0.6)
    Detection(auroc=0.9166666666666666, unseen_accepted=0.0, threshold=8.0, keep=0.6)
    """
    seen, unseen = _checked(seen_scores, "seen"), _checked(unseen_scores, "unseen")
    threshold = threshold_keeping(seen, keep)
    is_seen = torch.cat([torch.ones(len(seen)), torch.zeros(len(unseen))])
    return Detection(
        auroc=float(roc_auc_score(is_seen.numpy(), torch.cat([seen, unseen]).numpy())),
        unseen_accepted=(unseen >= threshold).double().mean().item(),
        threshold=threshold,
        keep=keep,
    )


def threshold_keeping(scores: Any, keep: float) -> float:
    """Return the highest threshold that accepts at least the share `keep` of the scores (N,).

    Accepted is what is at or above it. Choose it on validation images of seen classes.
    Raises `ValueError` for no scores and for a `keep` that is not above 0 and at most 1,
    `TypeError` for scores that are no floating-point tensor or array.

    >>> threshold_keeping(torch.tensor([1.0, 2.0, 3.0, 4.0]), 0.5)
    3.0
    """
    if not 0 < keep <= 1:
        raise ValueError(
            f"keep is a share above 0 and at most 1; received {keep}. To accept 95 of 100: 0.95."
        )
    ordered = _checked(scores, "scored").sort(descending=True).values
    # Without the rounding 0.07 of 100 would be 7.000000000000001, and keep 8.
    count = math.ceil(round(keep * len(ordered), 9))
    return ordered[max(1, count) - 1].item()


@dataclass(frozen=True, eq=False)
class RejectionCurve:
    """What is accepted as the threshold falls, from nothing to everything.

    Shares of the images of their kind at each of `thresholds`: `seen_accepted`, `seen_right`
    (accepted and named right) and `unseen_accepted`, each of which got a wrong name. `area` lies
    under `seen_right` over `unseen_accepted`: the chance that a seen image is named right and
    scores higher than an unseen one, ties counting half. Curves are equal whose numbers are.
    """

    thresholds: Tensor = field(repr=False)
    seen_accepted: Tensor = field(repr=False)
    seen_right: Tensor = field(repr=False)
    unseen_accepted: Tensor = field(repr=False)
    area: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RejectionCurve) and arrays_equal(vars(self), vars(other))

    def __hash__(self) -> int:
        return hash((len(self.thresholds), self.area))

    def right_at(self, unseen_accepted: float) -> float:
        """Return the largest `seen_right` that lets in at most this share of the unseen.

        Raises `ValueError` for a share outside 0 … 1.

        >>> scores, right = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([True, True, False])
        >>> rejection_curve(scores, right, seen=torch.tensor([True, True, False])).right_at(0)
        1.0
        """
        if not 0 <= unseen_accepted <= 1:
            raise ValueError(f"unseen_accepted is a share; received {unseen_accepted}. Use 0.1.")
        return self.seen_right[self.unseen_accepted <= unseen_accepted].max().item()


def rejection_curve(scores: Any, right: Any, *, seen: Any) -> RejectionCurve:
    """Return what each threshold accepts, of seen images named right and of unseen ones.

    This is the open-set classification rate of Dhamija et al. (2018),
    https://arxiv.org/abs/1811.04110. `scores` (N,) rank all images, `right` (N,) says which were
    named right and `seen` (N,) which are of a seen class; both are boolean. All are tensors or
    arrays.

    Raises `TypeError` for masks that are not boolean and scores that are no floating point,
    `ValueError` for shapes that differ, for an unseen image that was named right, and where seen
    or unseen images are missing.

    >>> scores, right = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([True, False, False])
    >>> rejection_curve(scores, right, seen=torch.tensor([True, True, False]))
    RejectionCurve(area=0.5)
    """
    ranked = _checked(scores, "scored")
    named, known = _mask(right, ranked, "right"), _mask(seen, ranked, "seen")
    if bool((named & ~known).any()):
        raise ValueError(
            "an image of an unseen class cannot be named right; received "
            f"{int((named & ~known).sum())} that are. Check that seen is the head's own classes."
        )
    _checked(ranked[known], "seen")
    _checked(ranked[~known], "unseen")
    thresholds = torch.cat([torch.tensor([torch.inf]), ranked.unique().flip(0)])
    seen_total, unseen_total = int(known.sum()), int((~known).sum())
    seen_right = share_at_least(ranked[named], thresholds, seen_total)
    unseen_accepted = share_at_least(ranked[~known], thresholds, unseen_total)
    return RejectionCurve(
        thresholds,
        share_at_least(ranked[known], thresholds, seen_total),
        seen_right,
        unseen_accepted,
        area=torch.trapezoid(seen_right, unseen_accepted).item(),
    )


def share_at_least(values: Tensor, bounds: Tensor, total: int) -> Tensor:
    """Return, for each bound, how many of the values reach it, as a share of `total`.

    >>> share_at_least(torch.tensor([1.0, 2.0]), torch.tensor([1.5, 3.0]), 4)
    tensor([0.2500, 0.0000], dtype=torch.float64)
    """
    # A table of values by bounds would take N² of memory.
    below = torch.searchsorted(values.sort().values, bounds)
    return (len(values) - below).double() / total


def _mask(values: Any, scores: Tensor, name: str) -> Tensor:
    found = torch.from_numpy(np.array(values)) if isinstance(values, np.ndarray) else values
    if not isinstance(found, Tensor) or found.dtype != torch.bool or found.shape != scores.shape:
        boolean = isinstance(found, Tensor) and found.dtype == torch.bool
        shape = f" {tuple(found.shape)}" if isinstance(found, Tensor) else ""
        raise (ValueError if boolean else TypeError)(
            f"{name} must be a boolean for each of the scores {tuple(scores.shape)}; received "
            f"{getattr(found, 'dtype', type(found).__name__)}{shape}. Compare: predicted == labels."
        )
    return found.cpu()


def _checked(scores: Any, kind: str) -> Tensor:
    found = real_numbers(
        scores,
        what=f"scores of {kind} images",
        advice="Pass what confidence returns, not the predicted classes.",
    )
    if found.dim() != 1 or len(found) == 0:
        raise ValueError(
            f"scores of {kind} images must have shape (N,), at least one; received "
            f"{tuple(found.shape)}. A set needs images of seen and of unseen classes to tell "
            "them apart."
        )
    if not bool(torch.isfinite(found).all()):
        raise ValueError(
            f"scores must be finite; some of the {kind} images' are NaN or infinite. "
            "Look for NaN in the logits."
        )
    return found.cpu().double()
