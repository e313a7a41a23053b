"""The labels of any data set, as its items have them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from companion.inputs import BatchReader, Selector, integer_labels
from companion.sampling.rows import COUNTS, refuse_made_as
from companion.states import randomness_kept

PROBES = 16


def labels_of(data: Any, *, labels: Selector = None) -> Tensor:
    """Return the labels of a data set's items, (N,) int64 on the CPU, or check given labels.

    `data` is a `Dataset`, any sequence of items (tuples or dictionaries, as Hugging Face's), or
    labels themselves (tensor, array, sequence). A `Subset` and a `ConcatDataset` are read
    through to what they hold, in their order. `labels` says what of an item is its label: a key,
    a position, or a function of the item. Left out, it is the second of a pair, the one integer
    behind the first of a longer tuple, or the key that everybody uses ("label", "labels", …).

    `.labels`, `.targets` or a column are believed only where they agree with some items, one of
    each class among them: a `target_transform` changes items and not `.targets`. Else every item
    is read.

    Raises `TypeError` for labels that are no integers and for data without positions,
    `ValueError` for negative labels other than −100, for no labels, for counts, and where several
    elements of an item could be its label, `KeyError` for a key that is not there.

    >>> data = torch.utils.data.TensorDataset(torch.zeros(4, 1), torch.tensor([0, 2, 2, 1]))
    >>> labels_of(torch.utils.data.Subset(data, [3, 1]))
    tensor([1, 2])
    >>> labels_of([{"image": None, "label": 2}, {"image": None, "label": 0}])
    tensor([2, 0])
    """
    return _labels(data, labels, whole=True)


def stored_labels_of(data: Any) -> Tensor | None:
    """Return what `labels_of` returns where some items tell, and None where all would be read.

    What the items draw, for augmentation, is put back.

    >>> stored_labels_of([(0.0, 1), (0.0, 2)]) is None
    True
    """
    with contextlib.suppress(TypeError, ValueError, LookupError), randomness_kept():
        return _labels(data, None, whole=False)
    return None


def _labels(data: Any, selector: Selector, *, whole: bool) -> Tensor:
    if type(data) is Subset:  # a class of one's own may change the labels
        chosen = torch.as_tensor(list(data.indices), dtype=torch.int64)
        return _checked(_labels(data.dataset, selector, whole=whole)[chosen])
    if type(data) is ConcatDataset:
        held: list[Any] = data.datasets
        parts = [_labels(part, selector, whole=whole) for part in held if len(part)]
        return _checked(torch.cat(parts) if parts else [])
    if isinstance(data, (IterableDataset, Mapping)) or not (
        isinstance(data, (Dataset, Tensor, np.ndarray)) or hasattr(data, "__getitem__")
    ):
        raise TypeError(
            "labels must have positions, so that a sampler can name them; received "
            f"{type(data).__name__}. Pass a map-style Dataset, or the labels."
        )
    refuse_made_as(data, COUNTS, wanted="labels", advice="Pass the labels that were counted.")
    return _Items(data, selector).all(whole=whole) if _has_items(data) else _checked(data)


class _Items:
    """A data set whose items have labels, and what of an item its label is."""

    def __init__(self, data: Any, selector: Selector) -> None:
        self.data, self.selector = data, selector
        where = None if callable(selector) else selector
        self.reader = BatchReader(labels=where)

    def all(self, *, whole: bool) -> Tensor:
        """Return the labels that are stored, if the items have the same; else those of items.

        Raises `LookupError` where all items would have to be read and `whole` says no.
        """
        count = len(self.data)
        if type(self.data) is TensorDataset and not callable(self.selector):
            return _checked(self.reader.labels_of(self.data.tensors))
        with contextlib.suppress(TypeError, ValueError, LookupError):
            stored = _checked(self._stored())
            evenly = torch.linspace(0, count - 1, PROBES, dtype=torch.float64).round().long()
            firsts = torch.from_numpy(np.unique(stored.numpy(), return_index=True)[1])
            probes = torch.cat([evenly, firsts]).unique()
            if len(stored) == count and torch.equal(self._read(probes.tolist()), stored[probes]):
                return stored
        if not whole:
            raise LookupError("no stored labels agree with the items")
        return self._read(range(count))

    def _stored(self) -> Any:
        if hasattr(self.data, "column_names"):
            return self.reader.labels_of(_Columns(self.data))
        if isinstance(self.data, TensorDataset):
            return self.reader.labels_of(self.data.tensors)
        return getattr(self.data, "labels", getattr(self.data, "targets", None))

    def _read(self, positions: Iterable[int]) -> Tensor:
        return _checked([self._label(self.data[position]) for position in positions])

    def _label(self, item: Any) -> Any:
        if callable(self.selector):
            return self.selector(item)
        if self.selector is None and isinstance(item, tuple | list) and len(item) == 2:
            return item[1]
        return self.reader.labels_of(_batch_of_one(item))[0]


class _Columns(Mapping[str, Any]):
    """The columns of a table, read when they are asked for, as a batch is."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __getitem__(self, name: str) -> Any:
        return list(self.table[name])

    def __contains__(self, name: object) -> bool:
        return name in self.table.column_names

    def __iter__(self) -> Iterator[str]:
        return iter(self.table.column_names)

    def __len__(self) -> int:
        return len(self.table.column_names)


def _has_items(data: Any) -> bool:
    """Whether data hold items that have labels, and not labels alone."""
    if isinstance(data, Dataset):
        return True
    if isinstance(data, Tensor | np.ndarray | str | bytes):
        return False
    try:
        return len(data) > 0 and isinstance(data[0], tuple | Mapping)
    except (TypeError, LookupError):  # without a length, or positions: a column of pandas
        return False


def _batch_of_one(item: Any) -> Any:
    """Return an item as a loader would give it in a batch alone, so that one rule reads both."""
    if isinstance(item, Mapping):
        return {name: _stacked(value) for name, value in item.items()}
    return tuple(map(_stacked, item)) if isinstance(item, tuple | list) else item


def _stacked(value: Any) -> Any:
    if isinstance(value, Tensor | np.ndarray):
        return value[None]
    plain = isinstance(value, bool | int | float | np.generic)
    return torch.as_tensor([value]) if plain else [value]


def _checked(labels: Any) -> Tensor:
    return integer_labels(labels).cpu()
