"""Two sets made one, by the names of their classes."""

from __future__ import annotations

import torch

from companion.datasets.images import LabelledImages


def join(
    first: LabelledImages, second: LabelledImages, *, new_classes: bool = False
) -> LabelledImages:
    """Return the images of both sets, matched by the names of their classes, never by index.

    The result lives where the first set does, has its map and the transform of both; with
    `new_classes` the second set's own classes are added after the map (`LabelMap.union`).

    Raises `UnknownLabelError` when the second set declares a class that the first does not and
    `new_classes` is off, `ValueError` for images of different shapes and for sets with different
    transforms.

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
    if first.transform is not second.transform and first.transform != second.transform:
        raise ValueError(
            f"sets to join must have one transform; received {first.transform} and "
            f"{second.transform}. Give both the same: with_transform."
        )
    label_map = first.label_map.union(second.label_map) if new_classes else first.label_map
    second = second.to(first.device)
    labels = label_map.translate(second.labels, second.label_map)
    return first.replace(
        images=torch.cat([first.images, second.images]),
        labels=torch.cat([first.labels, labels]),
        classes=label_map,
    )
