"""Where the classifier of a network is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from companion.heads.classes import classes_said
from companion.heads.layers import (
    AmbiguousHeadError,
    Layer,
    features_of,
    layers_of,
    unwrapped,
    width,
)
from companion.heads.tracing import layers_called
from companion.inputs import refuse_lazy

USUAL_NAMES = (
    *("head", "heads", "fc", "classifier", "last_linear", "output_layer", "predictions"),
    "cls_classifier",  # of a distilled DeiT in transformers
)
DISTILLED = re.compile(r"(^|_)dist(ill(ed|ation)?)?(_|$)")


@dataclass(frozen=True)
class Head:
    """A network's classifier: where it is, what it is, and the other ones.

    Those `beside` it answer together with it, as the two of a distilled DeiT; the `auxiliary`
    ones help in training alone, as in Inception.
    """

    name: str
    layer: Layer
    auxiliary: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def in_features(self) -> int:
        """The number of features it reads."""
        return features_of(self.layer)

    @property
    def num_classes(self) -> int:
        """The number of outputs."""
        return width(self.layer)


def find_head(
    model: nn.Module,
    *,
    name: str | None = None,
    images: Tensor | Mapping[str, Any] | None = None,
) -> Head:
    """Return the classifier of a network: the last linear layer, or last convolution, of its head.

    The head is what `name` names; else, with `images` (N, channels, height, width), the last
    layer called that is as wide as the output; else what timm's `get_classifier` gives; else the
    child with one of the usual names (head, fc, classifier, …); else the only or, in a plain
    sequence, the last linear layer. `images` may be a mapping of named arguments, and the output
    whatever holds logits. Where several heads answer together (distilled networks in timm and
    transformers, CrossViT), the first is `layer` and the rest are `beside` it. Auxiliary heads,
    as in Inception and GoogLeNet, are the last layers of children whose names begin with "aux",
    where they are as wide. The model is not changed; with `images` it runs once, in evaluation
    mode and without gradients.

    Raises `AmbiguousHeadError` where several layers or none qualify or `name` is none of the
    model's, and `TypeError` for a model that is compiled, distributed or quantised, or whose
    layers have no shape yet.

    >>> from companion import small_cnn
    >>> find_head(small_cnn(10, seed=0)).name
    'head'
    """
    inner, prefix = unwrapped(model)
    refuse_lazy(inner)
    layers = dict(layers_of(inner))
    guess: list[str] = []
    try:
        guess = _guessed(inner, layers)
    except AmbiguousHeadError:
        if name is None and images is None:
            raise
    if name is not None:
        place = _named(inner, layers, name.removeprefix(prefix))
    elif images is not None:
        place = layers_called(inner, layers, images)[-1]
        place = guess[0] if place in guess else place
    else:
        place = guess[0]
    beside = [each for each in guess if each != place and place in guess]
    layer = layers[place]
    last_of = {each.split(".")[0]: each for each in layers if each.lower().startswith("aux")}
    auxiliary = [
        each for each in last_of.values() if each != place and width(layers[each]) == width(layer)
    ]
    return Head(prefix + place, layer, *(tuple(prefix + n for n in x) for x in (auxiliary, beside)))


def _named(model: nn.Module, layers: dict[str, Layer], name: str) -> str:
    if name in layers:
        return name
    inside = [each for each in layers if name and each.startswith(f"{name}.")]
    if not inside:
        raise AmbiguousHeadError(f"{name!r} names no layer of the model", list(layers))
    return _last(model.get_submodule(name), inside, f"{name!r} holds several layers")


def _guessed(model: nn.Module, layers: dict[str, Layer]) -> list[str]:
    """Return the places of the heads that answer together, the main one first."""
    if not layers:
        raise AmbiguousHeadError("the model has no linear layer and no convolution", [])
    found = _of_timm(model, layers, model)
    if found:
        return found
    children = dict(model.named_children())
    usual = [
        name
        for name in USUAL_NAMES
        if name in children and any(_below(each, name) for each in layers)
    ]
    if len(usual) > 1:
        raise AmbiguousHeadError(f"it has {' and '.join(map(repr, usual))}", list(layers))
    if usual:
        inside = {each: layer for each, layer in layers.items() if _below(each, usual[0])}
        main = _in(children[usual[0]], inside, f"{usual[0]!r} holds several layers", model)
        return [*main, *_distilled(layers, main[0])]
    if callable(getattr(model, "get_classifier", None)):
        reason = "it was built without a classifier; model.reset_classifier(10) gives it one"
        raise AmbiguousHeadError(reason, [])
    wrapped = [found for child in children.values() if (found := _of_timm(child, layers, model))]
    if len(wrapped) == 1:
        return wrapped[0]
    linear = [name for name, layer in layers.items() if isinstance(layer, nn.Linear)]
    if len(linear) == 1:
        return linear
    reason = "no child has a usual name and several layers are there"
    return [_last(model, list(layers), reason)]


def _of_timm(module: nn.Module, layers: dict[str, Layer], model: nn.Module) -> list[str]:
    """Return the heads in what timm calls a model's classifier: a layer, a block, or several."""
    get_classifier = getattr(module, "get_classifier", None)
    found = get_classifier() if callable(get_classifier) else ()
    heads: list[str] = []
    for part in found if isinstance(found, tuple | list) else (found,):
        members = set(part.modules()) if isinstance(part, nn.Module) else set()
        inside = {name: layer for name, layer in layers.items() if layer in members}
        if inside:
            heads += _in(part, inside, "its classifier holds several layers", module)
    return heads


def _in(part: nn.Module, inside: dict[str, Layer], reason: str, model: nn.Module) -> list[str]:
    """Return the last layer of a part, or those that are as wide as the model says it answers."""
    try:
        return [_last(part, list(inside), reason)]
    except AmbiguousHeadError:
        classes = classes_said(model)
        wide = {name: layer for name, layer in inside.items() if width(layer) == classes}
        # Several side by side read something else than each other's answers.
        if not wide or (len(wide) > 1 and any(features_of(x) == classes for x in wide.values())):
            raise
        return list(wide)


def _distilled(layers: dict[str, Layer], main: str) -> list[str]:
    """Return the heads beside the main one whose names say that they learn from a teacher."""
    last_of: dict[str, str] = {}
    for name, layer in layers.items():
        parts = name.split(".")
        at = next((i for i, part in enumerate(parts) if DISTILLED.search(part.lower())), None)
        if at is not None and name != main and width(layer) == width(layers[main]):
            last_of[".".join(parts[: at + 1])] = name
    return list(last_of.values())


def _last(container: nn.Module, names: list[str], reason: str) -> str:
    """Return the last layer where the order is the order of computation, in sequences all down."""
    while not isinstance(container, nn.Linear | nn.Conv2d):
        filled = [c for c in container.children() if any(True for _ in layers_of(c))]
        in_order = getattr(type(container), "forward", None) is nn.Sequential.forward
        if len(filled) > 1 and not in_order:
            if len(names) == 1:
                break
            linear = [each for each in names if each]
            raise AmbiguousHeadError(reason, linear)
        container = filled[-1]
    return names[-1]


def _below(name: str, child: str) -> bool:
    return name == child or name.startswith(f"{child}.")
