"""Labels in whatever form a loader gives them: indices, columns, one-hot rows, names, masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

SINGLE = ("indices", "booleans", "floats", "column", "one-hot", "soft rows", "names")
"""The forms that give each image one class."""


@dataclass(frozen=True)
class GivenLabels:
    """Labels as they came: their form, their type, and the index of each image's class.

    `indices` are int64 (N,), None for a form that gives no single class to an image (multi-label
    rows, masks, real numbers), and for names that no map numbers. `drawn` are the names, if they
    are such.
    """

    form: str
    dtype: str
    shape: tuple[int, ...]
    indices: Tensor | None
    drawn: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """The form in words.

        >>> read_labels([torch.tensor([1, 0])], None).said
        'indices, int64 of shape (2,)'
        """
        return f"{self.form}, {self.dtype} of shape {self.shape}"


def read_labels(chunks: Sequence[Any], names: Mapping[Any, int] | None) -> GivenLabels:
    """Return the labels of some batches in one piece; `names` numbers them where they are names.

    Raises `ValueError` for batches whose labels do not fit together.

    >>> read_labels([torch.eye(3)], None).form
    'one-hot'
    """
    listed = [name for chunk in chunks for name in _strings(chunk)]
    if listed:
        known = None if names is None else [names.get(each) for each in listed]
        whole = known is not None and None not in known
        return GivenLabels(
            "names",
            "str",
            (len(listed),),
            torch.tensor(known) if whole else None,
            tuple(listed),
        )
    try:
        found = torch.cat([torch.as_tensor(_plain(chunk)) for chunk in chunks])
    except (TypeError, ValueError, RuntimeError) as error:
        kinds = sorted({type(chunk).__name__ for chunk in chunks})
        raise ValueError(f"the labels of the batches do not fit together ({kinds}): {error}") from (
            error
        )
    form, indices = _read(found.detach().cpu())
    return GivenLabels(form, str(found.dtype).removeprefix("torch."), tuple(found.shape), indices)


def _read(found: Tensor) -> tuple[str, Tensor | None]:
    """Return the form of numbers, and the index of each row's class where it has one."""
    whole = not found.is_complex() and bool((found == found.round()).all())
    if found.dim() == 1:
        if found.dtype == torch.bool:
            return "booleans", found.long()
        if found.is_floating_point():
            return ("floats", found.long()) if whole else ("real numbers", None)
        return "indices", found.long()
    if found.dim() != 2:
        return "masks", None
    if found.shape[1] == 1:
        return ("column", found[:, 0].long()) if whole else ("real numbers", None)
    values = found.double()
    if bool(((values < 0) | (values > 1)).any()):
        return "a table of numbers", None
    summed = bool(((values.sum(1) - 1).abs() < 1e-4).all())
    if summed:
        return "one-hot" if whole else "soft rows", values.argmax(1)
    return ("multi-label rows" if whole else "a table of numbers"), None


def _plain(chunk: Any) -> Any:
    if isinstance(chunk, np.ndarray):
        return np.array(chunk, dtype=chunk.dtype.newbyteorder("="))
    if isinstance(chunk, list | tuple) and chunk and isinstance(chunk[0], Tensor):
        return torch.stack(list(chunk))
    return chunk


def _strings(chunk: Any) -> list[str]:
    if isinstance(chunk, np.ndarray) and chunk.dtype.kind in "UO":
        chunk = chunk.tolist()
    if isinstance(chunk, list | tuple) and chunk and all(isinstance(x, str) for x in chunk):
        return list(chunk)
    return []
