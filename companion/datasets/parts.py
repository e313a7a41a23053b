"""How many images each part of a split gets, and which classes a trial sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from companion.labels import ClassName
from companion.states import seeded_generator


def part_sizes(total: int, fractions: Sequence[float]) -> list[int]:
    """Return whole numbers of images in these proportions, with the sum `total`."""
    if len(fractions) < 2 or any(not fraction > 0 for fraction in fractions):
        raise ValueError(
            f"a split needs two or more positive fractions; received {list(fractions)}. "
            "For example [0.8, 0.2]."
        )
    if abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(
            f"fractions must add up to 1; received {list(fractions)}, which add up to "
            f"{sum(fractions):g}. Divide each by the sum."
        )
    ends = [round(total * sum(fractions[: at + 1])) for at in range(len(fractions))]
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    if min(sizes) == 0:
        raise ValueError(
            f"each part needs at least one image; {total} images in fractions {list(fractions)} "
            f"give parts of {sizes}. Use larger fractions or more images."
        )
    return sizes


def draw_parts(
    labels: np.ndarray, fractions: Sequence[float], *, seed: int, stratify: bool
) -> list[np.ndarray]:
    """Return the positions of each part, drawn from `seed`, stratified by `labels` if asked.

    >>> [len(part) for part in draw_parts(np.zeros(5), [0.6, 0.4], seed=0, stratify=False)]
    [3, 2]
    """
    sizes = part_sizes(len(labels), fractions)
    parts, rest = [], np.arange(len(labels))
    for size in sizes[:-1]:
        groups = labels[rest] if stratify else None
        try:
            part, rest = train_test_split(rest, train_size=size, random_state=seed, stratify=groups)
        except ValueError as error:  # scikit-learn's own rules for very small parts
            raise ValueError(
                "to stratify, each part needs room for every class; received "
                f"{len(labels)} images in parts of {sizes} ({error}). Use larger fractions or "
                "more images, or pass stratify=False."
            ) from error
        parts.append(part)
    return [*parts, rest]


def deal_parts(labels: np.ndarray, fractions: Sequence[float], *, seed: int) -> list[np.ndarray]:
    """Return the positions of each part where some classes are too small to stratify.

    Each class is dealt on its own, in whole images: the first part gets at least one, then each
    other its share, at least one while there are some; where there are too few, classes take turns.

    >>> labels = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    >>> [labels[part].tolist() for part in deal_parts(labels, [0.6, 0.2, 0.2], seed=0)]
    [[0, 1, 2, 3], [0, 1], [0, 2]]
    """
    parts: list[list[int]] = [[] for _ in fractions]
    others = range(1, len(fractions))
    random = np.random.default_rng(seed)
    short = 0  # classes so far that could not serve every part
    for name in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == name)).tolist()
        wanted = {part: max(1, round(fractions[part] * len(rows))) for part in others}
        if sum(wanted.values()) >= len(rows):
            turns = [others[(short + at) % len(others)] for at in range(len(others))]
            wanted = dict.fromkeys(turns[: len(rows) - 1], 1)
            short += 1
        for part, count in wanted.items():
            parts[part] += [rows.pop() for _ in range(count)]
        parts[0] += rows
    return [np.array(sorted(part), dtype=np.int64) for part in parts]


def draw_classes(classes: Sequence[ClassName], count: int, *, seed: int) -> list[ClassName]:
    """Return `count` different classes, drawn from `seed`, in the order of the draw.

    Raises `ValueError` for fewer than one and for more than there are.

    >>> draw_classes(["a", "b", "c", "d"], 2, seed=1)
    ['b', 'd']
    """
    if not 1 <= count <= len(classes):
        raise ValueError(
            f"count must lie in 1 … {len(classes)}, the number of classes; received {count}."
        )
    order = torch.randperm(len(classes), generator=seeded_generator(seed))
    return [classes[index] for index in order[:count].tolist()]
