"""Broken steps: the calls are all there, and in the wrong order or number."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader

from companion.ward.optimiser_parts import (
    dense,
    grey_net,
    held_out,
    held_out_patterns,
    in_a_loop,
    patterns,
    pipeline,
)
from companion.ward.parts import Net, Photos, seeded
from companion.ward.patients import Made, patient


def step_without_zero_grad(
    model: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor
) -> Tensor:
    """Make a step with the gradients of all batches so far."""
    loss = functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss


@patient(
    "broken",
    "optimiser and schedule",
    expects=("OPT112",),
    source="TrainCheck, stackoverflow 60335387",
)
def gradients_are_never_zeroed(folder: Path) -> Made:
    """The loop has no zero_grad.

    Each step goes along the sum of all gradients since the start, and training swings ever wider.
    """
    model = dense(64, 10)
    optimizer = SGD(model.parameters(), lr=0.2)
    loader = DataLoader(patterns(300), batch_size=15, shuffle=True)

    def run() -> None:
        for _ in range(5):
            for images, labels in loader:
                step_without_zero_grad(model, optimizer, images, labels)

    seeded(run)
    model.zero_grad()
    held = held_out_patterns()
    return pipeline(
        model,
        loader,
        held,
        optimizer=optimizer,
        step=in_a_loop(step_without_zero_grad, model, optimizer, loader),
    )


def step_zeroed_too_late(
    model: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor
) -> Tensor:
    """Make a step with gradients that were just taken away."""
    loss = functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss


@patient(
    "broken",
    "optimiser and schedule",
    expects=("OPT112",),
    source="Humbatova 2020, wrong use of the API",
)
def gradients_zeroed_before_the_step(folder: Path) -> Made:
    """When the loop was tidied up, zero_grad came between backward and step.

    No step has a gradient, and the network stays as it was.
    """
    model = seeded(lambda: Net(3))
    loader = DataLoader(Photos(90, 3), batch_size=18, shuffle=True)
    optimizer = SGD(model.parameters(), lr=0.05)
    return pipeline(
        model,
        loader,
        held_out(3),
        optimizer=optimizer,
        step=in_a_loop(step_zeroed_too_late, model, optimizer, loader),
    )


def step_clipped_to_nothing(
    model: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor
) -> Tensor:
    """Make a step along gradients whose norm is cut to a millionth."""
    optimizer.zero_grad()
    loss = functional.cross_entropy(model(images), labels)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1e-6)
    optimizer.step()
    return loss


@patient("broken", "optimiser and schedule", source="DeepCrime OCG")
def gradients_clipped_to_a_millionth(folder: Path) -> Made:
    """The limit of the gradient's norm was mixed up with a tolerance, 1e-6.

    With SGD, every step is too short to change an answer.
    """
    model = grey_net(10)
    loader = DataLoader(patterns(200), batch_size=20, shuffle=True)
    optimizer = SGD(model.parameters(), lr=0.1)
    held = held_out_patterns()
    return pipeline(
        model,
        loader,
        held,
        optimizer=optimizer,
        step=in_a_loop(step_clipped_to_nothing, model, optimizer, loader),
    )


class EveryFourth:
    """A step that was to gather four batches, and forgets three of them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(
        self, model: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor
    ) -> Tensor:
        """Make a fourth of a step."""
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images), labels) / 4
        loss.backward()
        self.made += 1
        if self.made % 4 == 0:
            optimizer.step()
        return loss


@patient("broken", "optimiser and schedule", expects=("OPT112",))
def accumulation_forgets_three_of_four(folder: Path) -> Made:
    """The optimiser steps after every fourth batch, but zero_grad comes with each batch.

    Three batches in four are computed for nothing, and the fourth counts for a quarter.
    """
    model = seeded(lambda: Net(4))
    loader = DataLoader(Photos(160, 4), batch_size=8, shuffle=True)
    optimizer = SGD(model.parameters(), lr=0.05)
    held = held_out()
    return pipeline(
        model,
        loader,
        held,
        optimizer=optimizer,
        step=in_a_loop(EveryFourth(), model, optimizer, loader),
        accumulate=4,
    )
