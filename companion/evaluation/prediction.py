"""Logits of a model on whatever holds its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, overload

import numpy as np
import torch
from torch import Tensor, nn

from companion.inputs import (
    BatchReader,
    HeldSet,
    Selector,
    batches,
    compute_logits,
    device_of,
    dtype_of,
    input_batches,
    is_held,
    is_pair,
    moved,
    out_of_order,
)
from companion.states import evaluating, randomness_kept

Data = HeldSet | Tensor | np.ndarray | tuple[Any, Any] | Iterable[Any]
"""A `LabelledImages`, inputs, a pair (inputs, labels), or any iterable of batches."""


@overload
def predict(
    model: nn.Module,
    data: Data,
    *,
    batch_size: int = ...,
    inputs: Selector = ...,
    labels: Selector = ...,
    with_labels: Literal[False] = ...,
) -> Tensor: ...


@overload
def predict(
    model: nn.Module,
    data: Data,
    *,
    batch_size: int = ...,
    inputs: Selector = ...,
    labels: Selector = ...,
    with_labels: Literal[True],
) -> tuple[Tensor, Tensor]: ...


def predict(
    model: nn.Module,
    data: Data,
    *,
    batch_size: int = 512,
    inputs: Selector = None,
    labels: Selector = None,
    with_labels: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Return the model's logits (N, classes) for all inputs, in order, as float32 on the CPU.

    `data` is a `LabelledImages`, a tensor or an array of inputs (N, …), a pair (inputs, labels),
    or any iterable of batches that ends, such as a `DataLoader`: tuples, longer tuples or
    dictionaries, in which `inputs` and `labels` say what is meant, by a key, a position or a
    function of the batch, where it is not obvious. `batch_size` cuts what is held as tensors.
    Of one that does not end `itertools.islice` takes as many batches as are meant.

    With `with_labels` the result is (logits, labels) of one pass, row by row, labels as int64
    (N,). A loader that shuffles, samples or drops its last batch needs that: rows that match
    nothing are refused. Inputs go to the model's device, and to its floating-point type. The
    model is used where it is, in evaluation mode, without gradients; its modes are restored
    whatever happens. What it returns is not judged: NaN stays NaN.

    Raises `ValueError` for no inputs, for rows out of order, and for outputs that are not
    (N, classes) of one width; `TypeError` for data and batches of another form.

    >>> from companion.datasets import digits
    >>> from companion.networks import small_cnn
    >>> model = small_cnn(10, seed=0)
    >>> predict(model, digits()).shape
    torch.Size([1797, 10])
    >>> batch = {"pixel_values": torch.zeros(2, 1, 8, 8), "labels": torch.tensor([3, 1])}
    >>> predict(model, [batch, batch], with_labels=True)[1]
    tensor([3, 1, 3, 1])
    """
    if not with_labels:
        _refuse_disorder(data)
    _refuse_ignored(data, inputs, labels)
    reader = BatchReader(inputs, labels)
    pairs: Iterator[tuple[Any, Tensor | None]]
    if with_labels:
        pairs = iter(batches(data, batch_size, reader=reader))
    else:
        pairs = ((each, None) for each in input_batches(data, batch_size, reader=reader))
    logits, truth = _in_one_pass(model, pairs)
    return (logits, truth) if with_labels else logits


def _in_one_pass(
    model: nn.Module, pairs: Iterator[tuple[Any, Tensor | None]]
) -> tuple[Tensor, Tensor]:
    device, dtype = device_of(model), dtype_of(model)
    chunks: list[Tensor] = []
    truth: list[Tensor] = []
    with randomness_kept(device), evaluating(model):  # a loader draws when it is begun
        for inputs, labels in pairs:
            rows = _rows(inputs) if labels is None else len(labels)
            if rows == 0:
                continue
            found = compute_logits(model, moved(inputs, device, dtype), rows=rows).float().cpu()
            if chunks and found.shape[1] != chunks[0].shape[1]:
                raise ValueError(
                    "a classifier returns logits of one width for every batch; received "
                    f"{chunks[0].shape[1]} and then {found.shape[1]}. Look for an output that "
                    "depends on the batch."
                )
            chunks.append(found)
            truth.extend([] if labels is None else [labels.cpu()])
    if not chunks:
        raise ValueError("predict needs an image; the data yielded none. Look at their length.")
    return torch.cat(chunks), torch.cat(truth) if truth else torch.empty(0, dtype=torch.int64)


def _rows(inputs: Any) -> int | None:
    """Return how many rows there are, where the inputs tell."""
    if isinstance(inputs, Tensor):
        return len(inputs) if inputs.ndim else None
    if isinstance(inputs, Mapping):
        lengths = {len(x) for x in inputs.values() if isinstance(x, Tensor) and x.ndim}
        return lengths.pop() if len(lengths) == 1 else None
    return None


def _refuse_disorder(data: Any) -> None:
    reason = out_of_order(data)
    if reason is not None:
        raise ValueError(
            "logits are returned in the order of the data set, row by row; received a loader of "
            f"which {reason}. Make it with shuffle=False and no sampler, or read the labels in "
            "the same pass: evaluate does, and predict(…, with_labels=True) returns both."
        )


def _refuse_ignored(data: Any, inputs: Selector, labels: Selector) -> None:
    held = is_held(data) or isinstance(data, Tensor | np.ndarray) or is_pair(data)
    if held and (inputs is not None or labels is not None):
        raise TypeError(
            "inputs= and labels= say where to look in a loader's batches; received them with "
            f"{type(data).__name__}, which has no batches. Leave them out."
        )
