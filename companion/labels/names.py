"""Names of classes: their plain form, names that look alike, and the error for unknown ones."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from companion.inputs import ClassName, brief, listed_names, plain


class UnknownLabelError(ValueError, KeyError):
    """Labels that a map has no class for: which, where they came from, what to call next.

    It is a `KeyError` too, so that `label_map[name]` fails as a mapping does.
    """

    def __init__(self, unknown: Iterable[Hashable], classes: Sequence[ClassName], source: str):
        self.unknown = list(dict.fromkeys(unknown))
        self.classes = tuple(classes)
        self.source = source
        super().__init__(
            f"every label must be one of the map's {len(classes)} classes ({brief(classes)}); "
            f"received {brief(self.unknown)} in {source}. {self._advice()}"
        )

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError would show its message in quotes

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is unpickled from its message alone, which would hide it from `repeat`.
        return type(self), (self.unknown, self.classes, self.source)

    def _advice(self) -> str:
        kinds = {type(name) for name in self.unknown}
        if kinds == {int} and isinstance(self.classes[0], str):
            return (
                "The classes are names and these are integers: if they are indices already, do "
                "not encode them again; if they are raw labels, build the map from integers."
            )
        if kinds == {str} and isinstance(self.classes[0], int):
            return "The classes are integers and these are strings: convert them with int()."
        near = [
            f"{name!r} for {group[0]!r}"
            for name in self.unknown
            for group in look_alikes([*self.classes, name])
            if name in group[1:]
        ]
        if near:
            return (
                f"Only case, spaces or the form of Unicode set apart {brief(near, quote=False)}: "
                "rename one of them."
            )
        return (
            "Drop those items (LabelledImages.only), or build the map from all classes: "
            "LabelMap(classes of every split together)."
        )


def look_alikes(names: Iterable[Hashable]) -> list[list[str]]:
    """Return the groups of names that differ only in case, spaces or the form of Unicode.

    Folders copied between systems come apart that way: "Owl" and "owl", or an accent that one
    system stores as a letter of its own. Integers have no such form and are left out.

    >>> look_alikes(["owl", "cat", "Owl ", 3])
    [['owl', 'Owl ']]
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        if isinstance(name, str):
            folded = unicodedata.normalize("NFKC", name).casefold()
            groups["".join(folded.split())].append(name)
    return [group for group in groups.values() if len(group) > 1]


def checked_classes(classes: Any) -> tuple[ClassName, ...]:
    """Return the names of classes as a tuple, after the checks that `LabelMap` promises.

    >>> checked_classes(["owl", "cat"])
    ('owl', 'cat')
    >>> checked_classes({"owl": 1, "cat": 0})
    ('cat', 'owl')
    """
    if isinstance(classes, Mapping):
        names = _by_index(classes)
    else:
        names = tuple(listed_names(classes, what="classes", ordered=True))
    if not names:
        raise ValueError("a label map needs at least one class; received none. Pass the names.")
    kinds = {type(name) for name in names}
    if not kinds <= {str, int}:
        raise TypeError(
            "class names must be strings or integers; received "
            f"{brief(sorted(kind.__name__ for kind in kinds - {str, int}))}. Convert them."
        )
    if len(kinds) > 1:
        raise ValueError(
            f"class names must be all strings or all integers; received {brief(names)}. "
            "'3' and 3 are different classes: choose one form."
        )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"each class must be named once; {brief(repeated)} occurs more than once. "
            "Remove the duplicates, or rename classes that only share a name."
        )
    return names


def checked_ignore(ignore: Any, index: int, classes: Sequence[ClassName]) -> ClassName | None:
    """Return the plain raw label that is ignored, after the checks that `LabelMap` promises.

    >>> import numpy as np
    >>> checked_ignore(np.uint8(255), -100, (10, 20))
    255
    """
    label: ClassName | None = plain(ignore)
    if label is not None and type(label) not in (str, int):
        raise TypeError(f"ignore is one raw label, a string or an integer; received {ignore!r}.")
    if label in classes:
        raise ValueError(
            f"a label is a class or ignored, not both; received {label!r} as both. "
            "Leave it out of the classes."
        )
    if type(plain(index)) is not int or index >= 0:
        raise ValueError(
            f"ignore_index must be a negative integer, so that it is no index; received {index!r}. "
            "Use -100, which cross-entropy leaves out."
        )
    return label


def _by_index(mapping: Mapping[Any, Any]) -> tuple[Any, ...]:
    """Return the names in a mapping from name to index, or from index to name, by index."""
    pairs = [(plain(name), plain(index)) for name, index in mapping.items()]
    if pairs and all(type(name) is int and type(index) is str for name, index in pairs):
        pairs = [(name, index) for index, name in pairs]  # as a Hugging Face model's id2label
    indices = [index for _, index in pairs]
    if not all(type(index) is int for index in indices):
        raise TypeError(
            "a mapping of classes goes from name to index, or from index to name; received "
            f"{brief(list(mapping.items()))}. Pass class_to_idx of an ImageFolder, say."
        )
    twice = [index for index, count in Counter(indices).items() if count > 1]
    absent = sorted({*range(len(indices))} - {*indices})
    if twice or absent:
        wrong = [f"{index} twice or more" for index in sorted(twice)]
        wrong += [f"no {index}" for index in absent]
        outside = sorted(index for index in {*indices} if not 0 <= index < len(indices))
        wrong += [f"{index}, which is outside" for index in outside]
        raise ValueError(
            f"{len(indices)} classes have the indices 0 … {len(indices) - 1}, each once; received "
            f"{brief(wrong, quote=False)}. Give each class an index of its own, without gaps."
        )
    _refuse_two_readings(dict(pairs))
    return tuple(name for name, _ in sorted(pairs, key=lambda pair: pair[1]))


def _refuse_two_readings(index: dict[Any, int]) -> None:
    """Raise where keys and values may both be the indices, and that would make two maps."""
    keys, places = sorted(index, key=lambda name: index[name]), range(len(index))
    if {*index} == {*places} and keys != [index[place] for place in places]:
        raise ValueError(
            "a mapping of whole numbers must say which of them are the indices; received "
            f"{brief(list(index.items()))}, which may be read both ways. Pass the classes in the "
            f"order of their indices: sorted(mapping, key=mapping.get), {brief(keys)}, where the "
            "keys are classes, or [mapping[index] for index in range(len(mapping))], "
            f"{brief([index[place] for place in places])}, where they are indices."
        )
