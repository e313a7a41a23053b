"""Logits, and other rows of real numbers, from PyTorch or NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.inputs.numbers import refuse_without_values


def real_numbers(values: Any, *, what: str, advice: str = "") -> Tensor:
    """Return a tensor or an array of floating-point numbers as a tensor, half precision as float32.

    Raises `TypeError` for integers, booleans and for what is neither a tensor nor an array.

    >>> real_numbers(np.array([0.5]), what="scores")
    tensor([0.5000], dtype=torch.float64)
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        # A copy that PyTorch takes: writable, in order, and no wider than its widest type.
        wide = values.dtype.kind == "f" and values.dtype.itemsize > 8
        dtype = np.float64 if wide else values.dtype.newbyteorder("=")
        values = torch.from_numpy(np.array(values, dtype=dtype))
    if not isinstance(values, Tensor) or not values.is_floating_point():
        kind = getattr(values, "dtype", type(values).__name__)
        raise TypeError(
            f"{what} must be floating point, a tensor or an array; received {kind}. "
            f"{advice}".rstrip()
        )
    refuse_without_values(values, what)
    found = values.detach()
    return found.float() if found.element_size() < 4 else found


def checked_logits(
    logits: Any, *, rows: int | None = None, width: int | None = None, masked: bool = False
) -> Tensor:
    """Return logits (N, classes) from a tensor or an array, after checking what they hold.

    `rows` and `width` are N and the number of classes where they are known. `masked` allows
    −inf, as in a column that was ruled out.

    Raises `TypeError` for integers, `ValueError` for another shape, for NaN, and for infinity.

    >>> checked_logits(np.zeros((1, 2), dtype=np.float32)).dtype
    torch.float32
    """
    found = real_numbers(
        logits,
        what="logits",
        advice="Pass what the head returns, not the predicted classes.",
    )
    if found.dim() != 2 or 0 in found.shape:
        raise ValueError(
            f"logits must have shape (N, classes); received {tuple(found.shape)}. "
            "Pass what predict returns."
        )
    if rows is not None and len(found) != rows:
        raise ValueError(
            f"there must be logits for each of the {rows} images; received {len(found)} rows. "
            "Pass what predict returned for these data."
        )
    if width is not None and found.shape[1] != width:
        raise ValueError(
            f"logits must have shape (N, {width}), a column for each class of the map; "
            f"received {tuple(found.shape)}. Pass label_map=, the map that belongs to the head."
        )
    allowed = torch.isfinite(found) | (found == -torch.inf) if masked else torch.isfinite(found)
    if not bool(allowed.all()):
        broken = int((~allowed).any(1).sum())
        advice = "Look" if masked else "Leave out columns that were masked, and look"
        raise ValueError(
            f"logits must be finite; those of {broken} of {len(found)} images hold NaN or "
            f"infinity. {advice} for NaN in images and weights."
        )
    if masked and bool((found == -torch.inf).all(1).any()):
        raise ValueError(
            "an image needs a class that is not ruled out; all logits of some are −inf. Look at "
            "what masked them."
        )
    return found
