"""Two maps, class by class: which index of one belongs to which of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from companion.inputs import ClassName, brief
from companion.labels.names import UnknownLabelError

if TYPE_CHECKING:
    from companion.labels.maps import LabelMap


def aligned(label_map: LabelMap, other: LabelMap, *, missing: int | None) -> Tensor:
    """Return what `LabelMap.align` promises.

    >>> from companion.labels.maps import LabelMap
    >>> aligned(LabelMap(["a", "b"]), LabelMap(["b", "c"]), missing=-1)
    tensor([ 1, -1])
    """
    if missing is None:
        return label_map.indices_of(other.classes, source="the map to align")
    if type(missing) is not int or missing >= 0:
        raise ValueError(
            f"missing must be a negative integer, as no index is; received {missing}. Use -1."
        )
    if not any(name in label_map for name in other):
        raise ValueError(
            f"maps with no class in common cannot be aligned; received {brief(label_map.classes)} "
            f"and {brief(other.classes)}. Check spelling, case, and integers against strings."
        )
    indices = {name: index for index, name in enumerate(label_map)}
    return torch.tensor([indices.get(name, missing) for name in other])


def translated(
    label_map: LabelMap, indices: Tensor, other: LabelMap, *, missing: int | None
) -> Tensor:
    """Return what `LabelMap.translate` promises.

    >>> from companion.labels.maps import LabelMap
    >>> translated(LabelMap(["a", "b"]), torch.tensor([0]), LabelMap(["b"]), missing=None)
    tensor([1])
    """
    other.decode(indices.unique())  # a negative index would wrap around in the table
    indices = indices.to(torch.int64)
    ignored = indices < 0
    if bool(ignored.any()) and label_map.ignore is None:
        raise UnknownLabelError([other.ignore], label_map.classes, "what the other map ignores")
    table = aligned(label_map, other, missing=missing).to(indices.device)
    found = table[indices.masked_fill(ignored, 0)]
    return found.masked_fill(ignored, label_map.ignore_index)


def translation(label_map: LabelMap, other: LabelMap) -> dict[ClassName, int]:
    """Return the map's index for each index of another map, the ignored one among them.

    >>> from companion.labels.maps import LabelMap
    >>> translation(LabelMap(["a", "b"]), LabelMap(["b", "a"]))
    {0: 1, 1: 0}
    """
    indices: dict[ClassName, int] = dict(
        enumerate(aligned(label_map, other, missing=None).tolist())
    )
    if other.ignore is not None and label_map.ignore is not None:
        indices[other.ignore_index] = label_map.ignore_index
    return indices
