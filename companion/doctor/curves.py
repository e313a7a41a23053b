"""The curves of a run, as somebody recorded them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from companion.doctor.pipeline import Pipeline
from companion.doctor.words import NotRunError


def curves_of(pipeline: Pipeline) -> dict[str, list[float | None]]:
    """Return the curves of `history=` by their names.

    That is a `History`, a dict of lists, or a list of dicts, one for each epoch.

    >>> curves_of(Pipeline(history={"loss": [2.0, 1.0]}))
    {'loss': [2.0, 1.0]}
    """
    given = pipeline["history"]
    if is_dataclass(given) and hasattr(given, "epochs"):
        epochs: list[Any] = list(given.epochs)
        if not epochs:
            raise NotRunError("the history has no epoch")
        return {f.name: [getattr(each, f.name) for each in epochs] for f in fields(epochs[0])}
    if isinstance(given, Mapping):
        return {
            str(name): [None if value is None else float(value) for value in values]
            for name, values in given.items()
            if isinstance(values, list | tuple) or hasattr(values, "tolist")
        }
    if isinstance(given, list) and given and all(isinstance(each, Mapping) for each in given):
        return {str(name): [each.get(name) for each in given] for name in given[0]}
    raise NotRunError(f"history= is a History or a dict of curves; received {type(given).__name__}")


def curve_like(curves: Mapping[str, list[float | None]], *words: str) -> list[float] | None:
    """Return the first curve whose name has all of these words and no gap.

    >>> curve_like({"val_loss": [2.0], "val_acc": [0.5]}, "val", "acc")
    [0.5]
    """
    for name, values in curves.items():
        whole = [float(value) for value in values if value is not None]
        if all(word in name.casefold() for word in words) and len(whole) == len(values) > 0:
            return whole
    return None
