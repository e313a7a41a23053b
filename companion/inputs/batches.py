"""Batches in the forms that loaders give: pairs, longer tuples, dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from companion.inputs.labels import integer_labels
from companion.inputs.names import brief

Selector = str | int | Callable[[Any], Any] | None
"""What of a batch is meant: a key, a position, a function of the batch, or None for the obvious."""

INPUT_NAMES = ("pixel_values", "images", "image", "inputs", "input", "x", "img")
LABEL_NAMES = ("labels", "label", "targets", "target", "y")


@runtime_checkable
class HeldSet(Protocol):
    """A set that is held as tensors and gives any of its rows as a batch, as `LabelledImages`."""

    images: Tensor
    labels: Tensor

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return images and labels of these rows, as a network is to be given them."""
        ...


@dataclass(frozen=True)
class BatchReader:
    """Takes inputs and labels out of a loader's batch.

    `inputs` and `labels` say where: a key, a position, or a function of the batch. Left out, the
    obvious is taken: the two elements of a pair; the first element of a longer tuple and the one
    integer tensor of shape (N,) behind it; the keys that everybody uses ("images", "labels", …).

    Raises, when called, `TypeError` for a batch of another form, `KeyError` for a key or position
    that is not there, `ValueError` where several elements could be meant, and the errors of
    `integer_labels`.

    >>> images, labels = torch.zeros(2, 4), torch.tensor([0, 1])
    >>> BatchReader()({"image": images, "label": labels})[1]
    tensor([0, 1])
    >>> BatchReader(labels=2)((images, torch.ones(2, 4), labels))[1]
    tensor([0, 1])
    """

    inputs: Selector = None
    labels: Selector = None

    def __call__(self, batch: Any) -> tuple[Any, Tensor]:
        """Return a batch's inputs as they are, and its labels as int64 (N,)."""
        labels = integer_labels(self._labels(batch), what="the loader's labels")
        inputs = self.inputs_of(batch)
        if isinstance(inputs, Tensor) and len(inputs) != len(labels):
            raise ValueError(
                f"a batch has a label for each input; received {len(inputs)} inputs and "
                f"{len(labels)} labels. Say which is which: inputs=, labels=."
            )
        return inputs, labels

    def inputs_of(self, batch: Any) -> Any:
        """Return a batch's inputs; a batch that is one tensor or array is all inputs."""
        if self.inputs is not None:
            return _as_tensor(_selected(batch, self.inputs, "inputs"))
        if isinstance(batch, Mapping):
            return _as_tensor(batch[_only_key(batch, INPUT_NAMES, "inputs")])
        if isinstance(batch, tuple | list) and len(batch):
            return _as_tensor(batch[0])
        if isinstance(batch, Tensor | np.ndarray):
            return _as_tensor(batch)
        raise TypeError(
            "a batch is a tensor, a tuple (inputs, labels, …) or a dictionary; received "
            f"{type(batch).__name__}. Say what its inputs are: inputs=, a function of the batch."
        )

    def _labels(self, batch: Any) -> Any:
        if self.labels is not None:
            return _selected(batch, self.labels, "labels")
        if isinstance(batch, Mapping):
            return batch[_only_key(batch, LABEL_NAMES, "labels")]
        if isinstance(batch, tuple | list) and len(batch) == 2:
            return batch[1]
        if isinstance(batch, tuple | list) and len(batch) > 2:
            rest = range(1, len(batch))
            likely = [place for place in rest if _may_be_labels(batch[place])]
            if len(likely) == 1:
                return batch[likely[0]]
            found = f"positions {likely}" if likely else "none"
            raise ValueError(
                f"one element of a batch of {len(batch)} must be its labels, integers of shape "
                f"(N,); received {found} that could be. Say which: labels=1, say."
            )
        raise TypeError(
            "a batch is a tuple (inputs, labels, …) or a dictionary; received "
            f"{type(batch).__name__}{_length(batch)}. Say what its labels are: labels=, a "
            "function of the batch."
        )


def batches(
    data: Any, batch_size: int, *, reader: BatchReader | None = None
) -> Iterator[tuple[Any, Tensor]]:
    """Yield (inputs, labels) in order: slices of what is held as tensors, or what a loader gives.

    `data` is a `HeldSet`, a pair (inputs, labels) of tensors or arrays, or any iterable of
    batches that `reader` can read. Raises `TypeError` for anything else and the reader's errors.

    >>> pair = (torch.zeros(5, 2), torch.arange(5))
    >>> [len(labels) for _, labels in batches(pair, 3)]
    [3, 2]
    """
    if isinstance(data, HeldSet):
        for rows in torch.arange(len(data.labels), device=data.labels.device).split(batch_size):
            yield data.batch(rows)
        return
    if is_pair(data):
        inputs, labels = _as_tensor(data[0]), integer_labels(data[1], rows=len(data[0]))
        yield from zip(inputs.split(batch_size), labels.split(batch_size), strict=True)
        return
    if isinstance(data, str | bytes | Tensor | np.ndarray | Mapping) or not isinstance(
        data, Iterable
    ):
        raise TypeError(
            "data are a LabelledImages, a pair (inputs, labels) of tensors, or an iterable of "
            f"batches such as a DataLoader; received {type(data).__name__}. Wrap a Dataset in a "
            "DataLoader."
        )
    read = reader or BatchReader()
    for batch in data:
        yield read(batch)


def is_pair(data: Any) -> bool:
    """Return whether data are a pair of tensors or arrays, and not batches.

    >>> is_pair((torch.zeros(2, 3), torch.zeros(2))), is_pair([torch.zeros(2)])
    (True, False)
    """
    arrays = Tensor | np.ndarray
    return isinstance(data, tuple) and len(data) == 2 and all(isinstance(x, arrays) for x in data)


def out_of_order(data: Any) -> str | None:
    """Return why a loader's rows are not those of its data set, in order; None where they are.

    Of an iterable that is no `DataLoader` nothing is known, and its own order counts.

    >>> loader = DataLoader([(torch.zeros(1), 0)] * 3, batch_size=2, drop_last=True)
    >>> out_of_order(loader)
    'it drops the last batch, which is smaller'
    """
    if not isinstance(data, DataLoader) or isinstance(data.batch_sampler, type(None)):
        sampler = getattr(data, "sampler", None) if isinstance(data, DataLoader) else None
        if sampler is not None and not _sequential(sampler):
            return f"it draws by {type(sampler).__name__}"
        return None
    if type(data.batch_sampler) is not BatchSampler:
        return f"it draws batches by {type(data.batch_sampler).__name__}"
    if not _sequential(data.sampler):
        return f"it draws by {type(data.sampler).__name__}"
    if data.drop_last and data.batch_size and len(data.sampler) % data.batch_size:  # type: ignore[arg-type]
        return "it drops the last batch, which is smaller"
    return None


def _sequential(sampler: Any) -> bool:
    # An IterableDataset's sampler yields None for ever: the order is the data set's own.
    return isinstance(sampler, SequentialSampler) or type(sampler).__name__ == (
        "_InfiniteConstantSampler"
    )


def _as_tensor(values: Any) -> Any:
    return torch.as_tensor(values) if isinstance(values, np.ndarray) else values


def _may_be_labels(values: Any) -> bool:
    dtype, shape = getattr(values, "dtype", None), getattr(values, "shape", ())
    if dtype is None or len(shape) != 1:
        return False
    if isinstance(values, Tensor):
        return not values.is_floating_point() and values.dtype != torch.bool
    return np.dtype(dtype).kind in "iu"


def _selected(batch: Any, selector: Selector, what: str) -> Any:
    if callable(selector):
        return selector(batch)
    try:
        return batch[selector]
    except (KeyError, IndexError, TypeError) as error:
        there = f"keys {brief(list(batch))}" if isinstance(batch, Mapping) else _length(batch)
        raise KeyError(
            f"{what}={selector!r} must be in every batch; received {type(batch).__name__} "
            f"{there.strip()}. Name one that is there, or pass a function of the batch."
        ) from error


def _only_key(batch: Mapping[str, Any], names: tuple[str, ...], what: str) -> str:
    there = [name for name in names if name in batch]
    if len(there) != 1:
        found = f"several, {brief(there)}" if there else f"keys {brief(list(batch))}"
        raise KeyError(
            f"the {what} of a batch must be in one place: {brief(names)}; received {found}. "
            f"Say which: {what}=, a key or a function of the batch."
        )
    return there[0]


def _length(batch: Any) -> str:
    return f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
