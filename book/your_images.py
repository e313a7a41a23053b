"""What the images of a reader are, asked of a process of its own before any chapter runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any, NamedTuple

from execute import ChapterError

FAILED = 3  # what the process ends with where the images cannot be loaded

ASK = f"""
import json, os, platform, sys, warnings
data = os.environ.pop("COMPANION_DATA")
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    from companion import load
    options = {{"skip_unreadable": True}} if os.path.isdir(data) else {{}}
    try:
        parts = load(data, **options)
    except Exception as error:
        said = str(error) if isinstance(error, (ValueError, OSError, RuntimeError, MemoryError)) \\
            else f"{{type(error).__name__}}: {{error}}"
        print(json.dumps(said))
        sys.exit({FAILED})
import companion, torch
train = parts.train
counts = train.labels.bincount(minlength=len(train.classes))
print(json.dumps({{
    "images": [len(part) for part in parts], "shape": list(train.images.shape[1:]),
    "classes": len(train.classes), "fewest": int(counts.min()), "most": int(counts.max()),
    "warnings": [str(each.message) for each in heard if issubclass(each.category, UserWarning)],
    "versions": {{"Python": platform.python_version(), "PyTorch": torch.__version__}},
    "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
}}))
"""


class YourImages(NamedTuple):
    """The images as the chapters get them, and what was said when they were read."""

    data: str
    images: list[int]  # in the train, validation and test parts
    shape: list[int]  # channels, height, width
    classes: int
    fewest: int  # training images of a class
    most: int
    warnings: list[str]
    versions: dict[str, str]
    device: str
    date: str


def look_at(data: str, environment: dict[str, str]) -> YourImages:
    """Load the images once, as the chapters will; `ChapterError` where nothing can be loaded."""
    result = subprocess.run(
        [sys.executable, "-c", ASK],
        env=environment | {"COMPANION_DATA": data},
        capture_output=True,
        text=True,
    )
    last = result.stdout.strip().rpartition("\n")[2]
    if result.returncode == FAILED:
        raise ChapterError(json.loads(last))
    if result.returncode != 0:
        said = result.stderr.strip().rpartition("\n")[2] or f"exit status {result.returncode}"
        raise ChapterError(
            f"The images of {data!r} must fit into memory and be readable; the process that loaded "
            f"them ended: {said}. Try a part of them first."
        )
    found: dict[str, Any] = json.loads(last)
    return YourImages(data=data, date=time.strftime("%Y-%m-%d"), **found)


def described(found: YourImages) -> str:
    """Which images they are, in a sentence.

    >>> found = YourImages("photos", [60, 20, 20], [3, 32, 32], 2, 30, 30, [], {}, "CPU", "")
    >>> described(found)
    '100 images of 2 classes (60 to train on, 30 of each class; 20 to choose with, 20 to test), \
loaded in colour at 32×32'
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
    )
