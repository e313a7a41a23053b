"""Small models that several test files operate on."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from companion import small_cnn


class Backwards(nn.Module):
    """Registers the layer that is called last before the others."""

    def __init__(self) -> None:
        super().__init__()
        self.top = nn.Linear(4, 3)
        self.bottom = nn.Linear(4, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.top(self.bottom(images))


class OwnNorm(nn.BatchNorm2d):
    """A user's normalisation, with a forward and a `train` of its own."""

    calls = 0

    def train(self, mode: bool = True) -> OwnNorm:
        self.calls += 1
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + 1


class WithAux(nn.Module):
    """A body, a head and an auxiliary head, which answers in training."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.num_classes = classes
        self.body = nn.Linear(4, 6)
        self.aux = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, classes, bias=False))
        self.fc = nn.Linear(6, classes)

    def forward(self, images: Tensor) -> Any:
        features = self.body(images)
        return (self.fc(features), self.aux(features)) if self.training else self.fc(features)


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def trainable(model: nn.Module) -> list[str]:
    return [name for name, p in model.named_parameters() if p.requires_grad]


def tiny() -> nn.Sequential:
    return small_cnn(3, widths=(4, 6), dropout=0.2, seed=0)
