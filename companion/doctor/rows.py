"""Which rows of which data set a part of the data takes."""

from __future__ import annotations

from typing import Any

from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, Subset

from companion.doctor.maps import dataset_of
from companion.states import loader_samplers

FROM_ALL = ("WeightedRandomSampler", "BalancedSampler", "DistributedSampler")


def drawn_rows(data: Any) -> list[int] | None:
    """Return the rows of its data set that a loader draws from; None where nothing says.

    A `SubsetRandomSampler` draws from a part: two loaders may split one data set that way.

    >>> drawn_rows(DataLoader([5, 6, 7], sampler=[0, 2])) is None
    True
    >>> drawn_rows(DataLoader([5, 6, 7]))
    [0, 1, 2]
    """
    inner = dataset_of(data)
    try:
        count = len(inner)
    except TypeError:
        return None
    if not isinstance(data, DataLoader):
        return list(range(count))
    samplers = [each for each in loader_samplers(data) if type(each) is not BatchSampler]
    chosen = [each for each in samplers if hasattr(each, "indices")]
    if chosen:
        return [int(row) for row in chosen[0].indices]
    known = isinstance(data.batch_sampler, BatchSampler) or data.batch_sampler is None
    own: Any = data.sampler
    whole = isinstance(own, RandomSampler | SequentialSampler) and len(own) >= count
    whole = whole or type(own).__name__ in FROM_ALL
    return list(range(count)) if known and whole else None


def rows_of(data: Any) -> tuple[Any, list[int] | None]:
    """Return the data set inside loaders and subsets, and the rows that are taken of it.

    The rows are None where nothing says.

    >>> rows_of(DataLoader(Subset([5, 6, 7], [2, 1])))
    ([5, 6, 7], [2, 1])
    """
    inner, rows = dataset_of(data), drawn_rows(data)
    while type(inner) is Subset:
        own = [int(row) for row in inner.indices]
        rows = None if rows is None else [own[row] for row in rows]
        inner = inner.dataset
    return inner, rows
