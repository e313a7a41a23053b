"""Images and labels as two tensors that know the names of their classes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from companion.datasets.parts import draw_parts
from companion.datasets.pixels import Transform, checked_images, transformed, try_transform
from companion.inputs import integer_labels
from companion.labels import ClassName, LabelMap


class LabelledImages(Dataset):
    """Images, their labels as indices, and the classes that the indices stand for.

    `images` is a floating-point tensor or array (N, channels, height, width), `labels` integers
    (N,) in 0 … len(classes) − 1. It is a `torch.utils.data.Dataset` of (image, label) pairs, and
    small enough to live on the device as a whole (`to`). Methods return new sets and change
    nothing.

    `transform` is what a network is given instead of the images as they are held: any function of
    a batch, such as `weights.transforms()` with the means and deviations of pretrained weights.
    `batch`, indexing, and so loaders, training and evaluation apply it; `images` stay as they are.
    Grey images go to a network of three channels by `torchvision.transforms.v2.RGB()` before it.
    What is drawn at random is drawn once a batch; for augmentation see `fit`.

    Raises `TypeError` for integer images or labels that are no integers, `ValueError` for shapes
    that do not match, images that are not finite, an empty set and a transform that fails, returns
    another number of images or is not finite, `UnknownLabelError` for labels beyond the classes.

    >>> images = torch.zeros(4, 1, 8, 8)
    >>> data = LabelledImages(images, torch.tensor([0, 1, 1, 2]), ["cat", "dog", "owl"])
    >>> data
    LabelledImages(4 images of 1×8×8, 3 classes)
    >>> data.only(["dog", "owl"]).labels
    tensor([0, 0, 1])
    >>> data.with_transform(lambda batch: batch + 1).batch(torch.tensor([0]))[0].mean()
    tensor(1.)
    """

    def __init__(
        self,
        images: Tensor | np.ndarray,
        labels: Tensor | np.ndarray | Sequence[int],
        classes: Iterable[ClassName] | LabelMap,
        *,
        transform: Transform | None = None,
    ):
        label_map = classes if isinstance(classes, LabelMap) else LabelMap(classes)
        self.images = checked_images(images)
        self.labels = integer_labels(labels, rows=len(self.images)).to(self.images.device)
        LabelMap(range(len(label_map))).encode(self.labels.unique(), source="labels")
        self.label_map = label_map
        if transform is not None:
            try_transform(self.images, transform)
        self.transform = transform

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
        images, labels = self.images[index], self.labels[index]
        if self.transform is None:
            return images, labels
        alone = labels.dim() == 0
        # A copy, as what slices give is the set's own memory, and transforms may write into it.
        given = images.unsqueeze(0).clone() if alone else images.clone()
        found = transformed(given, self.transform)
        return (found[0] if alone else found), labels

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images and labels at these positions, as a network is given them.

        Raises what is wrong with the transform's result: another number of images, no floats.
        """
        images, labels = self.images[rows], self.labels[rows]
        return images if self.transform is None else transformed(images, self.transform), labels

    def __repr__(self) -> str:
        shape = "×".join(str(side) for side in self.images.shape[1:])
        after = "" if self.transform is None else ", transformed"
        return f"LabelledImages({len(self)} images of {shape}, {len(self.classes)} classes{after})"

    def with_transform(self, transform: Transform | None) -> LabelledImages:
        """Return the same images and labels with another transform; None for none.

        >>> data = LabelledImages(torch.zeros(1, 1, 4, 4), [0], ["a"])
        >>> data.with_transform(torch.nn.Upsample(8)).batch(torch.tensor([0]))[0].shape
        torch.Size([1, 1, 8, 8])
        """
        return LabelledImages(self.images, self.labels, self.label_map, transform=transform)

    def replace(
        self,
        *,
        images: Tensor | np.ndarray | None = None,
        labels: Tensor | np.ndarray | Sequence[int] | None = None,
        classes: Iterable[ClassName] | LabelMap | None = None,
    ) -> LabelledImages:
        """Return a set with other images, labels or classes, and the transform of this one.

        >>> data = LabelledImages(torch.zeros(2, 1, 4, 4), [0, 1], ["a", "b"])
        >>> data.replace(labels=[1, 1]).counts()
        {'a': 0, 'b': 2}
        """
        found = LabelledImages(
            self.images if images is None else images,
            self.labels if labels is None else labels,
            self.label_map if classes is None else classes,
        )
        if images is not None and found.images.shape[1:] != self.images.shape[1:]:
            return found.with_transform(self.transform)  # tried anew on images of another shape
        found.transform = self.transform
        return found

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
        return self.replace(images=self.images[chosen], labels=self.labels[chosen])

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
        return self.replace(images=self.images[rows], labels=new_index[rows], classes=kept)

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
        labels = self.labels.cpu().numpy()
        if stratify:
            self._refuse_rare_classes(len(fractions))
        parts = draw_parts(labels, fractions, seed=seed, stratify=stratify)
        return tuple(self.at(part) for part in parts)

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
        moved = self.replace(images=self.images.to(device), labels=self.labels.to(device))
        if isinstance(self.transform, nn.Module) and self.transform.state_dict():
            moved.transform = copy.deepcopy(self.transform).to(device)
        return moved


class Splits(NamedTuple):
    """The three parts of a data set: `train` to fit, `validation` to choose, `test` to report."""

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
