"""A check of whether a loss reads a batch image by image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.stepping import loss_called, own_loss, targets_of
from companion.doctor.taking import tensor_in
from companion.doctor.words import NotRunError, Result, note, warning
from companion.inputs import called, device_of, dtype_of, moved
from companion.states import evaluating, randomness_kept


@check(
    "SMP122",
    chapter="broadcast-accuracy",
    needs=["model", "loss", "train"],
    explains=["SMP113", "SMP116", "PRO032"],
)
def across_the_batch(pipeline: Pipeline) -> Result:
    """The loss reads the batch along the wrong axis.

    Fault: A softmax along dimension 0, so that images compete and classes do not; or answers of
    shape (N, 1) against labels of shape (N,), which are broadcast to N × N.
    Evidence: Whether a number that is added to one class's logits, for all images, changes the
    loss; or whether the loss of (N, 1) answers changes when the labels are given that shape.
    Consequence: Nothing sets the classes against each other; or each answer is drawn to the mean
    of all labels.
    Remedy: log_softmax(logits, dim=1), or cross_entropy(logits, labels); and
    loss(answers.squeeze(1), labels.float()).
    False alarms: A warning: a loss of ranks within a batch, as for an area under the curve, reads
    columns on purpose, and a loop may give the labels their shape: where the loss, image by image,
    is less than half of that of one answer for all, that is a note.

    In code:
        F.nll_loss(F.log_softmax(logits, dim=0), labels)
        F.mse_loss(model(images), labels.float())  # (N, 1) and (N,)
    """
    if pipeline.task == "two classes by one number":
        return _broadcast(pipeline)
    width = pipeline.width
    generator = torch.Generator().manual_seed(pipeline.seed)
    rows = max(8, min(width, 64))
    logits = torch.randn(rows, width, generator=generator)
    labels = torch.arange(rows) % width
    form = pipeline.read("train").labels
    soft = form is not None and form.form in ("one-hot", "soft rows")
    targets = F.one_hot(labels, width).float() if soft else labels

    def value(shift: Tensor) -> float:
        try:
            found = loss_called(pipeline, logits + shift, targets)
            return float(found.float().mean())
        except NotRunError:
            raise
        except Exception as raised:
            raise NotRunError(f"the loss cannot be tried ({raised})") from raised

    own = value(torch.zeros(1))
    by_class = value(3 * torch.randn(1, width, generator=generator)) - own
    by_image = value(3 * torch.randn(rows, 1, generator=generator)) - own
    told = (
        f"numbers added to the classes change the loss by {by_class:.2g}, and numbers added to "
        f"the images by {by_image:.2g}"
    )
    small = 1e-5 * max(1.0, abs(own))
    known = math.isfinite(by_class) and math.isfinite(by_image)
    return warning(told) if known and abs(by_class) < small and abs(by_image) > 1e-2 else told


def _broadcast(pipeline: Pipeline) -> Result:
    outputs = tensor_in(pipeline.answer)
    assert outputs is not None
    outputs = outputs.detach().float()
    targets = targets_of(pipeline, len(outputs)).to(outputs.device)
    if outputs.shape == targets.shape or outputs.numel() != targets.numel():
        return f"answers of {tuple(outputs.shape)} and labels of {tuple(targets.shape)}"
    # Two labels at least, and answers that differ, or every way of pairing them looks the same.
    count = len(outputs)
    answers = torch.linspace(0.1, 0.9, count, device=outputs.device).reshape(outputs.shape)
    labels = (torch.arange(count, device=targets.device) % 2).to(targets.dtype)
    loss = own_loss(pipeline)
    try:
        crossed = float(loss(answers, labels.reshape(targets.shape)).mean())
        paired = float(loss(answers, labels.reshape(outputs.shape)).mean())
    except Exception as raised:
        raise NotRunError(f"the loss does not take labels of both shapes ({raised})") from raised
    told = (
        f"answers of {tuple(outputs.shape)} and labels of {tuple(targets.shape)}: the loss is "
        f"{crossed:.4g}, and {paired:.4g} where labels have the shape of the answers"
    )
    if math.isclose(crossed, paired, rel_tol=1e-4, abs_tol=1e-7):
        return told
    return (note if _follows(pipeline) else warning)(told)


def _follows(pipeline: Pipeline) -> bool:
    """Return whether the paired loss of the answers is less than half of a constant answer's."""
    labels, rows = pipeline.labels("train"), []
    device, dtype = device_of(pipeline.module), dtype_of(pipeline.module)
    with randomness_kept(device), evaluating(pipeline.module):
        for inputs in pipeline.read("train").inputs:
            found = tensor_in(called(pipeline.module, moved(inputs, device, dtype)))
            if found is not None:
                rows.append(found.detach().float().cpu().flatten())
    answers = torch.cat(rows)
    if len(answers) != len(labels):
        return False
    loss = own_loss(pipeline)
    paired = float(loss(answers, labels.float()).mean())
    constant = float(loss(torch.full_like(answers, float(answers.mean())), labels.float()).mean())
    return paired < constant / 2
