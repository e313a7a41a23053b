"""Small data and models that several test files share."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from companion import LabelledImages, mlp

# Tensors here are so small that threads only wait for each other.
torch.set_num_threads(1)

CLASSES = ("left", "middle", "right")


def make_patches(count: int = 60, *, noise: float = 0.4, seed: int = 0) -> LabelledImages:
    """Images of 1×6×6 whose class says which third is bright."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = noise * torch.randn(count, 1, 6, 6, generator=generator)
    for row, label in enumerate(labels.tolist()):
        images[row, 0, :, 2 * label : 2 * label + 2] += 1
    return LabelledImages(images, labels, CLASSES)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a case without the address of a function in it, which differs between processes."""
    named = repr(val)
    return re.sub(r" at 0x[0-9a-f]+", "", named) if " at 0x" in named else None


@pytest.fixture
def patches() -> LabelledImages:
    """Sixty images of three classes that a small network tells apart, mostly."""
    return make_patches()


@pytest.fixture
def more_patches() -> LabelledImages:
    """Thirty other images of the same three classes, and noisier."""
    return make_patches(30, noise=0.8, seed=1)


@pytest.fixture
def network() -> nn.Sequential:
    """A multilayer perceptron for the patches."""
    return mlp(3, inputs=36, hidden=(8,), seed=0)


class Lookup(nn.Module):
    """A classifier whose logits are written in the images: class k's is the pixel (0, 0, k)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, images: Tensor) -> Tensor:
        return images[:, 0, 0, : self.width]


@pytest.fixture
def lookup() -> type[Lookup]:
    """The classifier that says what the test wrote into the images."""
    return Lookup


class Snapshot:
    """What a call must leave as it was: weights, modes, gradients' switches, data, randomness."""

    def __init__(self, model: nn.Module, *data: LabelledImages) -> None:
        self.model, self.data = model, data
        self.state = {name: value.clone() for name, value in model.state_dict().items()}
        self.modes = [module.training for module in model.modules()]
        self.trainable = [parameter.requires_grad for parameter in model.parameters()]
        self.tensors = [(part.images.clone(), part.labels.clone()) for part in data]
        self.randomness = self._randomness()

    @staticmethod
    def _randomness() -> tuple[object, ...]:
        return torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()

    def check(self, *, weights: bool = True) -> None:
        """Fail unless everything is as it was; the weights may be let off."""
        for name, value in self.model.state_dict().items():
            assert value.device == self.state[name].device
            assert not weights or torch.equal(value, self.state[name]), f"{name} changed"
        assert [module.training for module in self.model.modules()] == self.modes
        assert [p.requires_grad for p in self.model.parameters()] == self.trainable
        for part, (images, labels) in zip(self.data, self.tensors, strict=True):
            assert torch.equal(part.images, images)
            assert torch.equal(part.labels, labels)
        assert self._randomness() == self.randomness


@pytest.fixture
def snapshot() -> type[Snapshot]:
    """Takes the state of a model and of data, and later checks that it is the same."""
    return Snapshot
