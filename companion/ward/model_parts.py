"""What patients with wrong labels and wrong networks share: a loop, other pictures and networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from companion.ward.parts import seeded

Parts = tuple[Any, Any, Any]


def adam(model: nn.Module, lr: float = 0.01) -> torch.optim.Optimizer:
    """Return Adam over whatever of a model may be trained.

    >>> len(adam(nn.Linear(2, 2)).param_groups[0]["params"])
    2
    """
    return torch.optim.Adam([each for each in model.parameters() if each.requires_grad], lr=lr)


def fitted(
    model: nn.Module,
    loader: Iterable[Any],
    optimizer: torch.optim.Optimizer | None = None,
    *,
    epochs: int = 8,
    loss: Callable[[Any, Tensor], Tensor] | None = None,
) -> Any:
    """Train a model with an optimiser (by default Adam) and a loss, and return it.

    >>> rows = batches(torch.rand(4, 2), torch.tensor([0, 1, 0, 1]))
    >>> fitted(nn.Linear(2, 2), rows, epochs=1).training
    True
    """
    stepper = optimizer or adam(model)
    judge = loss or nn.CrossEntropyLoss()

    def run() -> nn.Module:
        model.train()
        for _ in range(epochs):
            for images, labels in loader:
                stepper.zero_grad()
                judge(model(images), labels).backward()
                stepper.step()
        stepper.zero_grad()
        return model

    return seeded(run)


def handed(model: nn.Module, parts: Sequence[Any], **more: Any) -> dict[str, Any]:
    """Return what nearly everybody has at hand, and whatever more the story has.

    >>> sorted(handed(nn.Linear(2, 2), (None, None, None)))
    ['loss', 'model', 'optimizer', 'test', 'train', 'validation']
    """
    train, validation, test = parts
    more.setdefault("loss", nn.CrossEntropyLoss())
    if "optimizer" not in more:
        more["optimizer"] = adam(model)
    return {"model": model, "train": train, "validation": validation, "test": test, **more}


def parts_of(make: Callable[[int, int], Dataset], *, batch: int = 32) -> Parts:
    """Return loaders of the three parts, each made from a count and a seed.

    >>> [len(each.dataset) for each in parts_of(lambda count, seed: range(count))]
    [160, 80, 120]
    """
    train, validation, test = (make(count, seed) for seed, count in enumerate((160, 80, 120)))
    return (
        DataLoader(train, batch_size=batch, shuffle=True),
        DataLoader(validation, batch_size=batch),
        DataLoader(test, batch_size=batch),
    )


def batches(images: Tensor, labels: Any, *, batch: int = 32, shuffle: bool = False) -> DataLoader:
    """Return a loader over tensors.

    >>> len(batches(torch.rand(40, 2), torch.zeros(40)))
    2
    """
    rows = TensorDataset(images, torch.as_tensor(labels))
    return DataLoader(rows, batch_size=batch, shuffle=shuffle)


def patterns(count: int, classes: int = 100, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return grey images (count, 1, 16, 16) of many classes, each a pattern of 5×5 squares.

    >>> images, labels = patterns(200)
    >>> images.shape, len(labels.unique())
    (torch.Size([200, 1, 16, 16]), 100)
    """
    fixed = torch.Generator().manual_seed(99)
    squares = torch.rand(classes, 1, 5, 5, generator=fixed)
    drawn = nn.functional.interpolate(squares, size=(16, 16), mode="bilinear")
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    labels = labels[torch.randperm(count, generator=generator)]
    images = drawn[labels] + 0.12 * torch.randn(count, 1, 16, 16, generator=generator)
    return images.clamp(0, 1), labels


def plain_cnn(classes: int, *, colours: int = 1, width: int = 16, seed: int = 0) -> nn.Sequential:
    """Return a network without BatchNorm, as in a first tutorial.

    >>> plain_cnn(5)(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 5])
    """
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(colours, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * width, classes),
        ),
        seed,
    )


def perceptron(classes: int, *, inputs: int = 256, hidden: int = 64) -> nn.Sequential:
    """Return a network of two linear layers over flattened pixels.

    >>> perceptron(5)(torch.rand(2, 1, 16, 16)).shape
    torch.Size([2, 5])
    """
    return seeded(
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes)
        )
    )
