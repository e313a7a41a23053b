"""The labels of any data set, as its items have them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from companion.inputs import integer_labels

PROBES = 16


def labels_of(data: Any) -> Tensor:
    """Return the labels of a data set's items, (N,) int64 on the CPU, or check given labels.

    `data` is a `Dataset` or labels themselves (tensor, array, sequence). A `Subset` and a
    `ConcatDataset` are read through to what they hold, in their order. `.labels` or `.targets`
    are believed only where they agree with some items, one of each class among them: a
    `target_transform` changes items and not `.targets`. Else every item is read.

    Raises `TypeError` for labels that are no integers and for data without positions,
    `ValueError` for negative labels other than −100 and for no labels.

    >>> data = torch.utils.data.TensorDataset(torch.zeros(4, 1), torch.tensor([0, 2, 2, 1]))
    >>> labels_of(torch.utils.data.Subset(data, [3, 1]))
    tensor([1, 2])
    """
    if type(data) is Subset:  # a class of one's own may change the labels
        chosen = torch.as_tensor(list(data.indices), dtype=torch.int64)
        return _checked(labels_of(data.dataset)[chosen])
    if type(data) is ConcatDataset:
        held: list[Any] = data.datasets
        parts = [labels_of(part) for part in held if len(part)]
        return _checked(torch.cat(parts) if parts else [])
    if isinstance(data, (IterableDataset, Mapping)) or not (
        isinstance(data, (Dataset, Tensor, np.ndarray)) or hasattr(data, "__getitem__")
    ):
        raise TypeError(
            "labels must have positions, so that a sampler can name them; received "
            f"{type(data).__name__}. Pass a map-style Dataset, or the labels."
        )
    return _of_items(data) if isinstance(data, Dataset) else _checked(data)


def _of_items(data: Any) -> Tensor:
    """Return the labels that a data set stores, if its items have the same; else those of items."""
    count = len(data)
    kept: Any = getattr(data, "labels", getattr(data, "targets", None))
    if isinstance(data, TensorDataset):
        kept = data.tensors[1]
    with contextlib.suppress(TypeError, ValueError):
        stored = _checked(kept)
        evenly = torch.linspace(0, count - 1, PROBES, dtype=torch.float64).round().long()
        firsts = torch.from_numpy(np.unique(stored.numpy(), return_index=True)[1])
        probes = torch.cat([evenly, firsts]).unique()
        if len(stored) == count and torch.equal(_read(data, probes.tolist()), stored[probes]):
            return stored
    return _read(data, range(count))


def _read(data: Any, positions: Iterable[int]) -> Tensor:
    return _checked([data[position][1] for position in positions])


def _checked(labels: Any) -> Tensor:
    return integer_labels(labels).cpu()
