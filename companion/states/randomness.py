"""Random states: the global ones, and those that loaders and samplers carry."""

from __future__ import annotations

import operator
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def checked_seed(seed: Any) -> int:
    """Return a seed as Python's own integer; raise `TypeError` for what is none.

    >>> checked_seed(np.int64(3))
    3
    """
    try:
        return operator.index(seed)
    except TypeError as error:
        raise TypeError(
            f"a seed must be a whole number; received {seed!r}. Pass seed=0."
        ) from error


def seeded_generator(seed: Any) -> torch.Generator:
    """Return a generator of its own, seeded; errors as of `checked_seed`.

    >>> seeded_generator(3).initial_seed()
    3
    """
    return torch.Generator().manual_seed(checked_seed(seed))


@contextmanager
def randomness_kept(device: torch.device | str = "cpu") -> Iterator[None]:
    """Restore the global random states of PyTorch, NumPy and Python after the block.

    `device` is where the block computes; of the GPUs that one's state is kept.

    >>> with randomness_kept():
    ...     first = torch.rand(1)
    >>> bool((first == torch.rand(1)).all())
    True
    """
    here = torch.device(device)
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[here] if here.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def own_randomness(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed PyTorch's draws inside the block, and give all global states back after.

    What draws inside is dropout, augmentation, and loaders without generators of their own.
    NumPy and Python are seeded alike, as transforms may use them.

    >>> with own_randomness(0):
    ...     first = torch.rand(1)
    >>> with own_randomness(0):
    ...     bool((first == torch.rand(1)).all())
    True
    """
    here, seed = torch.device(device), checked_seed(seed)
    with randomness_kept(here):
        # Not torch.manual_seed, which reseeds every GPU, those that are not given back as well.
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        if here.type == "cuda":
            with torch.cuda.device(here):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw initial weights from `seed`, and leave the global random state as it was.

    >>> with seeded(0):
    ...     first = torch.nn.Linear(2, 2).weight
    >>> with seeded(0):
    ...     bool((torch.nn.Linear(2, 2).weight == first).all())
    True
    """
    seed = checked_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed GPUs as well
        yield


@contextmanager
def loader_randomness_kept(data: object) -> Iterator[None]:
    """Restore the generators of a loader and its samplers, and the samplers' epochs.

    Anything but a loader has none, and nothing happens.

    >>> loader = torch.utils.data.DataLoader([0, 1], generator=torch.Generator().manual_seed(0))
    >>> with loader_randomness_kept(loader):
    ...     _ = list(loader)
    >>> loader.generator.initial_seed()
    0
    """
    states = [(each, each.get_state()) for each in loader_generators(data)]
    counters = [(each, each.epoch) for each in loader_samplers(data) if hasattr(each, "epoch")]
    try:
        yield
    finally:
        for generator, state in states:
            generator.set_state(state)
        for sampler, epoch in counters:
            sampler.epoch = epoch


def reseed_loader(data: object, seed: int, *, apart: int) -> None:
    """Let the seed decide on a loader's generators, and on its samplers' epochs, `apart` a seed.

    Mutated: the generators and epochs.

    >>> loader = torch.utils.data.DataLoader([0, 1], generator=torch.Generator())
    >>> reseed_loader(loader, 3, apart=1)
    >>> loader.generator.initial_seed()
    3
    """
    for generator in loader_generators(data):
        generator.manual_seed(seed)
    for sampler in loader_samplers(data):
        if hasattr(sampler, "epoch"):
            sampler.epoch = abs(seed) * apart


def loader_samplers(data: object) -> list[Any]:
    """Return the samplers that a loader draws from, and those inside them.

    >>> [type(each).__name__ for each in loader_samplers(torch.utils.data.DataLoader([0, 1]))]
    ['BatchSampler', 'SequentialSampler']
    """
    found: list[Any] = []
    waiting = [getattr(data, "sampler", None), getattr(data, "batch_sampler", None)]
    while waiting:
        each = waiting.pop()
        if each is not None and not any(each is other for other in found):
            found.append(each)
            waiting.append(getattr(each, "sampler", None))
    return found


def loader_generators(data: object) -> list[torch.Generator]:
    """Return the random generators of a loader and its samplers, each once.

    >>> loader_generators(torch.utils.data.DataLoader([0, 1]))
    []
    """
    found: list[torch.Generator] = []
    for each in (data, *loader_samplers(data)):
        generator = getattr(each, "generator", None)
        if isinstance(generator, torch.Generator) and not any(generator is g for g in found):
            found.append(generator)
    return found
