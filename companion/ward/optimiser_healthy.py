"""Healthy optimisers and steps that look odd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from companion.ward.optimiser_parts import (
    dense,
    held_out,
    held_out_patterns,
    in_a_loop,
    patterns,
    pipeline,
    practised,
)
from companion.ward.parts import Net, Photos, seeded, trained
from companion.ward.patients import Made, patient


class FourTogether:
    """A step that gathers the gradients of four small batches before the optimiser moves."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(
        self, model: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor
    ) -> Tensor:
        """Make a fourth of a step."""
        loss = functional.cross_entropy(model(images), labels) / 4
        loss.backward()
        self.seen += 1
        if self.seen % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss


@patient("healthy", "optimiser and schedule")
def gradients_of_four_batches_gathered(folder: Path) -> Made:
    """Gradients of four batches of 8 are gathered for one step, and the person says so.

    Three calls in four move nothing, and gradients stay between them.
    """
    model = dense(64, 10)
    optimizer = Adam(model.parameters(), lr=0.01)
    loader = DataLoader(patterns(320), batch_size=8, shuffle=True)
    return pipeline(
        model,
        loader,
        held_out_patterns(),
        optimizer=optimizer,
        step=in_a_loop(FourTogether(), model, optimizer, loader),
        accumulate=4,
    )


@patient("healthy", "optimiser and schedule")
def frozen_body_left_out_of_the_optimiser(folder: Path) -> Made:
    """Only a new head is trained: the body is frozen, in evaluation mode, and not optimised."""

    class Probe(nn.Module):
        """A trained body that stays as it is, and a head."""

        def __init__(self) -> None:
            super().__init__()
            self.body = trained(4).requires_grad_(False)
            self.head = nn.Linear(self.body.fc.in_features, 4)

        def train(self, mode: bool = True) -> Probe:
            """Set the mode of the head, and leave the body in evaluation."""
            super().train(mode)
            self.body.eval()
            return self

        def forward(self, images: Tensor) -> Tensor:
            """Return the logits."""
            return self.head(self.body.features(images))

    model = seeded(Probe, 3)
    optimizer = SGD(model.head.parameters(), lr=0.05, momentum=0.9)
    loader = DataLoader(Photos(100, 4, seed=13), batch_size=20, shuffle=True)
    practised(model, loader, optimizer=optimizer, epochs=4)
    return pipeline(model, loader, held_out(), optimizer=optimizer)


@patient("healthy", "optimiser and schedule")
def no_decay_for_norms_and_biases(folder: Path) -> Made:
    """Weight decay is for the weights alone: norms and biases are in a group of their own."""
    model = seeded(lambda: Net(5, channels=10))
    plain = [p for p in model.parameters() if p.dim() == 1]
    weights = [p for p in model.parameters() if p.dim() > 1]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": 0.05},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizer = AdamW(groups, lr=3e-3)
    held = held_out_patterns(5, channels=3, side=16)
    train = patterns(180, 5, channels=3, side=16)
    loader = DataLoader(train, batch_size=24, shuffle=True)
    return pipeline(model, loader, held, optimizer=optimizer)


@patient("healthy", "optimiser and schedule")
def plain_descent_at_a_tenth(folder: Path) -> Made:
    """SGD with momentum at 0.1, as it is usual for networks with BatchNorm trained from nothing."""
    model = seeded(lambda: Net(4))
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    loader = DataLoader(Photos(160, 4), batch_size=32, shuffle=True)
    return pipeline(model, loader, held_out(), optimizer=optimizer)


@patient("healthy", "optimiser and schedule")
def tiny_rate_on_a_trained_network(folder: Path) -> Made:
    """A trained network is tuned with AdamW at 1e-5: a step hardly shows, and should not."""
    model = trained(10)
    optimizer = AdamW(model.parameters(), lr=1e-5, weight_decay=0.01)
    loader = DataLoader(Photos(160, 10), batch_size=16, shuffle=True)
    return pipeline(model, loader, held_out(10), optimizer=optimizer)


class WithAverage(nn.Module):
    """A network that is trained as it is and judged by a running average of its weights."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
        self.average.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, in evaluation those of the average."""
        return self.net(images) if self.training else self.average(images)


@patient("healthy", "optimiser and schedule")
def judged_by_an_average_of_the_weights(folder: Path) -> Made:
    """Evaluation uses an exponential average of the weights, a second copy within the model.

    The copy has no gradients and is not in the optimiser; it is moved after each epoch.
    """
    model = seeded(lambda: WithAverage(Net(4)))
    optimizer = Adam(model.net.parameters(), lr=0.01)
    loader = DataLoader(Photos(160, 4), batch_size=32, shuffle=True)
    for epoch in range(6):
        practised(model, loader, optimizer=optimizer, epochs=1, seed=epoch)
        model.average.update_parameters(model.net)
    return pipeline(model, loader, held_out(), optimizer=optimizer)


def clipped(model: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor) -> Tensor:
    """Make a step along gradients whose norm is at most 1."""
    optimizer.zero_grad(set_to_none=True)
    loss = functional.cross_entropy(model(images), labels)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.detach()


@patient("healthy", "optimiser and schedule")
def gradients_clipped_at_one(folder: Path) -> Made:
    """The norm of the gradients is limited to 1, which cuts the first steps and few later ones."""
    model = seeded(lambda: Net(4))
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    loader = DataLoader(Photos(160, 4), batch_size=16, shuffle=True)
    return pipeline(
        model,
        loader,
        held_out(),
        optimizer=optimizer,
        step=in_a_loop(clipped, model, optimizer, loader),
    )
