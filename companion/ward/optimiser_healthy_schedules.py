"""Healthy schedules that look odd."""

from __future__ import annotations

import math
from pathlib import Path

from torch import nn
from torch.optim import SGD, AdamW, lr_scheduler
from torch.utils.data import DataLoader

from companion.ward.optimiser_parts import (
    grey_net,
    held_out,
    held_out_patterns,
    patterns,
    pipeline,
    practised,
    share_right,
)
from companion.ward.parts import Net, Photos, seeded, trained
from companion.ward.patients import Made, patient


@patient("healthy", "optimiser and schedule")
def warm_up_from_a_rate_of_zero(folder: Path) -> Made:
    """The rate rises from exactly 0 over ten steps, and falls along a cosine afterwards.

    The first step moves nothing, as it is meant.
    """

    def rate(done: int) -> float:
        if done < 10:
            return done / 10
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (done - 10) / 90)))

    model = seeded(lambda: Net(4))
    optimizer = AdamW(model.parameters(), lr=0.01)
    scheduler = lr_scheduler.LambdaLR(optimizer, rate)
    loader = DataLoader(Photos(160, 4), batch_size=16, shuffle=True)
    return pipeline(
        model, loader, held_out(), optimizer=optimizer, scheduler=scheduler, total_steps=100
    )


@patient("healthy", "optimiser and schedule")
def cosine_with_warm_restarts(folder: Path) -> Made:
    """The rate falls along a cosine and starts again three times, each time for longer (SGDR).

    Training ends at the end of a cycle, where the rate is least.
    """
    model = grey_net(10)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=15, T_mult=2)
    loader = DataLoader(patterns(300), batch_size=20, shuffle=True)
    return pipeline(
        model,
        loader,
        held_out_patterns(),
        optimizer=optimizer,
        scheduler=scheduler,
        total_steps=105,
    )


@patient("healthy", "optimiser and schedule")
def one_cycle_with_a_peak_for_each_group(folder: Path) -> Made:
    """The trained body learns at a hundredth of the rate of its new head, in one cycle.

    OneCycleLR is given a peak for each of the two groups.
    """
    model = trained(4)
    model.fc = seeded(lambda: nn.Linear(model.fc.in_features, 6), 2)
    body = [p for name, p in model.named_parameters() if not name.startswith("fc.")]
    optimizer = AdamW([{"params": body}, {"params": list(model.fc.parameters())}])
    scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=[2e-4, 2e-2], total_steps=120)
    loader = DataLoader(Photos(240, 6, seed=6), batch_size=16, shuffle=True)
    return pipeline(
        model, loader, held_out(6), optimizer=optimizer, scheduler=scheduler, total_steps=120
    )


@patient("healthy", "optimiser and schedule")
def triangles_up_and_down(folder: Path) -> Made:
    """The rate goes up and down in triangles, four times in a training (cyclical rates)."""
    model = seeded(lambda: Net(5, channels=8))
    optimizer = SGD(model.parameters(), lr=0.001, momentum=0.9)
    scheduler = lr_scheduler.CyclicLR(
        optimizer, base_lr=0.001, max_lr=0.05, step_size_up=15, mode="triangular2"
    )
    loader = DataLoader(Photos(200, 5), batch_size=20, shuffle=True)
    return pipeline(
        model, loader, held_out(5), optimizer=optimizer, scheduler=scheduler, total_steps=120
    )


@patient("healthy", "optimiser and schedule")
def plateau_waits_for_accuracy_to_rise(folder: Path) -> Made:
    """ReduceLROnPlateau watches validation accuracy with mode="max"; it rose, and no cut came."""
    model = seeded(lambda: Net(5))
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.9)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", patience=2)
    loader = DataLoader(Photos(150, 5), batch_size=15, shuffle=True)
    held = held_out(5)
    history: dict[str, list[float]] = {"validation_accuracy": [], "lr": []}
    for epoch in range(5):
        practised(model, loader, optimizer=optimizer, epochs=1, seed=epoch)
        history["lr"].append(optimizer.param_groups[0]["lr"])
        history["validation_accuracy"].append(share_right(model, held["validation"]))
        scheduler.step(history["validation_accuracy"][-1])
    return pipeline(model, loader, held, optimizer=optimizer, scheduler=scheduler, history=history)


@patient("healthy", "optimiser and schedule")
def schedule_taken_up_in_the_middle(folder: Path) -> Made:
    """A training of 120 steps was stopped after 80 and is taken up again.

    Optimiser and schedule come back with their states, so that the rate is already low.
    """
    model = grey_net(10)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=120)
    loader = DataLoader(patterns(200), batch_size=20, shuffle=True)
    practised(model, loader, optimizer=optimizer, scheduler=scheduler, epochs=8)
    states = optimizer.state_dict(), scheduler.state_dict()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=120)
    optimizer.load_state_dict(states[0])
    scheduler.load_state_dict(states[1])
    held = held_out_patterns()
    return pipeline(model, loader, held, optimizer=optimizer, scheduler=scheduler, total_steps=120)
