"""What a model says about its classes besides its head: how many, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import nn

from companion.labels import LabelMap

COUNTS = ("num_classes", "num_labels")  # timm's and torchvision's attribute, Hugging Face's


def classes_said(model: nn.Module) -> int | None:
    """Return the number of classes that a model says it has: timm's or Hugging Face's attribute.

    >>> classes_said(nn.Linear(2, 2)) is None
    True
    """
    for holder in (model, getattr(model, "config", None)):
        for name in COUNTS:
            said = getattr(holder, name, None)
            if type(said) is int and said > 0:
                return said
    return None


def write_classes(
    model: nn.Module, places: Iterable[str], before: int, now: int, names: LabelMap | None
) -> None:
    """Keep what a model says about its classes in step with new heads at some places.

    Mutated: integers `num_classes` and `num_labels` of the model, and of the modules around the
    places where they are `before`; and the names in a Hugging Face configuration, which are those
    of the map, or "LABEL_0", … as that library has it, since the old names are no longer true.
    After an error nothing is changed.

    >>> model = nn.Sequential(nn.Linear(2, 3))
    >>> model.num_classes = 2
    >>> write_classes(model, ["0"], 2, 3, None)
    >>> model.num_classes
    3
    """
    config = getattr(model, "config", None)
    if isinstance(getattr(config, "id2label", None), dict):
        called = [f"LABEL_{i}" for i in range(now)] if names is None else names.classes
        _write_names(config, [str(name) for name in called])
    for module in {model, *_around(model, places)}:
        for name in COUNTS:
            said = vars(module).get(name)
            if type(said) is int and (module is model or said == before):
                setattr(module, name, now)


def _around(model: nn.Module, places: Iterable[str]) -> Iterator[nn.Module]:
    for place in places:
        parts = place.split(".")
        for length in range(1, len(parts)):
            yield model.get_submodule(".".join(parts[:length]))


def _write_names(config: Any, names: Sequence[str]) -> None:
    new = {
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
        "label_names": list(names),  # these two stand in timm's own configurations
        "num_classes": len(names),
    }
    old = {name: vars(config)[name] for name in new if name in vars(config)}
    try:
        for name in old:
            setattr(config, name, new[name])
    except BaseException:
        for name, value in old.items():
            setattr(config, name, value)
        raise
