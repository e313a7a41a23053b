"""A stream of random numbers that is a run's own, and can be stored and taken up again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from companion.states.randomness import own_randomness, randomness_kept, seeded_generator


class RandomStream:
    """The global random states that a run draws from, apart from everybody else's.

    Between two blocks of `drawing` the global states are whatever they are, and the run goes on
    where it stopped. `state_dict` holds plain values and tensors, for a checkpoint.

    >>> stream = RandomStream(0)
    >>> with stream.drawing():
    ...     first = torch.rand(1)
    >>> _ = torch.rand(100)  # somebody else's
    >>> with stream.drawing():
    ...     second = torch.rand(1)
    >>> bool((torch.rand(2, generator=torch.Generator().manual_seed(0))[1] == second).all())
    True
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device, self._seed = torch.device(device), seed
        seeded_generator(seed)  # raises for what is no seed
        self._drawn: dict[str, Any] | None = None  # until it is drawn from, the seed says it all

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Let draws inside the block be the run's, and give the global states back after."""
        fresh = self._drawn is None
        with own_randomness(self._seed, self.device) if fresh else randomness_kept(self.device):
            if self._drawn is not None:
                _set_global_states(self._drawn, self.device)
            try:
                yield
            finally:
                self._drawn = _global_states(self.device)

    @property
    def _states(self) -> dict[str, Any]:
        if self._drawn is None:
            with own_randomness(self._seed, self.device):
                self._drawn = _global_states(self.device)
        return self._drawn

    def state_dict(self) -> dict[str, Any]:
        """Return the states, readable with `torch.load(weights_only=True)`."""
        states = self._states
        version, numbers, gauss = states["python"]
        name, keys, position, has_gauss, cached = states["numpy"]
        return states | {
            "python": [version, torch.tensor(numbers, dtype=torch.int64), gauss],
            "numpy": [
                name,
                torch.from_numpy(np.array(keys, np.int64)),
                position,
                has_gauss,
                cached,
            ],
        }

    def load_state_dict(self, stored: dict[str, Any]) -> None:
        """Go on where the stored stream stood; of another kind of device, the GPU's is left out."""
        version, numbers, gauss = stored["python"]
        name, keys, *rest = stored["numpy"]
        self._drawn = self._states | stored
        self._drawn["python"] = (version, tuple(numbers.tolist()), gauss)
        self._drawn["numpy"] = (name, keys.numpy().astype(np.uint32), *rest)


def _global_states(device: torch.device) -> dict[str, Any]:
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=True),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_global_states(states: dict[str, Any], device: torch.device) -> None:
    torch.set_rng_state(states["torch"])
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
