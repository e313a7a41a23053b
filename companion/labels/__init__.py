"""The map between the names of classes and the indices of a classifier's outputs.

This room imports nothing from the rest of the package.
"""

from companion.labels.maps import IGNORE_INDEX, LabelMap
from companion.labels.names import ClassName, UnknownLabelError, look_alikes

__all__ = ["IGNORE_INDEX", "ClassName", "LabelMap", "UnknownLabelError", "look_alikes"]
