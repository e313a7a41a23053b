"""What no intended sampler does, as findings."""

from __future__ import annotations

from collections.abc import Sized
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from companion.findings import Finding
from companion.states import loader_samplers

OWN_LABELS = "Make it from the very data set that the loader reads: balanced_sampler(data, seed=0)."


def mismatched_sampler(loader: DataLoader[Any]) -> Finding | None:
    """Return the finding that a loader's sampler was made for another number of items, or None.

    A subset's sampler on its parent's loader draws the parent's first items and no others, in
    silence. Nothing is drawn or read. Samplers that do not tell what they were made for pass.

    >>> labels = torch.arange(8) % 2
    >>> data = torch.utils.data.TensorDataset(torch.zeros(8, 1), labels)
    >>> wrong = WeightedRandomSampler(torch.ones(4), 4)
    >>> print(mismatched_sampler(DataLoader(data, sampler=wrong)))
    SMP106 error: the sampler was made for 4 images and draws from 8
    """
    if isinstance(loader.dataset, IterableDataset):
        return None
    return made_for_other_data(loader, len(loader.dataset))  # type: ignore[arg-type]


def made_for_other_data(sampler: Any, items: int) -> Finding | None:
    """Return SMP106 where a sampler, or a loader's, tells another number of items than this.

    >>> print(made_for_other_data(WeightedRandomSampler(torch.ones(4), 4), 8))
    SMP106 error: the sampler was made for 4 images and draws from 8
    """
    known = [_items_of(each) for each in [sampler, *loader_samplers(sampler)]]
    wrong = [count for count in known if count not in (None, items)]
    if not wrong:
        return None
    return Finding(
        "SMP106",
        "error",
        f"the sampler was made for {wrong[0]} images and draws from {items}",
        why="Its positions stand for other images: the first ones come up for those it means, and "
        "the rest never.",
        remedy=OWN_LABELS,
    )


def _items_of(sampler: Any) -> int | None:
    """Return how many items a sampler was made for, as far as it tells."""
    if isinstance(sampler, WeightedRandomSampler):
        return len(sampler.weights)
    if isinstance(sampler, DistributedSampler):
        return len(sampler.dataset)  # type: ignore[arg-type]
    if isinstance(sampler, RandomSampler | SequentialSampler):
        source = sampler.data_source
        return len(source) if isinstance(source, Sized) else None
    count = getattr(sampler, "items", None)
    return count if isinstance(count, int) else None


def mistakes(
    sampler: Any, drawn: list[Tensor], counts: Tensor, shares: Tensor, items: int
) -> tuple[Finding, ...]:
    """Return what is wrong with the positions that a sampler drew in some epochs."""
    rows = torch.cat(drawn)
    found = [_outside(rows, items), _only_first(rows, len(counts), items)]
    if not any(found):
        found.append(made_for_other_data(sampler, items))
    if not any(found):
        found.append(_never(counts, shares))
    found += [_wrapped(sampler), _repeated(drawn)]
    return tuple(each for each in found if each is not None)


def _outside(rows: Tensor, items: int) -> Finding | None:
    beyond = int(((rows < 0) | (rows >= items)).sum())
    if not beyond:
        return None
    return Finding(
        "SMP101",
        "error",
        f"{beyond} of {len(rows)} positions lie outside the {items} images, as by a sampler made "
        "for other data",
        why="A loader fails at them, or draws other images than the sampler means.",
        remedy=OWN_LABELS,
    )


def _only_first(rows: Tensor, classes: int, items: int) -> Finding | None:
    if not (classes < items and int(rows.max()) < classes and len(rows) > classes):
        return None
    return Finding(
        "SMP102",
        "error",
        f"only the first {classes} of {items} positions are drawn, as by class weights in place "
        "of sample weights",
        why="WeightedRandomSampler takes a weight for each image; the network sees no other.",
        remedy="Index the weights by the labels, class_weights(labels)[labels], or take "
        "balanced_sampler(labels, seed=0).",
    )


def _never(counts: Tensor, shares: Tensor) -> Finding | None:
    never = ((shares == 0) & (counts > 0)).nonzero().flatten().tolist()
    if not never:
        return None
    return Finding(
        "SMP103",
        "warning",
        f"classes {never} have images and are never drawn",
        why="The network cannot learn a class that it never sees.",
        remedy="Look at the positions that the sampler chooses from, and at the order of the data.",
    )


def _repeated(drawn: list[Tensor]) -> Finding | None:
    in_order = torch.equal(drawn[0].sort().values, drawn[0])
    if in_order or not any(torch.equal(a, b) for a, b in pairwise(drawn)):
        return None
    return Finding(
        "SMP104",
        "warning",
        "an epoch repeats the one before, draw by draw; its seed does not advance",
        why="Images that the first epoch leaves out never come up, and batches are always the "
        "same.",
        remedy="Call set_epoch(epoch) before each epoch, or make the generator once.",
    )


def _wrapped(sampler: Any) -> Finding | None:
    around = [
        each
        for each in [sampler, *loader_samplers(sampler)]
        if isinstance(each, DistributedSampler) and isinstance(each.dataset, Sampler)
    ]
    if not around:
        return None
    inner = type(around[0].dataset).__name__
    return Finding(
        "SMP107",
        "error",
        f"a DistributedSampler around a {inner} takes its length and not its draws",
        why="All positions are drawn alike: the weights are gone.",
        remedy="Take balanced_sampler(data, seed=0), which shares one draw among all processes.",
    )
