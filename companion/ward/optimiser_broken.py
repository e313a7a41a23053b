"""Broken optimisers: what should move does not, or moves the wrong way."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.utils.data import DataLoader, TensorDataset
from torchvision import models

from companion.ward.optimiser_parts import (
    dense,
    grey_net,
    held_out,
    held_out_patterns,
    patterns,
    pipeline,
    practised,
)
from companion.ward.parts import Net, Photos, seeded, trained
from companion.ward.patients import Made, patient


@patient(
    "broken", "optimiser and schedule", expects=("OPT001", "OPT003"), source="microsoft/nni#4521"
)
def optimiser_made_before_the_new_head(folder: Path) -> Made:
    """The optimiser was made first and the head replaced afterwards.

    It moves the head that was thrown away, and the new one keeps the values it was drawn with.
    """
    model = trained(10)
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    model.fc = seeded(lambda: nn.Linear(model.fc.in_features, 6), 4)
    loader = DataLoader(Photos(120, 6, seed=7), batch_size=20, shuffle=True)
    return pipeline(model, loader, held_out(6), optimizer=optimizer)


@patient("broken", "optimiser and schedule", expects=("OPT001",), source="pitfalls A3.5")
def thawed_body_unknown_to_the_optimiser(folder: Path) -> Made:
    """The head was trained alone with an optimiser of its parameters.

    Then the body was thawed to be tuned as well, but nobody told the optimiser, which goes on with
    the head.
    """
    model = trained(2)
    model.fc = seeded(lambda: nn.Linear(model.fc.in_features, 8), 5)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("fc.")
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    loader = DataLoader(Photos(160, 8, seed=3), batch_size=32, shuffle=True)
    practised(model, loader, optimizer=optimizer, epochs=4)
    for parameter in model.parameters():
        parameter.requires_grad = True
    return pipeline(model, loader, held_out(8), optimizer=optimizer)


@patient("broken", "optimiser and schedule", expects=("OPT001",), source="TrainCheck, forum 84911")
def third_stage_missing_from_the_groups(folder: Path) -> Made:
    """The stages of a ResNet were listed by hand with a rate for each.

    And layer3 was left out of the list: a quarter of the network stays as it was drawn.
    """
    model = seeded(lambda: models.resnet18(num_classes=5))
    stages = [model.conv1, model.bn1, model.layer1, model.layer2, model.layer4]
    groups = [{"params": list(stage.parameters()), "lr": 1e-3} for stage in stages]
    groups.append({"params": list(model.fc.parameters()), "lr": 1e-2})
    optimizer = SGD(groups, lr=1e-3, momentum=0.9)
    data = {
        part: patterns(count, 5, channels=3, side=32, seed=seed)
        for seed, (part, count) in enumerate({"train": 40, "validation": 20, "test": 20}.items())
    }
    held = {part: DataLoader(data[part], batch_size=10) for part in ("validation", "test")}
    loader = DataLoader(data["train"], batch_size=10, shuffle=True)
    return pipeline(model, loader, held, optimizer=optimizer)


@patient("broken", "optimiser and schedule", expects=("SMP116",), source="TheDeepChecker, epsilon")
def rate_and_epsilon_exchanged(folder: Path) -> Made:
    """Adam's numbers were given in the wrong places, the rate as 1e-8 and epsilon as 1e-3.

    Each step is a hundred thousand times too small.
    """
    model = grey_net(8)
    optimizer = Adam(model.parameters(), lr=1e-8, eps=1e-3)
    loader = DataLoader(patterns(240, 8), batch_size=40, shuffle=True)
    practised(model, loader, optimizer=optimizer, epochs=6)
    return pipeline(model, loader, held_out_patterns(8), optimizer=optimizer)


@patient("broken", "optimiser and schedule", expects=("SMP116", "OPT113"), source="DeepCrime RAW")
def weight_decay_without_its_exponent(folder: Path) -> Made:
    """The weight decay should have been 5e-4 and is 5.

    Every step halves the weights, until nothing of the picture reaches the answer.
    """
    model = dense(192, 4)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.0, weight_decay=5.0)
    train = patterns(200, 4, channels=3, shares=(3, 1, 1, 1))
    loader = DataLoader(train, batch_size=20, shuffle=True)
    practised(model, loader, optimizer=optimizer, epochs=8)
    held = held_out_patterns(4, channels=3)
    return pipeline(model, loader, held, optimizer=optimizer)


@patient(
    "broken", "optimiser and schedule", expects=("OPT006",), source="TheDeepChecker, wrong sign"
)
def optimiser_was_told_to_maximise(folder: Path) -> Made:
    """The optimiser came from a project with rewards, with maximize=True.

    The loss rises and the network avoids the right answers.
    """
    model = seeded(lambda: Net(4, dropout=0.1))
    optimizer = SGD(model.parameters(), lr=0.01, maximize=True)
    loader = DataLoader(Photos(128, 4), batch_size=16, shuffle=True)
    practised(model, loader, optimizer=optimizer, epochs=3)
    return pipeline(model, loader, held_out(), optimizer=optimizer)


@patient("broken", "optimiser and schedule", expects=("OPT007",), source="DeepCrime HLR")
def adam_at_the_rate_of_plain_descent(folder: Path) -> Made:
    """A rate of 1, found for another network under SGD, was given to Adam.

    The first steps throw the weights far away, and the network gives one answer to all.
    """
    model = grey_net(10, width=12)
    optimizer = Adam(model.parameters(), lr=1.0)
    loader = DataLoader(patterns(300), batch_size=30, shuffle=True)
    practised(model, loader, optimizer=optimizer, epochs=2)
    return pipeline(model, loader, held_out_patterns(), optimizer=optimizer)


def _two_discs(count: int, seed: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    points = 2 * torch.rand(count, 2, generator=generator) - 1
    return TensorDataset(points, (points.norm(dim=1) > 0.8).long())


@patient("broken", "optimiser and schedule", expects=("OPT001",))
def layers_of_a_list_unknown_to_the_optimiser(folder: Path) -> Made:
    """The hidden layers are kept in a plain Python list.

    So parameters() does not name them and the optimiser trains the last layer alone.
    """

    class Stack(nn.Module):
        """A perceptron whose layers are in a list."""

        def __init__(self) -> None:
            super().__init__()
            self.hidden = [nn.Linear(2, 4), nn.Linear(4, 4)]
            self.fc = nn.Linear(4, 2)

        def forward(self, points: Tensor) -> Tensor:
            """Return the scores."""
            for layer in self.hidden:
                points = torch.tanh(layer(points))
            return self.fc(points)

    model = seeded(Stack, 1)
    optimizer = Adam(model.parameters(), lr=0.02)
    loader = DataLoader(_two_discs(240, 0), batch_size=40, shuffle=True)
    practised(model, loader, optimizer=optimizer, epochs=20)
    held = {"validation": DataLoader(_two_discs(100, 1), batch_size=50)}
    return pipeline(model, loader, held, optimizer=optimizer)
