"""What the headers of picture files say, and how the files are to be read after that."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from companion.datasets.notices import PictureSizeWarning, PictureWhiteWarning, notify
from companion.datasets.pictures import (
    BROKEN,
    FITS,
    TURNED,
    PictureReader,
    brightest,
    orientation_of,
)
from companion.inputs import positive_number, whole_number

LARGEST_KEPT = 64  # pixels a side up to which images of one size stay as they are
RESIZED_TO = 32
MUCH_SMALLER = 8  # times a side
MUCH_SQUASHED = 1.25  # how far width over height may move; from 4:3 to a square it is 1.33
LOOKED_AT = 16  # pictures, spread over all, whose brightest number is sought
DARK = 1 / 16  # of white: what 12 bits in a file of 16 reach
GREY = frozenset({"1", "L", "LA", "F"})


def plan_reader(
    files: Sequence[Path],
    *,
    size: Any,
    colour: bool | None,
    fit: str | None,
    white: float | None = None,
) -> PictureReader:
    """Return how to read these files, by what was asked for and else by their headers.

    Images keep their size where all agree and no side exceeds 64, and become 32 × 32 otherwise;
    they are grey where all are. Warns (`PictureSizeWarning`) where this default shrinks much, and
    where nobody said how to `fit` pictures of another shape; and (`PictureWhiteWarning`) where
    nobody said what is `white` and pictures of 16 bits, a few of which are decoded for it, use
    few of them. Where all four were asked for, nothing is opened.

    Raises `ValueError` or `TypeError` for a size, a colour, a fit or a white that is none.
    """
    asked = _checked_size(size)
    if fit is not None and fit not in FITS:
        raise ValueError(f"fit must be one of {', '.join(map(repr, FITS))}; received {fit!r}.")
    if colour not in (None, True, False):
        raise TypeError(f"colour must be True, False or None; received {colour!r}.")
    if white is not None:
        white = positive_number(white, "white", advice="It is 4095 for 12 bits.")
    told = asked is not None and colour is not None and fit is not None
    headers = [] if told else [found for found in map(_header, files) if found is not None]
    if colour is None:  # "I" begins the modes of 16 and 32 bits, which are grey
        colour = any(mode not in GREY and mode[0] != "I" for mode, _ in headers)
    sides = [side for _, side in headers]
    same = len(set(sides)) == 1 and max(sides[0]) <= LARGEST_KEPT
    width, height = sides[0] if same else (RESIZED_TO, RESIZED_TO)
    reader = PictureReader(asked or (height, width), bool(colour), fit or "squash", white)
    if asked is None:
        _notify_of_shrinking(sides, reader.size)
    if fit is None:
        _notify_of_squashing(sides, reader.size)
    if white is None and (told or any(mode[0] == "I" for mode, _ in headers)):
        _notify_of_darkness(files)
    return reader


def _checked_size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2:
        raise ValueError(
            f"size is one side, or a pair (height, width), in pixels; received {size!r}."
        )
    height, width = (whole_number(side, "size", advice="It is in pixels.") for side in pair)
    return height, width


def _header(file: Path) -> tuple[str, tuple[int, int]] | None:
    """Return the mode and the upright (width, height) of a picture; None where it is broken."""
    try:
        with warnings.catch_warnings(), Image.open(file) as picture:
            warnings.simplefilter("ignore")  # of what is wrong with it the reader tells later
            width, height = picture.size
            # To look for an orientation may decode a PNG, and matters where sizes could be kept.
            small = max(width, height) <= LARGEST_KEPT or picture.format in ("JPEG", "MPO")
            turned = small and orientation_of(picture) in TURNED
            return picture.mode, (height, width) if turned else (width, height)
    except BROKEN:
        return None


def _notify_of_shrinking(sides: Sequence[tuple[int, int]], size: tuple[int, int]) -> None:
    height, width = size
    most, side = max(((max(w / width, h / height), (w, h)) for w, h in sides), default=(0, (0, 0)))
    if most > MUCH_SMALLER:
        notify(
            f"pictures shrink by up to {most:.0f} times a side ({side[0]}×{side[1]} to "
            f"{width}×{height}), and what is small in them vanishes. Pass size=, such as "
            f"size=128, or size={height} if that is what you want.",
            PictureSizeWarning,
        )


def _notify_of_squashing(sides: Sequence[tuple[int, int]], size: tuple[int, int]) -> None:
    height, width = size
    bent = [(w * height / (h * width), (w, h)) for w, h in sides]
    bent = [(max(ratio, 1 / ratio), side) for ratio, side in bent]
    bent = [(ratio, side) for ratio, side in bent if ratio > MUCH_SQUASHED]
    if bent:
        most, side = max(bent)
        notify(
            f"{len(bent)} of {len(sides)} pictures are squashed, by up to {most:.1f} times "
            f"({side[0]}×{side[1]} to {width}×{height}). Pass fit='crop' or fit='pad' to keep "
            "their shape, or fit='squash' if that is what you want.",
            PictureSizeWarning,
        )


def _notify_of_darkness(files: Sequence[Path]) -> None:
    """Warn where pictures of 16 bits hold fewer: scaled by the white of 16 they are black."""
    chosen = files[:: -(-len(files) // LOOKED_AT)] if files else ()
    found = [each for each in map(brightest, chosen) if each is not None]
    if found and all(0 < high <= DARK * white for high, white in found):
        high, white = max(found)
        notify(
            f"pictures that use few of their bits become almost black: the highest number in "
            f"{len(found)} of them is {high:.0f}, and white is {white:.0f}. Pass white=, such as "
            f"white={2 ** max(8, math.ceil(math.log2(high + 1))) - 1}, or white={white:.0f} if "
            "they are as dark as that.",
            PictureWhiteWarning,
        )
