"""Checks of the data that are passed to `fit`, before anything is touched."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from companion.evaluation import label_map_of
from companion.inputs import is_held, is_pair, refuse_no_batches
from companion.sampling import double_correction, made_for_other_data, mismatched_sampler
from companion.training.batching import said_of_positions


def check_data(
    train: Any, validation: Any, *, selectors: Any = MappingProxyType({}), **held_only: Any
) -> None:
    """Raise for data that are no sets of batches, that do not agree, or that ignore an option.

    `held_only` are options that mean something for data held as tensors alone, `selectors` those
    that do for batches alone.

    >>> check_data((torch.zeros(2, 1), torch.tensor([0, 1])), None, batch_size=2)
    """
    for name, data in {"train": train, "validation": validation}.items():
        if data is None and name == "validation":
            continue
        if isinstance(data, Iterator):
            refuse_no_batches(data)
            raise TypeError(
                f"{name} must yield its batches anew in each epoch; received "
                f"{type(data).__name__}, an iterator, which ends after one. Pass the loader itself."
            )
        sized = is_held(data) or is_pair(data)
        unread = isinstance(data, str | bytes | Tensor | dict) or not isinstance(data, Iterable)
        items = hasattr(data, "__getitem__") and isinstance(data, torch.utils.data.Dataset)
        if not sized and (unread or items):
            raise TypeError(
                f"{name} must be a LabelledImages or a DataLoader, a pair (inputs, labels) of "
                f"tensors, or another iterable of batches; received {type(data).__name__}. Wrap a "
                "Dataset in a DataLoader."
            )
    if isinstance(held_only.get("sampler"), Iterator):
        raise TypeError(
            "a sampler must yield its positions anew in each epoch; received none but an "
            "iterator, and an iterator ends after one epoch. Pass the sampler itself, or a list."
        )
    held = is_held(train) or is_pair(train)
    unused = [name for name in ("inputs", "labels") if held and selectors.get(name) is not None]
    if unused and (validation is None or is_held(validation) or is_pair(validation)):
        raise ValueError(
            f"what is held as tensors has its inputs and labels, so {' and '.join(unused)} would "
            "be ignored. Leave it out; it is for batches of a loader."
        )
    ignored = [name for name, value in held_only.items() if value is not None]
    if ignored and not held:
        raise ValueError(
            f"a DataLoader has its own {' and '.join(ignored)}, so fit would ignore this one. "
            "Set it where the loader is made."
        )
    if any(chosen is not None for chosen in selectors.values()):
        return  # what is taken out of the batches may be called something else
    maps = [label_map_of(data) for data in (train, validation)]
    if maps[0] is not None and maps[1] is not None and maps[0].classes != maps[1].classes:
        raise ValueError(
            "train and validation must have one label map, or indices mean different "
            f"classes; received {maps[0]} and {maps[1]}. "
            "Use only(train.classes), or read both with the same classes; for an ImageFolder: "
            "target_transform=LabelMap(train.class_to_idx).encoder(validation.class_to_idx)."
        )


def check_sampling(train: Any, sampler: Any, loss: Any) -> None:
    """Refuse a loader's sampler that was made for other data; warn of an imbalance corrected twice.

    Raises `ValueError`, and emits a `UserWarning`.

    >>> check_sampling((torch.zeros(2, 1), torch.tensor([0, 1])), None, torch.nn.CrossEntropyLoss())
    """
    wrong = mismatched_sampler(train) if isinstance(train, DataLoader) else None
    if is_held(train) and not hasattr(sampler, "items"):  # positions() names these
        wrong = made_for_other_data(sampler, len(train.labels))
    if wrong is not None:
        raise ValueError(said_of_positions(wrong))
    if is_held(train):
        twice = double_correction(sampler, loss, labels=train.labels)
    else:
        twice = double_correction(train, loss)
    if twice is not None:
        warnings.warn(f"{twice.seen}. {twice.why} {twice.remedy}", stacklevel=5)
