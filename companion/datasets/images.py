"""Images and labels as two tensors that know the names of their classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import Dataset

from companion.datasets.parts import part_sizes
from companion.labels import ClassName, LabelMap


class LabelledImages(Dataset):
    """Images, their labels as indices, and the classes that the indices stand for.

    `images` is a floating-point tensor (N, channels, height, width), `labels` integers (N,) in
    0 … len(classes) − 1. It is a `torch.utils.data.Dataset` of (image, label) pairs, and small
    enough to live on the device as a whole (`to`). Methods return new sets and change nothing.

    Raises `TypeError` for integer images or labels that are no integers, `ValueError` for shapes
    that do not match, images that are not finite and an empty set, `UnknownLabelError` for
    labels beyond the classes.

    >>> images = torch.zeros(4, 1, 8, 8)
    >>> data = LabelledImages(images, torch.tensor([0, 1, 1, 2]), ["cat", "dog", "owl"])
    >>> data
    LabelledImages(4 images of 1×8×8, 3 classes)
    >>> data.only(["dog", "owl"]).labels
    tensor([0, 0, 1])
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: Iterable[ClassName] | LabelMap):
        label_map = classes if isinstance(classes, LabelMap) else LabelMap(classes)
        _check_images(images)
        if labels.dim() != 1 or len(labels) != len(images):
            raise ValueError(
                f"labels must have shape (N,), one for each of the {len(images)} images; "
                f"received shape {tuple(labels.shape)}. Index both tensors alike."
            )
        if labels.is_floating_point() or labels.dtype == torch.bool:
            raise TypeError(
                f"labels must be integers; received {labels.dtype}. "
                "Encode names with LabelMap.encode."
            )
        LabelMap(range(len(label_map))).encode(labels.unique(), source="labels")
        self.images = images
        self.labels = labels.to(torch.int64)
        self.label_map = label_map

    @property
    def classes(self) -> tuple[ClassName, ...]:
        """The names of the classes; the position of each is its index."""
        return self.label_map.classes

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.images.device

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images and labels at these positions, as a network is given them."""
        return self.images[rows], self.labels[rows]

    def __repr__(self) -> str:
        shape = "×".join(str(side) for side in self.images.shape[1:])
        return f"LabelledImages({len(self)} images of {shape}, {len(self.classes)} classes)"

    def counts(self) -> dict[ClassName, int]:
        """Return the number of images of each class, zeros included.

        >>> LabelledImages(torch.zeros(2, 1, 4, 4), torch.tensor([1, 1]), ["a", "b"]).counts()
        {'a': 0, 'b': 2}
        """
        counts = torch.bincount(self.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True))

    def first(self, name: ClassName) -> Tensor:
        """Return the first image of a class, (channels, height, width).

        Raises `UnknownLabelError` for a class that is not declared, `ValueError` for one without
        images.
        """
        return self.only([name]).images[0]

    def at(self, indices: Tensor | np.ndarray | Sequence[int]) -> LabelledImages:
        """Return the images at these positions, in this order; the classes stay.

        Raises `ValueError` for no positions, `TypeError` for a mask or for fractions.
        """
        chosen = torch.as_tensor(indices, device=self.device)
        if len(chosen) and (chosen.is_floating_point() or chosen.dtype == torch.bool):
            raise TypeError(
                f"positions must be integers; received {chosen.dtype}. "
                "Of a mask take mask.nonzero().flatten()."
            )
        chosen = chosen.to(torch.int64)
        return LabelledImages(self.images[chosen], self.labels[chosen], self.label_map)

    def only(self, classes: Iterable[ClassName]) -> LabelledImages:
        """Return the images of the given classes, labelled by the map of these classes alone.

        Classes keep their order here; indices run from 0 without gaps.
        Raises `UnknownLabelError` for a class that this set does not declare, `ValueError` when
        no image is left.
        """
        kept = self.label_map.subset(classes)
        new_index = kept.translate(self.labels, self.label_map, missing=-1)
        if not bool((new_index >= 0).any()):
            raise ValueError(
                f"a subset needs at least one image; {kept} has none here. "
                "Look at counts() for classes that have images."
            )
        rows = new_index >= 0
        return LabelledImages(self.images[rows], new_index[rows], kept)

    def without(self, classes: Iterable[ClassName]) -> LabelledImages:
        """Return the images of all other classes: `only` of the rest, with its errors."""
        left_out = self.label_map.subset(classes)
        rest = [name for name in self.classes if name not in left_out]
        if not rest:
            raise ValueError(
                f"a subset needs at least one class; all {len(self.classes)} were left out. "
                "Leave out fewer."
            )
        return self.only(rest)

    def split(
        self, fractions: Sequence[float], *, seed: int, stratify: bool = True
    ) -> tuple[LabelledImages, ...]:
        """Return disjoint parts that together hold every image once, drawn from `seed`.

        `fractions` are the shares of the parts, positive, with sum 1. With `stratify` each part
        has the classes in the proportions of the whole, as far as whole images allow
        (`sklearn.model_selection.train_test_split`).

        Raises `ValueError` for fractions that do not add up, a part that would be empty, and a
        class with fewer images than there are parts while stratifying.

        >>> data = LabelledImages(torch.zeros(10, 1, 4, 4), torch.arange(10) % 2, ["a", "b"])
        >>> [len(part) for part in data.split([0.6, 0.4], seed=0)]
        [6, 4]
        """
        sizes = part_sizes(len(self), fractions)
        labels = self.labels.cpu().numpy()
        if stratify:
            self._refuse_rare_classes(len(fractions))
        parts, rest = [], np.arange(len(self))
        for size in sizes[:-1]:
            groups = labels[rest] if stratify else None
            try:
                part, rest = train_test_split(
                    rest, train_size=size, random_state=seed, stratify=groups
                )
            except ValueError as error:  # scikit-learn's own rules for very small parts
                raise ValueError(
                    "to stratify, each part needs room for every class; received "
                    f"{len(self)} images in parts of {sizes} ({error}). Use larger fractions or "
                    "more images, or pass stratify=False."
                ) from error
            parts.append(part)
        return tuple(self.at(part) for part in [*parts, rest])

    def _refuse_rare_classes(self, parts: int) -> None:
        rare = {name: count for name, count in self.counts().items() if 0 < count < parts}
        if rare:
            raise ValueError(
                f"to stratify, each class needs an image for each of the {parts} parts; "
                f"received {rare}. Collect more, leave the class out (without), or pass "
                "stratify=False."
            )

    def to(self, device: torch.device | str) -> LabelledImages:
        """Return the set on a device; where it is there already, the set itself."""
        if torch.device(device) == self.device:
            return self
        return LabelledImages(self.images.to(device), self.labels.to(device), self.label_map)


class Splits(NamedTuple):
    """The three parts of a data set: `train` to fit, `validation` to choose, `test` to report."""

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages


def join(
    first: LabelledImages, second: LabelledImages, *, new_classes: bool = False
) -> LabelledImages:
    """Return the images of both sets, matched by the names of their classes, never by index.

    The result lives where the first set does and has its map; with `new_classes` the second
    set's own classes are added after it (`LabelMap.union`).

    Raises `UnknownLabelError` when the second set declares a class that the first does not and
    `new_classes` is off, `ValueError` for images of different shapes.

    >>> first = LabelledImages(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), ["a", "b"])
    >>> second = LabelledImages(torch.zeros(1, 1, 4, 4), torch.tensor([0]), ["b"])
    >>> join(first, second).labels
    tensor([0, 1, 1])
    >>> other = LabelledImages(torch.zeros(1, 1, 4, 4), torch.tensor([0]), ["c"])
    >>> join(first, other, new_classes=True).classes
    ('a', 'b', 'c')
    """
    if first.images.shape[1:] != second.images.shape[1:]:
        raise ValueError(
            "sets to join must have images of one shape; received "
            f"{tuple(first.images.shape[1:])} and {tuple(second.images.shape[1:])}. Resize them."
        )
    label_map = first.label_map.union(second.label_map) if new_classes else first.label_map
    second = second.to(first.device)
    labels = label_map.translate(second.labels, second.label_map)
    return LabelledImages(
        torch.cat([first.images, second.images]), torch.cat([first.labels, labels]), label_map
    )


def _check_images(images: Tensor) -> None:
    if not images.is_floating_point():
        raise TypeError(
            f"images must be floating point, as networks compute in it; received {images.dtype}. "
            "Scale bytes yourself: images.float() / 255."
        )
    if images.dim() != 4:
        raise ValueError(
            "images must have shape (N, channels, height, width); received "
            f"{tuple(images.shape)}. Grey images need a channel: images.unsqueeze(1)."
        )
    if images.numel() == 0:
        raise ValueError(
            f"a set needs at least one image; received shape {tuple(images.shape)}. "
            "Look at what selected them."
        )
    if not bool(torch.isfinite(images).all()):
        bad = (~torch.isfinite(images)).flatten(1).any(1).nonzero().flatten().tolist()
        raise ValueError(
            f"images must be finite; {len(bad)} hold NaN or infinity, the first at position "
            f"{bad[0]}. Repair or drop them."
        )
