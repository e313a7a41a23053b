"""Folders of pictures: one folder for each class, named like it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from companion.datasets.images import LabelledImages
from companion.labels import ClassName, LabelMap

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})
LARGEST_KEPT = 64  # pixels a side up to which images of one size stay as they are
RESIZED_TO = 32
GREY = frozenset({"1", "L", "LA"})


def image_folder(
    path: str | Path,
    *,
    classes: Sequence[ClassName] | None = None,
    size: int | tuple[int, int] | None = None,
    colour: bool | None = None,
) -> LabelledImages:
    """Read `path/CLASS/picture` into memory as one set, pixels scaled to 0 … 1.

    Classes are the names of the folders, sorted, numerically where all are whole numbers;
    `classes` gives the map of another split instead, so that indices agree. Hidden folders such
    as `.ipynb_checkpoints` are no classes. Images become `size` × `size`, or (height, width) where
    `size` is a pair; by default they keep their size where all agree and no side exceeds 64, and
    become 32 × 32 otherwise. They are grey where every file is grey, else colour, unless `colour`
    says.

    Raises `FileNotFoundError` for no folder or no images, `ValueError` for a single class and for
    files that cannot be read (all of them are named), `UnknownLabelError` for a folder that
    `classes` lacks.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (folder / name).mkdir()
    ...     Image.new("L", (8, 8)).save(folder / name / "one.png")
    >>> image_folder(folder)
    LabelledImages(2 images of 1×8×8, 2 classes)
    """
    files, names = _files(Path(path))
    if classes is None:
        label_map = LabelMap(_sorted(set(names)))
        if len(label_map) < 2:
            raise ValueError(
                f"a classifier needs two classes; {path} has one folder with images, "
                f"{label_map.classes[0]!r}. Point at the folder that holds the class folders."
            )
    else:
        label_map = LabelMap(classes)
    labels = label_map.encode(names, source=str(path))
    images = _stack(_pictures(files), size=size, colour=colour)
    return LabelledImages(images, labels, label_map)


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the image files below each class folder, sorted, and the class of each."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"an image folder holds one folder for each class; received {folder}, which is no "
            "folder. Check the path."
        )
    files = [
        file
        for file in sorted(folder.glob("*/**/*"))
        if file.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    if not files:
        raise FileNotFoundError(
            f"an image folder holds pictures as {folder}/CLASS/name.png; found none there with "
            f"the endings {', '.join(sorted(SUFFIXES))}. Check the path and the layout."
        )
    return files, [file.relative_to(folder).parts[0] for file in files]


def _sorted(names: set[str]) -> list[str]:
    # As strings '10' comes before '2', and people expect class 2 at index 2.
    if all(name.isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _pictures(files: Sequence[Path]) -> list[Image.Image]:
    pictures, broken = [], []
    for file in files:
        try:
            with Image.open(file) as picture:
                picture.load()
                pictures.append(picture.copy())
        except (UnidentifiedImageError, OSError, SyntaxError):
            broken.append(str(file))
    if broken:
        named = ", ".join(broken[:5]) + (f" and {len(broken) - 5} more" if len(broken) > 5 else "")
        raise ValueError(
            f"every image must be readable; {len(broken)} of {len(files)} are not: {named}. "
            "Repair or delete them."
        )
    return pictures


def _stack(
    pictures: list[Image.Image], *, size: int | tuple[int, int] | None, colour: bool | None
) -> Tensor:
    if colour is None:  # "I" begins the modes of 16 and 32 bits, which are grey
        colour = any(picture.mode not in GREY and picture.mode[0] != "I" for picture in pictures)
    if size is None:
        sizes = {picture.size for picture in pictures}
        same = len(sizes) == 1 and max(next(iter(sizes))) <= LARGEST_KEPT
        size = None if same else RESIZED_TO
    arrays = [_array(picture, size, "RGB" if colour else "L") for picture in pictures]
    images = torch.from_numpy(np.stack(arrays)).float() / 255
    return images.permute(0, 3, 1, 2).contiguous() if colour else images.unsqueeze(1)


def _array(picture: Image.Image, size: int | tuple[int, int] | None, mode: str) -> np.ndarray:
    if picture.mode.startswith("I"):  # 16 bits a pixel: PIL would clip, not scale
        picture = Image.fromarray((np.asarray(picture) / 257).round().astype(np.uint8))
    converted = picture.convert(mode)
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        converted = converted.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(converted)
