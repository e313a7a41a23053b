"""Where the pictures of a folder lie, and which class each belongs to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from companion.datasets.notices import notify
from companion.inputs import brief
from companion.labels import ClassName, LabelMap, look_alikes

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})
PARTS = {  # what people call the folder of each part
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
SPLIT_NAMES = frozenset(name for names in PARTS.values() for name in names)


@dataclass(frozen=True)
class Layout:
    """The files of a folder in order, the index of each one's class, and the map of the classes."""

    files: list[Path]
    labels: Tensor
    label_map: LabelMap


def read_layout(
    folder: Path, *, classes: Iterable[ClassName] | None = None, nested: bool = False
) -> Layout:
    """Return the layout of `folder/CLASS/picture` with the warnings and errors of `image_folder`.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("10", "9"):
    ...     (folder / name).mkdir()
    ...     (folder / name / "one.png").touch()
    >>> read_layout(folder).label_map
    LabelMap(2 classes: '9', '10')
    """
    declared = None if classes is None else LabelMap(classes)
    known = set(declared.classes if declared else ())
    files, names = _files(folder, nested=nested, known=known)
    _refuse_splits(folder, set(names) - known)
    _notify_of_look_alikes(folder, {*names, *known})
    label_map = LabelMap(_sorted(set(names))) if declared is None else declared
    if declared is None and len(label_map) < 2:
        raise ValueError(
            f"a classifier needs two classes; {folder} has one folder with images, "
            f"{label_map.classes[0]!r}. Point at the folder that holds the class folders."
        )
    return Layout(files, label_map.encode(names, source=str(folder)), label_map)


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
    left_out = [path.relative_to(folder).as_posix() for path in visible if path not in used]
    if left_out:
        notify(f"in {folder} these are or hold no pictures, and are left out: {brief(left_out)}.")
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
        notify(f"{brief(splits)} in {folder} counts as a class; move it, if it is a split.")


def _notify_of_look_alikes(folder: Path, names: set[ClassName]) -> None:
    # Single letters come in two cases on purpose.
    groups = [group for group in look_alikes(sorted(names, key=str)) if len(group[0].strip()) > 1]
    if groups:
        notify(
            f"classes of {folder} differ only in case, spaces or the form of Unicode: "
            f"{brief(groups)}. Rename the folders, if they are one class."
        )


def _sorted(names: set[str]) -> list[str]:
    # As strings '10' comes before '2', and people expect class 2 at index 2.
    if all(name.removeprefix("-").isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)
