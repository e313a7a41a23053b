"""What is known of the transforms of a data set: their names, and what they normalise with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from companion.doctor.maps import innermost

HOLDERS = ("transform", "transforms")
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Means and standard deviations by channel."""


def transforms_of(data: Any) -> list[Any]:
    """Return the single transforms of a part of the data, in their order; none where none is known.

    >>> transforms_of([1])
    []
    """
    inner = innermost(data)
    for name in HOLDERS:
        held = getattr(inner, name, None)
        if held is not None:
            return list(_flat(held))
    return []


def _flat(held: Any, depth: int = 0) -> Iterator[Any]:
    inside = getattr(held, "transforms", None)
    # torchvision keeps the transform of the images in an object with that of the labels
    own = getattr(held, "transform", None) if type(held).__name__ == "StandardTransform" else None
    if own is not None:
        yield from _flat(own, depth + 1)
    elif isinstance(inside, list | tuple | torch.nn.ModuleList) and depth < 5:
        for each in inside:
            yield from _flat(each, depth + 1)
    else:
        yield held


def transform_names(data: Any) -> list[str]:
    """Return the names of the transforms of a part of the data.

    >>> transform_names([1])
    []
    """
    return [getattr(each, "__name__", type(each).__name__) for each in transforms_of(data)]


def normalisations(data: Any) -> list[Normalisation]:
    """Return means and standard deviations of the transforms that have both.

    >>> normalisations([1])
    []
    """
    found = []
    for each in transforms_of(data):
        mean, std = _numbers(getattr(each, "mean", None)), _numbers(getattr(each, "std", None))
        if mean and std:
            found.append((mean, std))
    return found


def _numbers(values: Any) -> tuple[float, ...]:
    if isinstance(values, torch.Tensor):
        values = values.flatten().tolist()
    if isinstance(values, int | float):
        values = [values]
    if not isinstance(values, list | tuple):
        return ()
    if not all(isinstance(value, int | float) for value in values):
        return ()
    return tuple(round(float(value), 4) for value in values)
