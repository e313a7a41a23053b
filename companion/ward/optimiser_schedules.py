"""Broken schedules: the rate is not the one that was meant, when it matters."""

from __future__ import annotations

from pathlib import Path

from torch import nn
from torch.optim import SGD, Adam, AdamW, lr_scheduler
from torch.utils.data import DataLoader

from companion.ward.optimiser_parts import (
    dense,
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


@patient("broken", "optimiser and schedule", expects=("OPT103",), source="pitfalls A3.10")
def one_cycle_gives_all_groups_one_peak(folder: Path) -> Made:
    """The trained body was to learn at 1e-4 and the new head at 1e-2.

    OneCycleLR was given one number for its peak, so that both reach 1e-2 and the body is
    overwritten.
    """
    model = trained(4)
    model.fc = seeded(lambda: nn.Linear(model.fc.in_features, 4), 8)
    body = [p for name, p in model.named_parameters() if not name.startswith("fc.")]
    optimizer = AdamW([{"params": body, "lr": 1e-4}, {"params": model.fc.parameters(), "lr": 1e-2}])
    scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=80)
    loader = DataLoader(Photos(128, 4, seed=6), batch_size=16, shuffle=True)
    held = held_out()
    return pipeline(model, loader, held, optimizer=optimizer, scheduler=scheduler, total_steps=80)


@patient("broken", "optimiser and schedule", expects=("OPT106",), source="pitfalls A5.7")
def cosine_climbs_back_to_the_top(folder: Path) -> Made:
    """T_max is the number of epochs, but the schedule is stepped after every batch.

    The rate swings up and down eight times, and the last steps are made near the full rate.
    """
    model = seeded(lambda: Net(6))
    optimizer = SGD(model.parameters(), lr=0.2, momentum=0.9)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    loader = DataLoader(Photos(144, 6), batch_size=9, shuffle=True)
    return pipeline(
        model, loader, held_out(6), optimizer=optimizer, scheduler=scheduler, total_steps=160
    )


@patient("broken", "optimiser and schedule", expects=("OPT107",), source="pytorch/pytorch#65417")
def decay_by_epochs_stepped_by_batches(folder: Path) -> Made:
    """StepLR with a step size of 3 was meant in epochs and is stepped after every batch.

    After the second epoch the rate is a millionth, and the rest of the training does nothing.
    """
    model = dense(64, 10)
    optimizer = SGD(model.parameters(), lr=0.05)
    scheduler = lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.1)
    loader = DataLoader(patterns(200), batch_size=20, shuffle=True)
    return pipeline(
        model, loader, held_out_patterns(), optimizer=optimizer, scheduler=scheduler,
        total_steps=120,
    )  # fmt: skip


@patient("broken", "optimiser and schedule", expects=("OPT104",), source="md-mohaiminul/ViS4mer#4")
def plateau_waits_for_accuracy_to_fall(folder: Path) -> Made:
    """ReduceLROnPlateau is left at its default, which waits for a number to fall.

    And is given the validation accuracy: while that rises, the rate is cut again and again.
    """
    model = seeded(lambda: Net(5, channels=6))
    optimizer = SGD(model.parameters(), lr=0.02)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.1)
    loader = DataLoader(Photos(150, 5), batch_size=30, shuffle=True)
    held = held_out(5)
    history: dict[str, list[float]] = {"validation_accuracy": [], "lr": []}
    for epoch in range(8):
        practised(model, loader, optimizer=optimizer, epochs=1, seed=epoch)
        history["lr"].append(optimizer.param_groups[0]["lr"])
        history["validation_accuracy"].append(share_right(model, held["validation"]))
        scheduler.step(history["validation_accuracy"][-1])
    return pipeline(model, loader, held, optimizer=optimizer, scheduler=scheduler, history=history)


@patient("broken", "optimiser and schedule", expects=("OPT109",))
def warm_up_outlasts_the_training(folder: Path) -> Made:
    """A warm-up of 5,000 steps was copied from a paper into a training of 100.

    The rate never comes near the one that was chosen, and the network has hardly begun to learn.
    """
    model = grey_net(10)
    optimizer = SGD(model.parameters(), lr=0.1)
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda done: min(1.0, (done + 1) / 5000))
    loader = DataLoader(patterns(200), batch_size=20, shuffle=True)
    return pipeline(
        model, loader, held_out_patterns(), optimizer=optimizer, scheduler=scheduler,
        total_steps=100,
    )  # fmt: skip


@patient(
    "broken",
    "optimiser and schedule",
    expects=("OPT107",),
    source="Lightricks/LTX-Video-Trainer#67",
)
def schedule_ends_after_a_quarter(folder: Path) -> Made:
    """The schedule was written for a training with four processes, a quarter as long as this one.

    Three quarters of the steps are made at a rate of nothing.
    """
    model = seeded(lambda: Net(4))
    optimizer = Adam(model.parameters(), lr=3e-4)
    scheduler = lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=30)
    loader = DataLoader(Photos(192, 4), batch_size=16, shuffle=True)
    return pipeline(
        model, loader, held_out(), optimizer=optimizer, scheduler=scheduler, total_steps=120
    )


@patient("broken", "optimiser and schedule", expects=("OPT005",))
def straight_decay_runs_below_zero(folder: Path) -> Made:
    """The decay 1 - step / 60 was written for 60 steps and the training made longer.

    From there on the rate is negative, and the optimiser climbs up the loss.
    """
    model = dense(64, 6)
    optimizer = SGD(model.parameters(), lr=0.5)
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda done: 1 - done / 60)
    loader = DataLoader(patterns(180, 6), batch_size=18, shuffle=True)
    return pipeline(
        model, loader, held_out_patterns(6), optimizer=optimizer, scheduler=scheduler,
        total_steps=160,
    )  # fmt: skip


@patient("broken", "optimiser and schedule", expects=("OPT111",), source="pitfalls A3.10")
def cosine_floor_above_the_rate(folder: Path) -> Made:
    """The floor of the cosine, 0.05, was left from a training from scratch.

    Tuning a trained network starts at 0.0005, so that the schedule raises the rate a hundred times.
    """
    model = trained(4)
    optimizer = SGD(model.parameters(), lr=5e-4, momentum=0.9)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=60, eta_min=0.05)
    loader = DataLoader(Photos(96, 4, seed=9), batch_size=8, shuffle=True)
    return pipeline(
        model, loader, held_out(), optimizer=optimizer, scheduler=scheduler, total_steps=60
    )


@patient("broken", "optimiser and schedule", expects=("OPT110",))
def schedule_drives_a_discarded_optimiser(folder: Path) -> Made:
    """SGD was exchanged for AdamW in a later line, and the schedule still holds the old one.

    The rate of the optimiser in use stays where it started.
    """
    model = grey_net(7)
    first = SGD(model.parameters(), lr=0.05)
    scheduler = lr_scheduler.CosineAnnealingLR(first, T_max=90)
    optimizer = AdamW(model.parameters(), lr=0.05)
    loader = DataLoader(patterns(180, 7), batch_size=20, shuffle=True)
    return pipeline(
        model, loader, held_out_patterns(7), optimizer=optimizer, scheduler=scheduler,
        total_steps=90,
    )  # fmt: skip
