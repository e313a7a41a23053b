"""Checks of a model by itself: that it runs, what it answers, that it is finite and repeatable."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.stepping import one_step
from companion.doctor.taking import cut, tensor_in
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning
from companion.inputs import brief, called, device_of, dtype_of, moved
from companion.states import evaluating, randomness_kept

ALONE = 8  # images that are also read one by one


@check("MOD001", chapter="first-checks", needs=["model", "train"])
def model_runs(pipeline: Pipeline) -> Result:
    """The model does not run on a batch of the data.

    Fault: Shape, type or form of the inputs are not those that the model reads.
    Evidence: The first images of each part, in evaluation mode, on the model's device.
    Consequence: Training or evaluation stops there.
    Remedy: Read what it raised; print images.shape and images.dtype beside the model's first
    layer.
    False alarms: A model that needs a GPU that is not there is not run, and no fault.

    In code:
        model(next(iter(train_loader))[0])
    """
    answer = pipeline.answer
    if isinstance(answer, Exception):
        return error(f"on a batch of train the model raises {_said(answer)}")
    found: list[Seen] = []
    for part in pipeline.held_out:
        try:
            inputs = pipeline.head_of(part, 2)
        except NotRunError:
            continue  # of a loader that fails PRO001 tells
        try:
            with randomness_kept(device_of(pipeline.module)), evaluating(pipeline.module):
                called(pipeline.module, inputs)
        except Exception as raised:
            found.append(error(f"on a batch of {part} the model raises {_said(raised)}"))
    return found or f"it runs on {', '.join(pipeline.parts)}"


def _said(raised: Exception) -> str:
    return f"{type(raised).__name__}: {str(raised).splitlines()[0] if str(raised) else ''}"


@check("MOD002", chapter="first-checks", needs=["model", "train"])
def another_question(pipeline: Pipeline) -> Result:
    """The model answers another question than which one of several classes an image shows.

    Fault: None: several labels for each image, a class for each position, or one number.
    Evidence: The shape of the answer, the form of the labels, and the kind of loss.
    Consequence: Checks of predictions, of classes and of maps against outputs are not made; those
    of loaders, splits, gradients, optimiser and schedule are.
    Remedy: Nothing, where it is meant. Of one output x for two classes make two logits,
    stack([zeros_like(x), x], 1), and everything can be checked.
    False alarms: A note.

    In code:
        torchvision.models.segmentation.fcn_resnet50()(images)["out"].shape  # (N, 21, H, W)
    """
    task = pipeline.task
    if task == "classes":
        return f"a class for each image, by {pipeline.width} outputs"
    return note(f"the model answers {task}: this examination is made for one class per image")


@check("MOD009", chapter="first-checks", needs=["model", "train"], explains=["SMP116", "PRO032"])
def finite(pipeline: Pipeline) -> Result:
    """A number is NaN or infinite.

    Fault: An image, a weight, a statistic, an output, the loss or a gradient is no finite number.
    Evidence: All of them, for the sampled images and one step on a copy; the module in which it
    first happens is named.
    Consequence: NaN spreads: after one step with it every weight is NaN.
    Remedy: Mend what is first on the list: drop the image, load the weights anew, look for a
    division by zero, log(0), or an infinite mask in the module that is named.
    False alarms: Outputs of minus infinity, as of masked classes, pass, and so do buffers that
    hold it, as a mask does, but for BatchNorm's statistics.

    In code:
        all(p.isfinite().all() for p in model.parameters()) and images.isfinite().all()
    """
    found: list[Seen] = []
    module = pipeline.module
    for part in pipeline.parts:
        broken = sum(_broken(each) for each in pipeline.sample(part).inputs)
        if broken:
            found.append(error(f"{broken} inputs of {pipeline.sample(part).said} are not finite"))
    tensors = [*module.named_parameters(), *module.named_buffers()]
    masks = {name for name, value in module.named_buffers() if _is_mask(name, value)}
    wrong = [name for name, value in tensors if _broken(value) and name not in masks]
    if wrong:
        found.append(error(f"{len(wrong)} weights or statistics are not finite: {brief(wrong, 3)}"))
    if not found:
        where = first_broken_module(pipeline)
        if where:
            found.append(error(f"for finite inputs the output of a module is not finite: {where}"))
    said = f"{len(tensors)} tensors, inputs and outputs"
    if not found:
        try:
            step = one_step(pipeline)
        except NotRunError:
            return f"{said} are finite"
        if not bool(step.loss.isfinite()):
            found.append(error(f"the loss of a batch is {float(step.loss)}"))
        bad = [name for name, gradient in step.gradients.items() if _broken(gradient)]
        if bad and not found:
            found.append(error(f"{len(bad)} gradients are not finite: {brief(bad, 3)}"))
    return found or f"{said}, the loss and the gradients of a step are finite"


def _is_mask(name: str, value: Tensor) -> bool:
    """Return whether a buffer is infinite on purpose: below alone, and no statistic."""
    if not value.is_floating_point() or name.rpartition(".")[2].startswith("running_"):
        return False
    return bool((value.isfinite() | (value == -torch.inf)).all())


def _broken(value: Any) -> int:
    """Return how many rows of a tensor, or of those in a container, hold no finite number."""
    if isinstance(value, Tensor):
        if not value.is_floating_point() or not value.numel():
            return 0
        rows = value.flatten(1) if value.dim() > 1 else value[..., None]
        return int((~rows.isfinite()).any(-1).sum())
    if isinstance(value, dict):
        return max([_broken(each) for each in value.values()], default=0)
    if isinstance(value, tuple | list):
        return max([_broken(each) for each in value], default=0)
    return 0


def first_broken_module(pipeline: Pipeline) -> str:
    """Return the name of the first module whose output is NaN or infinite, "" for none."""
    first: list[str] = []
    below: list[str] = []

    def look(name: str, output: Any) -> None:
        value = tensor_in(output)
        if value is None or not value.is_floating_point() or first:
            return
        bad = value.isnan() | (value == torch.inf)
        if bool(bad.any()) or (name == "" and bool((value == -torch.inf).all())):
            after = f", after minus infinity in {below[0]}" if below and below[0] != name else ""
            first.append((name or "the model") + after)
        elif bool((value == -torch.inf).any()):
            below.append(name)

    module, handles = pipeline.module, []
    try:
        for name, each in module.named_modules():
            handles.append(
                each.register_forward_hook(lambda _, __, out, name=name: look(name, out))
            )
        device, dtype = device_of(module), dtype_of(module)
        with randomness_kept(device), evaluating(module):
            for inputs in pipeline.read("train").inputs[:2]:
                called(module, moved(inputs, device, dtype))
    except Exception as raised:
        raise NotRunError("the model does not run on a batch (MOD001)") from raised
    finally:
        for handle in handles:
            handle.remove()
    return first[0] if first else ""


@check("MOD014", chapter="missing-eval", needs=["model", "train"], explains=["PRO033"])
def repeatable(pipeline: Pipeline) -> Result:
    """In evaluation mode an image's answer depends on chance, or on the other images.

    Fault: Dropout or noise is called with its own switch, F.dropout(x) without
    training=self.training; BatchNorm keeps no statistics (track_running_stats=False); a module
    overrides `eval()`.
    Evidence: The same batch twice in evaluation mode, and its first images alone.
    Consequence: Scores differ from run to run, and with the batch size.
    Remedy: Pass training=self.training to functional dropout; keep running statistics.
    False alarms: Monte Carlo dropout and test-time augmentation are this by design: a warning.
    Differences below a ten-thousandth of the outputs' spread are rounding.

    In code:
        model.eval(); torch.equal(model(images), model(images))
    """
    width, module = pipeline.width, pipeline.module
    inputs = pipeline.head_of("train", ALONE)
    device = device_of(module)
    with randomness_kept(device), evaluating(module):
        first = pipeline_logits(pipeline, inputs)
        again = pipeline_logits(pipeline, inputs)
        apart = first - again
        rows = []
        for row in range(len(first)):
            one = cut(moved(pipeline.read("train").inputs[0], device, dtype_of(module)), row + 1)
            rows.append(pipeline_logits(pipeline, _last_row(one)))
        alone = torch.cat(rows)
    scale = max(float(first.std()), 1e-3 * max(1.0, float(first.abs().max())))
    most, other = float(apart.abs().max()), float((first - alone).abs().max())
    told = f"of {len(first)} images with {width} outputs (spread {scale:.3g})"
    if most > 1e-4 * scale:
        return warning(f"two passes differ by up to {most:.3g}, {told}")
    if other > 1e-2 * scale:
        return warning(f"alone and in a batch the answers differ by up to {other:.3g}, {told}")
    return f"two passes, and images alone, agree within {max(most, other):.2g}, {told}"


def pipeline_logits(pipeline: Pipeline, inputs: Any) -> Tensor:
    """Return the model's logits for inputs, float32 on the CPU."""
    found = tensor_in(called(pipeline.module, inputs))
    assert found is not None
    return found.detach().float().cpu()


def _last_row(inputs: Any) -> Any:
    if isinstance(inputs, Tensor):
        return inputs[-1:]
    if isinstance(inputs, dict):
        return {name: _last_row(each) for name, each in inputs.items()}
    if type(inputs) in (list, tuple):
        return type(inputs)(_last_row(each) for each in inputs)
    return inputs
