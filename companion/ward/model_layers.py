"""Broken: layers that are missing, twins, hidden, never switched off, or tied to their batch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from companion.ward.model_parts import adam, batches, fitted, handed, parts_of, patterns, perceptron
from companion.ward.parts import Net, Photos, loaders, pictures, seeded
from companion.ward.patients import Made, patient


def _patterns(classes: int, *, negatives: bool = False) -> list[DataLoader]:
    parts = []
    for seed, count in enumerate((400, 100, 200)):
        images, labels = patterns(count, classes, seed=seed)
        if negatives:
            images[::2] = 1 - images[::2]
        parts.append(batches(images, labels, batch=40, shuffle=not seed))
    return parts


@patient("broken", "model and head", source="DeepCrime ARM, UMLAUT")
def linear_layers_without_activations(folder: Path) -> Made:
    """Three linear layers follow each other, and nobody wrote the activations between them.

    Together they are one linear layer, which cannot know a pattern and its negative.
    """
    parts = _patterns(10, negatives=True)
    model = seeded(
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(256, 128), nn.Linear(128, 64), nn.Linear(64, 10)
        )
    )
    return handed(fitted(model, parts[0], adam(model, 0.003), epochs=6), parts)


@patient("broken", "model and head", source="DeepCrime WCI, TheDeepChecker")
def weights_set_to_one_constant(folder: Path) -> Made:
    """All weights begin at the same number, to make runs comparable.

    The units of a layer stay twins for ever, and the network is as good as one unit wide.
    """
    parts = _patterns(8)
    model = perceptron(8)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.02)
    return handed(fitted(model, parts[0], adam(model, 0.003), epochs=6), parts)


class Listed(nn.Module):
    """A network that keeps its blocks in a list."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.blocks = [
            nn.Conv2d(entered, left, 3, stride=2, padding=1)
            for entered, left in ((3, 6), (6, 12), (12, 12))
        ]
        self.head = nn.Linear(48, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        for block in self.blocks:
            images = torch.relu(block(images))
        return self.head(images.flatten(1))


@patient("broken", "model and head", source="TrainCheck, a list in place of ModuleList")
def blocks_in_a_python_list(folder: Path) -> Made:
    """The blocks are in a plain list, so the network does not know that they are its own.

    No optimiser moves them and no checkpoint holds them: only the head has learnt.
    """
    parts = loaders(5)
    model = seeded(lambda: Listed(5))
    return handed(fitted(model, parts[0], epochs=8), parts)


class Forgetful(Net):
    """A network that drops features through the function."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.fc(functional.dropout(self.features(images), 0.7))


@patient("broken", "model and head", source="TrainCheck, transformers 33844")
def dropout_is_never_switched_off(folder: Path) -> Made:
    """Dropout is called as a function that is never told when training is over.

    In evaluation seven features in ten are still dropped, and each pass answers differently.
    """
    parts = loaders(10, batch=20)
    model = seeded(lambda: Forgetful(10, channels=6))
    return handed(fitted(model, parts[0], epochs=6), parts)


class AcrossTheBatch(Net):
    """A network that means to scale the features of each picture."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return 20 * self.fc(functional.normalize(self.features(images), dim=0))


@patient("broken", "model and head", source="TheDeepChecker (batch independence)")
def features_normalised_over_the_batch(folder: Path) -> Made:
    """The features are scaled to length one along the wrong axis, over the batch.

    An answer depends on who else is in the batch, and alone a picture is often taken for another.
    """
    parts = loaders(6)
    model = seeded(lambda: AcrossTheBatch(6))
    return handed(fitted(model, parts[0], epochs=6), parts)


class OneNorm(Net):
    """A network in which both convolutions are followed by the same BatchNorm."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.conv2 = nn.Conv2d(12, 12, 3, padding=1, stride=2)
        self.bn2 = self.bn1
        self.fc = nn.Linear(192, classes)


@patient("broken", "model and head", source="torch-audit")
def one_batchnorm_for_two_layers(folder: Path) -> Made:
    """One BatchNorm is used after two layers whose outputs are not alike.

    Its running statistics are of neither: in evaluation the model is much worse than in training.
    """
    parts = parts_of(lambda count, seed: Photos(count, 5, seed=seed, noise=0.2))
    model = seeded(lambda: OneNorm(5))
    return handed(fitted(model, parts[0], epochs=6), parts)


@patient("broken", "model and head", source="pytorch/pytorch#66073, Keras' convention")
def batchnorm_momentum_as_in_keras(folder: Path) -> Made:
    """The momentum of BatchNorm is 0.99, as in Keras, where it means the share that is kept.

    Here it is the share that is replaced: evaluation uses the statistics of the last few rows.
    """
    parts = loaders(6, batch=8, counts=(162, 80, 120))
    model = seeded(
        lambda: nn.Sequential(
            nn.Flatten(),
            nn.Linear(768, 64, bias=False),
            nn.BatchNorm1d(64, momentum=0.99),
            nn.ReLU(),
            nn.Linear(64, 6),
        )
    )
    return handed(fitted(model, parts[0], adam(model, 0.003), epochs=6), parts)


class Decibels(Net):
    """A network that looks at the logarithm of the pixels."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        loud = images.log()
        return self.fc(self.features(loud - loud.mean((1, 2, 3), keepdim=True)))


@patient("broken", "model and head", source="TheDeepChecker, pitfalls A2.6")
def black_border_under_a_logarithm(folder: Path) -> Made:
    """The network takes the logarithm of pixels, and training pictures are nowhere quite black.

    Pictures from another camera have a black border: infinity and then no number at all.
    """
    parts = []
    for seed, count in enumerate((160, 80, 120)):
        images, labels = pictures(count, 3, seed=seed)
        images = images.clamp(min=0.05)
        if seed:
            images[::2, :, :1] = 0
        parts.append(batches(images, labels, shuffle=not seed))
    return handed(fitted(seeded(lambda: Decibels(3)), parts[0], epochs=5), parts)
