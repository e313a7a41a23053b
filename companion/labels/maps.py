"""The map itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.inputs import IGNORE_INDEX, ClassName, brief, listed_names, plain, plain_names
from companion.labels.alignment import aligned, translated, translation
from companion.labels.encoding import Encoder
from companion.labels.fixed import Fixed
from companion.labels.names import UnknownLabelError, checked_classes, checked_ignore


class LabelMap(Fixed):
    """A checked, fixed bijection between a data set's classes and the indices of a head's outputs.

    The position of a class in `classes` is its index: the column of the logits that stands for it.
    A mapping is read as what it says, name to index (`class_to_idx`) or index to name.
    `label_map["owl"]` is the index of one class, and iterating gives the classes. Keep the map with
    the model (`to_dict`), because indices without names mean nothing. `ignore` is the raw label of
    items that have no class (255 in many masks, "unlabelled"); it is encoded as `ignore_index`,
    which the loss has to be told where it is not −100.

    Raises `ValueError` for no classes, a class named twice or also ignored, names that mix strings
    and integers, a mapping whose indices are not 0 … n − 1, each once, or that reads both ways,
    and an ignore index that could be an index; `TypeError` for other names, a string and a set.

    >>> animals = LabelMap(["cat", "dog", "owl"])
    >>> animals.encode(["owl", "cat"])
    tensor([2, 0])
    >>> animals.decode(torch.tensor([1, 1])), animals["owl"]
    (['dog', 'dog'], 2)
    >>> LabelMap([10, 20, 30], ignore=255).encode(torch.tensor([30, 255, 10]))
    tensor([   2, -100,    0])
    """

    __slots__ = ("_index", "classes", "ignore", "ignore_index")

    def __init__(
        self,
        classes: Iterable[ClassName],
        *,
        ignore: ClassName | None = None,
        ignore_index: int = IGNORE_INDEX,
    ):
        if isinstance(classes, LabelMap) and ignore is None:
            ignore, ignore_index = classes.ignore, classes.ignore_index
        self.classes = checked_classes(classes)
        self.ignore: ClassName | None = checked_ignore(ignore, ignore_index, self.classes)
        self.ignore_index: int = plain(ignore_index)
        self._index = {name: index for index, name in enumerate(self.classes)}
        if self.ignore is not None:
            self._index[self.ignore] = ignore_index

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[ClassName]:
        return iter(self.classes)

    def __getitem__(self, name: ClassName) -> int:
        """Return the index of one class; `UnknownLabelError`, a `KeyError`, for any other name."""
        return int(self.indices_of([name], source="label_map[…]"))

    def __contains__(self, name: object) -> bool:
        known = plain(name)
        # True == 1, but it names no class.
        return type(known) in (str, int) and self._index.get(known, -1) >= 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelMap) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        ignored = "" if self.ignore is None else f", {self.ignore!r} ignored"
        return f"LabelMap({len(self)} classes: {brief(self.classes)}{ignored})"

    def _key(self) -> tuple[object, ...]:
        return self.classes, self.ignore, None if self.ignore is None else self.ignore_index

    def encode(
        self, labels: Iterable[ClassName] | Tensor | np.ndarray, *, source: str = "the labels given"
    ) -> Tensor:
        """Return the index of each label, as int64, in the order and on the device given.

        `labels` holds names or raw integer values: a sequence, an array or a tensor of shape
        (N,). Nothing is mutated. `source` names where they came from, for the error. The result
        remembers that it is encoded; slices and clones do not.

        Raises `UnknownLabelError` for a label that is not in the map, `TypeError` for booleans and
        floats, `ValueError` for any shape but (N,) and for a tensor that this map encoded.

        >>> LabelMap(["a", "b"]).encode(["b", "c"], source="test/")
        Traceback (most recent call last):
        companion.labels.names.UnknownLabelError: every label must be one of the map's 2 classes \
('a', 'b'); received 'c' in test/. Drop those items (LabelledImages.only), or build the map \
from all classes: LabelMap(classes of every split together).
        """
        if getattr(labels, "_encoded_by", None) == self.classes:
            raise ValueError(
                f"labels are encoded once; {source} come from this map's encode already and are "
                "indices. Use them as they are, or decode them."
            )
        device = labels.device if isinstance(labels, Tensor) else torch.device("cpu")
        names = plain_names(labels)
        unknown = [name for name in names if name not in self._index]
        if unknown:
            raise UnknownLabelError(unknown, self.classes, source)
        found = [self._index[name] for name in names]
        indices = torch.tensor(found, dtype=torch.int64, device=device)
        # Where classes are integers, values alone cannot tell an index from a raw label.
        indices._encoded_by = self.classes  # type: ignore[attr-defined]
        return indices

    def encoder(self, other: Iterable[ClassName] | None = None) -> Encoder:
        """Return a function of one label, to be a data set's `target_transform`.

        Without `other` the labels are names or raw values, as for `encode`. With it they are
        indices, and `other` says of which classes: a map, names in order, or `class_to_idx`.
        Workers can be sent the function. A data set's own list of labels (`.targets`) stays as it
        is. Raises `UnknownLabelError` for a class of `other` that this map lacks.

        >>> head = LabelMap(["2", "10"])  # torchvision sorts folders as strings: "10" comes first
        >>> to_head = head.encoder({"10": 0, "2": 1})  # ImageFolder(…).class_to_idx
        >>> to_head(0), to_head(1)
        (1, 0)
        """
        return Encoder(self._index if other is None else translation(self, LabelMap(other)))

    def indices_of(self, classes: Iterable[ClassName], *, source: str) -> Tensor:
        """Return the index of each class, as `encode` does, but none for what is ignored.

        A set has no order, and its indices come sorted. `source` is what the classes are, for the
        errors: `TypeError` for one string and for a mapping, `UnknownLabelError` for other classes.

        >>> LabelMap(["a", "b"], ignore="void").indices_of(["b"], source="candidates")
        tensor([1])
        """
        names = plain_names(listed_names(classes, what=source))
        unknown = [name for name in names if name not in self]
        if unknown:
            raise UnknownLabelError(unknown, self.classes, source)
        found = torch.tensor([self._index[name] for name in names], dtype=torch.int64)
        return found.sort().values if isinstance(classes, set | frozenset) else found

    def decode(self, indices: Iterable[int] | Tensor | np.ndarray) -> list[ClassName]:
        """Return the class of each index, the inverse of `encode`. Shape (N,).

        Raises `IndexError` for an index outside 0 … len(self) − 1 that is not the ignore index,
        and `TypeError` for anything but integers.

        >>> LabelMap(["a", "b"]).decode([1, 0])
        ['b', 'a']
        """
        positions = plain_names(indices)
        names: dict[ClassName, ClassName] = {index: n for n, index in self._index.items()}
        wrong = [position for position in positions if position not in names]
        if any(isinstance(position, str) for position in wrong):
            raise TypeError(
                f"decode takes indices, which are integers; received {brief(wrong)}. "
                "To go from names to indices call encode."
            )
        if wrong:
            raise IndexError(
                f"an index must lie in 0 … {len(self) - 1}; received {brief(wrong)}. "
                "Check that the logits came from the head that this map belongs to."
            )
        return [names[position] for position in positions]

    def subset(self, classes: Iterable[ClassName]) -> LabelMap:
        """Return the map of the given classes alone, in the order of this map.

        Raises `UnknownLabelError` for another class, `ValueError` for none.
        >>> LabelMap(["a", "b", "c"]).subset(["c", "a"]).classes
        ('a', 'c')
        """
        kept = set(self.indices_of(classes, source="the subset asked for").tolist())
        return self._like([name for index, name in enumerate(self.classes) if index in kept])

    def union(self, other: LabelMap) -> LabelMap:
        """Return the map of the classes of both: this map's in their places, then the new ones.

        The indices of this map stay, so that a head can be extended by columns. What is ignored is
        this map's, or the other's where this one ignores nothing.

        >>> LabelMap(["a", "b"]).union(LabelMap(["c", "a"])).classes
        ('a', 'b', 'c')
        """
        new = [name for name in other.classes if name not in self]
        return (other if self.ignore is None else self)._like([*self.classes, *new])

    def align(self, other: LabelMap, *, missing: int | None = None) -> Tensor:
        """Return this map's index of each class of `other`, by name: int64, (len(other),).

        It says which column of one head belongs to which of another; `translate` applies it to
        labels. A class that this map lacks raises `UnknownLabelError`, or becomes `missing`, which
        must be negative. Raises `ValueError` where no class is shared.

        >>> train, test = LabelMap(["0", "90", "180"]), LabelMap(["0", "180"])
        >>> train.align(test)
        tensor([0, 2])
        """
        return aligned(self.classes, other.classes, missing=missing)

    def translate(self, indices: Tensor, other: LabelMap, *, missing: int | None = None) -> Tensor:
        """Return this map's indices for labels that are indices of `other`, class by class.

        `indices` holds integers of any shape and stays as it is; the result is int64, on its
        device. What `other` ignores, this map ignores. `missing` and errors are those of `align`,
        and `IndexError` is raised for an index that `other` has no class for.

        >>> train, test = LabelMap(["0", "90", "180"]), LabelMap(["0", "180"])
        >>> train.translate(torch.tensor([1, 1, 0]), test)
        tensor([2, 2, 0])
        """
        other.decode(indices.unique())  # a negative index would wrap around in the table
        return translated(self, indices, other, missing=missing)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint, readable with `torch.load(weights_only=True)`.

        >>> LabelMap(["a", "b"]).to_dict()
        {'classes': ['a', 'b']}
        """
        ignored = {"ignore": self.ignore, "ignore_index": self.ignore_index}
        return {"classes": list(self.classes)} | ({} if self.ignore is None else ignored)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> LabelMap:
        """Return the map that `to_dict` stored; `KeyError` for keys that it does not write.

        >>> LabelMap.from_dict({"classes": ["a", "b"]})
        LabelMap(2 classes: 'a', 'b')
        """
        if "classes" not in stored or not {*stored} <= {"classes", "ignore", "ignore_index"}:
            raise KeyError(
                "a stored label map has the key 'classes' (and 'ignore', 'ignore_index'); "
                f"received keys {brief(list(stored))}. Pass what LabelMap.to_dict returned."
            )
        return cls(**stored)

    def _like(self, classes: list[ClassName]) -> LabelMap:
        return LabelMap(classes, ignore=self.ignore, ignore_index=self.ignore_index)
