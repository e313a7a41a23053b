"""Labelled images: the bundled sets, the standard ones, and any folder of pictures.

Imports `labels` and nothing above it.
"""

from companion.datasets.bundled import digits, glyphs
from companion.datasets.damage import few_of_each, long_tailed, noisy_labels
from companion.datasets.folders import image_folder
from companion.datasets.images import LabelledImages, Splits
from companion.datasets.joining import join
from companion.datasets.loading import DatasetUnavailableError, load, pool
from companion.datasets.parts import draw_classes

__all__ = [
    "DatasetUnavailableError",
    "LabelledImages",
    "Splits",
    "digits",
    "draw_classes",
    "few_of_each",
    "glyphs",
    "image_folder",
    "join",
    "load",
    "long_tailed",
    "noisy_labels",
    "pool",
]
