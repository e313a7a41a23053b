"""One yes-or-no question for each class, which a network may answer with no to all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.datasets import LabelledImages
from companion.inputs import IGNORE_INDEX, ClassName


def one_vs_rest_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the binary cross-entropy of every class against the rest: a mean over images.

    `logits` is (N, classes), `labels` (N,) indices. Each column is a question of its own, and the
    questions are summed: the negative log-likelihood of independent answers. A head trained with
    it needs no softmax, and can say no to everything, as in DOC (Shu et al., 2017),
    https://aclanthology.org/D17-1314. Pass it as `fit(loss=one_vs_rest_loss)`. An image with the
    label −100 has none and is left out, as by cross-entropy; with no other the mean is NaN.

    Raises `ValueError` for shapes that do not match and, on the CPU, labels beyond the logits (a
    GPU stops with a device-side assert, as for cross-entropy); `TypeError` for integer logits and
    labels that are no integers.

    >>> one_vs_rest_loss(torch.zeros(1, 3), torch.tensor([2])) / torch.tensor(2.0).log()
    tensor(3.)
    """
    if logits.dim() != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            "logits must be (N, classes) and labels (N,); received "
            f"{tuple(logits.shape)} and {tuple(labels.shape)}. Pass indices, not one-hot rows."
        )
    if not logits.is_floating_point() or labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(
            "logits must be floating point and labels integers; received "
            f"{logits.dtype} and {labels.dtype}. Pass what the head returns, and indices."
        )
    ignored = labels == IGNORE_INDEX
    places = labels.to(torch.int64).masked_fill(ignored, 0)
    # Looking at the values on a GPU would make each step wait for them.
    if labels.device.type == "cpu" and bool(((places < 0) | (places >= logits.shape[1])).any()):
        raise ValueError(
            f"labels must lie in 0 … {logits.shape[1] - 1}, or be {IGNORE_INDEX}; received "
            f"{int(labels.min())} … {int(labels.max())}. Build the head with len(data.classes)."
        )
    targets = torch.zeros_like(logits).scatter_(1, places.unsqueeze(1), 1.0)
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1)
    return losses.masked_fill(ignored, 0.0).sum() / (~ignored).sum()


def against_rest(data: LabelledImages, name: ClassName) -> LabelledImages:
    """Return the same images with two classes: index 1 for the one named, 0 for the rest.

    The classes are called "rest" and "one", whatever the names in `data`.
    Raises `UnknownLabelError` for a class that the data do not declare.

    >>> data = LabelledImages(torch.zeros(3, 1, 4, 4), torch.tensor([0, 1, 2]), ["a", "b", "c"])
    >>> against_rest(data, "b").labels
    tensor([0, 1, 0])
    """
    index = data.label_map.indices_of([name], source="the class to set against the rest").item()
    return data.replace(labels=(data.labels == index).long(), classes=["rest", "one"])


class OneVsRest(nn.Module):
    """Separate yes-or-no networks, one for each class in order, as one classifier.

    Each returns (N, 1), the logit of yes, or (N, 2) as trained on `against_rest`: no and yes,
    whose difference is that logit. The result is (N, classes), for `predict` and `evaluate`.

    Raises `ValueError` for no network and, when called, for one of another width.

    >>> pair = OneVsRest([nn.Linear(4, 2), nn.Linear(4, 1)])
    >>> pair(torch.zeros(5, 4)).shape
    torch.Size([5, 2])
    """

    def __init__(self, networks: Sequence[nn.Module]):
        super().__init__()
        if not networks:
            raise ValueError("one-vs-rest needs a network for each class; received none.")
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logit of yes for each class: (N, classes)."""
        return torch.cat([_yes(network(images)) for network in self.networks], 1)


def _yes(logits: Tensor) -> Tensor:
    if logits.dim() != 2 or logits.shape[1] not in (1, 2):
        raise ValueError(
            "each network answers yes or no with shape (N, 1) or (N, 2); received "
            f"{tuple(logits.shape)}. Train it on against_rest(data, name)."
        )
    return logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]
