"""A set that stands in for a bundled one, cut down to about its size.

A chapter's recipe, its number of steps and its time are made for the set that it asks for. Ten
thousand photographs in the place of 1,797 digits of 8×8 would take two hundred times as long.
"""

from __future__ import annotations

from bisect import bisect_right

import torch
import torch.nn.functional as F

from companion.datasets.damage import few_of_each
from companion.datasets.images import LabelledImages, Splits
from companion.datasets.parts import draw_classes

SIDE = 2  # times a side of the bundled set's pictures


def cut_down(splits: Splits, original: Splits, *, seed: int) -> Splits:
    """Return the parts with at most as many classes and images, and twice the side, of `original`.

    Classes beyond that number are left out, drawn from `seed`; images beyond it are taken from the
    largest classes, so that rare ones keep theirs. Larger pictures are averaged down, each side by
    itself.
    """
    names = splits.train.classes
    most = len(original.train.classes)
    if len(names) > most:
        drawn = set(draw_classes(names, most, seed=seed))
        kept = [name for name in names if name in drawn]
        splits = Splits(*(part.only(kept) for part in splits))
    side = SIDE * max(original.train.images.shape[-2:])
    pairs = zip(splits, original, strict=True)
    return Splits(*(_shrunk(_thinned(part, len(like), seed=seed), side) for part, like in pairs))


def _thinned(data: LabelledImages, most: int, *, seed: int) -> LabelledImages:
    if len(data) <= most:
        return data
    counts = data.counts().values()
    caps = range(1, max(counts) + 1)
    fitting = bisect_right(caps, most, key=lambda cap: sum(min(count, cap) for count in counts))
    return few_of_each(data, max(1, fitting), seed=seed)


def _shrunk(data: LabelledImages, side: int) -> LabelledImages:
    height, width = data.images.shape[-2:]
    size = (min(height, side), min(width, side))
    if size == (height, width):
        return data
    with torch.no_grad():
        return data.replace(images=F.interpolate(data.images, size, mode="area"))
