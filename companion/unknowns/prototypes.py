"""Nearest class mean: a classifier made of averages, which takes new classes without training."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from companion.labels import ClassName, LabelMap


class Prototypes:
    """The mean of each class's features; an image belongs to the nearest one.

    Nearest class mean as in Mensink et al. (2013), https://hal.inria.fr/hal-00817211, with the
    transformation of SimpleShot, https://arxiv.org/abs/1911.04623: features are centred on the
    mean of those given here and scaled to length 1, then averaged by class. `normalise=False`
    takes them as they are. The centre stays when classes are added, as the classes that the
    network was trained on define it.

    `features` is (N, D) floating point, half precision is computed in float32, and `labels` (N,)
    are indices of `classes`. Nothing is trained and nothing given is mutated.

    Raises `ValueError` for a class without an example, for shapes that do not match and features
    that are not finite, `TypeError` for integer features, `UnknownLabelError` for labels beyond
    the classes.

    >>> features = torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
    >>> known = Prototypes(features, torch.tensor([0, 0, 1]), ["cat", "dog"], normalise=False)
    >>> known.logits(torch.tensor([[3.0, 1.0]]))
    tensor([[ -1., -13.]])
    >>> more = known.with_classes(torch.tensor([[9.0, 9.0]]), torch.tensor([0]), ["owl"])
    >>> more.label_map.decode(more.logits(torch.tensor([[8.0, 8.0]])).argmax(1))
    ['owl']
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        classes: Iterable[ClassName] | LabelMap,
        *,
        normalise: bool = True,
    ):
        self.label_map = classes if isinstance(classes, LabelMap) else LabelMap(classes)
        self.normalise = normalise
        _check(features, labels, self.label_map)
        features = _precise(features)
        self.centre = features.mean(0) if normalise else torch.zeros_like(features[0])
        self.means = self._means(features, labels, self.label_map)

    def logits(self, features: Tensor) -> Tensor:
        """Return the negative squared distance of features (N, D) to each mean: (N, classes).

        They are logits: their argmax is the nearest class, and `report`, `maximum_logit` and
        `calibrated_stacking` take them. Raises `ValueError` for another width.

        >>> means = Prototypes(torch.eye(2), torch.tensor([0, 1]), ["a", "b"], normalise=False)
        >>> means.logits(torch.tensor([[1.0, 0.0]]))
        tensor([[-0., -2.]])
        """
        _check_width(features, len(self.centre))
        moved = self._transformed(features)
        means = self.means.to(moved.device)
        # In pieces, as the table of differences is (N, classes, D).
        pieces = [(piece.unsqueeze(1) - means).square().sum(2) for piece in moved.split(256)]
        return -torch.cat(pieces)

    def with_classes(
        self, features: Tensor, labels: Tensor, classes: Iterable[ClassName] | LabelMap
    ) -> Prototypes:
        """Return prototypes of these classes and the present ones, which keep their indices.

        `labels` are indices of the new `classes` alone. The present object stays as it is.
        Raises `ValueError` for a class that is there already, and the errors of the class.

        >>> one = Prototypes(torch.eye(2), torch.tensor([0, 1]), ["a", "b"])
        >>> one.with_classes(torch.ones(1, 2), torch.tensor([0]), ["c"]).label_map.classes
        ('a', 'b', 'c')
        """
        new = classes if isinstance(classes, LabelMap) else LabelMap(classes)
        known = [name for name in new.classes if name in self.label_map]
        if known:
            raise ValueError(
                f"a new class must not be there already; received {known}. To move the mean of a "
                "known class, make prototypes of all examples together."
            )
        _check(features, labels, new)
        _check_width(features, len(self.centre))
        extended = Prototypes.__new__(Prototypes)
        extended.label_map = self.label_map.union(new)
        extended.normalise, extended.centre = self.normalise, self.centre
        extended.means = torch.cat([self.means, self._means(features, labels, new)])
        return extended

    def _transformed(self, features: Tensor) -> Tensor:
        moved = _precise(features) - self.centre.to(features.device)
        return torch.nn.functional.normalize(moved) if self.normalise else moved

    def _means(self, features: Tensor, labels: Tensor, label_map: LabelMap) -> Tensor:
        moved = self._transformed(features).to(self.centre.device)
        sums = moved.new_zeros(len(label_map), moved.shape[1])
        rows = labels.to(moved.device, torch.int64)
        counts = torch.bincount(rows, minlength=len(label_map)).to(moved.dtype)
        return sums.index_add_(0, rows, moved) / counts.unsqueeze(1)


def _check(features: Tensor, labels: Tensor, label_map: LabelMap) -> None:
    if not features.is_floating_point():
        raise TypeError(
            f"features must be floating point; received {features.dtype}. Pass the outputs of the "
            "last hidden layer."
        )
    if features.dim() != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            "features must be (N, D) and labels (N,); received "
            f"{tuple(features.shape)} and {tuple(labels.shape)}. Flatten features with flatten(1)."
        )
    _check_finite(features)
    present = set(LabelMap(range(len(label_map))).encode(labels.unique(), source="labels").tolist())
    without = [name for index, name in enumerate(label_map.classes) if index not in present]
    if without:
        raise ValueError(
            f"a prototype needs an example; {without} have none. Add one of each, or leave the "
            "class out: data.only(classes with examples)."
        )


def _precise(features: Tensor) -> Tensor:
    """Return half precision as float32, whose sums neither overflow nor drift."""
    return features if features.dtype == torch.float64 else features.float()


def _check_width(features: Tensor, width: int) -> None:
    if features.dim() != 2 or features.shape[1] != width:
        raise ValueError(
            f"features must have shape (N, {width}), as the ones the means came from; received "
            f"{tuple(features.shape)}. Take both from the same layer."
        )
    _check_finite(features)


def _check_finite(features: Tensor) -> None:
    if not bool(torch.isfinite(features).all()):
        raise ValueError("features must be finite; some are NaN or infinite. Look at the images.")
