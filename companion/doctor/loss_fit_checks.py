"""Checks of whether a loss fits the model's outputs, and its own weights."""

from __future__ import annotations

import math

from torch import nn

from companion.doctor.loss_checks import CROSS_ENTROPIES, kind_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning


@check("MOD013", chapter="softmax-twice", needs=["model", "train"], explains=["SMP116", "SMP118"])
def softmax_twice(pipeline: Pipeline) -> Result:
    """The model's outputs are probabilities, and the loss applies a softmax to them.

    Fault: The last layer is a softmax or a sigmoid, before cross-entropy, which has its own.
    Evidence: Whether the rows of outputs are at least 0 and sum to 1, or all lie between 0 and 1
    behind a sigmoid, and which loss reads them.
    Consequence: The loss cannot fall below ln(1 + (K − 1)/e), about 1.46 for ten classes, and its
    gradients are small: training is slow and stops early.
    Remedy: Return the logits, and take the softmax where probabilities are shown.
    False alarms: Logarithms of probabilities give the same loss and pass. Without loss= it is a
    note, as the loop may take the logarithm itself.

    In code:
        nn.Sequential(backbone, nn.Linear(512, 10), nn.Softmax(dim=1))  # leave the last one out
    """
    logits = pipeline.logits("train")
    width = logits.shape[1]
    summed = float((logits.sum(1) - 1).abs().max())
    inside = bool(((logits >= 0) & (logits <= 1)).all())
    floor = math.log(1 + (width - 1) / math.e)
    last = [each for each in pipeline.module.modules() if not list(each.children())]
    sigmoid = bool(last) and isinstance(last[-1], nn.Sigmoid)
    if not (inside and (summed < 1e-3 or sigmoid)):
        return (
            f"outputs run from {float(logits.min()):.3g} to {float(logits.max()):.3g}: no "
            "probabilities"
        )
    told = (
        f"the outputs of {len(logits)} images are {'a sigmoid’s' if summed >= 1e-3 else 'rows'} "
        f"between 0 and 1{'' if summed >= 1e-3 else ' that sum to 1'}"
    )
    kind = kind_of(pipeline.given["loss"]) if "loss" in pipeline else ""
    if kind in CROSS_ENTROPIES:
        return error(f"{told}, and {kind} takes another softmax: it cannot fall below {floor:.3f}")
    return note(f"{told}{f'; the loss is {kind}' if kind else ''}")


@check("SMP117", chapter="weights-in-the-loss", needs=["loss"])
def weights_and_smoothing(pipeline: Pipeline) -> Result:
    """Class weights are combined with what changes their meaning.

    Fault: `weight` and `label_smoothing` together weight the smoothed part by every class's
    weight; and a weighted mean over a batch of one image, or of one class, cancels the weight.
    Evidence: The attributes of the loss, the ratio of its weights, and the size of a batch.
    Consequence: With smoothing 0.1 and weights 1 to 100 the best probability for an image of a
    common class is 0.16 and not 0.95; in batches of one the weights do nothing.
    Remedy: Leave out one of the two; average over a fixed number: WeightedLoss(weights).
    False alarms: Smoothing is a warning from a ratio of 10 upwards, a note below.

    In code:
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 100.0]), label_smoothing=0.1)
    """
    loss = pipeline["loss"]
    weights = getattr(loss, "weight", None)
    if not isinstance(loss, nn.CrossEntropyLoss | nn.NLLLoss) or weights is None:
        raise NotRunError("the loss is none of PyTorch's with weights")
    found: list[Seen] = []
    ratio = float(weights.max() / weights[weights > 0].min()) if bool((weights > 0).any()) else 1.0
    smoothing = float(getattr(loss, "label_smoothing", 0.0))
    if smoothing and ratio > 1:
        told = f"label_smoothing={smoothing:g} together with weights in the ratio {ratio:.3g}"
        found.append(warning(told) if ratio >= 10 else note(told))
    if "train" in pipeline and loss.reduction == "mean" and ratio > 1:
        sizes = {*pipeline.read("train").sizes}
        if sizes == {1}:
            found.append(error("batches have one image, so that the mean cancels its weight"))
    return found or f"weights in the ratio {ratio:.3g}, without smoothing"
