"""Labels encoded one at a time, as a data set's `target_transform` is asked to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from companion.inputs import ClassName, plain
from companion.labels.names import UnknownLabelError


@dataclass(frozen=True)
class Encoder:
    """Turns one label into its index: a `target_transform` that workers can be sent.

    `indices` has the index of each label that may come; `LabelMap.encoder` makes it.
    Called with another it raises `UnknownLabelError`, and `TypeError` for what is no label.

    >>> Encoder({"cat": 0, "dog": 1})("dog")
    1
    """

    indices: dict[ClassName, int]

    def __call__(self, label: Any) -> int:
        """Return the label's index, a Python integer, which a loader collates to int64."""
        name = plain(label)
        if type(name) not in (str, int):
            raise TypeError(
                f"a label to encode is one string or integer; received {label!r}. Pass a data "
                "set's labels one by one, or encode many with LabelMap.encode."
            )
        if name not in self.indices:
            raise UnknownLabelError([name], tuple(self.indices), "what the data set gave")
        return self.indices[name]
