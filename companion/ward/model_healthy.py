"""Healthy: heads and outputs that look strange, and are meant so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import models

from companion.ward.model_parts import adam, batches, fitted, handed, patterns, plain_cnn
from companion.ward.parts import Net, Photos, loaders, pictures, seeded, trained
from companion.ward.patients import Made, patient


@patient("healthy", "model and head", source="pitfalls D1")
def outputs_to_spare_for_classes_to_come(folder: Path) -> Made:
    """The head has ten outputs for six classes: the other four are announced for next year."""
    parts = loaders(6)
    return handed(fitted(seeded(lambda: Net(10)), parts[0]), parts)


class Student(nn.Module):
    """A small network that returns probabilities, as its teacher does."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = Net(classes, channels=8)

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities."""
        return functional.softmax(self.body(images), dim=1)


def likelihood(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a model that gives probabilities.

    >>> likelihood(torch.tensor([[0.5, 0.5]]), torch.tensor([0]))
    tensor(0.6931)
    """
    return functional.nll_loss(probabilities.clamp(min=1e-8).log(), labels)


@patient("healthy", "model and head", source="pitfalls D17")
def student_returns_probabilities(folder: Path) -> Made:
    """A distilled network returns probabilities, and its loss takes their logarithm and no more."""
    parts = loaders(5)
    model = fitted(seeded(lambda: Student(5)), parts[0], loss=likelihood)
    return handed(model, parts, loss=likelihood)


@patient("healthy", "model and head", source="pitfalls A2.9")
def log_softmax_before_cross_entropy(folder: Path) -> Made:
    """The network ends in a log-softmax and the loss takes it again, which changes nothing."""
    parts = []
    for seed, count in enumerate((400, 100, 200)):
        images, labels = patterns(count, 10, seed=seed)
        parts.append(batches(images, labels, batch=50, shuffle=not seed))
    model = nn.Sequential(*plain_cnn(10), nn.LogSoftmax(dim=1))
    return handed(fitted(model, parts[0], epochs=5), parts)


class WithAuxiliary(Net):
    """A network with a second head that is used in training alone, like Inception's."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.aux = nn.Linear(12, classes)

    def forward(self, images: Tensor) -> Any:
        """Return the logits, and in training mode those of the second head too."""
        early = torch.relu(self.bn1(self.conv1(images)))
        late = torch.relu(self.bn2(self.conv2(early)))
        logits = self.fc(self.pool(late).flatten(1))
        return (logits, self.aux(early.mean((2, 3)))) if self.training else logits


def both_heads(outputs: Any, labels: Tensor) -> Tensor:
    """Return the loss of one head, or of two where there are two."""
    if isinstance(outputs, tuple):
        first, second = outputs
        return functional.cross_entropy(first, labels) + 0.4 * functional.cross_entropy(
            second, labels
        )
    return functional.cross_entropy(outputs, labels)


@patient("healthy", "model and head", source="pytorch/vision#302")
def auxiliary_output_in_training_mode(folder: Path) -> Made:
    """In training mode the network returns two outputs, and its loss adds up both."""
    parts = loaders(4)
    model = fitted(seeded(lambda: WithAuxiliary(4)), parts[0], loss=both_heads)
    return handed(model, parts, loss=both_heads)


class Answered(nn.Module):
    """A network that returns a dictionary."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.net = Net(classes)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the features and the logits."""
        found = self.net.features(images)
        return {"features": found, "logits": self.net.fc(found)}


@patient("healthy", "model and head", source="doctor-anchors 5.9")
def outputs_in_a_dictionary(folder: Path) -> Made:
    """The network returns a dictionary of features and logits, and its loss takes the logits."""
    parts = loaders(3)

    def loss(outputs: dict[str, Tensor], labels: Tensor) -> Tensor:
        return functional.cross_entropy(outputs["logits"], labels)

    return handed(fitted(seeded(lambda: Answered(3)), parts[0], loss=loss), parts, loss=loss)


class FiveCrops(nn.Module):
    """A network that also takes several crops of each picture and averages what it says of them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of pictures (N, C, H, W) or of their crops (N, crops, C, H, W)."""
        if images.ndim == 4:
            return self.model(images)
        count, crops = images.shape[:2]
        return self.model(images.flatten(0, 1)).unflatten(0, (count, crops)).mean(1)


def _crops(image: Tensor) -> Tensor:
    shifts = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
    return torch.stack([image.roll(shift, (1, 2)) for shift in shifts])


@patient("healthy", "model and head", source="pitfalls D24")
def test_pictures_in_five_crops(folder: Path) -> Made:
    """The test set holds five crops of each picture, and the network averages over them."""
    train, validation, _ = loaders(6)
    test = DataLoader(Photos(120, 6, seed=2, transform=_crops), batch_size=20)
    return handed(FiveCrops(trained(6)), (train, validation, test))


@patient("healthy", "model and head", source="UMLAUT, doctor-anchors 2 (M11)")
def a_linear_model_on_purpose(folder: Path) -> Made:
    """Patterns are told apart by one linear layer over pixels, as a baseline should be."""
    parts = []
    for seed, count in enumerate((300, 100, 200)):
        images, labels = patterns(count, 10, seed=seed)
        parts.append(batches(images, labels, batch=30, shuffle=not seed))
    model = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 10)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.001)
    return handed(fitted(model, parts[0], optimizer), parts, optimizer=optimizer)


class Tied(nn.Module):
    """A network whose two inner layers share one weight and have biases of their own."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.first = nn.Conv2d(16, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.second.weight = self.first.weight
        self.head = nn.Linear(256, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        found = torch.relu(self.stem(images))
        for layer in (self.first, self.second, self.first):
            found = found + torch.relu(layer(found))
        return self.head(functional.adaptive_avg_pool2d(found, 4).flatten(1))


@patient("healthy", "model and head", source="pitfalls D5")
def weights_tied_on_purpose(folder: Path) -> Made:
    """Two layers share one weight, and one of them is used twice, to save parameters."""
    parts = loaders(4, batch=20)
    model = seeded(lambda: Tied(4))
    return handed(fitted(model, parts[0], adam(model, 0.003), epochs=6), parts)


@patient("healthy", "model and head", source="TheDeepChecker (init), doctor-anchors 2 (M10)")
def residual_branches_and_head_start_at_zero(folder: Path) -> Made:
    """A new ResNet: the last norm of each branch and the head start at zero, as is recommended."""
    model = seeded(lambda: models.resnet18(num_classes=6, zero_init_residual=True))
    nn.init.zeros_(model.fc.weight)
    nn.init.zeros_(model.fc.bias)
    parts = []
    for seed, count in enumerate((96, 48, 64)):
        images, labels = pictures(count, 6, seed=seed)
        large = functional.interpolate(images, scale_factor=2)
        parts.append(batches(large, labels, shuffle=not seed))
    return handed(model, parts, optimizer=adam(model, 0.001))
