"""The parameters of a network in groups with rates of their own, each parameter once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from companion.heads.layers import check_names
from companion.inputs import trainable_parameters


def parameter_groups(
    model: nn.Module,
    lr: float,
    *,
    rates: Mapping[str, float] | None = None,
    weight_decay: float | None = None,
    decay_all: bool = True,
) -> list[dict[str, Any]]:
    """Return the trainable parameters as groups for an optimiser, each exactly once.

    `rates` gives parts of the model, by the names of submodules, learning rates of their own; the
    innermost name counts, and everything else learns at `lr`. With `weight_decay` each group has
    one; with `decay_all=False` it is 0 for normalisations and biases, that is for parameters of
    one dimension or none. Each group also has a "name", for logs. Frozen parameters are left out,
    shared ones counted where they are first. The model is not changed.

    A scheduler with one peak for all, such as OneCycleLR with a single `max_lr`, overwrites the
    rates; one that scales each group's own, such as `fit`'s, keeps them.

    Raises `ValueError` for rates and decays that are not positive and finite, names that are no
    submodules or hold nothing trainable, and a model with nothing to train.

    >>> from companion import small_cnn
    >>> groups = parameter_groups(small_cnn(10, seed=0), 0.01, rates={"features": 0.001})
    >>> [(group["name"], group["lr"], len(group["params"])) for group in groups]
    [('features', 0.001, 9), ('the rest', 0.01, 2)]
    """
    rates = dict(rates or {})
    _check(model, lr, rates, weight_decay)
    trainable_parameters(model, "an optimiser")
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            inside = [part for part in rates if name.startswith(f"{part}.")]
            decayed = decay_all or parameter.dim() > 1
            groups.setdefault((max(inside, key=len, default=""), decayed), []).append(parameter)
    used = {part for part, _ in groups}
    idle = [part for part in rates if part not in used]
    if idle:
        raise ValueError(
            f"a part with a rate of its own needs a trainable parameter; {idle} have none that "
            "is not in a part inside it. Thaw it, or leave it out of rates."
        )
    order = {part: position for position, part in enumerate([*rates, ""])}
    return [
        _group(part, parameters, rates.get(part, lr), weight_decay, decayed)
        for (part, decayed), parameters in sorted(
            groups.items(), key=lambda item: (order[item[0][0]], not item[0][1])
        )
    ]


def _group(
    part: str, parameters: list[nn.Parameter], lr: float, weight_decay: float | None, decayed: bool
) -> dict[str, Any]:
    name = (part or "the rest") + ("" if decayed else ", not decayed")
    group: dict[str, Any] = {"name": name, "params": parameters, "lr": lr}
    if weight_decay is not None:
        group["weight_decay"] = weight_decay if decayed else 0.0
    elif not decayed:
        group["weight_decay"] = 0.0
    return group


def _check(
    model: nn.Module, lr: float, rates: Mapping[str, float], weight_decay: float | None
) -> None:
    for name, rate in [("lr", lr), *rates.items()]:
        if not 0 < rate < math.inf:
            raise ValueError(
                f"a learning rate must be positive and finite; received {rate} for {name!r}. "
                "To keep a part still, freeze it."
            )
    if weight_decay is not None and not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay must be at least 0 and finite; received {weight_decay}.")
    check_names(model, list(rates), "rates")
