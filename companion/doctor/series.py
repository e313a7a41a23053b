"""Series of images, as the frames of a film: a few that are far nearer than all others."""

from __future__ import annotations

import torch
from torch import Tensor

GAP = 4.0  # how much farther the next image of the class is than the last of the series
LEAST = 0.9  # agreement of contrast within a series
SHARE = 4  # a series is at most this part of its class


def in_series(
    first: Tensor, second: Tensor, first_labels: Tensor, second_labels: Tensor
) -> tuple[int, int, int]:
    """Return how many of the second images belong to series of the first, of how many looked at.

    And the median size of those series among the first. Distances are 1 − the agreement of
    contrast, within a class. For images drawn one by one, in d dimensions, the distances to the
    k-th and the next neighbour are nearly equal: a ratio of 4 has the chance 4^(−kd/2).

    >>> films = torch.eye(8).repeat_interleave(4, 0) + 0.01 * torch.eye(32, 8)
    >>> labels = torch.zeros(32)
    >>> in_series(films[::2], films[1::2], labels[::2], labels[1::2])
    (16, 16, 2)
    """
    found: list[int] = []
    looked = 0
    for label in second_labels.unique():
        ours = _centred(first[first_labels == label])
        theirs = _centred(second[second_labels == label])
        most = len(ours) // SHARE
        if most < 1:
            continue
        looked += len(theirs)
        agree = (theirs @ ours.T).sort(1, descending=True).values
        away = (1 - agree).clamp(min=1e-6)
        ratio = away[:, 1 : most + 1] / away[:, :most]
        gap, place = ratio.max(1)
        near = agree.gather(1, place[:, None])[:, 0] > LEAST
        found += (place + 1)[(gap > GAP) & near].tolist()
    return len(found), looked, int(torch.tensor(found).median()) if found else 0


def _centred(rows: Tensor) -> Tensor:
    moved = rows.float() - rows.float().mean(1, keepdim=True)
    return moved / moved.norm(dim=1, keepdim=True).clamp(min=1e-12)
