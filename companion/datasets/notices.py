"""Warnings that show the line of whoever called the package, however deep they arise."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

PACKAGE = str(Path(__file__).parents[1]) + os.sep


class PictureSizeWarning(UserWarning):
    """Pictures shrink or are squashed by default, and nobody said that this is meant."""


class PictureWhiteWarning(UserWarning):
    """Pictures of 16 bits use few of them, and nobody said what is white."""


def notify(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, and name the nearest line outside the package.

    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     notify("look at this")
    >>> str(caught[0].message)
    'look at this'
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
