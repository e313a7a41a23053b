"""Labelled images: the bundled sets, the standard ones, and any folder of pictures.

Imports `inputs`, `states`, `labels` and nothing above them.
"""

from companion.datasets.bundled import digits, glyphs
from companion.datasets.damage import few_of_each, long_tailed, noisy_labels
from companion.datasets.folders import image_folder
from companion.datasets.images import LabelledImages, Splits
from companion.datasets.joining import join
from companion.datasets.loaders import FolderImages, folder_loader
from companion.datasets.loading import DatasetUnavailableError, load, pool
from companion.datasets.notices import PictureSizeWarning, PictureWhiteWarning
from companion.datasets.parts import draw_classes

__all__ = [
    "DatasetUnavailableError",
    "FolderImages",
    "LabelledImages",
    "PictureSizeWarning",
    "PictureWhiteWarning",
    "Splits",
    "digits",
    "draw_classes",
    "few_of_each",
    "folder_loader",
    "glyphs",
    "image_folder",
    "join",
    "load",
    "long_tailed",
    "noisy_labels",
    "pool",
]
