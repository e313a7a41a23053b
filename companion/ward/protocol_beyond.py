"""What could be better and cannot be seen from outside: tuning, taste, knowledge of the task."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.optim import SGD, Adam, lr_scheduler
from torch.utils.data import DataLoader, Subset

from companion.ward.optimiser_parts import (
    dense,
    grey_net,
    held_out,
    held_out_patterns,
    patterns,
    pipeline,
    practised,
)
from companion.ward.parts import Net, Photos, seeded
from companion.ward.patients import Made, patient


@patient("beyond", "sampling and loss", source="DeepCrime HBS")
def batches_of_six(folder: Path) -> Made:
    """Batches are smaller than they need to be, which makes training slower and noisier."""
    loader = DataLoader(patterns(150), batch_size=6, shuffle=True)
    return pipeline(practised(grey_net(), loader, epochs=3), loader, held_out_patterns())


@patient("beyond", "sampling and loss", source="DeepCrime LCH")
def a_little_too_much_smoothing(folder: Path) -> Made:
    """Label smoothing of 0.3 where the labels are right: the scores are more timid than need be."""
    loss = nn.CrossEntropyLoss(label_smoothing=0.3)
    loader = DataLoader(Photos(160, 4), batch_size=32, shuffle=True)
    model = practised(seeded(lambda: Net(4)), loader, loss=loss, epochs=8)
    return pipeline(model, loader, held_out(), loss=loss)


@patient("beyond", "sampling and loss", source="DeepCrime TRD")
def half_of_the_pictures_lie_unused(folder: Path) -> Made:
    """Training uses 100 of 200 pictures, drawn fairly; with all of them it would do better."""
    part = Subset(patterns(200, noise=0.4), range(0, 200, 2))
    loader = DataLoader(part, batch_size=20, shuffle=True)
    return pipeline(practised(grey_net(), loader, epochs=10), loader, held_out_patterns(noise=0.4))


@patient("beyond", "optimiser and schedule", source="DeepCrime OCH")
def plain_descent_where_adam_is_quicker(folder: Path) -> Made:
    """SGD without momentum gets there, and Adam would have been there in a third of the time."""
    model = dense(64, 10)
    optimizer = SGD(model.parameters(), lr=0.1)
    loader = DataLoader(patterns(300), batch_size=20, shuffle=True)
    practised(model, loader, optimizer=optimizer, epochs=15)
    return pipeline(model, loader, held_out_patterns(), optimizer=optimizer)


@patient("beyond", "optimiser and schedule", source="DeepCrime HLR")
def rate_a_fifth_of_the_best(folder: Path) -> Made:
    """Adam at 0.002 where 0.01 would be best: it takes longer, and gets nearly as far."""
    model = seeded(lambda: Net(6))
    optimizer = Adam(model.parameters(), lr=0.002)
    loader = DataLoader(Photos(180, 6), batch_size=20, shuffle=True)
    practised(model, loader, optimizer=optimizer, epochs=6)
    return pipeline(model, loader, held_out(6), optimizer=optimizer)


@patient("beyond", "optimiser and schedule")
def step_decay_a_little_early(folder: Path) -> Made:
    """The rate is cut to a tenth after half of the steps; three quarters would have been better."""
    model = grey_net(10)
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    scheduler = lr_scheduler.MultiStepLR(optimizer, milestones=[50], gamma=0.1)
    loader = DataLoader(patterns(200), batch_size=20, shuffle=True)
    return pipeline(
        model, loader, held_out_patterns(), optimizer=optimizer, scheduler=scheduler,
        total_steps=100,
    )  # fmt: skip


@patient("beyond", "protocol", source="DeepCrime HNE")
def stopped_a_few_epochs_early(folder: Path) -> Made:
    """Training was stopped after three epochs; three more would have given some points."""
    loader = DataLoader(Photos(160, 6), batch_size=16, shuffle=True)
    model = practised(seeded(lambda: Net(6)), loader, epochs=3, lr=0.005)
    return pipeline(model, loader, held_out(6))


@patient("beyond", "protocol", source="DeepCrime TAN")
def pictures_noisier_than_they_need_be(folder: Path) -> Made:
    """Training, validation and test were taken in poor light; a better lamp would help."""
    train = DataLoader(Photos(200, 4, noise=0.4), batch_size=25, shuffle=True)
    model = practised(seeded(lambda: Net(4)), train, epochs=6)
    return pipeline(model, train, held_out(noise=0.4))


@patient("beyond", "optimiser and schedule", source="DeepCrime RCW")
def weight_decay_somewhat_high(folder: Path) -> Made:
    """AdamW with a decay of 0.3, a few times more than is best, and no harm that could be seen."""
    model = dense(192, 5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.3)
    loader = DataLoader(patterns(200, 5, channels=3), batch_size=20, shuffle=True)
    practised(model, loader, optimizer=optimizer, epochs=8)
    return pipeline(model, loader, held_out_patterns(5, channels=3), optimizer=optimizer)
