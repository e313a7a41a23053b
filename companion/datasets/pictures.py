"""One picture file read as numbers in 0 … 1, upright, in the size that is kept."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

BILINEAR = Image.Resampling.BILINEAR
FITS: dict[str, Callable[[Image.Image, tuple[int, int]], Image.Image]] = {
    "squash": lambda picture, size: picture.resize(size, BILINEAR),
    "crop": lambda picture, size: ImageOps.fit(picture, size, BILINEAR),
    "pad": lambda picture, size: ImageOps.pad(picture, size, BILINEAR),
}
UPRIGHT = {  # what undoes each orientation that a camera notes
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TURNED = (5, 6, 7, 8)  # orientations that swap width and height
DRAFTED = ("JPEG", "MPO")  # formats that can be decoded at a part of their size
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


class UnreadablePictureError(ValueError):
    """A file that cannot be read as a picture: its path, and what the reader said."""

    def __init__(self, file: str, reason: str):
        self.file, self.reason = file, reason
        super().__init__(
            f"every image must be readable; {file} is not ({reason}). Repair or delete it."
        )

    def __reduce__(self) -> tuple[type[UnreadablePictureError], tuple[str, str]]:
        return type(self), (self.file, self.reason)  # workers send it


@dataclass(frozen=True)
class PictureReader:
    """Reads files as float32 arrays (channels, height, width) in 0 … 1; workers can be sent it.

    `size` is (height, width), `colour` asks for three channels, `fit` says what happens to a
    picture of another shape, and `white` which number is white where 8 bits do not say. A picture
    is shrunk as it is opened, JPEG before it is decoded, and
    turned upright as its EXIF data say.

    Raises, when called, `UnreadablePictureError`, and `ValueError` for numbers without a known
    white (integers of 32 bits, and floats outside 0 … 1), for numbers beyond `white`, and for
    pictures of 8 bits, which would ignore it.
    """

    size: tuple[int, int]
    colour: bool
    fit: str = "squash"
    white: float | None = None

    def __call__(self, file: Path | str) -> np.ndarray:
        """Return the picture in a file."""
        height, width = self.size
        try:
            with Image.open(file) as picture:
                turn = orientation_of(picture) if picture.format in DRAFTED else 1
                wanted = (height, width) if turn in TURNED else (width, height)
                if picture.format in DRAFTED:
                    # Twice the size, so that what remains is averaged and not skipped.
                    picture.draft(None, (2 * wanted[0], 2 * wanted[1]))
                picture.load()
                turn = orientation_of(picture)
        except BROKEN as error:
            raise UnreadablePictureError(str(file), f"{type(error).__name__}: {error}") from error
        wanted = (height, width) if turn in TURNED else (width, height)
        fitted = self._fitted(_with_known_white(picture, file, self.white), wanted)
        if turn in UPRIGHT:
            fitted = fitted.transpose(UPRIGHT[turn])
        values = np.array(fitted, dtype=np.float32)
        if fitted.mode == "F":
            return np.repeat(values[None], 3 if self.colour else 1, axis=0)
        values /= np.float32(255)
        return values.transpose(2, 0, 1) if self.colour else values[None]

    def _fitted(self, picture: Image.Image, wanted: tuple[int, int]) -> Image.Image:
        mode = "RGB" if self.colour else "L"
        if picture.mode not in (mode, "F"):  # to convert is to copy
            picture = picture.convert(mode)
        return picture if picture.size == wanted else FITS[self.fit](picture, wanted)


def orientation_of(picture: Image.Image) -> int:
    """Return the orientation that a picture's EXIF data note, 1 (upright) where there is none.

    >>> orientation_of(Image.new("L", (2, 2)))
    1
    """
    if picture.format == "TIFF":  # Pillow turns these itself
        return 1
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except (*BROKEN, TypeError):  # broken notes do not break a picture
        return 1


def brightest(file: Path | str) -> tuple[float, float] | None:
    """Return the highest number in a picture of 16 bits, and its white; None for any other."""
    try:
        with Image.open(file) as picture:
            if not picture.mode.startswith("I"):
                return None
            return float(np.asarray(picture).max()), _white_of(picture, file)
    except BROKEN:  # who reads it will say so
        return None


def _with_known_white(picture: Image.Image, file: Path | str, white: float | None) -> Image.Image:
    """Return a picture of 16 bits or of floats as one of floats in 0 … 1, any other as it is."""
    if picture.mode != "F" and not picture.mode.startswith("I"):
        if white is not None:
            raise ValueError(
                f"white is for pictures of more than 8 bits; {file} has 8, whose white is 255. "
                "Leave it out, or keep such pictures apart."
            )
        return picture
    values = np.asarray(picture, dtype=np.float32)
    low, high = float(values.min()), float(values.max())
    if white is not None:
        if not (low >= 0 and high <= white):
            raise ValueError(
                f"numbers must lie in 0 … white, {white:g}; {file} runs from {low:g} to {high:g}. "
                "Pass the highest number that the camera writes."
            )
        return Image.fromarray(values / np.float32(white))
    if picture.mode == "F":
        if not (low >= 0 and high <= 1):  # NaN fails too
            raise ValueError(
                "a picture of floating-point numbers must lie in 0 … 1, as nothing says what its "
                f"white is; {file} runs from {low:g} to {high:g}. Pass white=, or save it in 8 or "
                "16 bits."
            )
        return picture
    return Image.fromarray(values / _white_of(picture, file))


def _white_of(picture: Image.Image, file: Path | str) -> float:
    """Return the white of a picture of whole numbers in more than 8 bits."""
    if picture.mode == "I" and picture.format not in ("PNG", "PPM"):
        raise ValueError(
            "a picture must say what its white is, as 8 and 16 bits do; "
            f"{file} has integers of 32 bits. Pass white=, or save it in 16 bits."
        )
    tags = getattr(picture, "tag_v2", {})
    return float(2 ** tags.get(258, (16,))[0] - 1)  # BitsPerSample: a TIFF may have 12
