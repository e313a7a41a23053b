"""Checks of what a training loader draws: the findings of `audit_sampler`, and a few besides."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from companion.doctor.facts import kept
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.words import NotRunError, Result, Seen, note
from companion.sampling import Draw, audit_sampler, stored_labels_of
from companion.states import loader_randomness_kept, loader_samplers

DRAWS = 200


def draw_of(pipeline: Pipeline) -> Draw:
    """Return what the training loader's sampler draws in two epochs; no image is read.

    `NotRunError` where there is no loader, where its sampler may not end, and where the labels of
    all items are not known.
    """

    def drawn() -> Draw:
        loader = pipeline["train"]
        if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
            raise NotRunError("the training data are no DataLoader with a sampler")
        source: Any = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
        try:
            drawn_in_all = len(source)
        except TypeError as error:
            raise NotRunError(f"{type(source).__name__} has no length, and may not end") from error
        if not drawn_in_all or (loader.batch_sampler is not None and not len(loader)):
            raise NotRunError("the loader draws nothing (PRO001)")
        labels = all_labels(pipeline)
        with loader_randomness_kept(loader):
            return audit_sampler(loader, labels, loss=pipeline.given.get("loss"))

    return kept(pipeline.facts, "draw", drawn)


def all_labels(pipeline: Pipeline) -> Tensor:
    """Return the labels of every item of the training data set, those that are never drawn too."""
    loader, sample = pipeline["train"], pipeline.sample("train")
    # A position outside the data is the sampler's fault; what else fails may fail here as well.
    if sample.problem and not sample.problem.startswith("IndexError"):
        raise NotRunError("the training loader fails (PRO001)")
    found = stored_labels_of(loader.dataset)
    if found is None and not sample.problem:
        found, whole = pipeline.known_labels("train")
        found = found if whole else None
    if found is None or len(found) != len(loader.dataset):
        raise NotRunError("the training data do not store their labels")
    return found


def _of(pipeline: Pipeline, code: str) -> Result:
    draw = draw_of(pipeline)
    found = [each for each in draw.findings if each.code == code]
    if not found:
        return f"{len(draw.positions):,} positions of two epochs"
    return [Seen(each.severity, each.seen, each.why, each.remedy) for each in found]


@check("SMP101", chapter="sampler-mistakes", needs=["train"], explains=["SMP103"])
def outside(pipeline: Pipeline) -> Result:
    """A sampler draws positions that the data do not have.

    Fault: It was made for a larger data set.
    Evidence: The positions of two epochs against the number of images.
    Consequence: The loader fails at them, or draws other images than were meant.
    Remedy: Make it from the data set that the loader reads: balanced_sampler(data, seed=0).
    False alarms: None is known.

    In code:
        DataLoader(subset, sampler=RandomSampler(full_data))
    """
    return _of(pipeline, "SMP101")


@check("SMP102", chapter="sampler-mistakes", needs=["train"], explains=["SMP103", "SMP116"])
def only_the_first(pipeline: Pipeline) -> Result:
    """A sampler was given a weight for each class in the place of one for each image.

    Fault: `WeightedRandomSampler(class_weights, n)`: it takes a weight for each image.
    Evidence: Only as many positions as there are classes are ever drawn, the first ones.
    Consequence: The network is trained on a handful of images.
    Remedy: Index the weights by the labels: class_weights(labels)[labels].
    False alarms: None is known.

    In code:
        WeightedRandomSampler(class_weights(labels), len(labels))          # wrong
        WeightedRandomSampler(class_weights(labels)[labels], len(labels))  # right
    """
    return _of(pipeline, "SMP102")


@check("SMP103", chapter="sampler-mistakes", needs=["train"])
def never_drawn(pipeline: Pipeline) -> Result:
    """A class has images and is never drawn.

    Fault: The sampler chooses from positions that leave the class out, or weights it with 0.
    Evidence: The classes of the positions of two epochs.
    Consequence: The network cannot learn a class that it never sees.
    Remedy: Look at the positions that the sampler chooses from, and at the order of the data.
    False alarms: A warning: a curriculum may begin without some classes, and a rare class may
    miss two epochs by chance.

    In code:
        audit_sampler(loader).shares  # the share of each class among the draws
    """
    return _of(pipeline, "SMP103")


@check("SMP104", chapter="sampler-mistakes", needs=["train"])
def epoch_repeated(pipeline: Pipeline) -> Result:
    """Each epoch draws the same images in the same order.

    Fault: The generator is seeded anew each epoch, or `set_epoch` is never called.
    Evidence: The positions of two epochs, draw by draw.
    Consequence: Images that the first epoch leaves out never come up, and batches are always the
    same.
    Remedy: Call set_epoch(epoch) before each epoch, or make the generator once.
    False alarms: Epochs in the order of the data pass, and so does a sampler that draws otherwise
    after set_epoch and was told an epoch already. Before training it was told none: a note,
    unless the model is better than a guess or the optimiser has a past.

    In code:
        for epoch in range(10): loader.sampler.set_epoch(epoch)
    """
    found = _of(pipeline, "SMP104")
    told = [each for each in loader_samplers(pipeline["train"]) if hasattr(each, "set_epoch")]
    if not isinstance(found, list) or not told or not _draws_anew(told[0]):
        return found
    if getattr(told[0], "epoch", 0):
        return f"it draws by the epoch that it is told, {told[0].epoch} by now"
    return found if _has_trained(pipeline) else [note(each.text) for each in found]


def _draws_anew(sampler: Any) -> bool:
    """Return whether a sampler draws otherwise once it is told the next epoch; a copy is told."""
    try:
        first, second = copy.copy(sampler), copy.copy(sampler)
        second.set_epoch(int(getattr(sampler, "epoch", 0) or 0) + 1)
        return list(first) != list(second)
    except Exception:  # other people's code runs here
        return False


def _has_trained(pipeline: Pipeline) -> bool:
    """Return whether anything says that epochs were trained already."""
    optimizer = pipeline.given.get("optimizer")
    if "history" in pipeline or bool(getattr(optimizer, "state", None)):
        return True
    try:
        logits, labels = pipeline.judged("train")
    except NotRunError:
        return False
    guess = float(torch.bincount(labels).max()) / len(labels)
    error = (guess * (1 - guess) / len(labels)) ** 0.5
    return float((logits.argmax(1) == labels).float().mean()) > guess + 4 * error


@check("SMP105", chapter="balanced-epoch", needs=["train", "loss"])
def corrected_twice(pipeline: Pipeline) -> Result:
    """Sampler and loss both correct the imbalance.

    Fault: A balanced sampler and inverse class weights, or logit adjustment, are used together.
    Evidence: The pull of each class: its share of the draws times its weight in the loss, against
    its share of the images.
    Consequence: Two corrections multiply: the imbalance is turned round, and common classes are
    given up.
    Remedy: Keep one of the two, or half of each: scheme="square-root" in both.
    False alarms: A warning, found where the rarest class has more than twice the pull of the
    commonest; unequal costs may be meant.

    In code:
        DataLoader(data, sampler=balanced_sampler(data, seed=0)), WeightedLoss(class_weights(data))
    """
    return _of(pipeline, "SMP105")


@check("SMP106", chapter="sampler-mistakes", needs=["train"], explains=["SMP103"])
def made_for_others(pipeline: Pipeline) -> Result:
    """A sampler was made for another number of images.

    Fault: A subset's sampler on its parent's loader, or the other way round.
    Evidence: How many images the sampler was made for, as far as it tells, and how many there are.
    Consequence: Its positions stand for other images: the first ones come up for those it means,
    and the rest never.
    Remedy: Make it from the very data set that the loader reads.
    False alarms: None is known. Samplers that do not tell pass.

    In code:
        WeightedRandomSampler(weights_of_subset, 100)  # on DataLoader(full_data)
    """
    return _of(pipeline, "SMP106")


@check("SMP107", chapter="sampler-mistakes", needs=["train"])
def wrapped(pipeline: Pipeline) -> Result:
    """A `DistributedSampler` stands around another sampler.

    Fault: It takes the other's length, and not its draws.
    Evidence: The samplers of the loader, one inside the other.
    Consequence: All positions are drawn alike: the weights are gone.
    Remedy: Take balanced_sampler(data, seed=0), which shares one draw among all processes.
    False alarms: None is known.

    In code:
        DistributedSampler(WeightedRandomSampler(weights, n), num_replicas=4, rank=0)
    """
    return _of(pipeline, "SMP107")
