"""Everything that trying something on a training set-up must leave as it was."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from companion.training.protection import kept


@contextmanager
def all_restored(model: nn.Module, optimizer: Optimizer | None, data: object) -> Iterator[None]:
    """Restore weights, gradients, modes, device, optimiser, generators, whatever happens inside."""
    of_model = dict.fromkeys(model.parameters())
    groups = [] if optimizer is None else list(optimizer.param_groups)
    others = [p for group in groups for p in group["params"] if p not in of_model]  # of a loss, say
    weights = [(p, p.detach().clone()) for p in others]
    gradients = [(p, p.grad, _copy(p.grad)) for p in (*of_model, *others)]
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    settings = [dict(group) for group in groups]
    rates = [(v, v.clone()) for group in groups for v in group.values() if isinstance(v, Tensor)]
    optimised = copy.deepcopy(optimizer.state_dict()) if optimizer is not None else {}
    generators = [(each, each.get_state()) for each in _generators(data)]
    counters = [(each, each.epoch) for each in _samplers(data) if hasattr(each, "epoch")]
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with kept(model):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        for generator, state in generators:
            generator.set_state(state)
        for sampler, epoch in counters:
            sampler.epoch = epoch
        for name, values in buffers.items():  # those too that are in no state_dict
            model.get_buffer(name).copy_(values)
        for parameter, values in weights:
            parameter.data.copy_(values)
        for parameter, gradient, slopes in gradients:
            if gradient is not None and slopes is not None:
                gradient.data = gradient.data.to(slopes.device)  # it went along with the model
                gradient.data.copy_(slopes)
            parameter.grad = gradient
        if optimizer is not None:
            optimizer.load_state_dict(optimised)
            for group, before in zip(groups, settings, strict=True):
                group.update(before)
            optimizer.param_groups[:] = groups  # the same dicts, which somebody may hold
        for rate, value in rates:
            rate.copy_(value)


def reseed(data: object, seed: int, apart: int) -> None:
    """Let the seed decide on a loader's generators, and on its samplers' epochs, `apart` a seed."""
    for generator in _generators(data):
        generator.manual_seed(seed)
    for sampler in _samplers(data):
        if hasattr(sampler, "epoch"):
            sampler.epoch = abs(seed) * apart


def _copy(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.clone()


def _samplers(data: object) -> list[Any]:
    """Return the samplers that a loader draws from, and those inside them."""
    found: list[Any] = []
    waiting = [getattr(data, "sampler", None), getattr(data, "batch_sampler", None)]
    while waiting:
        each = waiting.pop()
        if each is not None and not any(each is other for other in found):
            found.append(each)
            waiting.append(getattr(each, "sampler", None))
    return found


def _generators(data: object) -> list[torch.Generator]:
    """Return the random generators of a loader and its samplers."""
    found = [getattr(each, "generator", None) for each in (data, *_samplers(data))]
    return [each for each in found if isinstance(each, torch.Generator)]
