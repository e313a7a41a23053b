"""Maps between class names and indices, as far as they are given or the data keep them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from torch.utils.data import DataLoader, Subset

from companion.evaluation import label_map_of
from companion.heads import find_head
from companion.inputs import brief, plain
from companion.labels import LabelMap

PARTS = ("train", "validation", "test")
Map = dict[Any, int]
"""The index of each class by its name; several names may have one index."""


def read_map(given: Any, whose: str) -> Map:
    """Return a map from name to index, of a `LabelMap`, a dict either way round, or a list.

    Unlike a `LabelMap` it may give several names one index, or leave an index out: what is wrong
    with it the checks say. Raises `TypeError` for what is no map.

    >>> read_map({0: "cat", 1: "dog"}, "model")
    {'cat': 0, 'dog': 1}
    """
    if isinstance(given, LabelMap):
        return {name: index for index, name in enumerate(given.classes)}
    if isinstance(given, Mapping):
        pairs = [(plain(name), plain(index)) for name, index in given.items()]
        if pairs and all(type(index) is int for _, index in pairs):
            return dict(pairs)
        if pairs and all(type(name) is int for name, _ in pairs):
            return {index: name for name, index in pairs}
    elif isinstance(given, list | tuple):
        return {plain(name): index for index, name in enumerate(given)}
    raise TypeError(
        "a label map is a LabelMap or a dict from class name to index; received "
        f"{type(given).__name__} for {whose!r}. Pass class_to_idx of the data set, say."
    )


def read_maps(given: Any) -> dict[str, Map]:
    """Return the maps that were given, by part; raise `TypeError` and `ValueError` for others.

    >>> read_maps({"train": ["cat", "dog"]})
    {'train': {'cat': 0, 'dog': 1}}
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            f"label_maps is a dict from part to map; received {type(given).__name__}. Pass "
            "label_maps={'train': train_data.class_to_idx}."
        )
    known = ("model", *PARTS)
    wrong = [part for part in given if part not in known]
    if wrong:
        raise ValueError(
            f"label_maps has the parts {', '.join(known)}; received {brief(wrong)}. "
            "Call each map after whose labels it numbers."
        )
    return {part: read_map(each, part) for part, each in given.items() if each is not None}


def map_kept_by(data: Any) -> Map | None:
    """Return the map that a part of the data keeps, as an ImageFolder does; None where none.

    >>> class Folder:
    ...     class_to_idx = {"cat": 0, "dog": 1}
    >>> map_kept_by(Folder())
    {'cat': 0, 'dog': 1}
    """
    with suppress(TypeError, ValueError, AttributeError):
        found = label_map_of(data)
        if found is not None:
            return read_map(found, "data")
    inner = dataset_of(data)
    while type(inner) is Subset:
        inner = inner.dataset
    own = getattr(inner, "class_to_idx", None)
    if isinstance(own, Mapping) and own and getattr(inner, "target_transform", None) is None:
        with suppress(TypeError):
            return read_map(own, "data")
    return None


def map_kept_by_model(model: Any) -> Map | None:
    """Return the map in a Hugging Face configuration, unless its names are only numbers.

    >>> map_kept_by_model(object()) is None
    True
    """
    names = getattr(getattr(model, "config", None), "id2label", None)
    if not isinstance(names, Mapping) or not names:
        return None
    if all(str(name) == f"LABEL_{index}" for index, name in names.items()):
        return None
    with suppress(TypeError, ValueError):
        return {str(name): int(index) for index, name in names.items()}
    return None


def dataset_of(data: Any) -> Any:
    """Return the data set inside a loader, or the data themselves.

    >>> dataset_of(DataLoader([0, 1]))
    [0, 1]
    """
    return data.dataset if isinstance(data, DataLoader) else data


def innermost(data: Any) -> Any:
    """Return the data set inside loaders and plain subsets.

    >>> innermost(DataLoader(Subset([0, 1], [1])))
    [0, 1]
    """
    inner = dataset_of(data)
    while type(inner) is Subset:
        inner = inner.dataset
    return inner


def name_of(index: int, labels: Map | None) -> str:
    """Return what a class is called, its index where it has no name.

    >>> name_of(1, {"cat": 0, "dog": 1}), name_of(1, None)
    ("'dog'", 'class 1')
    """
    names = [name for name, own in (labels or {}).items() if own == index]
    return " and ".join(map(repr, names)) if names else f"class {index}"


def outputs_of(model: Any) -> int | None:
    """Return the number of outputs of a model's head, None where it is not found without images.

    A configuration that names another number of classes was left behind by a new head.

    >>> import torch
    >>> outputs_of(torch.nn.Linear(2, 3))
    3
    """
    with suppress(ValueError, TypeError, AttributeError):
        return find_head(model).num_classes
    return None
