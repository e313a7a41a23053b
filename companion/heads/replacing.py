"""A new head in the place of the old one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, TypeVar

from torch import Tensor, nn

from companion.heads.classes import write_classes
from companion.heads.finding import Head, find_head
from companion.heads.layers import Layer, unwrapped
from companion.heads.tracing import check_width, output_width
from companion.inputs import whole_number
from companion.labels import LabelMap
from companion.states import seeded

Model = TypeVar("Model", bound=nn.Module)
Factory = Callable[[int, int], nn.Module]
BUILT_IN: dict[str, Callable[[int], list[int]]] = {  # widths of the hidden layers
    "linear": lambda features: [],
    "bottleneck": lambda features: [max(1, features // 2)],
    "mlp": lambda features: [2 * features, features],
}


def replace_head(
    model: Model,
    num_classes: int | LabelMap,
    *,
    head: str | Factory = "linear",
    name: str | None = None,
    images: Tensor | Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Model:
    """Give a network a new head, in place, and return the network.

    `num_classes` is a number, or the `LabelMap` of the new classes, whose names then go into the
    configuration of a Hugging Face model. `head` is "linear"; "bottleneck", which goes through
    half as many features; "mlp", with two hidden layers of twice and once as many, all with ReLU
    between them; or a function of (in_features, num_classes) to a module, which is tried on a few
    features. `name` and `images` say where the old head is, as in `find_head`; with `images` the
    new width is verified by a forward pass of the whole. Heads that answer together with the main
    one get the same kind, auxiliary heads a linear one of the new width.

    Mutated: the model, which gets new modules for its heads, initialised from `seed`, on the
    device and with the dtype, the train/eval mode and the bias of the old ones, and what it says
    of its classes: the attributes `num_classes` and `num_labels`, also of modules around the
    head, and `config.id2label` and `label2id`, where they are. All other parameters and buffers
    stay the same objects. The global random state stays. After an error the model is as before.
    An optimiser made before still holds the old head: make it after.

    Raises `ValueError` for a number of classes below one, an unknown head and an output of
    another width, `TypeError` for one that is no integer, and the errors of `find_head`.

    >>> import torchvision
    >>> model = replace_head(torchvision.models.resnet18(), 10)
    >>> model.fc
    Linear(in_features=512, out_features=10, bias=True)
    """
    label_map = num_classes if isinstance(num_classes, LabelMap) else None
    classes = len(label_map) if label_map else _count(num_classes)
    if not callable(head) and head not in BUILT_IN:
        raise ValueError(
            f"head must be one of {', '.join(BUILT_IN)}, or a function of (in_features, "
            f"num_classes); received {head!r}."
        )
    found = find_head(model, name=name, images=images)
    if not found.name.removeprefix(unwrapped(model)[1]):
        raise ValueError(
            "a layer that is the whole model has no place in it; assign the new layer yourself."
        )
    main = (found.name, *found.beside)
    places = {each: find_head(model, name=each) for each in (*main, *found.auxiliary)}
    with seeded(seed):
        new = {
            each: _new_head(place, classes, head if each in main else "linear")
            for each, place in places.items()
        }
    if callable(head) and images is None:
        for each in main:
            check_width(new[each], places[each].layer, classes)
    swap(model, new, found.num_classes, classes, images, label_map)
    return model


def swap(
    model: nn.Module,
    new: dict[str, nn.Module],
    before: int,
    num_classes: int,
    images: Tensor | Mapping[str, Any] | None = None,
    label_map: LabelMap | None = None,
) -> None:
    """Put modules in the places named, verify the width, and undo all of it after an error.

    What the model says of its classes goes along, from `before` to `num_classes` of them.

    >>> model = nn.Sequential(nn.Linear(4, 2))
    >>> swap(model, {"0": nn.Linear(4, 3)}, 2, 3)
    >>> model[0].out_features
    3
    """
    inner, prefix = unwrapped(model)
    old = {name: model.get_submodule(name) for name in new}
    try:
        for name, module in new.items():
            _exchange(model, old[name], module)
        if images is not None:
            outputs = output_width(model, images)
            if outputs != num_classes:
                raise ValueError(
                    f"the new head must make {num_classes} outputs; the model has {outputs}. "
                    f"{', '.join(map(repr, new))} is not what makes them: name the head, or look "
                    "at the function that builds it."
                )
        places = [name.removeprefix(prefix) for name in new]
        write_classes(inner, places, before, num_classes, label_map)
    except BaseException:
        for name, module in new.items():
            _exchange(model, module, old[name])
        raise


def _count(num_classes: Any) -> int:
    advice = "Pass len(classes), or the LabelMap."
    return whole_number(num_classes, "num_classes", advice=advice)


def _new_head(old: Head, num_classes: int, head: str | Factory) -> nn.Module:
    """Return a module that reads what the old head read, with its device, dtype and mode."""
    if callable(head):
        new = head(old.in_features, num_classes)
        if not isinstance(new, nn.Module):
            raise TypeError(
                f"a head's function returns a torch.nn.Module; received {type(new).__name__}."
            )
        weight = old.layer.weight
        return new.to(device=weight.device, dtype=weight.dtype).train(old.layer.training)
    hidden = BUILT_IN[head](old.in_features)
    if not hidden:
        return layer_like(old.layer, old.in_features, num_classes)
    layers: list[nn.Module] = []
    for before, after in pairwise([old.in_features, *hidden]):
        layers += [layer_like(old.layer, before, after, inner=True), nn.ReLU()]
    last = layer_like(old.layer, hidden[-1], num_classes)
    return nn.Sequential(*layers, last).train(old.layer.training)


def layer_like(old: Layer, before: int, after: int, *, inner: bool = False) -> nn.Module:
    """Return a layer of the kind, device, dtype, mode and bias of another, with new sizes.

    An `inner` convolution is 1×1, and an inner layer always has a bias.

    >>> layer_like(nn.Linear(4, 2, bias=False), 4, 3)
    Linear(in_features=4, out_features=3, bias=False)
    """
    bias = inner or old.bias is not None
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(before, after, bias=bias)
    elif inner:
        new = nn.Conv2d(before, after, 1)
    else:
        shape: dict[str, Any] = {
            name: getattr(old, name)
            for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
        }
        new = nn.Conv2d(before, after, bias=bias, **shape)
    return new.to(device=old.weight.device, dtype=old.weight.dtype).train(old.training)


def _exchange(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module in every place of another, as one module may have several names."""
    for parent in list(model.modules()):
        # named_children would give it once, under its first name.
        for name, child in list(parent._modules.items()):
            if child is old:
                setattr(parent, name, new)
