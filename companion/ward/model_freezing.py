"""Broken: what was to stay moves, and what was to move stays."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from companion.ward.model_parts import adam, batches, fitted, handed, parts_of
from companion.ward.parts import Net, Photos, loaders, pictures, seeded, trained
from companion.ward.patients import Made, patient


def with_new_head(classes: int, seed: int = 4) -> Net:
    """Return a network that learnt four classes, with a new head for others.

    >>> with_new_head(6).fc.out_features
    6
    """
    model = trained(4)
    model.fc = seeded(lambda: nn.Linear(384, classes), seed)
    return model


@patient("broken", "model and head", source="CSCYQJ/MICCAI23-ProtoContra-SFDA#18")
def requires_grad_set_on_modules(folder: Path) -> Made:
    """All layers but the head are to be frozen, by setting `requires_grad` on the modules.

    Modules have no such switch: the whole network is trained on 16 pictures at a high rate.
    """
    model = with_new_head(4)
    for name, child in model.named_children():
        if name != "fc":
            child.requires_grad = False  # type: ignore[assignment]
    parts = loaders(4, batch=4, counts=(16, 40, 120))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    return handed(fitted(model, parts[0], optimizer, epochs=8), parts, optimizer=optimizer)


@patient("broken", "model and head", source="pitfalls A3.3")
def head_thawed_by_an_attribute(folder: Path) -> Made:
    """Everything is frozen, the last block thawed, and the new head too, it is thought.

    `model.fc.requires_grad = True` thaws nothing, so the head stays as it was drawn.
    """
    model = with_new_head(6)
    for parameter in model.parameters():
        parameter.requires_grad = False
    for parameter in model.bn2.parameters():
        parameter.requires_grad = True
    model.fc.requires_grad = True  # type: ignore[assignment]
    parts = loaders(6)
    optimizer = adam(model, 0.001)
    return handed(fitted(model, parts[0], optimizer, epochs=3), parts, optimizer=optimizer)


@patient("broken", "model and head", source="TrainCheck, forum 84911")
def only_batchnorm_left_to_train(folder: Path) -> Made:
    """All but the normalising layers were frozen after the head was replaced, the head with them.

    Small pictures are blown up for the network, and its new head is never trained.
    """
    model = seeded(lambda: models.mobilenet_v3_small(num_classes=10))
    for module in model.modules():
        if not isinstance(module, nn.BatchNorm2d):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad = False
    parts = []
    for seed, count in enumerate((80, 40, 40)):
        images, labels = pictures(count, 10, seed=seed)
        large = nn.functional.interpolate(images, size=(40, 40), mode="bilinear")
        parts.append(batches(large, labels, batch=20, shuffle=not seed))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return handed(fitted(model, parts[0], optimizer, epochs=1), parts, optimizer=optimizer)


class Negatives(Photos):
    """Negatives of pictures: dark on bright."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count, 5, seed=seed, transform=lambda image: 1 - image)


@patient("broken", "model and head", source="chemprop/chemprop#952")
def frozen_body_with_live_batchnorm(folder: Path) -> Made:
    """The body is frozen by its parameters, and `model.train()` keeps its BatchNorm running.

    Its statistics follow the negatives that are new, and the old head, which is kept elsewhere and
    shares this body, is no longer right about the old ones.
    """
    model = with_new_head(5)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("fc")
    parts = parts_of(Negatives, batch=20)
    optimizer = adam(model, 0.003)
    return handed(fitted(model, parts[0], optimizer, epochs=6), parts, optimizer=optimizer)


class Detached(Net):
    """A network whose features are computed without gradients, as in a feature extractor."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, from features that no gradient reaches."""
        with torch.no_grad():
            found = self.features(images)
        return self.fc(found)


@patient("broken", "model and head", source="TrainCheck (gradient cut), pitfalls A3.5")
def features_taken_without_gradients(folder: Path) -> Made:
    """A forward pass written for a pretrained body is used to train one from nothing.

    No gradient reaches the body, and all of it stays as it was drawn.
    """
    parts = loaders(8, batch=40)
    model = seeded(lambda: Detached(8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    return handed(fitted(model, parts[0], optimizer, epochs=6), parts, optimizer=optimizer)
