"""Inputs and labels in a loader's batch: pairs, longer tuples, dictionaries, named fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.inputs.calling import INPUT_NAMES
from companion.inputs.labels import integer_labels
from companion.inputs.names import brief
from companion.inputs.numbers import refuse_without_values

Selector = str | int | Callable[[Any], Any] | None
"""What of a batch is meant: a key, a position, a function of the batch, or None for the obvious."""

LABEL_NAMES = ("labels", "label", "targets", "target", "y")


@dataclass(frozen=True)
class BatchReader:
    """Takes inputs and labels out of a loader's batch.

    `inputs` and `labels` say where: a key or the name of a field, a position, or a function of
    the batch. Left out, the obvious is taken: the keys and fields that everybody uses ("images",
    "labels", …); the two elements of a pair; the first element of a longer tuple and the one
    integer tensor of shape (N,) behind it. Arrays become tensors.

    Raises, when called, `TypeError` for a batch of another form, for inputs that hold no tensor
    and for single items, `KeyError` for a key or position that is not there, `ValueError` where
    several elements could be meant, and the errors of `integer_labels`.

    >>> images, labels = torch.zeros(2, 4), torch.tensor([0, 1])
    >>> BatchReader()({"image": images, "label": labels})[1]
    tensor([0, 1])
    >>> BatchReader(labels=2)((images, torch.ones(2, 4), labels))[1]
    tensor([0, 1])
    """

    inputs: Selector = None
    labels: Selector = None

    def __call__(self, batch: Any) -> tuple[Any, Tensor]:
        """Return a batch's inputs as they are, and its labels as int64 (N,)."""
        labels = self.labels_of(batch)
        inputs = self.inputs_of(batch)
        if isinstance(inputs, Tensor) and len(inputs) != len(labels):
            raise ValueError(
                f"a batch has a label for each input; received {len(inputs)} inputs and "
                f"{len(labels)} labels. Say which is which: inputs=, labels=."
            )
        return inputs, labels

    def labels_of(self, batch: Any) -> Tensor:
        """Return a batch's labels as int64 (N,), whatever its inputs are."""
        found = self.labels_as_given(batch)
        if np.isscalar(found) or (isinstance(found, Tensor | np.ndarray) and found.ndim == 0):
            raise TypeError(
                f"a batch has labels of shape (N,); received the single label {found!r}. Items "
                "have to be collected into batches: DataLoader(…, batch_size=128)."
            )
        return integer_labels(found, what="the loader's labels")

    def inputs_of(self, batch: Any) -> Any:
        """Return a batch's inputs; a batch that is one tensor or array is all inputs."""
        fields = named_fields(batch)
        if self.inputs is not None:
            found = _selected(batch, self.inputs, "inputs")
        elif fields is not None and (isinstance(batch, Mapping) or _names_one(fields, INPUT_NAMES)):
            found = fields[_only_key(fields, INPUT_NAMES, "inputs")]
        elif isinstance(batch, tuple | list) and len(batch):
            found = batch[0]
        elif isinstance(batch, Tensor | np.ndarray):
            found = batch
        else:
            raise TypeError(
                "a batch is a tensor, a tuple (inputs, labels, …) or a dictionary; received "
                f"{type(batch).__name__}. Say what its inputs are: inputs=, a function of the "
                "batch."
            )
        return checked_inputs(found)

    def labels_as_given(self, batch: Any) -> Any:
        """Return a batch's labels in whatever form they are: one-hot rows, names, masks, anything.

        Raises `TypeError`, `KeyError` and `ValueError` where nothing says what the labels are.
        """
        fields = named_fields(batch)
        if self.labels is not None:
            return _selected(batch, self.labels, "labels")
        if fields is not None and (isinstance(batch, Mapping) or _names_one(fields, LABEL_NAMES)):
            return fields[_only_key(fields, LABEL_NAMES, "labels")]
        if isinstance(batch, tuple | list) and len(batch) == 2:
            return batch[1]
        if isinstance(batch, tuple | list) and len(batch) > 2:
            return batch[_only_likely(batch)]
        raise TypeError(
            "a batch is a tuple (inputs, labels, …) or a dictionary; received "
            f"{type(batch).__name__}{_length(batch)}. Say what its labels are: labels=, a "
            "function of the batch, or take them out with labels_of."
        )


def checked_inputs(inputs: Any) -> Any:
    """Return inputs with arrays as tensors; raise `TypeError` where there is no tensor in them.

    >>> checked_inputs(np.zeros((2, 3))).shape
    torch.Size([2, 3])
    """
    found = _as_tensor(inputs)
    if isinstance(found, Mapping):
        parts = [_as_tensor(value) for value in found.values()]
        found = dict(zip(found, parts, strict=True))
    elif type(found) in (tuple, list):
        found = parts = [_as_tensor(value) for value in found]
    else:
        parts = [found]
    for part in parts:
        refuse_without_values(part, "the inputs of a batch")
    # An object that can be moved to a device, such as a packed sequence, is taken as it is.
    if not any(isinstance(part, Tensor) or hasattr(part, "to") for part in parts):
        inner = f" of {type(parts[0]).__name__}" if parts and parts[0] is not found else ""
        raise TypeError(
            "the inputs of a batch are a tensor or an array (N, …), or a dictionary of such; "
            f"received {type(found).__name__}{inner}. Turn pictures into tensors in the data set, "
            "by a transform such as torchvision's ToTensor(), or say where the inputs are: inputs=."
        )
    return found


def named_fields(batch: Any) -> Mapping[Any, Any] | None:
    """Return the parts of a batch that has names for them, None for one that has not.

    >>> named_fields({"x": 1}), named_fields((1, 2))
    ({'x': 1}, None)
    """
    if isinstance(batch, Mapping):
        return batch
    if isinstance(batch, tuple) and hasattr(batch, "_asdict"):
        return batch._asdict()
    return vars(batch) if is_dataclass(batch) and not isinstance(batch, type) else None


def _as_tensor(values: Any) -> Any:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        return values
    # A copy that PyTorch takes: writable, in order, in this machine's byte order.
    return torch.from_numpy(np.array(values, dtype=values.dtype.newbyteorder("="), order="C"))


def _names_one(fields: Mapping[Any, Any], names: tuple[str, ...]) -> bool:
    return any(name in fields for name in names)


def _only_key(fields: Mapping[Any, Any], names: tuple[str, ...], what: str) -> str:
    there = [name for name in names if name in fields]
    beforehand = ", or take them out with labels_of" if what == "labels" else ""
    if len(there) != 1:
        found = f"several, {brief(there)}" if there else f"keys {brief(list(fields))}"
        raise KeyError(
            f"the {what} of a batch must be in one place: {brief(names)}; received {found}. "
            f"Say which: {what}=, a key or a function of the batch{beforehand}."
        )
    return there[0]


def _only_likely(batch: tuple[Any, ...] | list[Any]) -> int:
    likely = [place for place in range(1, len(batch)) if _may_be_labels(batch[place])]
    if len(likely) != 1:
        found = f"positions {likely}" if likely else "none"
        raise ValueError(
            f"one element of a batch of {len(batch)} must be its labels, integers of shape "
            f"(N,); received {found} that could be. Say which: labels=1, say, "
            "where that is taken, or pass the labels themselves: labels_of(data, labels=1)."
        )
    return likely[0]


def _may_be_labels(values: Any) -> bool:
    if isinstance(values, tuple | list):
        return bool(values) and all(type(value) is int for value in values)
    dtype, shape = getattr(values, "dtype", None), getattr(values, "shape", ())
    if dtype is None or len(shape) != 1:
        return False
    if isinstance(values, Tensor):
        floats = values.is_floating_point() or values.is_complex()
        return not floats and values.dtype != torch.bool
    return np.dtype(dtype).kind in "iu"


def _selected(batch: Any, selector: Selector, what: str) -> Any:
    if callable(selector):
        return selector(batch)
    fields = named_fields(batch)
    by_name = fields is not None and (isinstance(batch, Mapping) or isinstance(selector, str))
    try:
        return (fields if by_name else batch)[selector]  # type: ignore[index]
    except (KeyError, IndexError, TypeError) as error:
        there = f"keys {brief(list(fields))}" if fields is not None else _length(batch)
        raise KeyError(
            f"{what}={selector!r} must be in every batch; received {type(batch).__name__} "
            f"{there.strip()}. Name one that is there, or pass a function of the batch."
        ) from error


def _length(batch: Any) -> str:
    return f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
