"""One pass over a stated sample of a loader: batches, labels, and what failed on the way."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from companion.doctor.label_forms import GivenLabels, read_labels
from companion.doctor.words import NotRunError
from companion.inputs import BatchReader, each_batch, is_held, is_pair

BYTES = 128 * 2**20  # of inputs that a sample may hold
WORKERS = 2  # processes at most: a few batches are no reason for more


@dataclass
class Sample:
    """Some batches of one part of the data, in the order in which the loader gave them.

    `items` is how many images the part has, None where nothing says; `ended` says that the loader
    had no more than these. `problem` is what the loader raised, "" for nothing.
    """

    part: str
    inputs: list[Any] = field(default_factory=list)
    labels: GivenLabels | None = None
    given: list[Any] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    items: int | None = None
    ended: bool = False
    problem: str = ""
    label_problem: str = ""

    def __len__(self) -> int:
        return sum(self.sizes)

    @property
    def said(self) -> str:
        """How many images were looked at, of how many.

        >>> Sample("train", sizes=[64, 64], items=500).said
        'train: 128 of 500 images'
        """
        of = f" of {self.items:,}" if self.items is not None and self.items > len(self) else ""
        return f"{self.part}: {len(self):,}{of} images"


def read_sample(
    part: str,
    data: Any,
    *,
    most: int,
    reader: BatchReader,
    names: Mapping[Any, int] | None = None,
    batch_size: int = 64,
) -> Sample:
    """Return a sample of at most `most` images of a part, as its loader gives them.

    An iterator is not touched, as reading would use it up: `NotRunError`. Nothing else is raised:
    what fails in the loader stands in `problem`.

    >>> pair = (torch.zeros(5, 2), torch.arange(5))
    >>> read_sample("train", pair, most=4, reader=BatchReader(), batch_size=2).said
    'train: 4 of 5 images'
    """
    if isinstance(data, Iterator):
        raise NotRunError(
            f"{part} is an iterator ({type(data).__name__}), which reading would use up: pass the "
            "loader itself, or list(itertools.islice(batches, 10))"
        )
    found = Sample(part, items=items_in(data))
    labels, size = found.given, 0
    try:
        for batch in _raw_batches(data, batch_size):
            inputs = reader.inputs_of(batch)
            rows = _rows(inputs)
            if not found.label_problem:
                try:
                    labels.append(reader.labels_as_given(batch))
                    rows = len(labels[-1]) if rows is None else rows
                except (TypeError, KeyError, ValueError) as error:
                    found.label_problem = str(error)
            found.inputs.append(inputs)
            found.sizes.append(rows or 0)
            size += _bytes(inputs)
            if len(found) >= most or size >= BYTES:
                break
        else:
            found.ended = True
    except Exception as error:  # other people's code runs here
        found.problem = (
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        )
    if labels and not found.label_problem:
        try:
            found.labels = read_labels(labels, names)
        except ValueError as error:
            found.label_problem = str(error)
    return found


def _raw_batches(data: Any, batch_size: int) -> Iterator[Any]:
    if is_held(data):
        rows = torch.arange(len(data.labels), device=data.labels.device)
        yield from (data.batch(each) for each in rows.split(batch_size))
    elif is_pair(data):
        count = len(data[0])
        for start in range(0, count, batch_size):
            yield tuple(each[start : start + batch_size] for each in data)
    else:
        yield from each_batch(readable(data), most=100_000)


def readable(data: Any) -> Any:
    """Return a loader that can be read and thrown away: a shallow copy, which keeps no workers.

    >>> loader = DataLoader([0, 1], num_workers=0)
    >>> readable(loader) is loader, list(readable(loader))[0].tolist()
    (False, [0])
    """
    if not isinstance(data, DataLoader):
        return data
    copied = copy.copy(data)
    own = vars(copied)
    own["_iterator"] = None
    own["persistent_workers"] = False
    own["num_workers"] = min(WORKERS, data.num_workers)
    return copied


def second_start(data: Any) -> bool:
    """Return whether data give a batch when they are gone through again.

    >>> second_start([1]), second_start([])
    (True, False)
    """
    if is_held(data) or is_pair(data):
        return True
    return next(islice(iter(readable(data)), 1), _NONE) is not _NONE


_NONE = object()


def items_in(data: Any) -> int | None:
    """Return how many images a part has, None where nothing says.

    >>> items_in((torch.zeros(5, 2), torch.arange(5)))
    5
    """
    if is_held(data):
        return len(data.labels)
    if is_pair(data):
        return len(data[0])
    with suppress(TypeError, AttributeError, NotImplementedError):
        return len(data.dataset)
    return None


def _rows(inputs: Any) -> int | None:
    if isinstance(inputs, Tensor):
        return len(inputs) if inputs.ndim else None
    values = list(inputs.values()) if isinstance(inputs, Mapping) else inputs
    if isinstance(values, list | tuple):
        lengths = {len(x) for x in values if isinstance(x, Tensor) and x.ndim}
        return lengths.pop() if len(lengths) == 1 else None
    return None


def _bytes(inputs: Any) -> int:
    if isinstance(inputs, Tensor):
        return inputs.element_size() * inputs.nelement()
    values = inputs.values() if isinstance(inputs, Mapping) else inputs
    if isinstance(inputs, Mapping | list | tuple):
        return sum(map(_bytes, values))
    return 0
