"""Small pipelines of strangers: pictures, loaders and networks that the check-up is tried on."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

CLASSES = ["left", "middle", "right"]


class Pictures(Dataset):
    """Images of 1×6×6 whose class says which third is bright, as torchvision's sets hold them."""

    def __init__(
        self,
        count: int = 120,
        *,
        seed: int = 0,
        noise: float = 0.3,
        classes: int = 3,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], int] | None = None,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(count, generator=generator)
        labels = (torch.arange(count) % classes)[order]
        self.data = noise * torch.randn(count, 1, 6, 6, generator=generator)
        width = 6 // classes if classes < 6 else 1
        for row, label in enumerate(labels.tolist()):
            self.data[row, 0, label % 6, (label * width) % 6 : (label * width) % 6 + width] += 2
            self.data[row, 0, :, (label * width) % 6 : (label * width) % 6 + width] += 1
        self.targets: list[int] = labels.tolist()
        self.classes = CLASSES[:classes] if classes <= 3 else [f"c{i}" for i in range(classes)]
        self.transform, self.target_transform = transform, target_transform

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The index of each class, as torchvision's sets have it."""
        return {name: index for index, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image, label = self.data[index], self.targets[index]
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label


def loader(data: Any = None, *, batch: int = 24, shuffle: bool = False, **options: Any) -> Any:
    """A loader as people write it; training pictures by default."""
    chosen = Pictures() if data is None else data
    return DataLoader(chosen, batch_size=batch, shuffle=shuffle, **options)


def network(classes: int = 3, *, seed: int = 0) -> nn.Sequential:
    """A small network with everything in it: convolution, BatchNorm, ReLU and a head."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(216, classes),
        )


class Named(nn.Module):
    """A network whose head is called `fc`, as torchvision's are."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self.body = nn.Sequential(
                nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten()
            )
            self.fc = nn.Linear(216, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.fc(self.body(images))


@functools.cache
def _trained(classes: int) -> nn.Sequential:
    model = network(classes).train()
    data = Pictures(60 * classes, classes=classes)
    labels = torch.tensor(data.targets)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(data.data), labels).backward()
            optimizer.step()
    model.zero_grad()
    return model


def trained(classes: int = 3) -> nn.Sequential:
    """A copy of a network that knows the pictures."""
    return copy.deepcopy(_trained(classes))


def sgd(model: nn.Module, lr: float = 0.05, **options: Any) -> torch.optim.SGD:
    """An optimiser of all parameters."""
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, **options)


def pipeline(model: nn.Module | None = None, **changes: Any) -> dict[str, Any]:
    """A healthy pipeline as the arguments of `examine`, with what is changed in it."""
    network_used = trained() if model is None else model
    given: dict[str, Any] = {
        "model": network_used,
        "train": loader(shuffle=True),
        "validation": loader(Pictures(90, seed=1)),
        "test": loader(Pictures(120, seed=2)),
        "loss": nn.CrossEntropyLoss(),
        "optimizer": sgd(network_used),
        "progress": False,
    }
    return given | changes
