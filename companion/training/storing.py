"""What of a run goes into its checkpoint, and how it comes out again."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from companion.inputs import HeldSet
from companion.states import loader_generators, loader_samplers

Tensors = dict[str, Tensor]


def tensors_of(model: nn.Module) -> Tensors:
    """Return all that a model computes with, by name: parameters, and every buffer.

    >>> list(tensors_of(nn.Linear(2, 1)))
    ['weight', 'bias']
    """
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: values.detach() for name, values in named}


def copied(tensors: Tensors) -> Tensors:
    """Return a copy of each tensor."""
    return {name: values.clone() for name, values in tensors.items()}


def put_tensors(model: nn.Module, tensors: Tensors) -> None:
    """Write tensors into the model's own, which stay the same objects."""
    with torch.no_grad():
        for name, values in tensors_of(model).items():
            values.copy_(tensors[name])


def not_finite(tensors: Tensors) -> set[str]:
    """Return the names of what holds NaN or infinity, read from the device at once.

    >>> not_finite({"a": torch.tensor([1.0]), "b": torch.tensor([torch.nan])})
    {'b'}
    """
    real = {name: values for name, values in tensors.items() if values.is_floating_point()}
    if not real:
        return set()
    broken = torch.stack([~torch.isfinite(values).all() for values in real.values()])
    return {name for name, each in zip(real, broken.tolist(), strict=True) if each}


def draws_of(train: Any, sampler: Any) -> dict[str, list[Any]]:
    """Return the states of the generators that order the data, and the epochs of the samplers."""
    sources = (train, SimpleNamespace(sampler=sampler))
    return {
        "generators": [each.get_state() for data in sources for each in loader_generators(data)],
        "epochs": [
            each.epoch
            for data in sources
            for each in loader_samplers(data)
            if isinstance(getattr(each, "epoch", None), int)
        ],
    }


def put_draws(stored: dict[str, list[Any]], train: Any, sampler: Any) -> None:
    """Let loaders and samplers go on where they stood."""
    sources = (train, SimpleNamespace(sampler=sampler))
    generators = [each for data in sources for each in loader_generators(data)]
    for generator, state in zip(generators, stored["generators"], strict=True):
        generator.set_state(state)
    counting = [
        each
        for data in sources
        for each in loader_samplers(data)
        if isinstance(getattr(each, "epoch", None), int)
    ]
    for each, epoch in zip(counting, stored["epochs"], strict=True):
        each.epoch = epoch


def described(model: nn.Module) -> str:
    """Return a model in words, with a digest of its tensors' names, shapes and frozen flags.

    >>> described(nn.Linear(2, 1))
    'Linear of 3 numbers (07ee290e)'
    """
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    parts = [
        (name, tuple(values.shape), str(values.dtype), flags.get(name))
        for name, values in tensors_of(model).items()
    ]
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:8]
    numbers = sum(parameter.numel() for parameter in model.parameters())
    return f"{type(model).__name__} of {numbers} numbers ({digest})"


def digest_of(data: Any, batches: int) -> str:
    """Return data in words: with a digest where they are held, else the number of batches."""
    if not isinstance(data, HeldSet):
        return f"{type(data).__name__} of {batches} batches"
    digest = hashlib.sha256()
    for values in (data.images, data.labels):
        digest.update(values.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return f"{len(data.labels)} images ({digest.hexdigest()[:8]})"


def name_of(option: Any) -> Any:
    """Return an option as a plain value: numbers and words as they are, functions by their names.

    >>> name_of(0.1), name_of(torch.optim.SGD)
    (0.1, 'SGD')
    """
    if option is None or isinstance(option, bool | int | float | str):
        return option
    return getattr(option, "__qualname__", type(option).__qualname__)
