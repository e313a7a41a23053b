"""What a run must not leave changed: weights after an error, modes, the global random state."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from companion.evaluation import device_of


@contextmanager
def kept(model: nn.Module, *, on_error_only: bool = False) -> Iterator[None]:
    """Restore weights, device and modes after the block; `on_error_only`, of these only the modes.

    An interruption is an error too.
    """
    modes = {module: module.training for module in model.modules()}
    state, device = copy.deepcopy(model.state_dict()), device_of(model)
    stays = False
    try:
        yield
        stays = on_error_only
    finally:
        if not stays:
            model.to(device)
            model.load_state_dict(state)
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed dropout, augmentation and loaders inside, and give the global state back after."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        # Not torch.manual_seed, which reseeds every GPU, those that are not given back as well.
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
