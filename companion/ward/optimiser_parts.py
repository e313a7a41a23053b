"""What the rooms on training share: other data, other networks, a loop with parts of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from companion.ward.parts import Photos, seeded


def patterns(
    count: int,
    classes: int = 10,
    *,
    channels: int = 1,
    side: int = 8,
    seed: int = 0,
    noise: float = 0.25,
    shares: Any = None,
) -> TensorDataset:
    """Return coarse patterns, one for each class, under noise: `.tensors` as people keep them.

    >>> [tuple(each.shape) for each in patterns(6, 3).tensors]
    [(6, 1, 8, 8), (6,)]
    """
    fixed = torch.Generator().manual_seed(1000 + classes)
    shapes = torch.rand(classes, channels, 4, 4, generator=fixed)
    shapes = nn.functional.interpolate(shapes, size=side, mode="bilinear")
    generator = torch.Generator().manual_seed(seed)
    weights = torch.ones(classes) if shares is None else torch.as_tensor(shares, dtype=torch.float)
    edges = (weights.cumsum(0) / weights.sum() * count).round().long()
    labels = torch.searchsorted(edges, torch.arange(count), right=True)
    labels = labels[torch.randperm(count, generator=generator)]
    images = shapes[labels]
    images = images + noise * torch.randn(images.shape, generator=generator)
    return TensorDataset(images.clamp(0, 1), labels)


def dense(inputs: int, classes: int, *, width: int = 48, seed: int = 0) -> nn.Sequential:
    """Return a perceptron with one hidden layer, the same one for the same seed.

    >>> dense(64, 10)[3].out_features
    10
    """
    return seeded(
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes)
        ),
        seed,
    )


def grey_net(classes: int = 10, *, width: int = 8, seed: int = 0) -> nn.Sequential:
    """Return a small convolutional network with BatchNorm for grey pictures of 8 by 8.

    >>> grey_net(7)(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 7])
    """
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * width, classes),
        ),
        seed,
    )


def practised(
    model: nn.Module,
    loader: Any,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    scheduler: Any = None,
    epochs: int = 6,
    lr: float = 0.01,
    seed: int = 0,
) -> Any:
    """Train a model with a loss, an optimiser and a schedule for every batch; return the model.

    >>> practised(dense(64, 10), DataLoader(patterns(20), batch_size=10), epochs=1).training
    True
    """
    loss = loss or nn.CrossEntropyLoss()
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=lr)

    def run() -> nn.Module:
        model.train()
        for _ in range(epochs):
            for images, labels in loader:
                optimizer.zero_grad()
                loss(model(images), labels).backward()
                optimizer.step()
                if scheduler is not None:
                    scheduler.step()
        optimizer.zero_grad()
        return model

    return seeded(run, seed)


def in_a_loop(
    step: Callable[..., Any], model: nn.Module, optimizer: torch.optim.Optimizer, loader: Any
) -> Callable[[], Any]:
    """Return a step of a loop: it takes the next batch and hands it to `step`.

    >>> in_a_loop(lambda model, optimizer, *batch: len(batch), dense(4, 2), None, [(0, 1)])()
    2
    """

    def once() -> Any:
        model.train()
        return step(model, optimizer, *next(iter(loader)))

    return once


def held_out(classes: int = 4, *, batch: int = 40, **options: Any) -> dict[str, Any]:
    """Return loaders of validation and test photos that nothing is wrong with.

    >>> [len(each.dataset) for each in held_out().values()]
    [80, 120]
    """
    return {
        "validation": DataLoader(Photos(80, classes, seed=1, **options), batch_size=batch),
        "test": DataLoader(Photos(120, classes, seed=2, **options), batch_size=batch),
    }


def held_out_patterns(classes: int = 10, *, batch: int = 50, **options: Any) -> dict[str, Any]:
    """Return loaders of validation and test patterns that nothing is wrong with.

    >>> [len(each.dataset) for each in held_out_patterns().values()]
    [100, 200]
    """
    return {
        "validation": DataLoader(patterns(100, classes, seed=1, **options), batch_size=batch),
        "test": DataLoader(patterns(200, classes, seed=2, **options), batch_size=batch),
    }


def pipeline(model: nn.Module, train: Any, held: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Return what people have at hand: model, loaders, a loss and an optimiser, and what is given.

    >>> list(pipeline(dense(64, 4), [], {}))
    ['model', 'train', 'loss', 'optimizer']
    """
    made: dict[str, Any] = {"model": model, "train": train, **held, "loss": nn.CrossEntropyLoss()}
    if "optimizer" not in others:
        made["optimizer"] = torch.optim.Adam(model.parameters(), lr=0.001)
    return {**made, **others}


def share_right(model: nn.Module, loader: Any, only: int | None = None) -> float:
    """Return the share of right answers in evaluation mode, of one class alone if asked.

    >>> 0 <= share_right(dense(64, 10), held_out_patterns()["test"]) <= 1
    True
    """

    def run() -> float:
        right = seen = 0
        for images, labels in loader:
            judged = labels == (labels if only is None else only)
            right += int((model(images).argmax(1) == labels)[judged].sum())
            seen += int(judged.sum())
        return right / max(seen, 1)

    was = model.training
    model.eval()
    with torch.no_grad():
        share = seeded(run)
    model.train(was)
    return share
