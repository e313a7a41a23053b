"""Checks of what the model answers against the labels: whether another map is the right one."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.words import NotRunError, Result, Seen, error, note
from companion.evaluation import permutation_rescue

ALARM = 1e-4  # the largest share of healthy pipelines in which each check reports an error
PARTS = 3  # the parts of the data that are looked at, at most
NAMED = 5  # the renamings that have names
FEWEST = 40  # images


def by_luck(images: int, tries: int, *, halves: bool) -> float:
    """Return the gain in accuracy by renaming that luck exceeds at most in `ALARM` of all cases.

    Where the map is right, no renaming that was chosen on other images is better than it on
    average. The gain is a mean over independent images of numbers in −1 … 1, so that it exceeds
    t with a chance of at most exp(−n·t²/2) (Hoeffding's inequality); `tries` renamings are looked
    at, and with `halves` each is scored on half of the images, either of which may be lucky.

    >>> round(by_luck(512, 3, halves=True), 3)
    0.293
    """
    size, tries = (images / 2, 2 * tries) if halves else (images, tries)
    return math.sqrt(2 * math.log(tries / ALARM) / size)


def trained_alike(pipeline: Pipeline) -> bool:
    """Return whether the model knows the training data under the map that they have."""
    try:
        logits, labels = pipeline.judged("train")
    except NotRunError:
        return False
    commonest = float(torch.bincount(labels).max() / len(labels))
    return float((logits.argmax(1) == labels).float().mean()) > max(0.5, commonest + 0.2)


def of_trained_classes(pipeline: Pipeline, part: str) -> tuple[Tensor, Tensor]:
    """Return logits and labels of the images of a part whose class is trained on."""
    logits, labels = pipeline.judged(part)
    if part != "train":
        trained, _ = pipeline.known_labels("train")
        seen = torch.isin(labels, trained)
        logits, labels = logits[seen], labels[seen]
    return logits, labels


def confidently_renamed(logits: Tensor, labels: Tensor, meant: Tensor) -> bool:
    """Return whether outputs are sure of their answers, and right only where they mean `meant`.

    `meant` (N,) is the output that stands for each image's label under the other map. An untrained
    network is not sure: its loss is near ln K whatever its outputs are called.
    """
    chance = math.log(logits.shape[1])
    as_it_is = float(F.cross_entropy(logits, labels))
    renamed = float(F.cross_entropy(logits, meant))
    return logits.shape[1] > 2 and as_it_is > chance and renamed < chance / 2


def named_renamings(width: int) -> Iterator[tuple[str, Tensor]]:
    """Yield renamings that people make by accident: the output that stands for each label.

    >>> [name for name, _ in named_renamings(12)][:2]
    ['outputs count from one', 'labels count from one']
    """
    own = torch.arange(width)
    yield "outputs count from one", (own + 1).clamp(max=width)
    yield "labels count from one", own - 1
    yield "the order is reversed", width - 1 - own
    if width > 10:
        as_text = torch.tensor(sorted(range(width), key=str))
        yield "the outputs are in the order of text", as_text.argsort()
        yield "the labels are in the order of text", as_text


@check(
    "LBL019",
    chapter="stripe",
    needs=["model", "train"],
    explains=["LBL020", "PRO032", "PRO035"],
    false_errors=ALARM,
)
def familiar_renaming(pipeline: Pipeline) -> Result:
    """The labels are numbered as the model's outputs, but for a familiar slip.

    Fault: Labels or outputs count from one, one of them is sorted as text, or the order is
    reversed.
    Evidence: The accuracy on the sampled images as it is and under each of five slips. The gain
    has to exceed what luck gives in one healthy pipeline of ten thousand.
    Consequence: The model answers rightly and is told otherwise; accuracy is at chance or below.
    Remedy: Give data and model one map, by name: LabelMap(model_classes).encoder(class_to_idx).
    False alarms: At most 1 in 10,000 healthy pipelines (Hoeffding's inequality over five slips and
    three parts). An error only where the model knows the training data as they are numbered, or
    is sure of its answers and right under the slip alone; of an untrained one it is a note.

    In code:
        predictions = model(images).argmax(1)  # 0 … 25
        accuracy = (predictions == labels)     # EMNIST's letters are 1 … 26
    """
    found: list[Seen] = []
    said = []
    for part in pipeline.parts:
        logits, labels = of_trained_classes(pipeline, part)
        if len(labels) < FEWEST:
            said.append(f"{part}: only {len(labels)} images")
            continue
        answers, width = logits.argmax(1), logits.shape[1]
        raw = float((answers == labels).float().mean())
        needed = by_luck(len(labels), NAMED * PARTS, halves=False)
        scores = {
            name: (float((answers == meant[labels]).float().mean()), meant)
            for name, meant in named_renamings(width)
        }
        best = max(scores, key=lambda name: scores[name][0])
        score, meant = scores[best]
        said.append(f"{part}: {raw:.3f} on {len(labels)} images, at most {score:.3f} by a slip")
        if score - raw <= needed:
            continue
        told = (
            f"on {part} accuracy is {raw:.3f} on {len(labels)} images, and {score:.3f} if {best}; "
            f"luck would explain a gain of {needed:.3f}"
        )
        inside = (meant[labels] >= 0) & (meant[labels] < width)
        sure = confidently_renamed(logits[inside], labels[inside], meant[labels][inside])
        knows = part != "train" and trained_alike(pipeline)
        found.append(error(told) if knows or sure else note(f"{told}; the model seems untrained"))
    return found or "; ".join(said)


@check(
    "LBL020",
    chapter="permutation-rescue",
    needs=["model", "train"],
    explains=["PRO032", "PRO035"],
    false_errors=ALARM,
)
def permuted(pipeline: Pipeline) -> Result:
    """Renaming the outputs, one to one, makes a bad score good.

    Fault: The model's outputs stand for other classes than the labels say: a checkpoint in an
    order of its own, or a part that numbers its classes in its own way.
    Evidence: The best assignment of outputs to labels (Hungarian method), chosen on one half of
    the sampled images and scored on the other, both ways, beside the accuracy as it is. The gain
    has to exceed what luck gives in one healthy pipeline of ten thousand.
    Consequence: The model is much better than its score: right answers count as wrong.
    Remedy: Compare classes by name: evaluate(model, test, label_map=map_of_the_head). The
    assignment itself is permutation_rescue(...).assignment.
    False alarms: At most 1 in 10,000 healthy pipelines (Hoeffding's inequality). Images of classes
    that were never trained on are left out. An error only where the model knows the training data
    as they are numbered, or is sure of its answers and right under another map alone.

    In code:
        permutation_rescue(predicted, labels, outputs=10, classes=10, seed=0).rescued
    """
    found: list[Seen] = []
    said = []
    for part in pipeline.parts:
        logits, labels = of_trained_classes(pipeline, part)
        width = logits.shape[1]
        if len(labels) < FEWEST:
            said.append(f"{part}: only {len(labels)} images")
            continue
        rescue = permutation_rescue(
            logits.argmax(1), labels, outputs=width, classes=width, seed=pipeline.seed, draws=1
        )
        needed = by_luck(len(labels), PARTS, halves=True)
        said.append(f"{part}: {rescue.raw:.3f}, renamed {rescue.rescued:.3f}")
        if rescue.rescued - rescue.raw <= needed:
            continue
        told = (
            f"on {part} accuracy is {rescue.raw:.3f} on {len(labels)} images, and "
            f"{rescue.rescued:.3f} after renaming the outputs; luck would explain a gain of "
            f"{needed:.3f}"
        )
        meant = torch.empty(width, dtype=torch.int64)
        meant[rescue.assignment] = torch.arange(width)
        knows = part != "train" and trained_alike(pipeline)
        sure = confidently_renamed(logits, labels, meant[labels])
        found.append(error(told) if knows or sure else note(f"{told}; the model seems untrained"))
    return found or "; ".join(said)
