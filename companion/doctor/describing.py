"""Exact facts about a pipeline as plain values, to be held against another run's."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from companion.doctor.pipeline import Pipeline
from companion.doctor.transforms import normalisations, transform_names
from companion.doctor.words import NotRunError


def facts_of(pipeline: Pipeline) -> dict[str, Any]:
    """Return what of a pipeline can be compared exactly: plain strings, numbers and lists.

    >>> from torch import nn
    >>> facts_of(Pipeline(nn.Linear(2, 2)))["model"]
    'Linear'
    """
    found: dict[str, Any] = {}
    module = pipeline.model
    if module is not None:
        found["model"] = type(module).__name__
        with suppress(NotRunError):
            found |= _of_module(pipeline)
    for name in ("loss", "optimizer", "scheduler"):
        if name in pipeline:
            found[name] = named(pipeline.given[name])
    optimizer: Any = pipeline.given.get("optimizer")
    if hasattr(optimizer, "param_groups"):
        found["groups"] = [
            {key: repr(value) for key, value in sorted(group.items()) if key != "params"}
            | {"parameters": len(group["params"])}
            for group in optimizer.param_groups
        ]
    for part, each in pipeline.maps.items():
        found[f"map of {part}"] = {str(name): index for name, index in each.items()}
    for part in pipeline.parts:
        found[f"transforms of {part}"] = transform_names(pipeline.given[part])
        found[f"normalisation of {part}"] = [
            list(map(list, each)) for each in normalisations(pipeline.given[part])
        ]
        with suppress(NotRunError):
            sample = pipeline.read(part)
            found[f"inputs of {part}"] = described(sample.inputs[0])
            if sample.labels is not None:
                found[f"labels of {part}"] = sample.labels.form
    return found


def _of_module(pipeline: Pipeline) -> dict[str, Any]:
    module = pipeline.module
    return {
        "shapes": {name: list(tensor.shape) for name, tensor in module.named_parameters()},
        "dtypes": sorted({str(p.dtype) for p in module.parameters()}),
        "frozen": [name for name, p in module.named_parameters() if not p.requires_grad],
        "evaluating": [name for name, each in module.named_modules() if not each.training],
    }


def named(thing: Any) -> str:
    """Return what a function or an object is called.

    >>> named(len), named(3)
    ('len', 'int')
    """
    return getattr(thing, "__name__", type(thing).__name__)


def described(inputs: Any) -> str:
    """Return type and shape of one image of a batch.

    >>> import torch
    >>> described(torch.zeros(2, 3, 4, 4))
    'torch.float32 (3, 4, 4)'
    """
    if hasattr(inputs, "shape") and hasattr(inputs, "dtype"):
        return f"{inputs.dtype} {tuple(inputs.shape[1:])}"
    if isinstance(inputs, dict):
        return ", ".join(f"{name}: {described(each)}" for name, each in inputs.items())
    return type(inputs).__name__
