"""Going through what gives batches: that it is such a thing, that it ends, what fails in it."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count, cycle, repeat
from operator import length_hint
from typing import Any

import numpy as np
from torch import Tensor

MANY = 10_000  # batches, after which data without a length may be data without an end
SPARE = 100  # batches beyond twice its length that a loader may give: its workers round up
CUT = "Pass the loader itself, or as many batches as are meant: list(itertools.islice(batches, 10))"
UNEQUAL = re.compile(
    "stack expects each tensor to be equal size.*|Trying to resize storage that is not resizable"
    "|each element in list of batch should be of equal size"
)
NO_TENSORS = re.compile("default_collate: batch must contain .*")


def each_batch(data: Any, most: int | None = None) -> Iterator[Any]:
    """Yield the batches of a loader, or of another iterable; at most `most`.

    Nobody can know whether an iterable ends. What is known to have no end is refused, and so is
    a loader that gives more than twice the batches that its length, or its data set's, says; where
    nothing says, a `UserWarning` is emitted after ten thousand. `most` is an end.

    Raises `TypeError` for what is no iterable of batches and for items that cannot be collected
    into one, `ValueError` for items of several shapes.

    >>> list(each_batch([1, 2, 3], most=2))
    [1, 2]
    """
    refuse_no_batches(data)
    given, length = 0, 0.0
    with _failures_explained():
        source = iter(data)
    while most is None or given < most:
        with _failures_explained():
            batch = next(source, _END)
        if batch is _END:
            return
        given += 1
        if most is None and given > SPARE:
            length = length or _length_of(data)
            _doubt(data, given, length)
        yield batch


_END = object()


def refuse_no_batches(data: Any) -> None:
    """Raise `TypeError` for what cannot be gone through batch by batch, or is known never to end.

    >>> refuse_no_batches([1, 2])
    """
    alone = isinstance(data, str | bytes | Tensor | np.ndarray | Mapping)
    if alone or not isinstance(data, Iterable):
        raise TypeError(
            "data are a LabelledImages, a pair (inputs, labels) of tensors, or an iterable of "
            f"batches such as a DataLoader; received {type(data).__name__}. Wrap a Dataset in a "
            "DataLoader."
        )
    inner = getattr(data, "iterable", data)  # tqdm's name for what it goes through
    endless = isinstance(inner, cycle | count)
    if endless or (isinstance(inner, repeat) and length_hint(inner, -1) < 0):
        raise TypeError(
            f"batches must come to an end; received itertools.{type(inner).__name__}, which has "
            f"none. {CUT}."
        )


def _length_of(data: Any) -> float:
    """Return how many batches data have by their own length, infinity where nothing says."""
    with suppress(TypeError, AttributeError, NotImplementedError):
        return len(data)
    with suppress(TypeError, AttributeError, NotImplementedError):  # a sampler without a length
        return -(-len(data.dataset) // (data.batch_size or 1))
    return math.inf


def _doubt(data: Any, given: int, length: float) -> None:
    """Refuse data that give far more than they have, warn of much where nothing is said."""
    kind = type(data).__name__
    if given > 2 * length + SPARE:
        raise ValueError(
            f"batches must come to an end; the {kind} has {length} by its length, and has given "
            f"{given}. Look at its sampler, or at its data set, for one that never stops. {CUT}."
        )
    if given == MANY and length == math.inf:
        warnings.warn(
            f"batches must come to an end; the {kind} has no length, and has given {given} so far. "
            f"If it has no end, interrupt. {CUT}.",
            stacklevel=4,
        )


@contextmanager
def _failures_explained() -> Iterator[None]:
    """Say in words what a loader fails at when it collects items into a batch."""
    try:
        yield
    except (RuntimeError, TypeError) as error:
        unequal, other = UNEQUAL.search(str(error)), NO_TENSORS.search(str(error))
        if unequal:
            raise ValueError(
                "the items of a batch must have one shape; the loader could not stack them "
                f"({unequal[0]}). Let the data set's transform end in one size of both sides, "
                "Resize((224, 224)) or CenterCrop(224), or give the loader a collate_fn= that pads."
            ) from error
        if other:
            raise TypeError(
                f"a loader makes batches of tensors, arrays and numbers ({other[0]}). Turn "
                "pictures into tensors in the data set, by a transform such as torchvision's "
                "ToTensor(), or give the loader a collate_fn=."
            ) from error
        raise
