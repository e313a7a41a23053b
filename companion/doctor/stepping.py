"""One training step on a copy: the loss, the gradients, and what moved."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.doctor.copies import copied, pairs_of, shadow_of
from companion.doctor.facts import kept
from companion.doctor.pipeline import Pipeline
from companion.doctor.taking import cut, tensor_in
from companion.doctor.whole_answers import WholeAnswer
from companion.doctor.words import NotRunError
from companion.inputs import called, device_of, dtype_of, logits_of, moved
from companion.states import own_randomness

BATCH = 32  # images of a step


@dataclass
class Step:
    """A copy after one step of training: what it was before, and the gradients of the step."""

    model: nn.Module
    loss: Tensor
    before: dict[str, Tensor]
    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]
    stepped: bool = False

    def moved(self, name: str) -> bool:
        """Return whether a parameter has moved."""
        now = dict(self.model.named_parameters())[name]
        return not torch.equal(now.detach(), self.before[name])


def own_loss(pipeline: Pipeline) -> Any:
    """Return the loss to be called in the place of the given one: a copy where it has a state.

    >>> own_loss(Pipeline()).__name__
    'cross_entropy'
    """

    def made() -> Any:
        given = pipeline.given.get("loss")
        if given is None:
            return F.cross_entropy
        if isinstance(given, type) or not callable(given):
            raise NotRunError("the loss is no function (SMP111)")
        made = copy.deepcopy(given) if isinstance(given, nn.Module) else given
        return WholeAnswer(made, pipeline.answer) if takes_whole_answers(pipeline, made) else made

    return kept(pipeline.facts, "own loss", made)


def takes_whole_answers(pipeline: Pipeline, loss: Any) -> bool:
    """Return whether a loss runs on the model's whole answer, and not on the logits in it."""
    given = pipeline.facts.get("sample of train")
    if "model" not in pipeline or "train" not in pipeline or (given and not given.inputs):
        return False
    try:
        answer, outputs = pipeline.answer, tensor_in(pipeline.answer)
        if isinstance(answer, Tensor | Exception) or outputs is None:
            return False
        targets = targets_of(pipeline, len(outputs)).to(outputs.device)
    except NotRunError:
        return False
    whole = targets.dtype not in (torch.float16, torch.float32, torch.float64)
    targets = targets.long() if whole else targets
    for value, expected in ((outputs, False), (answer, True)):
        try:
            loss(value, targets)
        except Exception:  # other people's code runs here
            if expected:
                return False
        else:
            if not expected:
                return False
    return True


def targets_of(pipeline: Pipeline, count: int) -> Any:
    """Return the labels of the first images of training in the form that a loss is given."""
    sample = pipeline.read("train")
    if sample.labels is None:
        raise NotRunError("the labels of train could not be read (LBL001)")
    if sample.labels.form == "names":
        return pipeline.labels("train")[:count]
    given = sample.given[0]
    return torch.as_tensor(given)[:count]


def forms_of(outputs: Tensor, targets: Tensor) -> list[Tensor]:
    """Return targets as they are, and in the forms that loops turn them into before the loss.

    >>> [tuple(each.shape) for each in forms_of(torch.zeros(2, 3), torch.tensor([0, 2]))]
    [(2,), (2, 3)]
    """
    found = [targets]
    whole = targets.dim() == 1 and not targets.is_floating_point()
    if whole and outputs.dim() == 2 and outputs.shape[1] > 1:
        inside = targets.clamp(0, outputs.shape[1] - 1)
        found.append(F.one_hot(inside.long(), outputs.shape[1]).to(outputs.dtype))
    if targets.numel() == outputs.numel():
        found.append(targets.to(outputs.dtype).reshape(outputs.shape))
    return found


def loss_called(pipeline: Pipeline, outputs: Tensor, targets: Tensor) -> Any:
    """Return what the loss makes of outputs and targets, in the first form that it takes.

    A loss such as BCEWithLogitsLoss reads rows, into which the loop turns the loader's indices.
    """
    loss, refused = own_loss(pipeline), None
    for form in forms_of(outputs, targets):
        try:
            return loss(outputs, form)
        except Exception as error:  # other people's code runs here
            refused = refused or error
            if other_way_round(loss, outputs, targets):
                break  # with rows it would compute something else, and raise nothing
    raise NotRunError("the loss raises (SMP111)") from refused


def other_way_round(loss: Any, outputs: Tensor, targets: Tensor) -> bool:
    """Return whether a loss takes labels first.

    >>> other_way_round(lambda y, x: F.cross_entropy(x, y), torch.zeros(1, 2), torch.tensor([0]))
    True
    """
    try:
        loss(targets, outputs)
    except Exception:  # other people's code runs here
        return False
    return True


def loss_of(pipeline: Pipeline, answer: Any, targets: Tensor) -> Tensor:
    """Return the loss of an answer of the model, one number; `NotRunError` where it gives none."""
    task = pipeline.task
    if "loss" not in pipeline and task != "classes":
        raise NotRunError(f"loss= was not given, and the model answers {task}")
    outputs = logits_of(answer) if task == "classes" else tensor_in(answer)
    if outputs is None:
        raise NotRunError("the model's answer has no tensor to compute a loss of")
    given = targets.to(outputs.device)
    if given.dtype in (torch.int32, torch.int16, torch.int8, torch.bool) and task == "classes":
        given = given.long()
    if isinstance(own_loss(pipeline), WholeAnswer) and not isinstance(answer, Tensor):
        value = own_loss(pipeline)(answer, given)
    else:
        value = loss_called(pipeline, outputs, given)
    if not isinstance(value, Tensor):
        raise NotRunError("the loss returns no tensor (SMP112)")
    return value if value.dim() == 0 else value.mean()


def one_step(pipeline: Pipeline) -> Step:
    """Return a copy after one step of the given optimiser, without its past, on the first batch.

    The copy is in training mode as `.train()` makes it. Without an optimiser there are gradients
    and no step. A rate of 0 is replaced as in `shadow_of`.
    """
    return kept(pipeline.facts, "one step", lambda: _one_step(pipeline))


def _one_step(pipeline: Pipeline) -> Step:
    _ = pipeline.task  # that the model runs
    module = pipeline.module
    made = copied(module).train()
    size = pipeline.read("train").sizes[0]
    count = min(BATCH, size)
    inputs = moved(cut(pipeline.read("train").inputs[0], count), device_of(made), dtype_of(made))
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    buffers = {name: b.detach().clone() for name, b in made.named_buffers()}
    with own_randomness(pipeline.seed, device_of(made)):
        try:
            answer = called(made, inputs)
        except Exception as error:
            raise NotRunError(f"in training mode the model does not run ({error})") from error
        value = loss_of(pipeline, answer, targets_of(pipeline, count))
        if value.requires_grad:
            value.backward()
        gradients = {n: p.grad.clone() for n, p in made.named_parameters() if p.grad is not None}
        found = Step(made, value.detach(), before, gradients, buffers)
        if "optimizer" in pipeline and hasattr(pipeline["optimizer"], "param_groups"):
            stepper = shadow_of(pipeline["optimizer"], pairs_of(module, made))
            try:
                stepper.step()
            except Exception as error:
                raise NotRunError(f"the optimiser's step raises ({error})") from error
            found.stepped = True
    return found


def losses_of_training(
    pipeline: Pipeline,
    *,
    steps: int,
    rate: float | None,
    plain: bool = False,
    enough: float = -math.inf,
) -> list[float]:
    """Return the losses of some steps on one batch, on a copy.

    With a `rate` Adam trains everything that may change; without it the given optimiser does.
    With `plain` the copy is in evaluation mode, without dropout and batch statistics. It ends
    where three losses in a row are not above `enough`.
    """
    module = pipeline.module
    made = copied(module)
    made = made.eval() if plain else made.train()
    count = min(BATCH // 2, pipeline.read("train").sizes[0])
    device = device_of(made)
    inputs = moved(cut(pipeline.read("train").inputs[0], count), device, dtype_of(made))
    targets = targets_of(pipeline, count)
    trainable = [p for p in made.parameters() if p.requires_grad]
    if not trainable:
        raise NotRunError("no parameter may change (OPT001)")
    stepper: Any
    if rate is not None:
        stepper = torch.optim.Adam(trainable, lr=rate)
    else:
        stepper = shadow_of(pipeline["optimizer"], pairs_of(module, made))
    losses = []
    with own_randomness(pipeline.seed, device):
        for _ in range(steps):
            for parameter in made.parameters():
                parameter.grad = None
            value = loss_of(pipeline, called(made, inputs), targets)
            losses.append(float(value.detach()))
            learnt = len(losses) > 2 and max(losses[-3:]) <= enough
            if not torch.isfinite(value) or not value.requires_grad or learnt:
                break
            value.backward()
            stepper.step()
    return losses
