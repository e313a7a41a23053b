"""What the labels of a set are called: its own map, or the names that its data set keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from torch.utils.data import ConcatDataset, DataLoader, Subset

from companion.inputs import LABEL_NAMES
from companion.labels import ClassName, LabelMap


def label_map_of(data: Any) -> LabelMap | None:
    """Return the map of a set's labels, as far as it keeps one; None where it does not.

    That is its `label_map`; the `class_to_idx` or `classes` of a torchvision data set, whose
    labels are not transformed; the label's names among a Hugging Face data set's features. A
    loader, a progress bar over one and a Subset are asked for the data set in them, other
    wrappers are not, as they may change the labels.

    Raises `ValueError` for a ConcatDataset whose parts have different classes.

    >>> class Folder:
    ...     classes = ["cat", "dog"]
    >>> label_map_of(Folder())
    LabelMap(2 classes: 'cat', 'dog')
    """
    own = getattr(data, "label_map", None)
    if isinstance(own, LabelMap):
        return own
    if isinstance(data, ConcatDataset):
        return _shared(data)
    if getattr(data, "target_transform", None) is not None:
        return None  # its classes say nothing about what the transform makes of them
    names = _names_by_index(data)
    if names is not None:
        return _as_map(names)
    # Any other wrapper may change the labels on their way, and does not say so.
    if isinstance(data, DataLoader) or type(data) is Subset:
        return label_map_of(data.dataset)
    wrapped = getattr(data, "iterable", None)  # tqdm's name for what it goes through
    return None if wrapped is None else label_map_of(wrapped)


def named(classes: Iterable[ClassName] | LabelMap) -> LabelMap:
    """Return classes as a map, which they may be already.

    >>> named(["cat"]) == named(LabelMap(["cat"]))
    True
    """
    return classes if isinstance(classes, LabelMap) else LabelMap(classes)


def _names_by_index(data: Any) -> list[Any] | None:
    index = getattr(data, "class_to_idx", None)
    if isinstance(index, Mapping) and index:
        by_index = sorted(index, key=lambda name: index[name])
        # Names that share an index, or leave one out, name no outputs.
        whole = [index[name] for name in by_index] == list(range(len(index)))
        return by_index if whole else None
    classes = getattr(data, "classes", None)
    if isinstance(classes, list | tuple):
        return list(classes)
    features = getattr(data, "features", None)
    if isinstance(features, Mapping):
        found = [getattr(features[name], "names", None) for name in LABEL_NAMES if name in features]
        return found[0] if len(found) == 1 else None
    return None


def _as_map(names: list[Any]) -> LabelMap | None:
    try:
        return LabelMap(names)
    except (TypeError, ValueError):  # names of another kind, as the synonyms of ImageNet
        return None


def _shared(joined: ConcatDataset) -> LabelMap | None:
    maps = [label_map_of(part) for part in joined.datasets]
    known = [each for each in maps if each is not None]
    differ = next(((a, b) for a, b in pairwise(known) if a != b), None)
    if differ is not None:
        raise ValueError(
            "data sets that are joined must number the same classes alike; received "
            f"{differ[0]} and {differ[1]}. Encode the labels of each by one map, with "
            "target_transform=LabelMap(names).encoder(part.class_to_idx). Where the numbers are "
            "meant as they are, say so: classes= in evaluate, labels=1 in fit."
        )
    # A part without names may number its classes in any way.
    return known[0] if known and len(known) == len(maps) else None
