"""Heads: find, replace or extend a network's classifier, choose what is trained, read its inputs.

Imports `labels` and the lowest rooms, and nothing above them.
"""

from companion.heads.extending import extend_head
from companion.heads.finding import Head, find_head
from companion.heads.freezing import freeze, unfreeze
from companion.heads.groups import parameter_groups
from companion.heads.layers import AmbiguousHeadError
from companion.heads.reading import features
from companion.heads.replacing import replace_head
from companion.heads.skeletons import skeleton

__all__ = [
    "AmbiguousHeadError",
    "Head",
    "extend_head",
    "features",
    "find_head",
    "freeze",
    "parameter_groups",
    "replace_head",
    "skeleton",
    "unfreeze",
]
