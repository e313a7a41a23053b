"""Heads: find the classifier of a network, replace or extend it, and choose what is trained.

Imports `labels`, `networks` and `evaluation`, and nothing above them.
"""

from companion.heads.extending import extend_head
from companion.heads.finding import Head, find_head
from companion.heads.freezing import freeze, unfreeze
from companion.heads.groups import parameter_groups
from companion.heads.layers import AmbiguousHeadError
from companion.heads.replacing import replace_head
from companion.heads.skeletons import skeleton

__all__ = [
    "AmbiguousHeadError",
    "Head",
    "extend_head",
    "find_head",
    "freeze",
    "parameter_groups",
    "replace_head",
    "skeleton",
    "unfreeze",
]
