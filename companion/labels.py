"""The map between the names of classes and the indices of a classifier's outputs.

This room imports nothing from the rest of the package.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

ClassName = str | int
"""What a class is called in the data: a name, or the raw integer label."""


class UnknownLabelError(ValueError):
    """Labels that a map has no class for: which, where they came from, what to call next."""

    def __init__(self, unknown: Iterable[Hashable], classes: Sequence[ClassName], source: str):
        self.unknown = list(dict.fromkeys(unknown))
        self.classes = tuple(classes)
        self.source = source
        super().__init__(
            f"every label must be one of the map's {len(classes)} classes ({_brief(classes)}); "
            f"received {_brief(self.unknown)} in {source}. "
            "Drop those items (LabelledImages.only), or build the map from all classes: "
            "LabelMap(classes of every split together)."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is unpickled from its message alone, which would hide it from `repeat`.
        return type(self), (self.unknown, self.classes, self.source)


class LabelMap:
    """A checked bijection between a data set's classes and the indices of a head's outputs.

    The position of a class in `classes` is its index: the column of the logits that stands
    for it. Keep the map with the model (`to_dict`), because indices without names mean nothing.

    Raises `ValueError` for no classes, for a class named twice, and for names that mix strings
    and integers; `TypeError` for names that are neither.

    >>> animals = LabelMap(["cat", "dog", "owl"])
    >>> animals.encode(["owl", "cat"])
    tensor([2, 0])
    >>> animals.decode(torch.tensor([1, 1]))
    ['dog', 'dog']
    >>> LabelMap([10, 20, 30]).encode(torch.tensor([30, 10]))
    tensor([2, 0])
    """

    __slots__ = ("_index", "classes")

    def __init__(self, classes: Iterable[ClassName]):
        if isinstance(classes, str):
            raise TypeError(
                f"classes must be a sequence of names; received the string {classes!r}."
            )
        names = tuple(_plain(name) for name in classes)
        if not names:
            raise ValueError("a label map needs at least one class; received none. Pass the names.")
        kinds = {type(name) for name in names}
        if not kinds <= {str, int}:
            raise TypeError(
                "class names must be strings or integers; received "
                f"{_brief(sorted(kind.__name__ for kind in kinds - {str, int}))}. Convert them."
            )
        if len(kinds) > 1:
            raise ValueError(
                f"class names must be all strings or all integers; received {_brief(names)}. "
                "'3' and 3 are different classes: choose one form."
            )
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise ValueError(
                f"each class must be named once; {_brief(repeated)} occurs more than once. "
                "Remove the duplicates, or rename classes that only share a name."
            )
        self.classes: tuple[ClassName, ...] = names
        self._index = {name: index for index, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self.classes)

    def __contains__(self, name: object) -> bool:
        plain = _plain(name)
        return type(plain) in (str, int) and plain in self._index  # True == 1, but names no class

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelMap) and self.classes == other.classes

    def __hash__(self) -> int:
        return hash(self.classes)

    def __repr__(self) -> str:
        return f"LabelMap({len(self)} classes: {_brief(self.classes)})"

    def encode(
        self, labels: Iterable[ClassName] | Tensor | np.ndarray, *, source: str = "the labels given"
    ) -> Tensor:
        """Return the index of each label, as int64, in the order and on the device given.

        `labels` holds names or raw integer values: a sequence, an array or a tensor of shape
        (N,). Nothing is mutated. `source` names where they came from, for the error.

        Raises `UnknownLabelError` when a label is not in the map, `TypeError` for booleans and
        floats, `ValueError` for any shape but (N,).

        >>> LabelMap(["a", "b"]).encode(["b", "c"], source="test/")
        Traceback (most recent call last):
        companion.labels.UnknownLabelError: every label must be one of the map's 2 classes \
('a', 'b'); received 'c' in test/. Drop those items (LabelledImages.only), or build the map \
from all classes: LabelMap(classes of every split together).
        """
        device = labels.device if isinstance(labels, Tensor) else torch.device("cpu")
        names = _names(labels)
        unknown = [name for name in names if name not in self._index]
        if unknown:
            raise UnknownLabelError(unknown, self.classes, source)
        return torch.tensor([self._index[name] for name in names], dtype=torch.int64, device=device)

    def decode(self, indices: Iterable[int] | Tensor | np.ndarray) -> list[ClassName]:
        """Return the class of each index, the inverse of `encode`. Shape (N,).

        Raises `IndexError` for an index outside 0 … len(self) − 1, negative ones included, and
        `TypeError` for anything but integers.

        >>> LabelMap(["a", "b"]).decode([1, 0])
        ['b', 'a']
        """
        positions = _names(indices)
        wrong = [p for p in positions if not (isinstance(p, int) and 0 <= p < len(self))]
        if any(not isinstance(position, int) for position in wrong):
            raise TypeError(
                f"decode takes indices, which are integers; received {_brief(wrong)}. "
                "To go from names to indices call encode."
            )
        if wrong:
            raise IndexError(
                f"an index must lie in 0 … {len(self) - 1}; received {_brief(wrong)}. "
                "Check that the logits came from the head that this map belongs to."
            )
        return [self.classes[position] for position in positions if isinstance(position, int)]

    def subset(self, classes: Iterable[ClassName]) -> LabelMap:
        """Return the map of the given classes alone, in the order of this map.

        Raises `UnknownLabelError` for a class that is not in this map, `ValueError` for none.

        >>> LabelMap(["a", "b", "c"]).subset(["c", "a"]).classes
        ('a', 'c')
        """
        wanted = [_plain(name) for name in classes]
        self.encode(wanted, source="the subset asked for")
        return LabelMap([name for name in self.classes if name in set(wanted)])

    def align(self, other: LabelMap, *, missing: int | None = None) -> Tensor:
        """Return this map's index of each class of `other`, by name: int64, (len(other),).

        Use it to translate labels between two maps: `mine.align(theirs)[their_labels]`. A class
        that this map lacks raises `UnknownLabelError`, or becomes `missing` where that is given;
        it must be negative, so that it cannot be mistaken for an index.

        >>> train, test = LabelMap(["0", "90", "180"]), LabelMap(["0", "180"])
        >>> train.align(test)
        tensor([0, 2])
        """
        if missing is None:
            return self.encode(other.classes, source="the map to align")
        if missing >= 0:
            raise ValueError(
                f"missing must be negative, so that it is no index; received {missing}. Use -1."
            )
        if not set(self.classes) & set(other.classes):
            raise ValueError(
                "two maps with no class in common cannot be aligned; received "
                f"{_brief(self.classes)} and {_brief(other.classes)}. Check spelling, case, "
                "and integers against strings."
            )
        return torch.tensor([self._index.get(name, missing) for name in other.classes])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint, readable with `torch.load(weights_only=True)`.

        >>> LabelMap(["a", "b"]).to_dict()
        {'classes': ['a', 'b']}
        """
        return {"classes": list(self.classes)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> LabelMap:
        """Return the map that `to_dict` stored.

        >>> LabelMap.from_dict({"classes": ["a", "b"]})
        LabelMap(2 classes: 'a', 'b')
        """
        if "classes" not in stored:
            raise KeyError(
                f"a stored label map has the key 'classes'; received keys {_brief(list(stored))}. "
                "Pass what LabelMap.to_dict returned."
            )
        return cls(stored["classes"])


def _plain(name: Any) -> Any:
    """Return NumPy's and PyTorch's scalars as Python's own, and leave the rest as it is."""
    if isinstance(name, np.generic) or (isinstance(name, Tensor) and name.dim() == 0):
        return name.item()
    return name


def _names(labels: Any) -> list[ClassName]:
    """Return labels in any of the accepted forms as a list of plain strings or integers."""
    if isinstance(labels, str):
        raise TypeError(f"labels must be a sequence of labels; received the string {labels!r}.")
    if isinstance(labels, Tensor | np.ndarray):
        if labels.ndim != 1:
            raise ValueError(
                f"labels must have shape (N,); received {tuple(labels.shape)}. "
                "Take argmax(1) of one-hot rows, or squeeze a column."
            )
        names = labels.tolist()
    else:
        names = [_plain(label) for label in labels]
    wrong = {type(name).__name__ for name in names if type(name) not in (str, int)}
    if wrong:
        raise TypeError(
            f"labels must be strings or integers; received {_brief(sorted(wrong))}. "
            "Convert them first: labels.long() for floats that hold whole numbers."
        )
    return names


def _brief(values: Sequence[Any], most: int = 6) -> str:
    """Return the first few values and how many more there are."""
    shown = ", ".join(repr(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"
