"""Folders of pictures: one folder for each class, named like it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from companion.datasets.images import LabelledImages
from companion.inputs import brief
from companion.labels import ClassName, LabelMap, look_alikes

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})
LARGEST_KEPT = 64  # pixels a side up to which images of one size stay as they are
RESIZED_TO = 32
GREY = frozenset({"1", "L", "LA"})
PARTS = {  # what people call the folder of each part
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
SPLIT_NAMES = frozenset(name for names in PARTS.values() for name in names)


def image_folder(
    path: str | Path,
    *,
    classes: Iterable[ClassName] | None = None,
    size: int | tuple[int, int] | None = None,
    colour: bool | None = None,
    nested: bool = False,
) -> LabelledImages:
    """Read `path/CLASS/picture` into memory as one set, pixels scaled to 0 … 1.

    Classes are the names of the folders, sorted, numerically where all are whole numbers;
    `classes` gives the map of another split instead, so that indices agree. Pictures in folders
    below belong to the outermost, or with `nested` to the path, as in "birds/owl". Hidden
    folders such as `.ipynb_checkpoints` are no classes. Images become `size` × `size`, or
    (height, width) where `size` is a pair; by default they keep their size where all agree and no
    side exceeds 64, and become 32 × 32 otherwise. They are grey where every file is grey, else
    colour, unless `colour` says.

    Warns of files that are no pictures by their ending, of folders without pictures, and of
    folders that differ only in case, spaces or the form of Unicode.

    Raises `FileNotFoundError` for no folder or no images, `ValueError` for a single class, for
    folders that are splits and not classes, and for files that cannot be read (all of them are
    counted and the first are named), `UnknownLabelError` for a folder that `classes` lacks.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (folder / name).mkdir()
    ...     Image.new("L", (8, 8)).save(folder / name / "one.png")
    >>> image_folder(folder)
    LabelledImages(2 images of 1×8×8, 2 classes)
    """
    declared = None if classes is None else LabelMap(classes)
    known = set(declared.classes if declared else ())
    files, names = _files(Path(path), nested=nested, known=known)
    _refuse_splits(Path(path), set(names) - known)
    _warn_of_look_alikes(Path(path), {*names, *known})
    if declared is None:
        label_map = LabelMap(_sorted(set(names)))
        if len(label_map) < 2:
            raise ValueError(
                f"a classifier needs two classes; {path} has one folder with images, "
                f"{label_map.classes[0]!r}. Point at the folder that holds the class folders."
            )
    else:
        label_map = declared
    labels = label_map.encode(names, source=str(path))
    images = _stack(_pictures(files), size=size, colour=colour)
    return LabelledImages(images, labels, label_map)


def _files(folder: Path, *, nested: bool, known: set[ClassName]) -> tuple[list[Path], list[str]]:
    """Return the image files below each class folder, sorted, and the class of each."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"an image folder holds one folder for each class; received {folder}, which is no "
            "folder. Check the path."
        )
    visible = sorted(_visible(folder))
    files = [
        path
        for path in visible
        if path.is_file() and path.suffix.lower() in SUFFIXES and path.parent != folder
    ]
    if not files:
        raise FileNotFoundError(
            f"an image folder holds pictures as {folder}/CLASS/name.png; found none there with "
            f"the endings {', '.join(sorted(SUFFIXES))}. Check the path and the layout."
        )
    used = {*files, *(parent for file in files for parent in file.parents)}
    used |= {parent for name in known for parent in (folder / str(name) / ".").parents}
    used |= {folder / str(name) for name in known}  # an empty folder may be a class
    _warn_of_left_out(folder, [path for path in visible if path not in used])
    below = [file.parent.relative_to(folder) for file in files]
    return files, [path.as_posix() if nested else path.parts[0] for path in below]


def _visible(folder: Path) -> Iterator[Path]:
    """Yield what lies below a folder and is not hidden, through links but not round in circles."""
    for root, folders, files in os.walk(folder, followlinks=True):
        here = Path(root)
        above = {here.resolve(), *here.resolve().parents}
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and (here / name).resolve() not in above
        ]
        yield from (here / name for name in [*folders, *files] if not name.startswith("."))


def _warn_of_left_out(folder: Path, paths: list[Path]) -> None:
    left_out = [path.relative_to(folder).as_posix() for path in paths]
    if left_out:
        warnings.warn(
            f"in {folder} these are or hold no pictures, and are left out: {brief(left_out)}.",
            stacklevel=4,
        )


def _refuse_splits(folder: Path, names: set[str]) -> None:
    """Check the outermost folders that nobody declared to be classes."""
    outermost = {name.split("/")[0] for name in names}
    splits = sorted(name for name in outermost if name.lower() in SPLIT_NAMES)
    if splits and len(splits) == len(outermost):
        raise ValueError(
            f"the folders of an image folder are classes; those of {folder} are splits, "
            f"{brief(splits)}. Call load({str(folder)!r}), or read one split: "
            f"image_folder({str(folder / splits[0])!r})."
        )
    if splits:
        warnings.warn(
            f"{brief(splits)} in {folder} counts as a class; move it, if it is a split.",
            stacklevel=3,
        )


def _warn_of_look_alikes(folder: Path, names: set[ClassName]) -> None:
    # Single letters come in two cases on purpose.
    groups = [group for group in look_alikes(sorted(names, key=str)) if len(group[0].strip()) > 1]
    if groups:
        warnings.warn(
            f"classes of {folder} differ only in case, spaces or the form of Unicode: "
            f"{brief(groups)}. Rename the folders, if they are one class.",
            stacklevel=3,
        )


def _sorted(names: set[str]) -> list[str]:
    # As strings '10' comes before '2', and people expect class 2 at index 2.
    if all(name.removeprefix("-").isdecimal() for name in names):
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
        raise ValueError(
            f"every image must be readable; {len(broken)} of {len(files)} are not: "
            f"{brief(broken, most=5, quote=False)}. "
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
