"""The ward's broken optimisers and schedules: the fault is there, and it costs something."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

from companion.ward import optimiser_broken, optimiser_schedules, optimiser_steps
from companion.ward.optimiser_parts import dense, grey_net, practised, share_right
from companion.ward.parts import Net, seeded


def gap(made: dict[str, Any], twin: nn.Module, part: str = "test") -> float:
    """Return by how much a model without the fault is better."""
    return share_right(twin, made[part]) - share_right(made["model"], made[part])


def held_by(made: dict[str, Any]) -> set[int]:
    """Return the parameters that an optimiser moves."""
    return {id(p) for group in made["optimizer"].param_groups for p in group["params"]}


def rates(made: dict[str, Any]) -> list[list[float]]:
    """Return the rate of each group at each step of a training."""
    found = []
    for _ in range(made["total_steps"]):
        found.append([group["lr"] for group in made["optimizer"].param_groups])
        made["optimizer"].step()
        made["scheduler"].step()
    return [list(each) for each in zip(*found, strict=True)]


def as_made(made: dict[str, Any], epochs: int) -> nn.Module:
    """Train a patient with its own optimiser and schedule."""
    scheduler = made.get("scheduler")
    practised(
        made["model"],
        made["train"],
        optimizer=made["optimizer"],
        scheduler=scheduler,
        epochs=epochs,
    )
    return made["model"]


def test_optimiser_made_before_the_new_head(tmp_path: Path) -> None:
    made = optimiser_broken.optimiser_made_before_the_new_head(tmp_path)
    head = made["model"].fc.weight.detach().clone()
    assert not held_by(made) & {id(p) for p in made["model"].fc.parameters()}
    as_made(made, 4)
    assert torch.equal(head, made["model"].fc.weight)
    mended = optimiser_broken.optimiser_made_before_the_new_head(tmp_path)["model"]
    optimizer = SGD(mended.parameters(), lr=0.01, momentum=0.9)
    assert gap(made, practised(mended, made["train"], optimizer=optimizer, epochs=4)) > 0.08


def test_thawed_body_unknown_to_the_optimiser(tmp_path: Path) -> None:
    made, mended = (
        optimiser_broken.thawed_body_unknown_to_the_optimiser(tmp_path) for _ in range(2)
    )
    assert all(p.requires_grad for p in made["model"].parameters())
    assert held_by(made) == {id(p) for p in made["model"].fc.parameters()}
    as_made(made, 4)
    twin = practised(mended["model"], mended["train"], lr=3e-3, epochs=4)
    assert gap(made, twin) > 0.03


def test_third_stage_missing_from_the_groups(tmp_path: Path) -> None:
    made = optimiser_broken.third_stage_missing_from_the_groups(tmp_path)
    left_out = {n for n, p in made["model"].named_parameters() if id(p) not in held_by(made)}
    assert left_out
    assert {name.split(".")[0] for name in left_out} == {"layer3"}


@pytest.mark.parametrize(
    ("make", "twin", "lr"),
    [
        (optimiser_broken.rate_and_epsilon_exchanged, lambda: grey_net(8), 1e-3),
        (optimiser_broken.weight_decay_without_its_exponent, lambda: dense(192, 4), 1e-2),
        (optimiser_broken.optimiser_was_told_to_maximise, lambda: Net(4), 1e-2),
        (optimiser_broken.adam_at_the_rate_of_plain_descent, lambda: grey_net(10, width=12), 1e-2),
        (optimiser_steps.gradients_are_never_zeroed, lambda: dense(64, 10), 1e-2),
    ],
)
def test_training_came_to_nothing(
    make: Callable[[Path], Any], twin: Callable[[], nn.Module], lr: float, tmp_path: Path
) -> None:
    made = make(tmp_path)
    assert gap(made, practised(seeded(twin), made["train"], lr=lr, epochs=6)) > 0.3


def test_weights_shrink_and_plain_descent_would_do(tmp_path: Path) -> None:
    made = optimiser_broken.weight_decay_without_its_exponent(tmp_path)
    norms = [float(m[1].weight.detach().norm()) for m in (made["model"], dense(192, 4))]
    assert norms[0] < 0.3 * norms[1]
    never = optimiser_steps.gradients_are_never_zeroed(tmp_path)
    twin = dense(64, 10)
    optimizer = SGD(twin.parameters(), lr=0.2)
    assert gap(never, practised(twin, never["train"], optimizer=optimizer, epochs=5)) > 0.3


def test_layers_of_a_list_unknown_to_the_optimiser(tmp_path: Path) -> None:
    made, mended = (
        optimiser_broken.layers_of_a_list_unknown_to_the_optimiser(tmp_path) for _ in range(2)
    )
    assert len(list(made["model"].parameters())) == 2
    hidden = [p for layer in mended["model"].hidden for p in layer.parameters()]
    optimizer = Adam([*hidden, *mended["model"].parameters()], lr=0.02)
    twin = practised(mended["model"], mended["train"], optimizer=optimizer, epochs=20)
    assert gap(made, twin, "validation") > 0.1


@pytest.mark.parametrize(
    "make",
    [optimiser_steps.gradients_zeroed_before_the_step,
     optimiser_steps.gradients_clipped_to_a_millionth],
)  # fmt: skip
def test_an_epoch_of_steps_changes_nothing(make: Callable[[Path], Any], tmp_path: Path) -> None:
    made = make(tmp_path)
    before = [p.detach().clone() for p in made["model"].parameters()]
    made["model"].train()
    seeded(lambda: [made["step"]() for _ in made["train"]])
    now = list(made["model"].parameters())
    assert max(float((a - b).detach().norm()) for a, b in zip(now, before, strict=True)) < 1e-5


def test_accumulation_forgets_three_of_four(tmp_path: Path) -> None:
    made = optimiser_steps.accumulation_forgets_three_of_four(tmp_path)
    batches = seeded(lambda: [next(iter(made["train"])) for _ in range(4)])
    ends = []
    for given in (batches, [batches[3]] * 4):
        made = optimiser_steps.accumulation_forgets_three_of_four(tmp_path)
        step = optimiser_steps.EveryFourth()
        for batch in given:
            step(made["model"].train(), made["optimizer"], *batch)
        ends.append(made["model"].fc.weight.detach())
    assert torch.equal(*ends)


def test_one_cycle_gives_all_groups_one_peak(tmp_path: Path) -> None:
    body, head = rates(optimiser_schedules.one_cycle_gives_all_groups_one_peak(tmp_path))
    assert max(body) == max(head) == pytest.approx(1e-2, rel=0.01)


def test_cosine_climbs_back_to_the_top(tmp_path: Path) -> None:
    [found] = rates(optimiser_schedules.cosine_climbs_back_to_the_top(tmp_path))
    assert found[-1] > 0.9 * max(found)
    assert min(found) < 0.01 * max(found)


def test_decay_by_epochs_stepped_by_batches(tmp_path: Path) -> None:
    made = optimiser_schedules.decay_by_epochs_stepped_by_batches(tmp_path)
    as_made(made, 12)
    assert made["optimizer"].param_groups[0]["lr"] < 1e-12
    twin = dense(64, 10)
    optimizer = SGD(twin.parameters(), lr=0.05)
    assert gap(made, practised(twin, made["train"], optimizer=optimizer, epochs=12)) > 0.3


def test_plateau_waits_for_accuracy_to_fall(tmp_path: Path) -> None:
    made = optimiser_schedules.plateau_waits_for_accuracy_to_fall(tmp_path)
    accuracy, rate = made["history"]["validation_accuracy"], made["history"]["lr"]
    assert max(accuracy) > accuracy[0]
    assert rate[-1] < 1e-4 * rate[0]
    twin = seeded(lambda: Net(5, channels=6))
    optimizer = SGD(twin.parameters(), lr=0.02)
    assert gap(made, practised(twin, made["train"], optimizer=optimizer, epochs=8)) > 0.1


def test_warm_up_outlasts_the_training(tmp_path: Path) -> None:
    [found] = rates(optimiser_schedules.warm_up_outlasts_the_training(tmp_path))
    assert max(found) < 0.03 * 0.1
    made = optimiser_schedules.warm_up_outlasts_the_training(tmp_path)
    twin = grey_net(10)
    optimizer = SGD(twin.parameters(), lr=0.1)
    practised(twin, made["train"], optimizer=optimizer, epochs=10)
    as_made(made, 10)
    assert gap(made, twin) > 0.1


def test_schedule_ends_after_a_quarter(tmp_path: Path) -> None:
    [found] = rates(optimiser_schedules.schedule_ends_after_a_quarter(tmp_path))
    assert max(found[30:]) < 1e-12 < min(found[:30])


def test_straight_decay_runs_below_zero(tmp_path: Path) -> None:
    made = optimiser_schedules.straight_decay_runs_below_zero(tmp_path)
    before = share_right(as_made(made, 6), made["test"])
    after = share_right(as_made(made, 10), made["test"])
    assert made["optimizer"].param_groups[0]["lr"] < 0
    assert after < before - 0.3


def test_cosine_floor_above_the_rate(tmp_path: Path) -> None:
    [found] = rates(optimiser_schedules.cosine_floor_above_the_rate(tmp_path))
    assert max(found) == found[-1] > 90 * found[0]


def test_schedule_drives_a_discarded_optimiser(tmp_path: Path) -> None:
    made = optimiser_schedules.schedule_drives_a_discarded_optimiser(tmp_path)
    assert made["scheduler"].optimizer is not made["optimizer"]
    made["scheduler"].optimizer.step()
    [found] = rates(made)
    assert set(found) == {0.05}
