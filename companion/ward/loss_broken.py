"""Broken losses: they run, fall, and teach something else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, default_collate

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


@patient("broken", "sampling and loss", expects=("MOD013",), source="ariecattan/SciCo#2")
def softmax_inside_the_network(folder: Path) -> Made:
    """The network ends in a Softmax and the loss is CrossEntropyLoss, which takes it once more.

    The loss cannot fall below 1.46, and learning is slow.
    """
    model = dense(64, 10)
    model.append(nn.Softmax(dim=1))
    loader = DataLoader(patterns(200), batch_size=25, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    practised(model, loader, optimizer=optimizer, epochs=12)
    return pipeline(model, loader, held_out_patterns(), optimizer=optimizer)


@patient("broken", "sampling and loss", expects=("SMP115",), source="Humbatova 2020, wrong loss")
def likelihood_loss_on_raw_scores(folder: Path) -> Made:
    """NLLLoss was put where the network gives plain scores.

    Nothing makes the scores compete, the loss falls without end, and the network answers by the
    size of its weights.
    """
    model = seeded(lambda: Net(4))
    loader = DataLoader(Photos(160, 4), batch_size=32, shuffle=True)
    loss = nn.NLLLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    practised(model, loader, loss=loss, optimizer=optimizer, epochs=6)
    return pipeline(model, loader, held_out(), loss=loss, optimizer=optimizer)


def log_likelihood(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the mean log likelihood, whose minus somebody forgot."""
    return functional.log_softmax(scores, dim=1)[range(len(labels)), labels].mean()


@patient(
    "broken", "sampling and loss", expects=("SMP113", "SMP115"), source="TheDeepChecker, wrong sign"
)
def minus_forgotten_in_the_likelihood(folder: Path) -> Made:
    """The loss was written by hand without its minus.

    Training makes the right answers as unlikely as it can.
    """
    model = grey_net(6)
    loader = DataLoader(patterns(180, 6), batch_size=30, shuffle=True)
    practised(model, loader, loss=log_likelihood, epochs=2, lr=0.003)
    return pipeline(model, loader, held_out_patterns(6), loss=log_likelihood)


def swapped(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy with its two arguments in the wrong order."""
    wanted = functional.one_hot(labels, scores.shape[1]).float()
    return functional.cross_entropy(wanted, scores)


@patient("broken", "sampling and loss", expects=("SMP113", "SMP115"), source="pitfalls A2.9")
def scores_and_targets_swapped(folder: Path) -> Made:
    """The one-hot targets are given as scores and the scores as targets.

    The loss is soon negative and pays for large scores of any class but the right one.
    """
    model = seeded(lambda: Net(3))
    loader = DataLoader(Photos(120, 3), batch_size=20, shuffle=True)
    practised(model, loader, loss=swapped, epochs=4, lr=0.003)
    return pipeline(model, loader, held_out(3), loss=swapped)


@patient("broken", "sampling and loss", expects=("SMP121",))
def class_weights_in_order_of_frequency(folder: Path) -> Made:
    """The weights against a long tail were read off Counter.most_common().

    Its order is by frequency and not by class: the rarest class was given the weight of the most
    frequent one, and the other way round.
    """
    train = Photos(240, 4, shares=(2, 4, 10, 64), noise=0.45, seed=4)
    counts = Counter(train.targets).most_common()
    weights = torch.tensor([len(train) / count for _, count in counts])
    loss = nn.CrossEntropyLoss(weight=weights / weights.mean())
    loader = DataLoader(train, batch_size=30, shuffle=True)
    model = practised(seeded(lambda: Net(4, channels=6)), loader, loss=loss, epochs=6)
    return pipeline(model, loader, held_out(4, noise=0.45), loss=loss)


@patient("broken", "sampling and loss", expects=("LBL011",), source="pitfalls A2.6")
def first_class_ignored_as_background(folder: Path) -> Made:
    """The loss came from a segmentation project, where class 0 is background, with ignore_index=0.

    The first class is never learnt and never answered.
    """
    loss = nn.CrossEntropyLoss(ignore_index=0)
    loader = DataLoader(Photos(200, 5), batch_size=25, shuffle=True)
    model = practised(seeded(lambda: Net(5)), loader, loss=loss, epochs=6)
    return pipeline(model, loader, held_out(5), loss=loss)


def squared_error(scores: Tensor, labels: Tensor) -> Tensor:
    """Return a mean over all pairs of a score and a label, where those of one picture are meant."""
    return ((torch.sigmoid(scores) - labels.float()) ** 2).mean()


@patient("broken", "sampling and loss", source="pitfalls A2.9", expects=("SMP122",))
def targets_broadcast_to_a_square(folder: Path) -> Made:
    """One score of shape (N, 1) is compared with labels of shape (N,).

    Every picture is held against every label, and the network learns the mean label for all.
    """
    loader = DataLoader(patterns(160, 2), batch_size=16, shuffle=True)
    model = practised(dense(64, 1), loader, loss=squared_error, epochs=8)
    held = held_out_patterns(2)
    return pipeline(model, loader, held, loss=squared_error)


def over_the_batch(scores: Tensor, labels: Tensor) -> Tensor:
    """Return a likelihood whose probabilities add up to one over the batch, not the classes."""
    return functional.nll_loss(functional.log_softmax(scores, dim=0), labels)


@patient(
    "broken",
    "sampling and loss",
    source="Humbatova 2020, wrong loss calculation",
    expects=("SMP122",),
)
def softmax_over_the_batch(folder: Path) -> Made:
    """The loss takes its softmax along dimension 0.

    The pictures of a batch compete for each class, nothing sets the classes against each other, and
    the answers come out shifted.
    """
    loader = DataLoader(
        patterns(200, 5, channels=3, shares=(12, 4, 2, 1, 1)), batch_size=25, shuffle=True
    )
    model = practised(dense(192, 5), loader, loss=over_the_batch, epochs=8)
    held = held_out_patterns(5, channels=3)
    return pipeline(model, loader, held, loss=over_the_batch)


def mixed_the_wrong_way(rows: list[Any]) -> tuple[Tensor, Tensor]:
    """Mix a batch with itself, and its labels with the two shares exchanged."""
    images, labels = default_collate(rows)
    share = float(torch.distributions.Beta(0.2, 0.2).sample())
    order = torch.randperm(len(images))
    wanted = functional.one_hot(labels, 4).float()
    mixed = share * images + (1 - share) * images[order]
    return mixed, (1 - share) * wanted + share * wanted[order]


@patient(
    "broken",
    "sampling and loss",
    expects=("LBL014", "LBL015"),
    source="Humbatova 2020, wrong augmentation",
)
def mixup_shares_exchanged(folder: Path) -> Made:
    """Mixup takes one share of the first picture and the other share of its label.

    Mostly a picture comes with the label of another, and nothing can be learnt.
    """
    train = Photos(160, 4)
    loader = DataLoader(train, batch_size=32, shuffle=True, collate_fn=mixed_the_wrong_way)
    model = practised(seeded(lambda: Net(4)), loader, epochs=6)
    return pipeline(model, loader, held_out())


class TakesThePriorAway(nn.Module):
    """A logit-adjusted loss with the wrong sign: it takes away what it should add."""

    prior: Tensor

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.register_buffer("prior", counts / counts.sum())

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the loss."""
        return functional.cross_entropy(scores - self.prior.log(), labels)


@patient("broken", "sampling and loss", source="pitfalls C1", expects=("SMP121",))
def prior_taken_away_in_training(folder: Path) -> Made:
    """The loss adjusts the scores by the log of the prior, with the wrong sign.

    It was to make up for a long tail; now common classes are favoured twice, and the rare ones are
    hardly ever answered.
    """
    train = Photos(250, 5, shares=(60, 20, 10, 5, 5), noise=0.4)
    loss = TakesThePriorAway(torch.bincount(torch.tensor(train.targets)))
    loader = DataLoader(train, batch_size=25, shuffle=True)
    model = practised(seeded(lambda: Net(5, channels=6)), loader, loss=loss, epochs=5, lr=0.003)
    return pipeline(model, loader, held_out(5, noise=0.4), loss=loss)
