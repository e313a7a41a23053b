"""Nearest class mean: a classifier made of averages, which takes new classes without training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from companion.inputs import IGNORE_INDEX, ClassName, brief, integer_labels, real_numbers
from companion.labels import LabelMap

STORED = ("label_map", "normalise", "centre", "means")


class Prototypes:
    """The mean of each class's features; an image belongs to the nearest one.

    Nearest class mean as in Mensink et al. (2013), https://hal.inria.fr/hal-00817211, with the
    transformation of SimpleShot, https://arxiv.org/abs/1911.04623: features are centred on the
    mean of those given here and scaled to length 1, then averaged by class. `normalise=False`
    takes them as they are. The centre stays when classes are added, as the classes that the
    network was trained on define it.

    `features` is (N, D) floating point, a tensor or an array; half precision is computed in
    float32. `labels` (N,) are indices of `classes`; what is labelled −100 does not count. Nothing
    is trained and nothing given is mutated. `to_dict` and `from_dict` store it, `to` moves it.

    Raises `ValueError` for a class without an example, for shapes that do not match and features
    that are not finite, `TypeError` for integer features and labels that are no integers,
    `UnknownLabelError` for labels beyond the classes.

    >>> features = torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
    >>> known = Prototypes(features, torch.tensor([0, 0, 1]), ["cat", "dog"], normalise=False)
    >>> known.logits(torch.tensor([[3.0, 1.0]]))
    tensor([[ -1., -13.]])
    >>> more = known.with_classes(torch.tensor([[9.0, 9.0]]), torch.tensor([0]), ["owl"])
    >>> more.label_map.decode(more.logits(torch.tensor([[8.0, 8.0]])).argmax(1))
    ['owl']
    """

    label_map: LabelMap
    normalise: bool
    centre: Tensor
    means: Tensor

    def __init__(
        self,
        features: Any,
        labels: Any,
        classes: Iterable[ClassName] | LabelMap,
        *,
        normalise: bool = True,
    ):
        self.label_map = classes if isinstance(classes, LabelMap) else LabelMap(classes)
        self.normalise = normalise
        rows, indices = _examples(features, labels, self.label_map)
        self.centre = rows.mean(0) if normalise else torch.zeros_like(rows[0])
        self.means = self._means(rows, indices, self.label_map)

    def logits(self, features: Any) -> Tensor:
        """Return the negative squared distance of features (N, D) to each mean: (N, classes).

        They are logits: their argmax is the nearest class, and `report`, `maximum_logit` and
        `calibrated_stacking` take them. They lie on the features' device. Raises `ValueError` for
        another width.

        >>> means = Prototypes(torch.eye(2), torch.tensor([0, 1]), ["a", "b"], normalise=False)
        >>> means.logits(torch.tensor([[1.0, 0.0]]))
        tensor([[-0., -2.]])
        """
        moved = self._transformed(self._of_width(_precise(features)))
        means = self.means.to(moved.device)
        # In pieces, as the table of differences is (N, classes, D).
        pieces = [(piece.unsqueeze(1) - means).square().sum(2) for piece in moved.split(256)]
        return -torch.cat(pieces)

    def with_classes(
        self, features: Any, labels: Any, classes: Iterable[ClassName] | LabelMap
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
        rows, indices = _examples(features, labels, new)
        means = self._means(self._of_width(rows), indices, new)
        together = torch.cat([self.means, means.to(self.means)])
        return self._made(self.label_map.union(new), self.normalise, self.centre, together)

    def to(self, device: torch.device | str) -> Prototypes:
        """Return the same prototypes on another device; the present object stays as it is.

        >>> Prototypes(torch.eye(2), torch.tensor([0, 1]), ["a", "b"]).to("cpu").means.device
        device(type='cpu')
        """
        centre, means = self.centre.to(device), self.means.to(device)
        return self._made(self.label_map, self.normalise, centre, means)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values and tensors for `torch.save`, read with `weights_only=True`.

        >>> sorted(Prototypes(torch.eye(2), torch.tensor([0, 1]), ["a", "b"]).to_dict())
        ['centre', 'label_map', 'means', 'normalise']
        """
        tensors = {"centre": self.centre.detach().clone(), "means": self.means.detach().clone()}
        return {"label_map": self.label_map.to_dict(), "normalise": self.normalise} | tensors

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Prototypes:
        """Return the prototypes that `to_dict` stored, on the device of their tensors.

        Raises `KeyError` for keys that `to_dict` does not write, `ValueError` for tensors whose
        shapes do not fit or that are not finite, and the errors of `LabelMap.from_dict`.

        >>> known = Prototypes(torch.eye(2), torch.tensor([0, 1]), ["a", "b"])
        >>> Prototypes.from_dict(known.to_dict()).label_map
        LabelMap(2 classes: 'a', 'b')
        """
        if {*stored} != {*STORED}:
            raise KeyError(
                f"stored prototypes have the keys {brief(STORED)}; received "
                f"{brief(list(stored))}. Pass what Prototypes.to_dict returned."
            )
        label_map = LabelMap.from_dict(stored["label_map"])
        centre, means = (_precise(stored[name], what=name) for name in ("centre", "means"))
        if centre.dim() != 1 or means.shape != (len(label_map), len(centre)):
            raise ValueError(
                f"stored prototypes have a centre (D,) and means ({len(label_map)}, D), one for "
                f"each class; received {tuple(centre.shape)} and {tuple(means.shape)}. Pass what "
                "Prototypes.to_dict returned."
            )
        return cls._made(label_map, bool(stored["normalise"]), centre.clone(), means.clone())

    @classmethod
    def _made(
        cls, label_map: LabelMap, normalise: bool, centre: Tensor, means: Tensor
    ) -> Prototypes:
        made = cls.__new__(cls)
        made.label_map, made.normalise, made.centre, made.means = (
            label_map,
            normalise,
            centre,
            means,
        )
        return made

    def _of_width(self, features: Tensor) -> Tensor:
        width = len(self.centre)
        if features.dim() != 2 or features.shape[1] != width:
            raise ValueError(
                f"features must have shape (N, {width}), as the ones the means came from; received "
                f"{tuple(features.shape)}. Take both from the same layer."
            )
        return features

    def _transformed(self, features: Tensor) -> Tensor:
        moved = features - self.centre.to(features.device)
        return torch.nn.functional.normalize(moved) if self.normalise else moved

    def _means(self, features: Tensor, labels: Tensor, label_map: LabelMap) -> Tensor:
        moved = self._transformed(features).to(self.centre.device)
        sums = moved.new_zeros(len(label_map), moved.shape[1])
        rows = labels.to(moved.device)
        counts = torch.bincount(rows, minlength=len(label_map)).to(moved.dtype)
        return sums.index_add_(0, rows, moved) / counts.unsqueeze(1)


def _examples(features: Any, labels: Any, label_map: LabelMap) -> tuple[Tensor, Tensor]:
    """Return the labelled ones of some features and their indices, after checking both."""
    rows = _precise(features)
    if rows.dim() != 2:
        raise ValueError(
            f"features must be (N, D), a row for each image; received {tuple(rows.shape)}. Flatten "
            "them with flatten(1)."
        )
    indices = integer_labels(labels, rows=len(rows)).to(rows.device)
    labelled = indices != IGNORE_INDEX
    rows, indices = rows[labelled], indices[labelled]
    known = LabelMap(range(len(label_map))).encode(indices.unique(), source="labels").tolist()
    without = [name for index, name in enumerate(label_map.classes) if index not in set(known)]
    if without:
        raise ValueError(
            f"a prototype needs an example; {without} have none. Add one of each, or leave the "
            "class out: data.only(classes with examples)."
        )
    return rows, indices


def _precise(values: Any, *, what: str = "features") -> Tensor:
    """Return finite numbers; half precision as float32, whose sums neither overflow nor drift."""
    checked = real_numbers(values, what=what, advice="Pass the outputs of the last hidden layer.")
    if not bool(torch.isfinite(checked).all()):
        raise ValueError(f"{what} must be finite; some are NaN or infinite. Look at the images.")
    if not isinstance(values, Tensor):
        return checked
    return values if values.dtype == checked.dtype else values.float()  # with its gradient
