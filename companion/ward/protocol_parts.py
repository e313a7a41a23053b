"""What the room on protocol shares: pictures that are related to each other, and small readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from companion.ward.parts import NAMES, pictures


class Pictures(Dataset):
    """Pictures and labels that are given, with a transform, like a data set of one's own.

    >>> Pictures(torch.zeros(2, 3, 16, 16), [0, 1])[1][1]
    1
    """

    def __init__(
        self,
        images: Tensor,
        labels: Sequence[int] | Tensor,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.images, self.transform = images, transform
        self.targets = [int(label) for label in labels]
        self.classes = list(NAMES[: max(self.targets) + 1])

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = self.images[index]
        return (self.transform(image) if self.transform else image), self.targets[index]


def films(animals: int, frames: int, classes: int = 4, *, seed: int = 0) -> Pictures:
    """Return films of animals: `frames` pictures of each in a row, which differ by little noise.

    >>> len(films(8, 5))
    40
    """
    images, labels = pictures(animals, classes, seed=seed, noise=0.35)
    generator = torch.Generator().manual_seed(seed + 100)
    images = images.repeat_interleave(frames, dim=0)
    images = images + 0.03 * torch.randn(images.shape, generator=generator)
    return Pictures(images.clamp(0, 1), labels.repeat_interleave(frames))


def sorted_by_class(count: int, classes: int, *, seed: int = 0) -> Pictures:
    """Return pictures in the order of their classes, as files lie in folders.

    >>> sorted_by_class(4, 2).targets
    [0, 0, 1, 1]
    """
    images, labels = pictures(count, classes, seed=seed)
    order = labels.argsort(stable=True)
    return Pictures(images[order], labels[order])
