"""One call for every data set, and the environment variables that redirect it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from companion.datasets.bundled import digits, glyphs
from companion.datasets.damage import few_of_each
from companion.datasets.folders import MEMORY_GB, image_folder
from companion.datasets.holding_out import hold_out, three_parts
from companion.datasets.images import LabelledImages, Splits
from companion.datasets.joining import join
from companion.datasets.layout import PARTS
from companion.datasets.notices import PictureSizeWarning
from companion.datasets.standing_in import cut_down


class DatasetUnavailableError(RuntimeError):
    """A data set that is not on this machine: where it was sought, and two ways to get it."""


BUNDLED: dict[str, Callable[[], LabelledImages]] = {"digits": digits, "glyphs": glyphs}
STANDARD: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "cifar10": (torchvision.datasets.CIFAR10, {}),
    "cifar100": (torchvision.datasets.CIFAR100, {}),
    "mnist": (torchvision.datasets.MNIST, {}),
    "fashion-mnist": (torchvision.datasets.FashionMNIST, {}),
    "kmnist": (torchvision.datasets.KMNIST, {}),
    "emnist-letters": (torchvision.datasets.EMNIST, {"split": "letters"}),
    "emnist-balanced": (torchvision.datasets.EMNIST, {"split": "balanced"}),
}


def load(
    name_or_path: str | Path,
    *,
    seed: int = 0,
    limit: int | None = None,
    size: int | tuple[int, int] | None = None,
    fit: str | None = None,
    white: float | None = None,
    skip_unreadable: bool = False,
    memory_gb: float = MEMORY_GB,
    root: str | Path | None = None,
    download: bool | None = None,
) -> Splits:
    """Return a data set's train, validation and test parts.

    `name_or_path` is a bundled set (`digits`, `glyphs`), a standard one (`cifar10`, `cifar100`,
    `mnist`, `fashion-mnist`, `kmnist`, `emnist-letters`, `emnist-balanced`) or a folder with
    `train/CLASS/picture` and, where you have them, `validation/` (or `val/`) and `test/`, whose
    classes get the indices that they have in training. A set without a
    part of its own gets a stratified fifth of the images for it, drawn from `seed`, or, with a
    warning, whole images of each class where some have too few; an official test part stays as it
    is. `limit` keeps at most that many images of each class in each part;
    `size`, `fit`, `white`, `skip_unreadable` and `memory_gb` are those of `image_folder`, for each
    part of a folder.
    Standard sets are sought in `root` (`~/.cache/the-missing-class`) and fetched only where
    `download` is true.

    Environment variables, for whoever runs a notebook without editing it: `COMPANION_DATA`
    replaces the name of a bundled or standard set, `COMPANION_LIMIT` gives `limit`,
    `COMPANION_ROOT` `root`, and `COMPANION_DOWNLOAD=1` `download`. What the call says comes first:
    its own folder, limit, root or download stays. Pictures of a folder that `COMPANION_DATA` names
    are shrunk and squashed without a warning, and skipped where they cannot be read, as whoever set
    it cannot pass `size`, `fit` or `skip_unreadable`. What it puts in the place of a
    bundled set has at most as many classes and images as that, and at most twice its side, as what
    is done with it was made for that size; `COMPANION_WHOLE=1` leaves it whole.

    Raises `ValueError` for an unknown name, `DatasetUnavailableError` for a standard set that is
    not there, and the errors of `image_folder`.

    >>> train, validation, test = load("digits")
    >>> len(train), len(validation), len(test)
    (1078, 360, 359)
    """
    limit = _checked_limit(os.environ.get("COMPANION_LIMIT") or None if limit is None else limit)
    name = asked = str(name_or_path)
    if asked in {*BUNDLED, *STANDARD}:
        name = os.environ.get("COMPANION_DATA") or asked
    if name in {*BUNDLED, *STANDARD}:
        _refuse_ignored(name, size=size, fit=fit, white=white)
    if name in BUNDLED:
        splits = three_parts(BUNDLED[name](), seed=seed)
    elif name in STANDARD:
        splits = _standard(name, seed=seed, root=root, download=download)
    elif Path(name).is_dir():
        with warnings.catch_warnings():
            if name != asked:
                warnings.simplefilter("ignore", PictureSizeWarning)
                skip_unreadable = True
            read = partial(
                image_folder,
                fit=fit,
                white=white,
                skip_unreadable=skip_unreadable,
                memory_gb=memory_gb,
            )
            splits = _folder(Path(name), read, seed=seed, size=size)
    else:
        known = ", ".join([*BUNDLED, *STANDARD])
        whence = "" if name == asked else " in COMPANION_DATA"
        raise ValueError(
            f"a data set is one of {known}, or a folder of images; received {name!r}{whence}, "
            "which is neither. Check the spelling, or the path from the folder you run in."
        )
    if name != asked and asked in BUNDLED and os.environ.get("COMPANION_WHOLE", "0") != "1":
        splits = cut_down(splits, three_parts(BUNDLED[asked](), seed=seed), seed=seed)
    return (
        splits
        if limit is None
        else Splits(*(few_of_each(part, limit, seed=seed) for part in splits))
    )


def _checked_limit(limit: int | str | None) -> int | None:
    if limit is None:
        return None
    if not str(limit).isdecimal() or int(limit) < 1:
        raise ValueError(
            "limit (or COMPANION_LIMIT) must be a whole number of images of each class, at least "
            f"1; received {limit!r}. Leave it out for all images."
        )
    return int(limit)


def _refuse_ignored(name: str, **options: object) -> None:
    for option, value in options.items():
        if value is not None:
            raise ValueError(
                f"{option} says how the pictures of a folder are read; {name!r} has images of one "
                "size, so it would be ignored. Leave it out, or pass a folder."
            )


def _folder(
    path: Path,
    read: Callable[..., LabelledImages],
    *,
    seed: int,
    size: int | tuple[int, int] | None,
) -> Splits:
    folders = _part_folders(path)
    if folders and "train" not in folders:
        raise ValueError(
            f"a folder with parts needs one to train on; {path} has "
            f"{' and '.join(folder.name for folder in folders.values())} alone. Add train/, or "
            "read a part by image_folder."
        )
    if not folders:
        return three_parts(read(path, size=size), seed=seed)
    train = read(folders.pop("train"), size=size)
    _, channels, height, width = train.images.shape
    others = {
        part: read(folder, classes=train.classes, size=(height, width), colour=channels == 3)
        for part, folder in folders.items()
    }
    if "test" not in others:
        train, others["test"] = hold_out(train, seed=seed)
    if "validation" not in others:
        train, others["validation"] = hold_out(train, seed=seed)
    return Splits(train, others["validation"], others["test"])


def _part_folders(path: Path) -> dict[str, Path]:
    """Return the folder of each part that is there."""
    folders = {}
    inside = sorted(each for each in path.iterdir() if each.is_dir())
    for part, names in PARTS.items():
        there = [each for each in inside if each.name.lower() in names]
        if len(there) > 1:
            raise ValueError(
                f"{path} must have one folder for the {part} part; it has "
                f"{' and '.join(folder.name for folder in there)}. Rename or move one."
            )
        if there:
            folders[part] = there[0]
    return folders


def _standard(name: str, *, seed: int, root: str | Path | None, download: bool | None) -> Splits:
    build, options = STANDARD[name]
    where = Path(root or os.environ.get("COMPANION_ROOT") or "~/.cache/the-missing-class")
    where = where.expanduser()
    if download is None:
        download = os.environ.get("COMPANION_DOWNLOAD", "0") == "1"
    try:
        parts = [build(where, train=part, download=download, **options) for part in (True, False)]
    except Exception as error:
        # torchvision raises RuntimeError, URLError or OSError here, depending on the set.
        raise DatasetUnavailableError(
            f"{name!r} must lie in {where}; it does not ({error}). Online: pass download=True or "
            "set COMPANION_DOWNLOAD=1. Offline: copy the folder from a machine that has it, and "
            "name its parent with root= or COMPANION_ROOT."
        ) from error
    pool, test = (_from_torchvision(part) for part in parts)
    train, validation = hold_out(pool, seed=seed)
    return Splits(train, validation, test)


def _from_torchvision(dataset: Any) -> LabelledImages:
    """Return torchvision's arrays as a set; grey (N, H, W) bytes, or colour (N, H, W, 3)."""
    pixels = torch.as_tensor(np.asarray(dataset.data)).float() / 255
    images = pixels.unsqueeze(1) if pixels.dim() == 3 else pixels.permute(0, 3, 1, 2).contiguous()
    labels = torch.as_tensor(dataset.targets)
    names = list(dataset.classes)
    if isinstance(dataset, torchvision.datasets.EMNIST):
        images = images.transpose(2, 3).contiguous()  # its files hold rows as columns
    if names[0] == "N/A":  # EMNIST's letters are numbered from 1 and declare a class that has none
        names, labels = names[1:], labels - 1
    return LabelledImages(images, labels, names)


def pool(splits: Splits) -> LabelledImages:
    """Return the train and validation parts as one set, to be split anew; the test part stays out.

    >>> len(pool(load("digits")))
    1438
    """
    return join(splits.train, splits.validation)
