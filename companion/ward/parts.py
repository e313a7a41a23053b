"""What pipelines are made of: small pictures, folders of them, networks, a short training."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

NAMES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay")
SIDE = 16


def pictures(
    count: int, classes: int = 4, *, seed: int = 0, noise: float = 0.15, shares: Any = None
) -> tuple[Tensor, Tensor]:
    """Return images (count, 3, 16, 16) in [0, 1] and labels, in mixed order.

    A class is a bar at an angle of its own, in a colour of its own, somewhere near the middle.
    `shares` are how many of each class there are, relative to each other; by default equal.

    >>> images, labels = pictures(8)
    >>> images.shape, sorted(labels.tolist())
    (torch.Size([8, 3, 16, 16]), [0, 0, 1, 1, 2, 2, 3, 3])
    """
    generator = torch.Generator().manual_seed(seed)
    weights = torch.ones(classes) if shares is None else torch.as_tensor(shares, dtype=torch.float)
    edges = (weights.cumsum(0) / weights.sum() * count).round().long()
    labels = torch.searchsorted(edges, torch.arange(count), right=True)
    labels = labels[torch.randperm(count, generator=generator)]
    angle = labels * torch.pi / classes + 0.1 * torch.randn(count, generator=generator)
    shift = 2 * torch.randn(count, 2, generator=generator)
    line = torch.arange(SIDE, dtype=torch.float) - (SIDE - 1) / 2
    rows = line[None, :, None] - shift[:, :1, None]
    columns = line[None, None, :] - shift[:, 1:, None]
    across = rows * angle.cos()[:, None, None] + columns * angle.sin()[:, None, None]
    bar = torch.exp(-((across / 2) ** 2))
    turn = 2 * torch.pi * (labels / classes)[:, None] + torch.tensor([0.0, 2.1, 4.2])
    colour = 0.5 + 0.3 * turn.cos()
    images = 0.2 + 0.6 * bar[:, None] * colour[:, :, None, None]
    images = images + noise * torch.randn(images.shape, generator=generator)
    return images.clamp(0, 1), labels


class Photos(Dataset):
    """Labelled pictures that are transformed as they are read, like torchvision's data sets."""

    def __init__(
        self,
        count: int = 160,
        classes: int = 4,
        *,
        seed: int = 0,
        transform: Callable[[Tensor], Tensor] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        **options: Any,
    ) -> None:
        self.data, labels = pictures(count, classes, seed=seed, **options)
        self.targets: list[int] = labels.tolist()
        self.classes = list(NAMES[:classes])
        self.transform, self.target_transform = transform, target_transform

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The index of each class."""
        return {name: index for index, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, label = self.data[index], self.targets[index]
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label


def write_folders(
    root: Path, names: Sequence[str] = NAMES[:4], each: int = 12, *, seed: int = 0
) -> Path:
    """Write pictures as PNG files, a folder for each class, and return `root`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     sorted(p.name for p in write_folders(Path(place), ["ant", "bee"], 2).glob("*/*"))
    ['0.png', '0.png', '1.png', '1.png']
    """
    images, labels = pictures(each * len(names), len(names), seed=seed)
    for index, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        for place, image in enumerate(images[labels == index]):
            pixels = (255 * image).round().byte().permute(1, 2, 0).numpy()
            Image.fromarray(np.ascontiguousarray(pixels)).save(root / name / f"{place}.png")
    return root


class Net(nn.Module):
    """A small network with names like torchvision's: a body with BatchNorm, and `fc`."""

    def __init__(self, classes: int = 4, *, channels: int = 12, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, 2 * channels, 3, padding=1, stride=2, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * channels)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2 * channels * 16, classes)

    def features(self, images: Tensor) -> Tensor:
        """Return what the head is given."""
        found = torch.relu(self.bn1(self.conv1(images)))
        found = torch.relu(self.bn2(self.conv2(found)))
        return self.dropout(self.pool(found).flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.fc(self.features(images))


def seeded(make: Callable[[], Any], seed: int = 0) -> Any:
    """Return what a function makes with torch's generator at a seed, which is then put back.

    >>> bool((seeded(lambda: torch.rand(1)) == seeded(lambda: torch.rand(1))).all())
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()


def taught(model: nn.Module, loader: Any, *, epochs: int = 16, lr: float = 0.01) -> nn.Module:
    """Train a model briefly with Adam, as a plain loop does, and return it without gradients.

    >>> taught(Net(), loaders()[0], epochs=1).training
    True
    """

    def run() -> nn.Module:
        model.train()
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        for _ in range(epochs):
            for images, labels in loader:
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images), labels).backward()
                optimizer.step()
        model.zero_grad()
        return model

    return seeded(run)


def loaders(
    classes: int = 4, *, batch: int = 32, counts: tuple[int, int, int] = (160, 80, 120)
) -> tuple[DataLoader, DataLoader, DataLoader]:
    """Return loaders of training, validation and test pictures: a healthy protocol.

    >>> [len(each.dataset) for each in loaders()]
    [160, 80, 120]
    """
    parts = [Photos(count, classes, seed=seed) for seed, count in enumerate(counts)]
    train, validation, test = parts
    return (
        DataLoader(train, batch_size=batch, shuffle=True),
        DataLoader(validation, batch_size=batch),
        DataLoader(test, batch_size=batch),
    )


@functools.cache
def _trained(classes: int) -> Net:
    model = seeded(lambda: Net(classes))
    taught(model, loaders(classes)[0])
    return model


def trained(classes: int = 4) -> Net:
    """Return a copy of a network that knows the pictures of `loaders`.

    >>> trained().fc.out_features
    4
    """
    return copy.deepcopy(_trained(classes))
