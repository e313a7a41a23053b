"""Checks of what a model can compute at all: twin units, affine networks, dead units."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from companion.doctor.copies import copied
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.stepping import one_step
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning
from companion.inputs import brief, called, device_of, dtype_of, logits_of, moved
from companion.states import evaluating, own_randomness, randomness_kept

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@check("MOD010", chapter="first-checks", needs=["model", "train"], explains=["SMP116"])
def twins(pipeline: Pipeline) -> Result:
    """Units of a layer are equal and stay so.

    Fault: A layer was initialised with one number, zeros or ones, so that its units compute the
    same and get the same gradient.
    Evidence: Rows of weights that are equal and whose gradients, on a batch, are equal and not
    zero; or a layer all of whose rows are equal and not zero, and which gets no gradient any more.
    Consequence: The layer has the power of a single unit, however long it trains.
    Remedy: Draw the weights anew: layer.reset_parameters().
    False alarms: Zeros whose gradients differ or are zero, as in residual branches and new heads,
    pass. An error where all units of a layer are twins, else a note.

    In code:
        nn.init.constant_(model[0].weight, 0.1)
    """
    step = one_step(pipeline)
    found: list[Seen] = []
    layers = 0
    for name, layer in step.model.named_modules():
        key = f"{name}.weight" if name else "weight"
        if not isinstance(layer, WEIGHTED) or key not in step.gradients:
            continue
        weights, slopes = step.before[key].flatten(1), step.gradients[key].flatten(1)
        if len(weights) < 3:
            continue
        layers += 1
        both = torch.cat([weights, slopes], 1)[(slopes != 0).any(1)]
        dead = not len(both) and getattr(layer, "groups", 1) == 1 and bool((weights != 0).any())
        if dead and len(torch.unique(weights, dim=0)) == 1:
            found.append(
                error(f"all {len(weights)} units of {name or 'the model'} are equal, and dead")
            )
        if not len(both):
            continue
        distinct = len(torch.unique(both, dim=0))
        if distinct == 1 and len(both) == len(weights):
            found.append(
                error(
                    f"all {len(weights)} units of {name or 'the model'} are equal, "
                    "and so are their gradients"
                )
            )
        elif distinct < len(both):
            found.append(
                note(
                    f"{len(both) - distinct} of {len(weights)} units of {name} repeat "
                    "others, and so do their gradients"
                )
            )
    return found or f"no twins in {layers} layers"


@check("MOD011", chapter="first-checks", needs=["model", "train"])
def affine(pipeline: Pipeline) -> Result:
    """A network of several layers computes no more than one linear layer.

    Fault: The activations between the layers are missing.
    Evidence: For random inputs a and b the outputs satisfy f(a) + f(b) = f(a + b) + f(0), within
    rounding, in evaluation mode.
    Consequence: It can draw straight borders alone, whatever its depth.
    Remedy: Put an activation between the layers: nn.Sequential(first, nn.ReLU(), second).
    False alarms: A model with a single layer is a linear classifier on purpose and passes.

    In code:
        nn.Sequential(nn.Linear(784, 256), nn.Linear(256, 10))
    """
    _ = pipeline.width
    module = pipeline.module
    layers = [n for n, each in module.named_modules() if isinstance(each, WEIGHTED)]
    if len(layers) < 2:
        raise NotRunError(f"the model has {len(layers)} layer, and may be linear on purpose")
    like = pipeline.head_of("train", 4)
    if not isinstance(like, Tensor) or not like.is_floating_point():
        raise NotRunError("the inputs are no tensor of real numbers")
    generator = torch.Generator().manual_seed(pipeline.seed)
    spread = float(like.float().std()) or 1.0
    a, b = (spread * torch.randn(like.shape, generator=generator).to(like) for _ in range(2))
    with randomness_kept(device_of(module)), evaluating(module):
        try:
            fa, fb, fs, f0 = (
                logits_of(called(module, each)).double()
                for each in (a, b, a + b, torch.zeros_like(a))
            )
        except Exception as raised:
            raise NotRunError(f"the model does not run on random inputs ({raised})") from raised
    apart = float((fa + fb - fs - f0).abs().max())
    scale = float(torch.stack([fa - f0, fb - f0]).abs().max())
    if scale and apart < 1e-4 * scale:
        return warning(
            f"the model's {len(layers)} layers together are affine: f(a) + f(b) and "
            f"f(a + b) + f(0) differ by {apart:.2g}, where outputs move by {scale:.3g}"
        )
    return f"not affine: sums differ by {apart:.3g}, where outputs move by {scale:.3g}"


@check("MOD012", chapter="first-checks", needs=["model", "train"])
def dead_units(pipeline: Pipeline) -> Result:
    """More units never fire than in the same network when it is new.

    Fault: A step that was too long pushed units where their ReLU is zero for every image.
    Evidence: The share of channels behind each ReLU that are zero for all sampled images, against
    the same network with weights drawn anew.
    Consequence: These units get no gradient and do not come back; the network is smaller than it
    looks.
    Remedy: Lower the rate, warm it up, or use a ReLU with a slope below zero.
    False alarms: A note: sparse networks have many by design.

    In code:
        (activations > 0).flatten(2).any(2).any(0).logical_not().float().mean()
    """
    module = pipeline.module
    relus = [n for n, each in module.named_modules() if isinstance(each, nn.ReLU | nn.ReLU6)]
    if not relus:
        raise NotRunError("the model has no ReLU module")
    fresh = copied(module)
    renewed = 0
    with own_randomness(pipeline.seed, device_of(module)):
        each: Any
        for each in fresh.modules():
            if callable(getattr(each, "reset_parameters", None)) and each is not fresh:
                each.reset_parameters()
                renewed += 1
    if not renewed:
        raise NotRunError("the model's layers cannot be drawn anew")
    shares, new = silent_share(pipeline, module, relus), silent_share(pipeline, fresh, relus)
    told = f"{shares:.3f} of the units behind {len(relus)} ReLUs never fire, {new:.3f} when new"
    return note(told) if shares > new + 0.2 else told


def silent_share(pipeline: Pipeline, module: nn.Module, names: list[str]) -> float:
    """Return the share of channels behind ReLUs that are zero for all sampled images."""
    fired: dict[str, Tensor] = {}

    def look(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() > 1:
            now = (output.movedim(1, 0).flatten(1) > 0).any(1).cpu()
            same = name in fired and fired[name].shape == now.shape
            fired[name] = fired[name] | now if same else now

    inner = dict(module.named_modules())
    handles = [
        inner[name].register_forward_hook(lambda _, __, out, name=name: look(name, out))
        for name in names
    ]
    device, dtype = device_of(module), dtype_of(module)
    try:
        with randomness_kept(device), evaluating(module):
            for inputs in pipeline.read("train").inputs[:4]:
                called(module, moved(inputs, device, dtype))
    except Exception as raised:
        raise NotRunError("the model does not run on a batch (MOD001)") from raised
    finally:
        for handle in handles:
            handle.remove()
    if not fired:
        raise NotRunError(f"no ReLU is called of {brief(names, 3)}")
    return float(1 - torch.cat(list(fired.values())).float().mean())
