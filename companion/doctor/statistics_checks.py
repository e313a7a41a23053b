"""Checks of the gap between training and evaluation mode: BatchNorm's running statistics."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from companion.doctor.copies import copied
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.surgery_checks import idle_in
from companion.doctor.words import NotRunError, Result, Seen, note, warning
from companion.inputs import brief, called, device_of, dtype_of, logits_of, moved
from companion.states import own_randomness

DRAWS = 1_000
GAP = 0.1  # of accuracy


def lower_end(values: Tensor, seed: int) -> float:
    """Return the lower end of a bootstrap interval of a mean, which 1 in 1,000 draws is below.

    >>> lower_end(torch.ones(10), 0)
    1.0
    """
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(values), (DRAWS, len(values)), generator=generator)
    return float(values.double()[rows].mean(1).sort().values[DRAWS // 1000])


@check("PRO033", chapter="missing-eval", needs=["model", "train"])
def modes_apart(pipeline: Pipeline) -> Result:
    """In evaluation mode the model is much worse on the images that it trains on.

    Fault: BatchNorm's running statistics do not belong to the weights: too few steps, tiny
    batches, a momentum near 0, or statistics of other data.
    Evidence: The sampled training images in both modes, image by image, with a bootstrap interval;
    and in evaluation mode after the statistics were taken anew on a copy. If that closes the gap,
    BatchNorm is the cause. Held-out images with the new statistics and the old ones.
    Consequence: Scores in evaluation are far below what the weights can do.
    Remedy: Take the statistics anew: torch.optim.swa_utils.update_bn(loader, model); larger
    batches or GroupNorm.
    False alarms: A warning where accuracy is at least 0.1 lower, beyond 1 in 1,000 bootstrap
    draws. Dropout makes the gap smaller, not larger. A model that is judged by other weights than
    it trains, an average of them, is a note.

    In code:
        model.train(); accuracy(model, train)  # 0.95
        model.eval(); accuracy(model, train)   # 0.31
    """
    norms = [each for each in pipeline.module.modules() if isinstance(each, _BatchNorm)]
    if not norms:
        raise NotRunError("the model has no BatchNorm")
    logits, labels = pipeline.logits("train"), pipeline.labels("train")
    made = copied(pipeline.module).train()
    training = _answers(pipeline, made)
    if len(training) != len(logits):
        raise NotRunError("in training mode the model does not run on every batch")
    here = (labels >= 0) & (labels < logits.shape[1])
    apart = (training.argmax(1) == labels).float() - (logits.argmax(1) == labels).float()
    apart = apart[here]
    with_train = float((training.argmax(1) == labels)[here].float().mean())
    told = (
        f"on {len(apart)} training images accuracy is {with_train:.3f} in training mode and "
        f"{with_train - float(apart.mean()):.3f} in evaluation mode"
    )
    apart_in_training = float(apart.mean()) >= GAP and lower_end(apart, pipeline.seed) > 0
    for each in made.modules():
        if isinstance(each, _BatchNorm) and each.track_running_stats:
            each.reset_running_stats()
            each.momentum = None
    _answers(pipeline, made)  # takes the statistics anew
    if not apart_in_training:
        most = float(torch.bincount(labels[here]).max()) / max(1, len(apart))
        if with_train < most + 2 * GAP:  # of a model that has yet to learn, statistics say nothing
            return told
        return _better_with_new_statistics(pipeline, made.eval()) or told
    again = _answers(pipeline, made.eval())
    renewed = float((again.argmax(1) == labels)[here].float().mean())
    told = f"{told}; with statistics taken anew it is {renewed:.3f}"
    if renewed > with_train - GAP / 2:
        return warning(f"{told}: BatchNorm is the cause")
    others = idle_in(pipeline, training=True) - idle_in(pipeline, training=False)
    if others:
        return note(
            f"{told}: in evaluation it answers by other weights ({brief(sorted(others), 2)})"
        )
    return warning(f"{told}: something else differs")


def _better_with_new_statistics(pipeline: Pipeline, renewed: torch.nn.Module) -> Seen | None:
    """Return what to say where new statistics alone make held-out images better known."""
    for part in pipeline.held_out:
        try:
            logits, labels = pipeline.logits(part), pipeline.labels(part)
            other = _answers(pipeline, renewed, part)
        except NotRunError:
            continue
        if len(other) != len(labels):
            continue
        here = (labels >= 0) & (labels < logits.shape[1])
        now, before = ((each.argmax(1) == labels)[here].float() for each in (other, logits))
        gain = now - before
        if len(gain) and float(gain.mean()) >= 2 * GAP and lower_end(gain, pipeline.seed) > 0:
            return warning(
                f"on {len(gain)} images of {part} accuracy is {float(before.mean()):.3f} in "
                f"evaluation mode, and {float(now.mean()):.3f} with statistics taken anew from "
                "the training images: BatchNorm is the cause"
            )
    return None


def _answers(pipeline: Pipeline, model: torch.nn.Module, part: str = "train") -> Tensor:
    device, dtype = device_of(model), dtype_of(model)
    found = []
    with torch.no_grad(), own_randomness(pipeline.seed, device):
        for inputs, size in zip(pipeline.read(part).inputs, pipeline.read(part).sizes, strict=True):
            if size > 1 or not model.training:
                try:
                    found.append(
                        logits_of(called(model, moved(inputs, device, dtype))).float().cpu()
                    )
                except Exception as raised:
                    raise NotRunError(f"in training mode the model does not run ({raised})") from (
                        raised
                    )
    return torch.cat(found) if found else torch.empty(0)
