"""A wider or narrower head that keeps what the old one knew, class by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from companion.heads.finding import find_head
from companion.heads.layers import Layer, unwrapped
from companion.heads.replacing import layer_like, swap
from companion.labels import LabelMap
from companion.states import seeded

Model = TypeVar("Model", bound=nn.Module)
NEW_ROWS = ("default", "zero", "mean")


def extend_head(
    model: Model,
    old_map: LabelMap,
    new_map: LabelMap,
    *,
    new_rows: str = "default",
    name: str | None = None,
    images: Tensor | Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Model:
    """Give a network a head for other classes, in place, keeping the rows of those that survive.

    The row (weights and bias) of each class in both maps moves to its new index, by name; rows of
    classes that are gone are dropped. Rows of new classes are initialised as `new_rows` says:
    "default" as PyTorch initialises a layer, from `seed`; "zero"; or "mean", the mean of all old
    rows, which makes a new class as likely as an average one. `name` and `images` as in
    `replace_head`, and so is what is mutated: among the classes that survive the network answers
    as before. Other heads are extended alike, and a Hugging Face configuration gets the names of
    `new_map`. Returns the model.

    Raises `ValueError` for a head that is not as wide as `old_map`, for maps that share no class
    and an unknown `new_rows`, and the errors of `find_head`.

    >>> from companion import small_cnn
    >>> model = small_cnn(2, seed=0)
    >>> kept = model.head.weight[1].clone()
    >>> old, new = LabelMap(["cat", "dog"]), LabelMap(["dog", "emu", "owl"])
    >>> bool((extend_head(model, old, new).head.weight[0] == kept).all())
    True
    """
    if new_rows not in NEW_ROWS:
        raise ValueError(f"new_rows must be one of {', '.join(NEW_ROWS)}; received {new_rows!r}.")
    found = find_head(model, name=name, images=images)
    if not found.name.removeprefix(unwrapped(model)[1]):
        raise ValueError("a layer that is the whole model has no place in it; wrap the model.")
    if found.num_classes != len(old_map):
        raise ValueError(
            f"old_map must name the head's {found.num_classes} outputs; it has {len(old_map)} "
            f"classes. {found.name!r} was taken for the head: name another, or pass its map."
        )
    # The new map's index of each old class, −1 for those that are gone.
    rows = new_map.align(old_map, missing=-1)
    places = (found.name, *found.beside, *found.auxiliary)
    layers = {each: find_head(model, name=each).layer for each in places}
    with seeded(seed):
        new = {
            each: _extended(layer, rows, len(new_map), new_rows) for each, layer in layers.items()
        }
    swap(model, new, len(old_map), len(new_map), images, new_map)
    return model


def _extended(old: Layer, places: Tensor, classes: int, new_rows: str) -> nn.Module:
    features = old.in_features if isinstance(old, nn.Linear) else old.in_channels
    if dict(old.named_parameters()).keys() - {"weight", "bias"}:
        raise TypeError(
            "a head with a parametrisation, such as a weight norm, has no plain rows to keep; "
            "remove it first: torch.nn.utils.parametrize.remove_parametrizations."
        )
    new = layer_like(old, features, classes)
    rows = (places >= 0).nonzero().flatten()
    with torch.no_grad():
        for name, values in old.named_parameters():
            target = new.get_parameter(name)
            if new_rows == "zero":
                target.zero_()
            elif new_rows == "mean":
                target.copy_(values.mean(0, keepdim=True).expand_as(target))
            target[places[rows].to(target.device)] = values[rows.to(values.device)]
    return new
