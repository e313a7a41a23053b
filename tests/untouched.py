"""What an examination must leave as it was, taken before and compared after, bit for bit."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader


def snapshot(given: dict[str, Any]) -> dict[str, Any]:
    """The state of everything that a pipeline is made of, as values to be compared."""
    model: nn.Module = given["model"]
    state: dict[str, Any] = {
        "tensors": {
            n: t.detach().clone() for n, t in [*model.named_parameters(), *model.named_buffers()]
        },
        "places": [id(p) for p in model.parameters()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "switches": [p.requires_grad for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "torch": torch.get_rng_state(),
        "numpy": repr(np.random.get_state()),
        "python": random.getstate(),
    }
    optimizer = given.get("optimizer")
    if optimizer is not None:
        state["optimizer"] = copy.deepcopy(optimizer.state_dict())
        state["groups"] = [[id(p) for p in group["params"]] for group in optimizer.param_groups]
    scheduler = given.get("scheduler")
    if hasattr(scheduler, "state_dict"):
        state["scheduler"] = {k: v for k, v in scheduler.state_dict().items() if not callable(v)}
        state["scheduler"] = copy.deepcopy(state["scheduler"])
    if isinstance(given.get("loss"), nn.Module):
        state["loss"] = {n: t.clone() for n, t in given["loss"].state_dict().items()}
    for part in ("train", "validation", "test"):
        loader = given.get(part)
        if isinstance(loader, DataLoader):
            generator = getattr(loader.dataset, "generator", None)
            state[f"loader of {part}"] = (
                None if loader.generator is None else loader.generator.get_state(),
                getattr(loader, "_iterator", None),
                loader.num_workers,
                repr(generator.bit_generator.state) if generator is not None else "",
            )
    return state


def differences(before: Any, after: Any, place: str = "") -> list[str]:
    """Where two snapshots differ; NaN is equal to NaN."""
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        same = before.shape == after.shape and torch.equal(
            before.nan_to_num(123.0), after.nan_to_num(123.0)
        )
        return [] if same else [place]
    if isinstance(before, dict) and isinstance(after, dict):
        if before.keys() != after.keys():
            return [place]
        return [d for key in before for d in differences(before[key], after[key], f"{place}/{key}")]
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        if len(before) != len(after):
            return [place]
        pairs = zip(before, after, strict=True)
        return [d for i, (a, b) in enumerate(pairs) for d in differences(a, b, f"{place}/{i}")]
    return [] if before == after else [place]
