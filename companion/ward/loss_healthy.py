"""Healthy losses that look odd."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam
from torch.utils.data import DataLoader, TensorDataset

from companion.ward.optimiser_parts import (
    dense,
    grey_net,
    held_out,
    held_out_patterns,
    patterns,
    pipeline,
    practised,
)
from companion.ward.parts import Net, Photos, seeded, taught, trained
from companion.ward.patients import Made, patient


@patient("healthy", "sampling and loss")
def class_weights_alone(folder: Path) -> Made:
    """A long tail is made up for by weights in the loss, and by nothing else.

    The loader draws the pictures as they are.
    """
    train = Photos(240, 3, shares=(15, 4, 1))
    counts = torch.bincount(torch.tensor(train.targets))
    loss = nn.CrossEntropyLoss(weight=len(train) / (3 * counts))
    loader = DataLoader(train, batch_size=40, shuffle=True)
    model = practised(seeded(lambda: Net(3)), loader, loss=loss, epochs=6)
    return pipeline(model, loader, held_out(3), loss=loss)


@patient("healthy", "sampling and loss")
def label_smoothing_keeps_the_loss_high(folder: Path) -> Made:
    """With label smoothing of 0.2 the loss cannot fall below 0.9, though all answers are right."""
    loss = nn.CrossEntropyLoss(label_smoothing=0.2)
    loader = DataLoader(patterns(300), batch_size=30, shuffle=True)
    model = practised(dense(64, 10), loader, loss=loss, epochs=12)
    return pipeline(model, loader, held_out_patterns(), loss=loss)


class Distillation(nn.Module):
    """The divergence from a teacher's softened answers; plain labels are taken as they are."""

    def __init__(self, temperature: float = 3.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, scores: Tensor, wanted: Tensor) -> Tensor:
        """Return the loss."""
        if wanted.dim() == 1:
            return functional.cross_entropy(scores, wanted)
        likely = functional.log_softmax(scores / self.temperature, dim=1)
        return self.temperature**2 * functional.kl_div(likely, wanted, reduction="batchmean")


@patient("healthy", "sampling and loss")
def distilled_from_a_teacher(folder: Path) -> Made:
    """A small student learns the softened answers of a trained teacher instead of the labels.

    The training loader gives probabilities; validation and test have labels.
    """
    data = Photos(160, 4, seed=11)
    teacher = trained(4).eval()
    with torch.no_grad():
        wanted = (teacher(data.data) / 3).softmax(1)
    loader = DataLoader(TensorDataset(data.data, wanted), batch_size=20, shuffle=True)
    loss = Distillation()
    model = practised(seeded(lambda: Net(4, channels=4)), loader, loss=loss, epochs=8)
    return pipeline(model, loader, held_out(), loss=loss)


class Tempered(nn.Module):
    """A loss with a temperature that is learnt together with the network."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the loss."""
        return functional.cross_entropy(scores * self.log_scale.exp(), labels)


@patient("healthy", "sampling and loss")
def loss_with_a_parameter_of_its_own(folder: Path) -> Made:
    """The loss is an object with a learnt temperature, which the optimiser holds as well.

    So the optimiser has one parameter more than the network, on purpose.
    """
    model, loss = seeded(lambda: Net(4)), Tempered()
    optimizer = Adam([*model.parameters(), *loss.parameters()], lr=0.005)
    loader = DataLoader(Photos(160, 4), batch_size=32, shuffle=True)
    practised(model, loader, loss=loss, optimizer=optimizer)
    return pipeline(model, loader, held_out(), loss=loss, optimizer=optimizer)


@patient("healthy", "sampling and loss")
def log_probabilities_and_their_loss(folder: Path) -> Made:
    """The network ends in LogSoftmax and the loss is NLLLoss, which belong together."""
    model = dense(64, 10).append(nn.LogSoftmax(dim=1))
    loader = DataLoader(patterns(250), batch_size=25, shuffle=True)
    practised(model, loader, loss=nn.NLLLoss(), epochs=10)
    return pipeline(model, loader, held_out_patterns(), loss=nn.NLLLoss())


def focal(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the focal loss, in which pictures that are known well count little."""
    each = functional.cross_entropy(scores, labels, reduction="none")
    return ((1 - torch.exp(-each)) ** 2 * each).mean()


@patient("healthy", "sampling and loss")
def focal_loss_written_by_hand(folder: Path) -> Made:
    """A focal loss, written as a function, makes what is known well count little.

    It begins lower than the logarithm of the number of classes, as it should.
    """
    loader = DataLoader(Photos(160, 6), batch_size=20, shuffle=True)
    model = practised(seeded(lambda: Net(6)), loader, loss=focal, epochs=8)
    return pipeline(model, loader, held_out(6), loss=focal)


class LogitAdjusted(nn.Module):
    """Cross entropy of scores to which the log of the training prior was added (Menon 2021)."""

    prior: Tensor

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.register_buffer("prior", counts / counts.sum())

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the loss."""
        return functional.cross_entropy(scores + self.prior.log(), labels)


@patient("healthy", "sampling and loss")
def loss_adjusted_by_the_prior(folder: Path) -> Made:
    """A logit-adjusted loss makes up for a long tail, with the sign of the paper.

    Sampler and weights are left alone; the score that matters is balanced.
    """
    train = Photos(250, 5, shares=(30, 10, 5, 3, 2))
    loss = LogitAdjusted(torch.bincount(torch.tensor(train.targets)))
    loader = DataLoader(train, batch_size=25, shuffle=True)
    model = practised(seeded(lambda: Net(5)), loader, loss=loss, epochs=5)
    return pipeline(model, loader, held_out(5), loss=loss)


@patient("healthy", "sampling and loss")
def summed_loss_with_a_rate_to_match(folder: Path) -> Made:
    """The loss is summed over the batch, and the rate is 0.1 divided by its size."""
    model = grey_net(10)
    loss = nn.CrossEntropyLoss(reduction="sum")
    optimizer = SGD(model.parameters(), lr=0.1 / 20, momentum=0.5)
    loader = DataLoader(patterns(300), batch_size=20, shuffle=True)
    practised(model, loader, loss=loss, optimizer=optimizer, epochs=6)
    return pipeline(model, loader, held_out_patterns(), loss=loss, optimizer=optimizer)


@patient("healthy", "sampling and loss")
def margins_in_place_of_likelihoods(folder: Path) -> Made:
    """The loss is MultiMarginLoss, as in a support vector machine, and exactly 0 for most rows."""
    model, loss = dense(192, 4), nn.MultiMarginLoss()
    loader = DataLoader(patterns(200, 4, channels=3), batch_size=25, shuffle=True)
    practised(model, loader, loss=loss, epochs=10)
    return pipeline(model, loader, held_out_patterns(4, channels=3), loss=loss)


@patient("healthy", "sampling and loss")
def converged_with_a_loss_near_zero(folder: Path) -> Made:
    """Training is over: the loss is near zero and the gradients too, and new pictures are known."""
    model = trained(4)
    loader = DataLoader(Photos(160, 4), batch_size=32, shuffle=True)
    taught(model, loader, epochs=6, lr=0.001)
    optimizer = Adam(model.parameters(), lr=0.001)
    return pipeline(model, loader, held_out(), optimizer=optimizer)
