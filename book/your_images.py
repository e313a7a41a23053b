"""What the images of a reader are, asked of a process of its own before any chapter runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from execute import ChapterError

SURVEY = Path(__file__).with_name("image_survey.py")


class YourImages(NamedTuple):
    """The images as the chapters get them, and what was said when they were read."""

    data: str
    images: list[int]  # in the train, validation and test parts
    shape: list[int]  # channels, height, width
    classes: int
    files: list[list[int]]  # width and height of the smallest file and of the largest
    fewest: int  # training images of a class
    most: int
    warnings: list[str]
    versions: dict[str, str]
    device: str
    date: str


def look_at(data: str, environment: dict[str, str]) -> YourImages:
    """Load the images once, as the chapters will; `ChapterError` where nothing can be loaded."""
    result = subprocess.run(
        [sys.executable, str(SURVEY)],
        env=environment | {"COMPANION_DATA": data},
        capture_output=True,
        text=True,
    )
    last = result.stdout.strip().rpartition("\n")[2]
    if result.returncode != 0:
        said = result.stderr.strip().rpartition("\n")[2] or f"exit status {result.returncode}"
        raise ChapterError(
            f"The images of {data!r} must fit into memory and be readable; the process that loaded "
            f"them ended: {said}. Try a part of them first."
        )
    found: dict[str, Any] = json.loads(last)
    if "refused" in found:
        raise ChapterError(found["refused"])
    return YourImages(data=data, date=time.strftime("%Y-%m-%d"), **found)


def described(found: YourImages) -> str:
    """Which images they are, in a sentence.

    >>> found = YourImages("photos", [60, 20, 20], [3, 32, 32], 2, [[9, 9]], 30, 30, [], {}, "", "")
    >>> described(found)
    '100 images of 2 classes (60 to train on, 30 of each class; 20 to choose with, 20 to test), \
loaded in colour at 32×32 (from files of 9×9)'
    """
    train, validation, test = found.images
    channels, height, width = found.shape
    each = (
        f"{found.fewest} of each class"
        if found.fewest == found.most
        else f"{found.fewest} to {found.most} of a class"
    )
    colour = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    return (
        f"{sum(found.images):,} images of {found.classes} classes ({train:,} to train on, {each}; "
        f"{validation:,} to choose with, {test:,} to test), loaded in {colour} at {width}×{height}"
        f"{shrunk_from(found)}"
    )


def shrunk_from(found: YourImages) -> str:
    """From which sizes the files were brought to the one size that networks get."""
    sizes = [f"{width}×{height}" for width, height in found.files]
    loaded = f"{found.shape[2]}×{found.shape[1]}"
    if set(sizes) <= {loaded}:
        return ""
    return f" (from files of {' to '.join(dict.fromkeys(sizes))})"
