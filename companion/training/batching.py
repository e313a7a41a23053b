"""Training batches: slices of a set on the device, or what a loader gives, checked."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from companion.findings import Finding
from companion.inputs import (
    BatchReader,
    batches,
    checked_inputs,
    integer_labels,
    is_held,
    is_pair,
    plain,
    whole_number,
)
from companion.sampling import made_for_other_data


class TensorPair:
    """Inputs and labels that are held as two tensors, to be drawn from like `LabelledImages`."""

    def __init__(self, inputs: Any, labels: Any) -> None:
        self.images = checked_inputs(inputs)
        found = integer_labels(labels, rows=len(self.images))
        self.labels = found.to(self.images.device)

    def to(self, device: torch.device) -> TensorPair:
        """Return the pair on a device."""
        return TensorPair(self.images.to(device), self.labels.to(device))

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and labels of these rows."""
        return self.images[rows], self.labels[rows]


def held(data: Any) -> Any:
    """Return data that are held as tensors as a set that gives batches, anything else as it is.

    >>> held((torch.zeros(3, 2), torch.tensor([0, 1, 1]))).labels
    tensor([0, 1, 1])
    """
    return TensorPair(*data) if is_pair(data) else data


def training_batches(
    data: Any,
    sampler: Iterable[int] | None,
    order: torch.Generator,
    batch_size: int,
    device: torch.device,
    *,
    reader: BatchReader | None = None,
    most: int | None = None,
    planned: bool = False,
) -> Iterator[tuple[Any, Tensor]]:
    """Yield the batches of one epoch, in an order drawn from `order`; at most `most` of them.

    Positions of what is held are on the device; what a loader gives is where it is. With
    `planned` a schedule was made for them: see `warn_of_length`.

    >>> pair = TensorPair(torch.zeros(5, 2), torch.arange(5))
    >>> order, cpu = torch.Generator().manual_seed(0), torch.device("cpu")
    >>> [len(labels) for _, labels in training_batches(pair, None, order, 2, cpu)]
    [2, 2, 1]
    """
    if is_held(data):
        rows = positions(len(data.labels), sampler, order).to(device)
        parts = (rows.split(batch_size) if len(rows) else ())[:most]
        if planned:
            expected = count_batches(data, sampler, batch_size, given=most)
            warn_of_length(sampler, len(parts), expected)
        yield from (data.batch(chosen) for chosen in parts)
    else:
        yield from batches(data, batch_size, reader=reader, most=most)


def warn_of_length(sampler: Iterable[int] | None, batches: int, planned: int) -> None:
    """Warn of a sampler without a length whose epoch has other than the planned batches.

    A schedule that was made before it drew took it to draw as many positions as there are images.

    >>> warn_of_length([0, 0], 1, 2)
    """
    if sampler is not None and not isinstance(sampler, Sized) and batches != planned:
        warnings.warn(
            f"the schedule was made for {planned} batches an epoch, as the sampler has no length; "
            f"it drew {batches}, so the rate ends too early or too late. Give the sampler a "
            "__len__, pass a list of positions, or schedule='constant'.",
            UserWarning,
            stacklevel=2,
        )


def positions(count: int, sampler: Iterable[int] | None, order: torch.Generator) -> Tensor:
    """Return the positions of one epoch in `count` images: a permutation, or what is drawn.

    Raises `TypeError` for what is no position, a mask among it, `ValueError` for a sampler that
    was made for other data.

    >>> positions(3, [2, 2, 0], torch.Generator())
    tensor([2, 2, 0])
    """
    if sampler is None:
        return torch.randperm(count, generator=order)
    if getattr(sampler, "dtype", None) in (torch.uint8, np.uint8):
        raise TypeError(
            "a sampler yields positions; received bytes, which look like a mask. Take "
            "mask.nonzero().flatten(), or sampler.long() for positions."
        )
    drawn = sampler if isinstance(sampler, Tensor) else [plain(row) for row in sampler]
    if not isinstance(drawn, Tensor) and any(type(row) is not int for row in drawn):
        wrong = next(row for row in drawn if type(row) is not int)
        raise TypeError(
            f"a sampler yields positions, which are whole numbers; received {wrong!r}. Of a mask "
            "take mask.nonzero().flatten()."
        )
    rows = torch.as_tensor(drawn if len(drawn) else torch.empty(0, dtype=torch.int64))
    if rows.is_floating_point() or rows.dtype == torch.bool or rows.dim() != 1:
        raise TypeError(
            f"a sampler yields positions, integers (N,); received {rows.dtype} of shape "
            f"{tuple(rows.shape)}. Of a mask take mask.nonzero().flatten()."
        )
    rows = rows.to("cpu", torch.int64)
    wrong = None if hasattr(sampler, "items") else made_for_other_data(sampler, count)
    if wrong is not None:
        raise ValueError(said_of_positions(wrong))
    made_for = getattr(sampler, "items", count)
    beyond = rows[(rows < 0) | (rows >= count)]
    if len(beyond) or made_for != count:
        received = f"position {int(beyond[0])}" if len(beyond) else f"a sampler for {made_for}"
        raise ValueError(
            f"the sampler must be made for the {count} images that are trained on; received "
            f"{received}. Make it from train.labels; a Subset's dataset has its parent's labels."
        )
    return rows


def said_of_positions(wrong: Finding) -> str:
    """Return what is wrong with a sampler, and how to say that it is meant."""
    return (
        f"{wrong.seen}. {wrong.why} {wrong.remedy} Where its positions are meant as they are, pass "
        "them themselves: sampler=list(sampler)."
    )


def epochs_for(data: Any, steps: int, *, batch_size: int | None = None) -> int:
    """Return the number of epochs in which training takes at least that many steps.

    With it sets of different size train equally long. `data` is whatever `fit` takes;
    `batch_size` is 128 for what is held as tensors, and a loader's own, which it then may not
    contradict. Raises `ValueError` for numbers below 1 and a batch size that would be ignored,
    `TypeError` for a loader without a length.

    >>> from companion import digits
    >>> epochs_for(digits(), 200, batch_size=64)
    8
    """
    steps = whole_number(steps, "steps")
    if isinstance(data, Dataset) and not is_held(data):
        raise TypeError(
            "steps are counted in batches, and a data set has none; received "
            f"{type(data).__name__}. Wrap it in a DataLoader."
        )
    data = held(data)
    if not is_held(data) and batch_size is not None:
        raise ValueError(
            f"a loader has its own batch size, so {batch_size} would be ignored. Leave it out."
        )
    if not is_held(data):
        return -(-steps // max(1, count_batches(data, None, 1)))
    size = 128 if batch_size is None else whole_number(batch_size, "batch_size")
    return -(-steps * size // len(data.labels))


def count_batches(
    data: Any, sampler: Iterable[int] | None, batch_size: int, *, given: int | None = None
) -> int:
    """Return the number of batches in an epoch, which schedules need to know beforehand.

    `given` is what somebody says who knows. Raises `TypeError` where nothing says.

    >>> count_batches([None] * 7, None, 128)
    7
    """
    if is_held(data):
        drawn = len(sampler) if isinstance(sampler, Sized) else len(data.labels)
        found = -(-drawn // batch_size)
        return found if given is None else min(found, given)
    if given is not None:
        return given
    try:
        return len(data)
    except TypeError as error:
        raise TypeError(
            "training data must know their number of batches, so that the schedule can end with "
            "them; this loader has no length. Give its data set a __len__, or pass "
            "steps_per_epoch=, the number of batches that make an epoch."
        ) from error


def last_batch_size(data: Any, sampler: Iterable[int] | None, batch_size: int) -> int | None:
    """Return how many images the last batch of an epoch has, None where nothing says.

    >>> last_batch_size(TensorPair(torch.zeros(5, 1), torch.zeros(5).long()), None, 2)
    1
    """
    if is_held(data):
        count: Any = len(sampler) if isinstance(sampler, Sized) else len(data.labels)
        size: Any = batch_size
    else:
        size = getattr(data, "batch_size", None)
        rows = getattr(data, "sampler", None)
        if type(size) is not int or getattr(data, "drop_last", True) or not isinstance(rows, Sized):
            return None
        try:
            count = len(rows)
        except TypeError:
            return None
    return (count % size or size) if count else None
