"""Two maps, class by class: which index of one belongs to which of the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from companion.inputs import ClassName, brief
from companion.labels.names import UnknownLabelError


class Indexed(Protocol):
    """What two maps have to say about themselves."""

    classes: tuple[ClassName, ...]
    ignore: ClassName | None
    ignore_index: int


def aligned(
    classes: Sequence[ClassName], others: Sequence[ClassName], *, missing: int | None
) -> Tensor:
    """Return the position among `classes` of each of the others, as `LabelMap.align` promises.

    >>> aligned(["a", "b"], ["b", "c"], missing=-1)
    tensor([ 1, -1])
    """
    indices = {name: index for index, name in enumerate(classes)}
    absent = [name for name in others if name not in indices]
    if missing is None:
        if absent:
            raise UnknownLabelError(absent, classes, "the map to align")
        missing = -1
    if type(missing) is not int or missing >= 0:
        raise ValueError(
            f"missing must be a negative integer, as no index is; received {missing}. Use -1."
        )
    if len(absent) == len(others):
        raise ValueError(
            f"maps with no class in common cannot be aligned; received {brief(classes)} "
            f"and {brief(others)}. Check spelling, case, and integers against strings."
        )
    return torch.tensor([indices.get(name, missing) for name in others])


def translated(mine: Indexed, indices: Tensor, theirs: Indexed, *, missing: int | None) -> Tensor:
    """Return my indices for labels that are valid indices of theirs; see `LabelMap.translate`.

    >>> from types import SimpleNamespace as Map
    >>> mine, theirs = (Map(classes=c, ignore=None, ignore_index=-1) for c in (["a", "b"], ["b"]))
    >>> translated(mine, torch.tensor([0]), theirs, missing=None)
    tensor([1])
    """
    indices = indices.to(torch.int64)
    ignored = indices < 0
    if bool(ignored.any()) and mine.ignore is None:
        raise UnknownLabelError([theirs.ignore], mine.classes, "what the other map ignores")
    table = aligned(mine.classes, theirs.classes, missing=missing).to(indices.device)
    found = table[indices.masked_fill(ignored, 0)]
    return found.masked_fill(ignored, mine.ignore_index)


def translation(mine: Indexed, theirs: Indexed) -> dict[ClassName, int]:
    """Return my index for each index of theirs, the ignored one among them.

    >>> from types import SimpleNamespace as Map
    >>> mine, theirs = (Map(classes=c, ignore=None, ignore_index=-1) for c in (["a", "b"], ["b"]))
    >>> translation(mine, theirs)
    {0: 1}
    """
    table = aligned(mine.classes, theirs.classes, missing=None)
    indices: dict[ClassName, int] = dict(enumerate(table.tolist()))
    if theirs.ignore is not None and mine.ignore is not None:
        indices[theirs.ignore_index] = mine.ignore_index
    return indices
