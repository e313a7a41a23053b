"""Checks of scores on the sampled images: which average, which candidates, better than luck."""

from __future__ import annotations

import torch
from torch import Tensor

from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.taking import flat_images
from companion.doctor.words import NotRunError, Result, Seen, note, warning
from companion.inputs import brief

DRAWS = 1_000


def judged_part(pipeline: Pipeline) -> str:
    """Return the part that is judged: test where it was given, else validation."""
    for part in ("test", "validation"):
        if part in pipeline:
            return part
    raise NotRunError("validation= and test= were not given")


@check("PRO030", chapter="absent-classes", needs=["model", "train"])
def averages(pipeline: Pipeline) -> Result:
    """Averages that go by the name of accuracy differ on the same predictions.

    Fault: None: accuracy, balanced accuracy, the mean over all outputs and the mean of batch means
    are four numbers, and libraries differ in which one they return.
    Evidence: All of them, and macro F1 over the classes that are there and over all outputs, of
    the sampled images.
    Consequence: Numbers of different averages are compared.
    Remedy: Say which average, and over which classes: labels=, average=.
    False alarms: A note, where two of them differ by more than 0.02.

    In code:
        MulticlassAccuracy(num_classes=10)  # a mean over ten classes, absent ones count as 0
    """
    part = judged_part(pipeline)
    logits, labels = pipeline.judged(part)
    right = (logits.argmax(1) == labels).double()
    width = logits.shape[1]
    counts = torch.bincount(labels, minlength=width).double()
    hits = torch.bincount(labels, weights=right, minlength=width)
    answered = torch.bincount(logits.argmax(1), minlength=width).double()
    there = counts > 0
    recall = hits[there] / counts[there]
    f1 = 2 * hits / (counts + answered).clamp(min=1)
    found = {
        "accuracy": float(right.mean()),
        "balanced accuracy": float(recall.mean()),
        "mean over all outputs": float(recall.sum() / width),
        "macro F1": float(f1[there].mean()),
        "macro F1 over all outputs": float(f1.mean()),
    }
    sizes = pipeline.read(part).sizes
    if len(labels) == sum(sizes):
        found["mean of batch means"] = float(
            torch.stack([batch.mean() for batch in right.split(sizes) if len(batch)]).mean()
        )
    told = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
    said = f"{len(labels)} images of {part}, {int(there.sum())} of {width} classes: {told}"
    apart = max(found.values()) - min(found.values())
    return note(said) if apart > 0.02 else said


@check("PRO031", chapter="candidate-set", needs=["model", "train"])
def candidates(pipeline: Pipeline) -> Result:
    """The score depends on which classes the model may choose from.

    Fault: None: the argmax over all outputs and the one over the classes of the set answer two
    questions.
    Evidence: The accuracy of the sampled images under both.
    Consequence: Scores of one protocol are compared with those of the other: on ImageNet-R the two
    are tens of points apart.
    Remedy: Name the candidates: evaluate(model, test, candidates=classes), and report both.
    False alarms: A note, where the two differ.

    In code:
        logits[:, present].argmax(1)  # over the classes of the test set alone
    """
    part = judged_part(pipeline)
    logits, labels = pipeline.judged(part)
    known, _ = pipeline.known_labels(part)
    present = known[(known >= 0) & (known < logits.shape[1])].unique()
    full = float((logits.argmax(1) == labels).float().mean())
    some = float((present[logits[:, present].argmax(1)] == labels).float().mean())
    told = (
        f"of {len(labels)} images of {part} {full:.3f} are right among all "
        f"{logits.shape[1]} outputs, and {some:.3f} among the {len(present)} classes of {part}"
    )
    return note(told) if some != full else told


@check("PRO032", chapter="first-checks", needs=["model", "train"])
def better_than_a_guess(pipeline: Pipeline) -> Result:
    """On held-out images the model is no better than a guess.

    Fault: It is untrained, or anything else on this list.
    Evidence: The accuracy of the sampled held-out images against the same answers with shuffled
    labels, 1,000 times, and against always answering the most frequent class; how many classes are
    ever answered.
    Consequence: There is nothing to report yet.
    Remedy: Train first; if it was, begin with one batch (SMP116) and with the labels (LBL003).
    False alarms: A note, as it is true of every new model.

    In code:
        (test_labels == test_labels.mode().values).float().mean()  # always the same answer
    """
    part = judged_part(pipeline)
    logits, labels = pipeline.judged(part)
    answers = logits.argmax(1)
    own = float((answers == labels).float().mean())
    generator = torch.Generator().manual_seed(pipeline.seed)
    by_chance = torch.tensor(
        [
            float(
                (answers == labels[torch.randperm(len(labels), generator=generator)]).float().mean()
            )
            for _ in range(DRAWS)
        ]
    )
    share = float((by_chance >= own).float().mean())
    most = float(torch.bincount(labels).max() / len(labels))
    told = (
        f"{own:.3f} of {len(labels)} images of {part} are right; with shuffled labels "
        f"{float(by_chance.mean()):.3f}, with the most frequent class {most:.3f}; "
        f"{len(answers.unique())} of {logits.shape[1]} classes are answered"
    )
    return note(told) if share > 0.01 else told


@check("PRO036", chapter="look-alikes", needs=["train"], explains=["PRO032"])
def shortcuts(pipeline: Pipeline) -> Result:
    """A simple property of an image tells its class.

    Fault: Classes were photographed with different cameras, saved by different programs, or
    numbered in the order in which they were taken.
    Evidence: Brightness, contrast, colour and the sharpness of the sampled training images: the
    share of the variance that the label explains, against shuffled labels, 200 times; and whether
    it still tells in the sets that are judged, and what the model is right about there.
    Consequence: The network may learn the property and not the object; it fails where the property
    changes.
    Remedy: Look at classes whose property differs; randomise it by augmentation, or gather images
    in which it does not tell.
    False alarms: A note where a property explains more than half: sky is blue behind ships. A
    warning where it tells no more than shuffled labels do in a set that is judged, and the model,
    better than a guess in training, is there worse by 0.2 and by four standard errors.

    In code:
        [images[labels == k].mean() for k in labels.unique()]
    """
    labels = pipeline.labels("train")
    values = flat_images(pipeline.read("train").inputs)
    keep = (labels >= 0).nonzero().flatten()
    labels, values = labels[keep], values[keep]
    if len(labels) < 50 or len(labels.unique()) < 2:
        raise NotRunError(f"{len(labels)} images of {len(labels.unique())} classes are too few")
    rows = properties(values)
    found: list[Seen] = []
    said = []
    generator = torch.Generator().manual_seed(pipeline.seed)
    for name, row in rows.items():
        if not bool(row.isfinite().all()) or float(row.std()) == 0:
            continue
        own = explained(row, labels)
        chance = max(
            explained(row, labels[torch.randperm(len(labels), generator=generator)])
            for _ in range(200)
        )
        said.append(f"{name} {own:.2f}")
        if own > 0.5 and own > chance:
            told = (
                f"the label explains {own:.2f} of the variance of {name} over "
                f"{len(labels)} images, with shuffled labels at most {chance:.2f}"
            )
            lost = [_lost_in(pipeline, part, name) for part in pipeline.held_out]
            lost = [each for each in lost if each]
            found.append(warning(f"{told}; {'; '.join(lost)}") if lost else note(told))
    return found or f"explained by the label: {brief(said, quote=False)}"


def properties(values: Tensor) -> dict[str, Tensor]:
    """Return simple properties of images, one number for each, by their names.

    >>> list(properties(torch.zeros(2, 4)))
    ['brightness', 'contrast', 'sharpness', 'brightest pixel']
    """
    return {
        "brightness": values.mean(1),
        "contrast": values.std(1),
        "sharpness": values.diff(dim=1).abs().mean(1),
        "brightest pixel": values.max(1).values,
    }


def _lost_in(pipeline: Pipeline, part: str, name: str) -> str:
    """Return, in words, that a property tells nothing in a part where the model fails, or ""."""
    try:
        labels, images = pipeline.labels(part), flat_images(pipeline.read(part).inputs)
        scores = []
        for each in ("train", part):
            logits, own = pipeline.judged(each)
            scores.append((logits.argmax(1) == own).double())
    except NotRunError:
        return ""
    row = properties(images)[name]
    if len(row) != len(labels) or len(labels) < 50 or len(labels.unique()) < 2:
        return ""
    generator = torch.Generator().manual_seed(pipeline.seed)
    chance = max(
        explained(row, labels[torch.randperm(len(labels), generator=generator)]) for _ in range(200)
    )
    told = explained(row, labels) if float(row.std()) else 0.0
    known, own = scores[0].mean(), scores[1].mean()
    spread = (0.25 / len(scores[0]) + 0.25 / len(scores[1])) ** 0.5
    if told > chance or float(known - own) < max(0.2, 4 * spread):
        return ""
    return (
        f"in {part} it explains {told:.2f}, and the model has {float(own):.2f} right there, "
        f"{float(known):.2f} in training"
    )


def explained(row: Tensor, labels: Tensor) -> float:
    """Return the share of a row's variance that lies between the classes.

    >>> explained(torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0, 0, 1, 1]))
    1.0
    """
    index = labels.unique(return_inverse=True)[1]
    counts = torch.bincount(index).double()
    means = torch.bincount(index, weights=row.double()) / counts
    between = (counts * (means - row.double().mean()) ** 2).sum()
    return float(between / ((row.double() - row.double().mean()) ** 2).sum())
