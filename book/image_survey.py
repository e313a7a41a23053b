"""Say of a reader's images what `load` makes of them, as JSON: run by `your_images` on its own."""

from __future__ import annotations

import json
import os
import platform
import warnings
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from companion import load

REFUSED = "refused"  # in place of what is known: why the images cannot be loaded


def survey(data: str) -> dict[str, Any]:
    """What the parts of a data set are, and what was said when they were read.

    Reads as the chapters do, but tells what they are silent about: that pictures are shrunk, say.
    Raises the errors of `load`.
    """
    is_folder = Path(data).is_dir()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        parts = load(data, skip_unreadable=True) if is_folder else load(data)
    counts = parts.train.labels.bincount(minlength=len(parts.train.classes))
    return {
        "images": [len(part) for part in parts],
        "shape": list(parts.train.images.shape[1:]),
        "classes": len(parts.train.classes),
        "files": file_sizes(Path(data)) if is_folder else [],
        "fewest": int(counts.min()),
        "most": int(counts.max()),
        "warnings": [str(each.message) for each in heard if issubclass(each.category, UserWarning)],
        "versions": {"Python": platform.python_version(), "PyTorch": torch.__version__},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
    }


def file_sizes(folder: Path) -> list[list[int]]:
    """The width and height of the smallest picture of a folder, and of the largest."""
    sizes = set()
    for path in folder.rglob("*"):
        try:
            with warnings.catch_warnings(), Image.open(path) as picture:
                warnings.simplefilter("ignore")
                sizes.add(picture.size)
        except Exception:  # no picture, or one that `load` has told of
            continue
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return [list(by_area[0]), list(by_area[-1])] if by_area else []


def main() -> None:
    """Print what is known of the images that `COMPANION_DATA` names, or why they cannot be read."""
    try:
        found = survey(os.environ.pop("COMPANION_DATA"))
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        found = {REFUSED: str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
