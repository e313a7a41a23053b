"""Examinations of what lies on disk: picture folders and checkpoints, without a line of code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from companion.doctor.examination import Examination
from companion.doctor.examining import run_checks
from companion.doctor.folders import loader_of, parts_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import selected
from companion.states import randomness_kept

OF_FOLDERS = (
    *("PRO001", "PRO020", "PRO021", "LBL003", "LBL004", "LBL005", "LBL006", "LBL007", "LBL010"),
    *("PRO002", "PRO004", "PRO011", "SMP120", "LBL015", "PRO036"),
)
OF_CHECKPOINTS = ("MOD019", "LBL003", "LBL004", "LBL006", "LBL007")


def examine_folders(
    folders: str | Path | Iterable[str | Path] | Mapping[str, str | Path],
    *,
    select: Iterable[str] | None = None,
    ignore: Iterable[str] | None = None,
    sample: int = 1024,
    progress: bool | None = None,
) -> Examination:
    """Return what is wrong with folders of pictures, `train/CLASS/…` and so on, on disk.

    `folders` are paths, whose names or places say which part each is, one path that holds all of
    them, or a dict from part to path. Classes are numbered as torchvision's ImageFolder does.
    Maps and names, hidden folders, unreadable files, exact and near duplicates across the parts,
    imbalance, sizes and modes are looked at: every file for the first, `sample` pictures of each
    part for what compares pixels. Nothing is written.

    Raises `FileNotFoundError` for a folder that is not there or holds no pictures, `ValueError`
    for more than three folders, and the errors of `examine` for `select` and `ignore`.

    >>> import tempfile
    >>> from PIL import Image
    >>> place = Path(tempfile.mkdtemp())
    >>> for part, names in {"train": ["cat", "dog"], "test": ["dog"]}.items():
    ...     for name in names:
    ...         (place / part / name).mkdir(parents=True)
    ...         Image.effect_noise((8, 8), 90).save(place / part / name / "one.png")
    >>> print(examine_folders([place / "train", place / "test"]).errors[0].seen)
    1 of 1 classes that train and test share have different indices: 'dog' is 1 in train and 0 in \
test
    """
    parts = parts_of(folders)
    chosen = [each for each in selected(select, ignore) if each.code in OF_FOLDERS]
    with randomness_kept():
        loaders: dict[str, Any] = {part: loader_of(path) for part, path in parts.items()}
        return run_checks(Pipeline(sample=sample, **loaders), chosen, progress=progress)


def examine_checkpoint(
    path: str | Path,
    *,
    folders: str | Path | Iterable[str | Path] | Mapping[str, str | Path] | None = None,
    progress: bool | None = None,
) -> Examination:
    """Return whether a checkpoint's head and names fit the classes of some folders.

    The file is read with `weights_only=True`, so that no code in it runs. Raises
    `FileNotFoundError` for a file that is not there, and the errors of `examine_folders`.

    >>> import tempfile, torch
    >>> place = Path(tempfile.mkdtemp()) / "run.pt"
    >>> torch.save({"fc.weight": torch.zeros(3, 8), "fc.bias": torch.zeros(3)}, place)
    >>> print(examine_checkpoint(place).findings[0].seen)
    the checkpoint has no names of classes; its head has 3 outputs
    """
    place = Path(path)
    if not place.is_file():
        raise FileNotFoundError(f"a checkpoint is a file; received {place}. Check the path.")
    given: dict[str, Any] = {"checkpoint": place}
    with randomness_kept():
        if folders is not None:
            given |= {part: loader_of(each) for part, each in parts_of(folders).items()}
        chosen = [each for each in selected(None, None) if each.code in OF_CHECKPOINTS]
        return run_checks(Pipeline(**given), chosen, progress=progress)
