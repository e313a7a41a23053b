"""Batches of whatever a model is trained or judged on: held tensors, pairs, loaders."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol, TypeGuard

import numpy as np
import torch
from torch import Tensor

from companion.inputs.iterating import each_batch
from companion.inputs.labels import integer_labels
from companion.inputs.numbers import whole_number
from companion.inputs.reading import BatchReader, checked_inputs


class HeldSet(Protocol):
    """A set that is held as tensors and gives any of its rows as a batch, as `LabelledImages`."""

    images: Tensor
    labels: Tensor

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return images and labels of these rows, as a network is to be given them."""
        ...


def is_held(data: object) -> TypeGuard[HeldSet]:
    """Return whether data are a `HeldSet`, by what they have; a protocol's isinstance is slow.

    >>> is_held(torch.utils.data.DataLoader([0, 1]))
    False
    """
    own = hasattr(data, "images") and hasattr(data, "labels")
    return own and callable(getattr(data, "batch", None))


def batches(
    data: Any, batch_size: int, *, reader: BatchReader | None = None, most: int | None = None
) -> Iterator[tuple[Any, Tensor]]:
    """Yield (inputs, labels) in order: slices of what is held as tensors, or what a loader gives.

    `data` is a `HeldSet`, a pair (inputs, labels) of tensors or arrays, or any iterable of
    batches that `reader` can read; `batch_size` is for the first two, `most` the largest number
    of batches. Raises `TypeError` for anything else, the errors of `each_batch` and the reader's.

    >>> pair = (torch.zeros(5, 2), torch.arange(5))
    >>> [len(labels) for _, labels in batches(pair, 3)]
    [3, 2]
    """
    if is_held(data):
        for rows in _rows_of(data, batch_size)[:most]:
            yield data.batch(rows)
    elif is_pair(data):
        size = whole_number(batch_size, "batch_size")
        inputs, labels = checked_inputs(data[0]), integer_labels(data[1], rows=len(data[0]))
        yield from islice(zip(inputs.split(size), labels.split(size), strict=True), most)
    else:
        read = reader or BatchReader()
        for batch in each_batch(data, most):
            yield read(batch)


def input_batches(
    data: Any, batch_size: int, *, reader: BatchReader | None = None
) -> Iterator[Any]:
    """Yield the inputs alone, in order, and need no labels: `data` may be a tensor of inputs too.

    Otherwise as `batches`, with its errors.

    >>> [len(inputs) for inputs in input_batches(np.zeros((5, 2)), 3)]
    [3, 2]
    """
    if is_held(data):
        for rows in _rows_of(data, batch_size):
            yield data.batch(rows)[0]
    elif isinstance(data, Tensor | np.ndarray) or is_pair(data):
        inputs = checked_inputs(data[0] if isinstance(data, tuple) else data)
        if not inputs.ndim:
            raise TypeError("inputs have shape (N, …); received a single number.")
        yield from inputs.split(whole_number(batch_size, "batch_size"))
    else:
        read = reader or BatchReader()
        for batch in each_batch(data):
            yield read.inputs_of(batch)


def is_pair(data: Any) -> bool:
    """Return whether data are inputs and labels, tensors or arrays, and not batches.

    The labels may also be a list of whole numbers. A list of two tensors is two batches.

    >>> is_pair((torch.zeros(2, 3), torch.zeros(2))), is_pair([torch.zeros(2)])
    (True, False)
    """
    arrays = Tensor | np.ndarray
    if type(data) is not tuple or len(data) != 2 or not isinstance(data[0], arrays):
        return False
    inputs, labels = data
    if isinstance(labels, arrays):
        return True
    if not isinstance(labels, list | tuple | range) or len(labels) != len(inputs):
        return False
    return all(np.isscalar(label) or getattr(label, "shape", None) == () for label in labels)


def _rows_of(data: HeldSet, batch_size: int) -> tuple[Tensor, ...]:
    count, size = len(data.labels), whole_number(batch_size, "batch_size")
    return torch.arange(count, device=data.labels.device).split(size)
