"""Checks of what is passed to `fit`, before anything is touched."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from companion.inputs import (
    brief,
    check_labels_fit,
    dtype_of,
    positive_number,
    whole_number,
)

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
    if getattr(loss, "reduction", "mean") != "mean":
        raise ValueError(
            "a loss is a mean over the batch, or the rate would depend on its size; received "
            f"reduction={loss.reduction!r}. Leave it at 'mean'."
        )
    if not callable(loss):
        raise TypeError(
            "loss must be a function of (logits, labels) to one number; received "
            f"{type(loss).__name__}. Pass torch.nn.functional.cross_entropy."
        )


def check_accumulated(loss: Any, accumulate: int) -> None:
    """Raise `ValueError` for a loss whose means over small batches do not add up to a large one's.

    >>> check_accumulated(nn.CrossEntropyLoss(), 4)
    """
    if accumulate > 1 and getattr(loss, "weight", None) is not None:
        raise ValueError(
            f"accumulated batches count as one where each image counts alike; {type(loss).__name__}"
            " with weight divides by each batch's own sum of weights. Use WeightedLoss(weights)."
        )


def check_optimizer(optimizer: Any, model: nn.Module, loss: Any = None) -> None:
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
    of_loss = loss.named_parameters() if isinstance(loss, nn.Module) else ()
    if any(p.requires_grad and id(p) not in held for _, p in of_loss):
        raise ValueError(
            "a loss with parameters of its own learns where the optimiser holds them. Pass "
            "lambda parameters, lr: SGD([*parameters, *loss.parameters()], lr=lr), or freeze them."
        )
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
