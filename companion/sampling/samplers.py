"""Draws in which every class comes up equally often, alone or shared by several processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import Sampler

from companion.inputs import IGNORE_INDEX, whole_number
from companion.sampling.reading import labels_of
from companion.sampling.weights import class_weights


def balanced_sampler(
    labels: Any,
    *,
    seed: int,
    scheme: str = "inverse",
    draws: int | None = None,
    rank: int | None = None,
    world_size: int | None = None,
) -> BalancedSampler:
    """Return a sampler that draws each class equally often, with replacement.

    `labels` is the training set itself or its labels (`labels_of`), one for each image, in
    order; images labelled −100 are never drawn. `draws` is the length of an epoch, by default
    the number of images. `scheme` is that of `class_weights`: "square-root" goes halfway. With
    several processes each draws the same epoch from (seed, epoch) and takes its own part; `rank`
    and `world_size` are by default those of `torch.distributed`, where it has been initialised.

    Raises `TypeError` for weights in place of labels and a seed that is no whole number,
    `ValueError` for a negative seed, a class without images, fewer draws than processes and a
    rank that is not one of them.

    >>> sampler = balanced_sampler([0] * 90 + [1] * 10, seed=0)
    >>> drawn = list(sampler)
    >>> len(drawn), 40 < sum(position >= 90 for position in drawn) < 60
    (100, True)
    """
    start = whole_number(seed, "seed", least=0, advice="A seed of its own for each run.")
    found = labels_of(labels)
    each = class_weights(labels, scheme=scheme)
    weights = each.double()[found.clamp(min=0)] * (found != IGNORE_INDEX)
    own, size = _process(rank, world_size)
    count = len(found) if draws is None else whole_number(draws, "draws", least=0)
    if count < size:
        raise ValueError(
            f"an epoch needs a draw for each of {size} processes; received {count}. Raise draws."
        )
    return BalancedSampler(weights, count, start, own, size, labels=found)


def _process(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return which process this is, and of how many."""
    together = distributed.is_available() and distributed.is_initialized()
    size = distributed.get_world_size() if together else 1
    if world_size is not None:
        size = whole_number(world_size, "world_size")
    if rank is None and (together or size == 1):
        rank = distributed.get_rank() if together else 0
    if rank is None or not 0 <= rank < size:
        raise ValueError(
            f"rank must lie in 0 … {size - 1}; received {rank}. Pass rank and world_size together, "
            "or neither once torch.distributed is initialised."
        )
    return whole_number(rank, "rank", least=0), size


class BalancedSampler(Sampler[int]):
    """Positions drawn by weight, new in each epoch; made by `balanced_sampler`.

    The draw of an epoch depends on the seed and the number of the epoch alone, so that a run can
    go on where it stopped (`set_epoch`), and processes that share a seed share the draw without
    talking. Each takes every `world_size`-th position of it: no draw is taken twice, all are
    taken but for the few at the end that do not divide evenly, and all processes take as many.
    An image that was drawn twice may come up in two processes.

    `weights` (N,) are those of the images, `labels` (N,) what they were made from.
    """

    def __init__(
        self,
        weights: Tensor,
        draws: int,
        seed: int,
        rank: int,
        world_size: int,
        *,
        labels: Tensor | None = None,
    ) -> None:
        self.weights, self.draws, self.seed, self.labels = weights, draws, seed, labels
        self.rank, self.world_size, self.epoch = rank, world_size, 0

    @property
    def items(self) -> int:
        """The number of images that the sampler was made for."""
        return len(self.weights)

    def __len__(self) -> int:
        return self.draws // self.world_size

    def __iter__(self) -> Iterator[int]:
        mixed = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(mixed[0]) >> 1)
        self.epoch += 1
        drawn = torch.multinomial(self.weights, self.draws, replacement=True, generator=generator)
        return iter(drawn[self.rank :: self.world_size][: len(self)].tolist())

    def set_epoch(self, epoch: int) -> None:
        """Draw this epoch next; each later iteration draws the one after.

        Raises `TypeError` for what is no whole number, `ValueError` for a negative one.
        """
        self.epoch = whole_number(epoch, "epoch", least=0, advice="The first epoch is 0.")
