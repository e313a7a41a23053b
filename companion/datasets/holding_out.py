"""Validation and test parts of sets that come without: stratified where that is possible."""

from __future__ import annotations

from collections.abc import Sequence

from companion.datasets.images import LabelledImages, Splits
from companion.datasets.notices import notify
from companion.datasets.parts import deal_parts

HELD_OUT = 0.2  # the share of a set without its own test or validation part that becomes one


def three_parts(data: LabelledImages, *, seed: int) -> Splits:
    """Return train, validation and test parts of a set that has none of its own."""
    return Splits(*_parted(data, [1 - 2 * HELD_OUT, HELD_OUT, HELD_OUT], seed=seed))


def hold_out(data: LabelledImages, *, seed: int) -> tuple[LabelledImages, ...]:
    """Return what stays of a set, and a part that is held out of it."""
    return _parted(data, [1 - HELD_OUT, HELD_OUT], seed=seed)


def _parted(
    data: LabelledImages, fractions: Sequence[float], *, seed: int
) -> tuple[LabelledImages, ...]:
    """Return stratified parts; where a class is too small, every class dealt on its own."""
    try:
        return data.split(fractions, seed=seed)
    except ValueError:  # some class has fewer images than a part for each needs
        dealt = deal_parts(data.labels.cpu().numpy(), fractions, seed=seed)
    counts = [count for count in data.counts().values() if count]
    if not all(len(part) for part in dealt):
        raise ValueError(
            f"to hold out images, some class needs more than one for {len(fractions)} parts; "
            f"received {len(data)} images of {len(counts)} classes. Collect more."
        )
    notify(
        f"a part for each class needs more images than there are: {len(data)} of {len(counts)} "
        f"classes, of which the smallest has {min(counts)}. Each class is dealt on its own, and "
        "may be missing from the validation or the test part."
    )
    return tuple(data.at(part) for part in dealt)
