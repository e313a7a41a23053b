"""Folders of pictures read into memory: one folder for each class, named like it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from companion.datasets.images import LabelledImages
from companion.datasets.layout import Layout, read_layout
from companion.datasets.notices import notify
from companion.datasets.pictures import PictureReader, UnreadablePictureError
from companion.datasets.survey import plan_reader
from companion.inputs import brief, positive_number
from companion.labels import ClassName

GIGABYTE = 10**9
MEMORY_GB = 4.0  # what the images of one folder may take unless more is asked for


def image_folder(
    path: str | Path,
    *,
    classes: Iterable[ClassName] | None = None,
    size: int | tuple[int, int] | None = None,
    colour: bool | None = None,
    fit: str | None = None,
    white: float | None = None,
    nested: bool = False,
    skip_unreadable: bool = False,
    memory_gb: float = MEMORY_GB,
) -> LabelledImages:
    """Read `path/CLASS/picture` into memory as one set, pixels scaled to 0 … 1.

    Classes are the names of the folders, sorted, numerically where all are whole numbers;
    `classes` gives the map of another split instead, so that indices agree. Pictures in folders
    below belong to the outermost, or with `nested` to the path, as in "birds/owl". Hidden
    folders such as `.ipynb_checkpoints` are no classes.

    Images become `size` × `size`, or (height, width) where `size` is a pair; by default they keep
    their size where all agree and no side exceeds 64, and become 32 × 32 otherwise. `fit` says how:
    "squash" (the default) changes their shape, "crop" cuts off what is too long, "pad" adds black.
    They are shrunk as they are opened and turned upright as their EXIF data say, so that memory
    is what is kept. They are grey where every file is grey, else colour, unless `colour` says.
    16 bits are scaled by their white, 65535, or by `white`: 4095 for 12 bits that were saved in 16.
    Floating-point pictures must lie in 0 … 1, or in 0 … `white`. With `skip_unreadable` files that
    cannot be read are left out, and with them classes that have no other.

    Warns of files that are no pictures by their ending, of folders without pictures, of folders
    that differ only in case, spaces or the form of Unicode, and, where neither `size`, `fit` nor
    `white` says that it is meant, of pictures that shrink more than 8 times a side or are squashed,
    of 16 bits that are nowhere brighter than 12 of them reach, and of files that are skipped.

    Raises `FileNotFoundError` for no folder or no images, `ValueError` for a single class, for
    folders that are splits and not classes, for files that cannot be read (all of them are
    counted and the first are named) or have no known white, and `UnknownLabelError` for a folder
    that `classes` lacks. Raises `MemoryError` for images that would take more than `memory_gb`:
    those a loader reads (`folder_loader`).

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (folder / name).mkdir()
    ...     Image.new("L", (8, 8)).save(folder / name / "one.png")
    >>> image_folder(folder)
    LabelledImages(2 images of 1×8×8, 2 classes)
    """
    most = positive_number(memory_gb, "memory_gb") * GIGABYTE
    layout = read_layout(Path(path), classes=classes, nested=nested)
    reader = plan_reader(layout.files, size=size, colour=colour, fit=fit, white=white)
    _refuse_too_many(path, len(layout.files), reader, most)
    images, broken = _read_all(layout.files, reader)
    if not broken:
        return LabelledImages(images, layout.labels, layout.label_map)
    told = _told_broken(layout, broken)
    readable = torch.ones(len(images), dtype=torch.bool)
    readable[broken] = False
    if not skip_unreadable or not readable.any():
        raise ValueError(f"every image must be readable; {told}. Repair or delete them.")
    notify(f"every image should be readable; {told}. They are left out.")
    data = LabelledImages(images[readable], layout.labels[readable], layout.label_map)
    return data if classes is not None else _without_empty_classes(path, data)


def _refuse_too_many(path: str | Path, count: int, reader: PictureReader, most: float) -> None:
    height, width = reader.size
    channels = 3 if reader.colour else 1
    needed = 4 * count * channels * height * width  # float32
    if needed > most:
        raise MemoryError(
            f"images held in memory may take {most / GIGABYTE:g} GB; the {count} of {path} at "
            f"{channels}×{height}×{width} would take {needed / GIGABYTE:.3g} GB. Read them batch "
            "by batch, folder_loader(path, ...), pass a smaller size=, or allow more: memory_gb=."
        )


def _read_all(files: Sequence[Path], reader: PictureReader) -> tuple[Tensor, list[int]]:
    """Return all pictures as one tensor, and the rows of those that could not be read.

    At any time one of them is there at its full size.
    """
    images = torch.empty(len(files), 3 if reader.colour else 1, *reader.size)
    broken = []
    for row, file in enumerate(files):
        try:
            images[row] = torch.from_numpy(reader(file))
        except UnreadablePictureError:
            broken.append(row)
    return images, broken


def _told_broken(layout: Layout, rows: list[int]) -> str:
    """Return how many files cannot be read, and the first of them."""
    named = brief([str(layout.files[row]) for row in rows], most=5, quote=False)
    return f"{len(rows)} of {len(layout.files)} are not: {named}"


def _without_empty_classes(path: str | Path, data: LabelledImages) -> LabelledImages:
    """Return a set without the classes of which no image could be read."""
    there = [name for name, count in data.counts().items() if count]
    if len(there) < 2:
        raise ValueError(
            f"a classifier needs two classes; in {path} only the pictures of {there[0]!r} can be "
            "read. Repair the others."
        )
    return data.only(there) if len(there) < len(data.classes) else data
