"""The positions that each seed trains on, drawn as `fit` draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from companion.states import seeded_generator
from companion.training import positions

Sampler = Callable[[int], Iterable[int]]
"""From a seed to the positions of an epoch, new ones each time that they are asked for."""


class Draws:
    """The epochs of one seed: from its own generator, or by the sampler made for it.

    A sampler without a generator draws from the global random state. It has the state that `fit`
    would give it, seeded and carried on from epoch to epoch, and nobody else's changes.
    """

    def __init__(self, count: int, sampler: Sampler | None, seed: int) -> None:
        self.count, self.order = count, seeded_generator(seed)
        self.state = self.order.get_state()
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.state)
            self.sampler = None if sampler is None else sampler(seed)

    def epoch(self) -> Tensor:
        """Return the positions of the next epoch."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.state)
            rows = positions(self.count, self.sampler, self.order)
            self.state = torch.get_rng_state()
        return rows


def drawn_together(draws: Iterable[Draws]) -> Tensor:
    """Return the next epoch of each, (seeds, positions).

    Raises `ValueError` for samplers that draw nothing, or not equally many.
    """
    rows = [each.epoch() for each in draws]
    lengths = [len(each) for each in rows]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"the samplers must draw equally many positions; received {lengths}. Set their "
            "number of draws."
        )
    if not lengths[0]:
        raise ValueError(
            "the samplers must draw positions in each epoch; received none. An iterator ends "
            "after one epoch: return the sampler itself."
        )
    return torch.stack(rows)
