"""What of a run goes into its checkpoint, and how it comes out again."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sized
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from companion.inputs import is_held
from companion.states import loader_generators, loader_samplers

Tensors = dict[str, Tensor]


def tensors_of(model: nn.Module) -> Tensors:
    """Return all that a model computes with, by name: parameters, and every buffer.

    >>> list(tensors_of(nn.Linear(2, 1)))
    ['weight', 'bias']
    """
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: values.detach() for name, values in named}


class ModelState:
    """A copy of all that a model computes with: its tensors, and what modules keep besides.

    >>> layer = nn.Linear(2, 1)
    >>> before = ModelState(tensors_of(layer), extra_of(layer))
    >>> _ = nn.init.zeros_(layer.weight)
    >>> before.put(layer)
    >>> bool((layer.weight != 0).any())
    True
    """

    def __init__(self, tensors: Tensors, extra: dict[str, Any]) -> None:
        self.tensors = {name: values.clone() for name, values in tensors.items()}
        self.extra = copy.deepcopy(extra)

    def put(self, model: nn.Module) -> None:
        """Write the copy into the model's own tensors, which stay the same objects."""
        with torch.no_grad():
            for name, values in tensors_of(model).items():
                values.copy_(self.tensors[name])
        for name, state in self.extra.items():
            model.get_submodule(name).set_extra_state(copy.deepcopy(state))


def extra_of(model: nn.Module) -> dict[str, Any]:
    """Return what modules keep by `get_extra_state`, by their names.

    >>> extra_of(nn.Linear(2, 1))
    {}
    """
    base = nn.Module
    return {
        name: module.get_extra_state()
        for name, module in model.named_modules()
        if type(module).get_extra_state is not base.get_extra_state
        and type(module).set_extra_state is not base.set_extra_state
    }


def not_finite(tensors: Tensors) -> set[str]:
    """Return the names of what holds NaN or infinity, read from the device at once.

    >>> not_finite({"a": torch.tensor([1.0]), "b": torch.tensor([torch.nan])})
    {'b'}
    """
    real = {name: values for name, values in tensors.items() if values.is_floating_point()}
    # A sum takes a twentieth of the time. Where it is finite all are; one may also overflow.
    sums = [values.sum().float() for values in real.values()]
    if not sums or bool(torch.isfinite(torch.stack(sums)).all()):
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
    'Linear of 3 numbers (291b86df)'
    """
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    parts = [
        (name, tuple(values.shape), str(values.dtype), flags.get(name))
        for name, values in tensors_of(model).items()
    ]
    # What the modules say of themselves as well: other activations have the same tensors.
    digest = hashlib.sha256(f"{parts}{model}".encode()).hexdigest()[:8]
    numbers = sum(parameter.numel() for parameter in model.parameters())
    return f"{type(model).__name__} of {numbers} numbers ({digest})"


def digest_of(data: Any, batches: int) -> str:
    """Return data in words: with a digest where they are held, else the number of batches."""
    if data is None:
        return "none"
    if not is_held(data):
        rows = getattr(data, "dataset", ())
        items = f", {len(rows)} items" if isinstance(rows, Sized) and len(rows) else ""
        return f"{type(data).__name__} of {batches} batches{items}"
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
    if isinstance(option, nn.Module):
        settings = {
            k: v for k, v in vars(option).items() if isinstance(v, bool | int | float | str)
        }
        return f"{option} {settings}"
    return getattr(option, "__qualname__", type(option).__qualname__)
