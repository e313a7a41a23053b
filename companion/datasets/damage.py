"""Data sets made worse on purpose, in a known amount: fewer images, long tails, wrong labels."""

from __future__ import annotations

import torch

from companion.datasets.images import LabelledImages
from companion.states import seeded_generator


def few_of_each(data: LabelledImages, count: int, *, seed: int) -> LabelledImages:
    """Return at most `count` images of each class, drawn from `seed`, in the order of the data.

    Raises `ValueError` for a count below 1.

    >>> from companion.datasets import digits
    >>> set(few_of_each(digits(), 5, seed=0).counts().values())
    {5}
    """
    if count < 1:
        raise ValueError(f"count must be at least 1 image of each class; received {count}.")
    order = torch.randperm(len(data), generator=seeded_generator(seed))
    labels = data.labels.cpu()[order]
    kept = [order[labels == index][:count] for index in range(len(data.classes))]
    return data.at(torch.cat(kept).sort().values)


def long_tailed(data: LabelledImages, ratio: float, *, seed: int = 0) -> LabelledImages:
    """Return a subset whose class sizes fall geometrically, the first class `ratio` times the last.

    The first class keeps as many images as the smallest class of `data` has, so that every class
    can follow the curve; class k of K keeps n · ratio^(−k/(K−1)), at least one. The images kept
    are drawn from `seed`. Source of the profile: Cui et al., "Class-Balanced Loss Based on
    Effective Number of Samples", CVPR 2019.

    Raises `ValueError` for a ratio below 1 and for a class without images.

    >>> from companion.datasets import digits
    >>> list(long_tailed(digits(), 100).counts().values())
    [174, 104, 63, 37, 22, 13, 8, 5, 3, 2]
    """
    if not ratio >= 1:
        raise ValueError(f"ratio must be at least 1; received {ratio}. Pass largest over smallest.")
    counts = data.counts()
    smallest = min(counts.values())
    if smallest == 0:
        empty = [name for name, count in counts.items() if count == 0]
        raise ValueError(f"every class needs an image; {empty} have none. Use only() first.")
    generator = seeded_generator(seed)
    kept = []
    for index in range(len(counts)):
        size = max(1, round(smallest * ratio ** (-index / max(1, len(counts) - 1))))
        members = (data.labels.cpu() == index).nonzero().flatten()
        kept.append(members[torch.randperm(len(members), generator=generator)[:size]])
    return data.at(torch.cat(kept))


def noisy_labels(data: LabelledImages, rate: float, *, seed: int = 0) -> LabelledImages:
    """Return the same images with `rate` of the labels, rounded, moved to another class at random.

    Each of the labels drawn becomes one of the other classes with equal chance, never itself.
    Raises `ValueError` for a rate outside 0 … 1 and for a set with a single class.

    >>> from companion.datasets import digits
    >>> changed = noisy_labels(digits(), 0.25).labels != digits().labels
    >>> round(changed.float().mean().item(), 3)
    0.25
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must lie in 0 … 1; received {rate}. It is a share of the labels.")
    if len(data.classes) < 2:
        raise ValueError("noisy labels need a second class to move to; received one class.")
    generator = seeded_generator(seed)
    moved = torch.randperm(len(data), generator=generator)[: round(rate * len(data))]
    shift = torch.randint(1, len(data.classes), (len(moved),), generator=generator)
    labels = data.labels.cpu().clone()
    labels[moved] = (labels[moved] + shift) % len(data.classes)
    return data.replace(labels=labels.to(data.device))
