"""Labels as indices: one reader, whatever they come in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.inputs.numbers import refuse_without_values

IGNORE_INDEX = -100  # what torch.nn.functional.cross_entropy leaves out unless told otherwise


def integer_labels(labels: Any, *, rows: int | None = None, what: str = "labels") -> Tensor:
    """Return labels as int64 of shape (N,), on the device they are on.

    `labels` is a tensor, an array or a sequence of whole numbers: indices of classes, or
    −100 for none. `rows` is N where it is known; `what` they are stands in the errors.

    Raises `TypeError` for what is no integer or not (N,), for a set and for a mapping, whose keys
    would be taken, `ValueError` for no labels, negative ones other than −100, and another number
    than `rows`.

    >>> integer_labels(np.array([2, 0], dtype=np.uint8))
    tensor([2, 0])
    """
    if isinstance(labels, set | frozenset | Mapping):
        raise TypeError(
            f"{what} must be integer indices in the order of the items; received a "
            f"{type(labels).__name__}. Pass a list, an array or a tensor."
        )
    try:
        if isinstance(labels, np.ndarray):  # a copy that PyTorch takes: writable, in order
            labels = np.array(labels, dtype=labels.dtype.newbyteorder("="))
        given = isinstance(labels, (Tensor, np.ndarray)) or not isinstance(labels, Iterable)
        found = torch.as_tensor(labels if given else [*labels])
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{what} must be integer indices ({error}). Encode names with LabelMap.encode."
        ) from error
    refuse_without_values(found, what)
    if not found.numel():
        raise ValueError(
            f"at least one label is needed; received none as {what}. Look at what selected them."
        )
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise TypeError(
            f"{what} must be integer indices of shape (N,); received "
            f"{str(found.dtype).removeprefix('torch.')} of shape {tuple(found.shape)}. Pass the "
            "labels of the images, not weights, counts or logits; encode them with "
            "LabelMap.encode, or labels.long() for floats that hold whole numbers."
        )
    if found.dim() != 1:
        raise TypeError(
            f"{what} must be integer indices of shape (N,); received "
            f"{str(found.dtype).removeprefix('torch.')} of shape {tuple(found.shape)}. "
            "Take argmax(1) of one-hot rows, or squeeze a column."
        )
    if rows is not None and len(found) != rows:
        raise ValueError(
            f"{what} must have shape ({rows},), one for each row; received ({len(found)},). "
            "Index both alike."
        )
    found = found.detach().to(torch.int64)
    wrong = found[(found < 0) & (found != IGNORE_INDEX)]
    if len(wrong):
        raise ValueError(
            f"{what} must be at least 0, or {IGNORE_INDEX} for none; received {int(wrong[0])}. "
            "Look for an index that was lowered twice."
        )
    return found


def check_labels_fit(labels: Tensor, outputs: int, *, what: str = "labels") -> None:
    """Raise `ValueError` for a label beyond the outputs; on a GPU the loss would end the process.

    >>> check_labels_fit(torch.tensor([0, 2, -100]), 3)
    """
    if len(labels) and int(labels.max()) >= outputs:
        raise ValueError(
            f"{what} must lie in 0 … {outputs - 1}, an output of the head for each class; "
            f"received {int(labels.max())}. Build the head with as many outputs as there are "
            "classes, or look at how the labels were encoded."
        )
