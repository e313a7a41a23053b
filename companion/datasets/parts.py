"""How many images each part of a split gets."""

from __future__ import annotations

from collections.abc import Sequence


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
