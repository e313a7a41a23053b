from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from companion.training.recipes import OPTIMIZERS, optimizer_factory
from companion.training.schedules import (
    SCHEDULES,
    Schedule,
    cosine,
    one_cycle,
)


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)


def rates(scheduler: LRScheduler, steps: int) -> list[float]:
    """The rates of the first `steps` steps."""
    found = []
    for _ in range(steps):
        found.append(float(scheduler.get_last_lr()[0]))
        scheduler.optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("total", [1, 7, 40])
def test_cosine_is_that_of_pytorch(total: int) -> None:
    ours = LambdaLR(optimizer(), lambda step: cosine(step, total))
    assert rates(ours, total) == pytest.approx(
        rates(CosineAnnealingLR(optimizer(), T_max=total), total)
    )


@pytest.mark.parametrize(("total", "rising"), [(10, 3), (100, 30), (37, 11)])
def test_one_cycle_rises_in_a_line_and_falls_along_pytorchs_cosine(total: int, rising: int) -> None:
    ours = rates(LambdaLR(optimizer(), lambda step: one_cycle(step, total)), total)
    steps = [later - earlier for earlier, later in pairwise(ours)]
    assert steps[:rising] == pytest.approx([ours[0]] * rising)
    assert ours[rising] == max(ours) == 0.5
    falling = CosineAnnealingLR(optimizer(), T_max=total - rising)
    assert ours[rising:] == pytest.approx(rates(falling, total - rising))


@pytest.mark.parametrize("total", [1, 2, 3, 10, 333])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_every_schedule_stays_between_nothing_and_the_rate(schedule: Schedule, total: int) -> None:
    factors = [schedule(step, total) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)


@pytest.mark.parametrize("schedule", [cosine, one_cycle], ids=["cosine", "one-cycle"])
def test_a_falling_schedule_ends_at_nothing(schedule: Schedule) -> None:
    assert [schedule(total, total) for total in (2, 3, 10, 333)] == pytest.approx([0, 0, 0, 0])


def test_one_cycle_takes_another_warm_up() -> None:
    factors = [one_cycle(step, 10, warm_up=0.5) for step in range(11)]
    assert factors.index(1.0) == 5
    assert factors[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("sgd", torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}),
        ("adam", torch.optim.Adam, {"betas": (0.9, 0.999), "weight_decay": 0}),
        ("adamw", torch.optim.AdamW, {"betas": (0.9, 0.999), "weight_decay": 0.01}),
    ],
)
def test_optimizers_are_pytorchs(
    name: str, kind: type[torch.optim.Optimizer], settings: dict[str, object]
) -> None:
    built = optimizer_factory(name)([torch.nn.Parameter(torch.zeros(1))], 0.25)
    assert type(built) is kind
    group = built.param_groups[0]
    assert {key: group[key] for key in settings} == settings
    assert group["lr"] == 0.25


def test_functions_are_taken_as_they_are() -> None:
    assert optimizer_factory(OPTIMIZERS["sgd"]) is OPTIMIZERS["sgd"]
