"""Checks of what is passed to `fit_replicas`, before anything is built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from companion.datasets import LabelledImages
from companion.inputs import distinct, plain, positive_number


def checked_rates(lrs: float | Iterable[float]) -> list[float]:
    """Return one rate or several as a list of positive numbers, each once."""
    alone = plain(lrs)
    listed = [alone] if isinstance(alone, int | float) else alone
    return [
        positive_number(rate, "lr", advice="Try 1e-3 with AdamW.")
        for rate in distinct(listed, "learning rate", "1e-3")
    ]


def check_data(train: Any, validation: Any) -> None:
    """Raise `TypeError` for what is not held as tensors, `ValueError` for two label maps."""
    for data in (train, validation):
        if data is not None and not isinstance(data, LabelledImages):
            raise TypeError(
                f"replicas index their data on the device; received {type(data).__name__}. "
                "Pass LabelledImages, or call fit for each seed, over processes with repeat."
            )
    if validation is not None and validation.label_map != train.label_map:
        raise ValueError(
            "train and validation must have one label map, or indices mean different classes; "
            f"received {train.label_map} and {validation.label_map}. Use only(train.classes), or "
            "read both with the same classes."
        )
