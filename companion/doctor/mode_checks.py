"""Checks of gaps: between training and validation, loss and accuracy, plain and augmented."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from companion.doctor.copies import copied
from companion.doctor.curves import curve_like, curves_of
from companion.doctor.maps import dataset_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.statistics_checks import DRAWS, lower_end
from companion.doctor.transforms import transform_names
from companion.doctor.words import NotRunError, Result, note, warning
from companion.inputs import called, device_of, dtype_of, logits_of, moved


@check("PRO034", chapter="duplicates", needs=["model", "train"])
def held_out_too_good(pipeline: Pipeline) -> Result:
    """The model is better on held-out images than on its training images.

    Fault: Duplicates across the split, an easier set, or training labels with more noise.
    Evidence: Accuracy of both in evaluation mode, where training images are not augmented, with
    bootstrap intervals that do not touch.
    Consequence: The score says little of new images.
    Remedy: Look for duplicates (PRO002, PRO004), and at how the split was drawn.
    False alarms: A note. Where training images are drawn anew each time it is not run, as
    augmentation explains it.

    In code:
        evaluate(model, train).accuracy, evaluate(model, validation).accuracy
    """
    part = "validation" if "validation" in pipeline else "test"
    random = [n for n in transform_names(pipeline["train"]) if "Random" in n or "Auto" in n]
    if random:
        raise NotRunError(f"training images are augmented: {random[0]}")
    scores = {}
    for each in ("train", part):
        logits, labels = pipeline.judged(each)
        scores[each] = (logits.argmax(1) == labels).float()
    train, other = scores["train"], scores[part]
    told = (
        f"accuracy is {float(train.mean()):.3f} on {len(train)} training images and "
        f"{float(other.mean()):.3f} on {len(other)} of {part}"
    )
    low = lower_end(other, pipeline.seed)
    high = 1 - lower_end(1 - train, pipeline.seed + 1)
    return note(told) if low > high + 0.01 else told


@check("PRO035", chapter="map-symptoms", needs=["history"])
def curves_disagree(pipeline: Pipeline) -> Result:
    """Over the epochs, accuracy falls as the loss falls.

    Fault: Accuracy compares something else than the loss does: other labels, another map, another
    axis of the argmax.
    Evidence: The rank correlation of loss and accuracy over the epochs of history=, against
    shuffled epochs, 1,000 times.
    Consequence: The number that chooses the epoch is not the one that is trained.
    Remedy: Compute both from the same logits and labels, in one place.
    False alarms: A warning where the correlation is above 0.5 and shuffling reaches it in fewer
    than 1 in 100 cases. In an over-confident network the loss may rise with the accuracy: found on
    training curves alone.

    In code:
        scipy.stats.spearmanr(history["train_loss"], history["train_accuracy"])
    """
    curves = curves_of(pipeline)
    loss, accuracy = curve_like(curves, "train", "loss"), curve_like(curves, "train", "acc")
    if loss is None or accuracy is None or len(loss) != len(accuracy) or len(loss) < 6:
        raise NotRunError("the history has no train_loss and train_accuracy of 6 epochs or more")
    one, other = _ranks(loss), _ranks(accuracy)
    if float(one.std()) == 0 or float(other.std()) == 0:
        raise NotRunError("one of the curves does not move")
    own = float(torch.corrcoef(torch.stack([one, other]))[0, 1])
    generator = torch.Generator().manual_seed(pipeline.seed)
    reached = sum(
        float(
            torch.corrcoef(
                torch.stack([one[torch.randperm(len(one), generator=generator)], other])
            )[0, 1]
        )
        >= own
        for _ in range(DRAWS)
    )
    told = f"over {len(loss)} epochs the ranks of loss and accuracy have a correlation of {own:.2f}"
    return warning(told) if own > 0.5 and reached < DRAWS / 100 else told


def _ranks(values: list[float]) -> Tensor:
    row = torch.tensor(values, dtype=torch.float64)
    return row.unique(return_inverse=True)[1].double()


@check("PRO037", chapter="shared-transform", needs=["model", "train"])
def augmented_away(pipeline: Pipeline) -> Result:
    """Augmentation makes training images unrecognisable.

    Fault: It crops the object away, inverts what tells the classes apart, or turns a 6 into a 9.
    Evidence: The same training images through the training transforms and through those of the
    validation set, read by the model: accuracy of both, paired, with a bootstrap interval.
    Consequence: The network is trained on labels that its images no longer show.
    Remedy: Look at augmented images beside their labels; make the augmentation milder.
    False alarms: A warning only where the model knows the images without it, loses at least half
    of its accuracy with it, and is within 0.1 of chance: strong augmentation is meant to cost some.

    In code:
        RandomRotation(180)  # of digits
    """
    train = dataset_of(pipeline["train"])
    other = next(
        (
            dataset_of(pipeline.given[part])
            for part in pipeline.held_out
            if getattr(dataset_of(pipeline.given[part]), "transform", None) is not None
        ),
        None,
    )
    if (
        other is None
        or getattr(train, "transform", None) is None
        or train.transform is other.transform
    ):
        raise NotRunError("training and held-out data have no transforms of their own")
    clean = copy.copy(train)
    for holder in ("transform", "transforms"):
        if hasattr(other, holder) and hasattr(clean, holder):
            setattr(clean, holder, getattr(other, holder))
    width = pipeline.width
    places = torch.linspace(0, len(train) - 1, min(128, len(train))).long().unique().tolist()
    try:
        pairs = [(train[place], clean[place]) for place in places]
        labels = torch.tensor([int(a[1]) for a, _ in pairs])
        images = [torch.stack([each[side][0] for each in pairs]) for side in (0, 1)]
    except Exception as raised:
        raise NotRunError(f"the items cannot be read both ways ({raised})") from raised
    right = []
    for each in images:
        moved_in = moved(each, device_of(pipeline.module), dtype_of(pipeline.module))
        model = copied(pipeline.module).eval()
        with torch.no_grad():
            right.append((logits_of(called(model, moved_in)).argmax(1).cpu() == labels).float())
    augmented, plain = (float(row.mean()) for row in right)
    told = (
        f"of {len(labels)} training images the model knows {plain:.3f} without augmentation and "
        f"{augmented:.3f} with it"
    )
    lost = lower_end(right[1] - right[0], pipeline.seed) > 0
    near = augmented < float(torch.bincount(labels).max() / len(labels)) + 0.1
    if width > 1 and lost and near and augmented < plain / 2:
        return warning(told)
    return told
