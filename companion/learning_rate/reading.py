"""Data and losses as a range test and a sharpness take them: whatever trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.inputs import (
    BatchReader,
    batches,
    check_labels_fit,
    checked_inputs,
    integer_labels,
    is_held,
    is_pair,
    refuse_no_batches,
    whole_number,
)


def checked_size(data: Any, batch_size: int | None, default: int) -> int:
    """Return the size of a batch, after checking that data can be read, and read again.

    Raises `TypeError` for an iterator, which ends and cannot be put back, and `ValueError` for a
    size that a loader would ignore.
    """
    if isinstance(data, Iterator):
        refuse_no_batches(data)
        raise TypeError(
            "data are read more than once, from their beginning; received a "
            f"{type(data).__name__}, which ends. Pass the loader itself, or list(...) of it."
        )
    if batch_size is None:
        return default
    if not _is_held(data):
        raise ValueError(
            f"a loader has its own batches, so batch_size={batch_size!r} would be ignored. Set it "
            "where the loader is made."
        )
    return whole_number(batch_size, "batch_size")


def shuffled(
    data: Any, order: torch.Generator, batch_size: int, reader: BatchReader
) -> Iterator[tuple[Any, Tensor]]:
    """Yield an epoch's batches: rows in an order drawn from `order`, or what a loader gives.

    A batch of one after larger ones is left out, as BatchNorm has no variance of it.
    """
    if not _is_held(data):
        largest = 0
        for inputs, labels in batches(data, batch_size, reader=reader):
            largest = max(largest, len(labels))
            if len(labels) > 1 or largest <= 1:
                yield inputs, labels
        return
    if is_held(data):
        inputs, labels = data.images, data.labels
    else:
        inputs = checked_inputs(data[0])
        labels = integer_labels(data[1], rows=len(inputs)).to(inputs.device)
    rows = torch.randperm(len(labels), generator=order).to(inputs.device)
    for chosen in rows.split(batch_size):
        if len(chosen) == 1 < len(labels) and batch_size > 1:
            continue
        if is_held(data):
            yield data.batch(chosen)
        else:
            yield inputs[chosen], labels[chosen]


def check_targets(loss: Any, logits: Tensor, labels: Tensor) -> None:
    """Raise `ValueError` for labels that cross-entropy has no logit for."""
    if loss is F.cross_entropy or isinstance(loss, nn.CrossEntropyLoss):
        check_labels_fit(labels, logits.shape[1], what="the data's labels")


def _is_held(data: Any) -> bool:
    return is_held(data) or is_pair(data)
