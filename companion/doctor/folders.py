"""Picture folders as torchvision's ImageFolder reads them, and what the files' headers say."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})
SYNONYMS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
BY_PLACE = {1: ("train",), 2: ("train", "test"), 3: ("train", "validation", "test")}
SIDE = 32  # pixels a side that are compared
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class Header:
    """What a picture file says of itself."""

    mode: str
    size: tuple[int, int]
    format: str


class FolderPictures(Dataset):
    """The pictures of `path/CLASS/…`, small, with the classes numbered as ImageFolder does.

    That is: every folder is a class, in the order of text, hidden ones among them if they hold
    pictures. `others` are files and folders that are or hold no picture of a class. A file that
    cannot be read gives an image of NaN.

    Raises `FileNotFoundError` for no folder and for one without pictures in class folders.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_dir():
            raise FileNotFoundError(
                f"an image folder holds one folder for each class; received {self.path}, which is "
                "no folder. Check the path."
            )
        below = {
            each.name: sorted(
                file
                for file in each.rglob("*")
                if file.suffix.lower() in SUFFIXES and file.is_file()
            )
            for each in sorted(self.path.iterdir())
            if each.is_dir()
        }
        self.classes = sorted(name for name, files in below.items() if files)
        if not self.classes:
            raise FileNotFoundError(
                f"an image folder holds pictures as {self.path}/CLASS/name.png; found none. Check "
                "the path and the layout."
            )
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.samples = [
            (str(file), self.class_to_idx[name]) for name in self.classes for file in below[name]
        ]
        self.targets = [index for _, index in self.samples]
        known = {name for name, _ in self.samples}
        self.others = sorted(
            str(file.relative_to(self.path))
            for file in self.path.rglob("*")
            if file.is_file() and str(file) not in known
        ) + sorted(name for name, files in below.items() if not files)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        name, label = self.samples[index]
        try:
            with warnings.catch_warnings(), Image.open(name) as picture:
                warnings.simplefilter("ignore")
                small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
                pixels = np.asarray(small, dtype=np.float32) / 255
        except BROKEN:
            return torch.zeros(3, SIDE, SIDE), label
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy()), label


def headers_of(folder: FolderPictures) -> dict[str, Header | None]:
    """Return what each file of a folder says of itself, None for one that cannot be read."""
    own: Any = folder
    if not hasattr(own, "headers"):
        own.headers = {name: _header(name) for name, _ in folder.samples}
    return own.headers


def _header(name: str) -> Header | None:
    try:
        with warnings.catch_warnings(), Image.open(name) as picture:
            warnings.simplefilter("ignore")
            header = Header(picture.mode, picture.size, str(picture.format))
            picture.load()  # a file that broke off says so here
            return header
    except BROKEN:
        return None


def parts_of(
    paths: str | Path | Iterable[str | Path] | Mapping[str, str | Path],
) -> dict[str, Path]:
    """Return which part each folder is: by its name where all tell, else by its place.

    One folder that holds `train`, `validation`, `test` stands for these. Raises `ValueError` for
    none, for more than three, and for two of one part.

    >>> {part: str(path) for part, path in parts_of(["data/train", "data/val"]).items()}
    {'train': 'data/train', 'validation': 'data/val'}
    """
    if isinstance(paths, Mapping):
        return {part: Path(path) for part, path in paths.items()}
    listed = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if len(listed) == 1 and listed[0].is_dir():
        inside = {_part(each): each for each in sorted(listed[0].iterdir()) if each.is_dir()}
        if None not in inside and "train" in inside:
            return {part: inside[part] for part in SYNONYMS if part in inside}
    named = [_part(path) for path in listed]
    if None in named or "train" not in named:
        if len(listed) not in BY_PLACE:
            raise ValueError(
                f"folders are train, validation and test; received {len(listed)}. Pass one to "
                "three, or one that holds them."
            )
        named = list(BY_PLACE[len(listed)])
    if len({*named}) < len(named):
        raise ValueError(
            f"each part has one folder; received {[str(path) for path in listed]}. Pass one each."
        )
    return {str(part): path for part, path in zip(named, listed, strict=True)}


def _part(path: Path) -> str | None:
    name = path.name.casefold()
    return next((part for part, names in SYNONYMS.items() if name in names), None)


def loader_of(path: str | Path, seed: int = 0) -> DataLoader[Any]:
    """Return a loader over the pictures of a folder, in an order drawn from a seed."""
    drawn = torch.Generator().manual_seed(seed)
    return DataLoader(FolderPictures(path), batch_size=64, shuffle=True, generator=drawn)
