"""Checks of what is passed to `fit`, before anything is touched."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader

from companion.inputs import (
    HeldSet,
    brief,
    check_labels_fit,
    dtype_of,
    is_pair,
    positive_number,
    whole_number,
)
from companion.sampling import double_correction, mismatched_sampler

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def check_data(train: Any, validation: Any, **held_only: Any) -> None:
    """Raise for data that are no sets of batches, that do not agree, or that ignore an option.

    `held_only` are options that mean something for data held as tensors alone.

    >>> check_data((torch.zeros(2, 1), torch.tensor([0, 1])), None, batch_size=2)
    """
    for name, data in {"train": train, "validation": validation}.items():
        if data is None and name == "validation":
            continue
        if isinstance(data, Iterator):
            raise TypeError(
                f"{name} must yield its batches anew in each epoch; received "
                f"{type(data).__name__}, an iterator, which ends after one. Pass the loader itself."
            )
        sized = isinstance(data, HeldSet) or is_pair(data)
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
    ignored = [name for name, value in held_only.items() if value is not None]
    if ignored and not (isinstance(train, HeldSet) or is_pair(train)):
        raise ValueError(
            f"a DataLoader has its own {' and '.join(ignored)}, so fit would ignore this one. "
            "Set it where the loader is made."
        )
    maps = [getattr(data, "label_map", None) for data in (train, validation)]
    if None not in maps and maps[0] != maps[1]:
        raise ValueError(
            "train and validation must have one label map, or indices mean different "
            f"classes; received {maps[0]} and {maps[1]}. "
            "Use only(train.classes), or read both with the same classes."
        )


def check_numbers(validation: Any, **options: Any) -> None:
    """Raise `ValueError` or `TypeError` for numbers that are none, or that would be ignored.

    >>> check_numbers(None, epochs=2, lr=0.1, patience=None)
    """
    positive_number(options["lr"], "lr", advice="Try 1e-3 with AdamW.")
    for name in ("epochs", "batch_size", "patience", "accumulate", "steps_per_epoch"):
        if options.get(name) is not None:
            whole_number(options[name], name)
    if options.get("clip_norm") is not None:
        positive_number(options["clip_norm"], "clip_norm", advice="Try 1.0.")
    if options.get("patience") is not None and validation is None:
        raise ValueError("patience watches the validation accuracy; pass validation= as well.")


def check_precision(precision: str, model: nn.Module) -> None:
    """Raise `ValueError` for a precision that is none, and for weights that cannot be trained.

    >>> check_precision("bfloat16", nn.Linear(2, 2))
    """
    if precision not in PRECISIONS:
        known = ", ".join(map(repr, PRECISIONS))
        raise ValueError(f"precision must be one of {known}; received {precision!r}.")
    if dtype_of(model) == torch.float16:
        raise ValueError(
            "weights must not be trained in float16, whose steps round to nothing; received a "
            "model in float16. Call model.float(), and pass precision='float16' to compute in it."
        )


def check_loss(loss: Any) -> None:
    """Raise `TypeError` for a loss that is no function of (logits, labels).

    >>> check_loss(nn.CrossEntropyLoss())
    """
    if inspect.isclass(loss):
        raise TypeError(
            f"loss must be a function of (logits, labels); received the class {loss.__name__}. "
            f"Make one: {loss.__name__}()."
        )
    if not callable(loss):
        raise TypeError(
            "loss must be a function of (logits, labels) to one number; received "
            f"{type(loss).__name__}. Pass torch.nn.functional.cross_entropy."
        )


def check_optimizer(optimizer: Any, model: nn.Module) -> None:
    """Raise where an optimiser is none, or lacks a parameter that may change.

    That happens with groups that were made before a head was replaced: the new one would never
    learn. Raises `TypeError` and `ValueError`.

    >>> layer = nn.Linear(2, 2)
    >>> check_optimizer(torch.optim.SGD(layer.parameters(), lr=0.1), layer)
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            "optimizer must return one of torch.optim; it returned "
            f"{type(optimizer).__name__}. Pass lambda parameters, lr: SGD(parameters, lr=lr)."
        )
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in held]
    if missing:
        raise ValueError(
            "the optimiser must hold every parameter that may change; it lacks "
            f"{brief(missing)}, which would never learn. Make groups after the model's last "
            "surgery, and freeze what is to stay: freeze(part)."
        )


def check_first_batch(
    logits: Tensor, labels: Tensor, classes: int | None, *, what: str = "labels"
) -> None:
    """Raise `ValueError` where a head is too narrow for the classes, or for the labels it gets.

    Found here, because on a GPU the loss would bring down the whole process.

    >>> check_first_batch(torch.zeros(2, 3), torch.tensor([0, 2]), None)
    """
    if classes is not None and logits.shape[1] < classes:
        raise ValueError(
            f"the head needs an output for each of the {classes} classes; it has "
            f"{logits.shape[1]}. Build it with len(train.classes), or use train.only(...)."
        )
    check_labels_fit(labels, logits.shape[1], what=what)


def check_loss_value(value: Any) -> None:
    """Raise where what a loss returned cannot be minimised.

    >>> check_loss_value(torch.zeros((), requires_grad=True))
    """
    if not isinstance(value, Tensor) or value.dim() != 0:
        shown = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(
            f"a loss returns one number, a tensor without dimensions; received {shown}. Take the "
            "mean over the batch."
        )
    if not value.requires_grad:
        raise ValueError(
            "a loss must depend on the weights that may change; this one has no gradient. Look "
            "for detach(), .item() and no_grad in the loss and in the model."
        )


def check_plateau(scheduler: ReduceLROnPlateau, *, lower_is_better: bool, each_epoch: bool) -> None:
    """Raise `ValueError` for a plateau that nothing is told of, or that looks the wrong way.

    >>> optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> plateau = ReduceLROnPlateau(optimizer, mode="max")
    >>> check_plateau(plateau, lower_is_better=False, each_epoch=True)
    """
    wanted = "min" if lower_is_better else "max"
    if not each_epoch:
        raise ValueError(
            "ReduceLROnPlateau looks at the monitored number after each epoch; pass "
            "schedule_every='epoch' and validation=."
        )
    if scheduler.mode != wanted:
        raise ValueError(
            f"ReduceLROnPlateau must look for the {wanted} of what is monitored; its mode is "
            f"{scheduler.mode!r}, which would lower the rate while training goes well. Pass "
            f"mode={wanted!r}."
        )


def check_sampling(train: Any, sampler: Any, loss: Any) -> None:
    """Refuse a loader's sampler that was made for other data; warn of an imbalance corrected twice.

    Raises `ValueError`, and emits a `UserWarning`.

    >>> check_sampling((torch.zeros(2, 1), torch.tensor([0, 1])), None, nn.CrossEntropyLoss())
    """
    if isinstance(train, DataLoader):
        wrong = mismatched_sampler(train)
        if wrong is not None:
            raise ValueError(f"{wrong.seen}. {wrong.why} {wrong.remedy}")
    if isinstance(train, HeldSet):
        twice = double_correction(sampler, loss, labels=train.labels)
    else:
        twice = double_correction(train, loss)
    if twice is not None:
        warnings.warn(f"{twice.seen}. {twice.why} {twice.remedy}", stacklevel=5)
