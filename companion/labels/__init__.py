"""The map between the names of classes and the indices of a classifier's outputs.

Imports `inputs` alone.
"""

from companion.inputs import IGNORE_INDEX, ClassName
from companion.labels.encoding import Encoder
from companion.labels.maps import LabelMap
from companion.labels.names import UnknownLabelError, look_alikes

__all__ = [
    "IGNORE_INDEX",
    "ClassName",
    "Encoder",
    "LabelMap",
    "UnknownLabelError",
    "look_alikes",
]
