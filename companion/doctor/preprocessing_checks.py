"""Checks of what images go through before the model: constants, ranges, one recipe for all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from companion.doctor.describing import described
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.transforms import Normalisation, normalisations, transforms_of
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning

SPREAD = 1.4  # times, where one part says that it normalises and the other does not
APART = 20.0  # times: no augmentation makes pixels so much larger


def wanted_by(model: Any) -> Normalisation | None:
    """Return mean and standard deviation that a model's own configuration asks for.

    timm's `pretrained_cfg` or `default_cfg` has them.

    >>> wanted_by(torch.nn.Linear(2, 2)) is None
    True
    """
    for name in ("pretrained_cfg", "default_cfg"):
        config = getattr(model, name, None)
        if isinstance(config, dict) and "mean" in config and "std" in config:
            mean, std = (tuple(round(float(x), 4) for x in config[key]) for key in ("mean", "std"))
            return mean, std
    return None


def statistics(batches: list[Any]) -> tuple[float, float, float, float] | None:
    """Return smallest, largest, mean and spread of the pixels of some batches."""
    tensors = [each for each in batches if isinstance(each, Tensor)]
    if not tensors or len(tensors) != len(batches):
        return None
    values = torch.cat([each.detach().float().flatten().cpu() for each in tensors])
    values = values[values.isfinite()]
    if not len(values):
        return None
    return float(values.min()), float(values.max()), float(values.mean()), float(values.std())


@check("MOD015", chapter="types-and-scales", needs=["model", "train"], explains=["PRO032"])
def preprocessing_wanted(pipeline: Pipeline) -> Result:
    """Images are normalised otherwise than the model's weights were trained with.

    Fault: Constants of another family, 0.5/0.5 against those of ImageNet, or none at all.
    Evidence: The model's own configuration, as timm's pretrained_cfg, against the Normalize in the
    transforms of the data, else against range and mean of the sampled pixels.
    Consequence: Pretrained features are read wrongly: some to tens of points of accuracy.
    Remedy: Take the transform from the weights: weights.transforms(), or timm's
    create_transform(**resolve_model_data_config(model)).
    False alarms: A warning: a network that is trained anew gets used to any constants. Models
    without a configuration are not judged, and pixels in 0 … 255 are then a note.

    In code:
        timm.create_model("vit_tiny_patch16_224").pretrained_cfg["mean"]  # (0.5, 0.5, 0.5)
    """
    wanted = wanted_by(pipeline.model)
    seen = statistics(pipeline.read("train").inputs)
    if seen is None:
        raise NotRunError("the inputs are no tensors")
    low, high, mean, spread = seen
    told = f"pixels run from {low:.3g} to {high:.3g}, mean {mean:.3g}, spread {spread:.3g}"
    if wanted is None:
        if high > 50 and low >= 0:
            return note(f"{told}: they are not scaled")
        return f"{told}; the model has no configuration to hold them against"
    own = normalisations(pipeline["train"])
    asked = f"the model asks for mean {wanted[0]} and standard deviation {wanted[1]}"
    if own:
        if own[-1] != wanted and len(own[-1][0]) == len(wanted[0]):
            return warning(f"{asked}; the training transforms use {own[-1][0]} and {own[-1][1]}")
        return f"{asked}, and so do the transforms"
    bounds = [(edge - m) / s for m, s in zip(*wanted, strict=True) for edge in (0.0, 1.0)]
    if high > max(bounds) + 1 or low < min(bounds) - 1:
        return warning(f"{asked}, which gives {min(bounds):.3g} to {max(bounds):.3g}; {told}")
    if low >= 0 and high <= 1 and min(bounds) < -0.5:
        return warning(f"{asked}; {told}: nothing was subtracted")
    return f"{told}, as {asked}"


@check(
    "MOD016", chapter="types-and-scales", needs=["train"], explains=["PRO032", "PRO033", "LBL020"]
)
def one_recipe(pipeline: Pipeline) -> Result:
    """Training images and judged images are prepared differently.

    Fault: Another Normalize, none, another scale, type or order of channels in one of the parts.
    Evidence: The constants in the transforms of both; type and shape of an image; range and
    spread of the sampled pixels.
    Consequence: The network is judged on images of a kind that it has never seen.
    Remedy: Write the fixed part of the transforms once, and add augmentation in front for training.
    False alarms: Errors are other constants in both; constants in one alone, if the pixels too are
    1.4 times as spread or shifted by half of it, as a function may normalise the others; and pixels
    more than 20 times as spread, which no augmentation does. Other sizes are a note.

    In code:
        train = Compose([RandomCrop(32), ToTensor(), Normalize(mean, std)])
        test = Compose([ToTensor()])  # without it
    """
    found: list[Seen] = []
    said = []
    parts = pipeline.held_out
    if not parts:
        raise NotRunError("validation= and test= were not given")
    own, mine = normalisations(pipeline["train"]), pipeline.read("train")
    known = bool(transforms_of(pipeline["train"]))
    here = statistics(mine.inputs)
    for part in parts:
        other, theirs = normalisations(pipeline.given[part]), pipeline.read(part)
        there = statistics(theirs.inputs)
        one, two = described(mine.inputs[0]), described(theirs.inputs[0])
        told = f"train is normalised by {_told(own)} and {part} by {_told(other)}"
        if known and transforms_of(pipeline.given[part]) and own != other:
            # A function among the transforms may normalise too: then the pixels are alike.
            sure = (own and other) or (here and there and _apart(here, there))
            found.append(error(told) if sure else note(f"{told}; pixels are as spread in both"))
        elif here and there and max(here[3], there[3]) > APART * max(min(here[3], there[3]), 1e-12):
            found.append(
                error(
                    f"pixels of train run from {here[0]:.3g} to {here[1]:.3g}, and those "
                    f"of {part} from {there[0]:.3g} to {there[1]:.3g}"
                )
            )
        elif one.split(" ")[0] != two.split(" ")[0]:
            found.append(warning(f"an image of train is {one}, and one of {part} {two}"))
        elif one != two:
            found.append(note(f"an image of train is {one}, and one of {part} {two}"))
        said.append(f"{part}: {two}")
    return found or f"train: {mine.said}, {described(mine.inputs[0])}; {'; '.join(said)}"


def _apart(here: tuple[float, ...], there: tuple[float, ...]) -> bool:
    """Return whether pixels of two parts are of another spread, or lie elsewhere."""
    wide, narrow = max(here[3], there[3]), max(min(here[3], there[3]), 1e-12)
    return wide > SPREAD * narrow or abs(here[2] - there[2]) > wide / 2


def _told(found: list[Normalisation]) -> str:
    return " and ".join(f"{mean} / {std}" for mean, std in found) or "nothing"
