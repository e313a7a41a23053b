"""Checks of what is passed to `fit`, before anything is touched."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch.utils.data import DataLoader

from companion.datasets import LabelledImages

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}  # float16 would need a loss scaler


def check_options(
    train: LabelledImages | DataLoader,
    validation: LabelledImages | DataLoader | None,
    epochs: int,
    lr: float,
    batch_size: int | None,
    sampler: Iterable[int] | None,
    patience: int | None,
    precision: str,
) -> None:
    """Raise `ValueError` or `TypeError` for options that are wrong or would be ignored."""
    if not 0 < lr < math.inf:
        raise ValueError(f"lr must be positive and finite; received {lr}. Try 1e-3 with AdamW.")
    for name, value in {"epochs": epochs, "batch_size": batch_size, "patience": patience}.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1; received {value!r}.")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be 'float32' or 'bfloat16'; received {precision!r}.")
    if patience is not None and validation is None:
        raise ValueError("patience watches the validation accuracy; pass validation= as well.")
    if isinstance(train, LabelledImages):
        if isinstance(validation, LabelledImages) and validation.label_map != train.label_map:
            raise ValueError(
                "train and validation must have one label map, or indices mean different "
                f"classes; received {train.label_map} and {validation.label_map}. "
                "Use only(train.classes), or read both with the same classes."
            )
        return
    if not isinstance(train, DataLoader):
        raise TypeError(
            f"train must be a LabelledImages or a DataLoader; received {type(train).__name__}. "
            "Wrap a Dataset in a DataLoader."
        )
    options = {"batch_size": batch_size, "sampler": sampler}
    ignored = [name for name, value in options.items() if value is not None]
    if ignored:
        raise ValueError(
            f"a DataLoader has its own {' and '.join(ignored)}, so fit would ignore this one. "
            "Set it where the loader is made."
        )
