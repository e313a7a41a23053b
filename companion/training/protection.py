"""What a run must not leave changed: weights after an error, modes, the global random state."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from companion.evaluation import device_of


@contextmanager
def kept_on_error(model: nn.Module) -> Iterator[None]:
    """Restore modes in any case; weights and device where the block fails or is interrupted."""
    modes = {module: module.training for module in model.modules()}
    state, device = copy.deepcopy(model.state_dict()), device_of(model)
    try:
        yield
    except BaseException:
        model.to(device)
        model.load_state_dict(state)
        raise
    finally:
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
