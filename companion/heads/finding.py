"""Where the classifier of a network is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from companion.inputs import device_of
from companion.states import evaluating

Layer = nn.Linear | nn.Conv2d
"""What a head can be: a linear layer, or the 1×1 convolution that SqueezeNet ends with."""

USUAL_NAMES = ("head", "heads", "fc", "classifier", "last_linear", "output_layer", "predictions")


class AmbiguousHeadError(ValueError):
    """A network that has several layers which could be its head, or none: which, and what to do."""

    def __init__(self, reason: str, candidates: Sequence[str]):
        self.candidates = tuple(candidates)
        named = ", ".join(repr(name) for name in candidates[-8:]) or "none"
        super().__init__(
            f"a head must be found without guessing; {reason}. Candidates: {named}. Name one, as "
            "in name='fc', or pass images=, a batch, to see which layer makes the output."
        )


@dataclass(frozen=True)
class Head:
    """A network's classifier: where it is, what it is, and the auxiliary ones beside it."""

    name: str
    layer: Layer
    auxiliary: tuple[str, ...] = ()

    @property
    def in_features(self) -> int:
        """The number of features it reads."""
        return (
            self.layer.in_features
            if isinstance(self.layer, nn.Linear)
            else (self.layer.in_channels)
        )

    @property
    def num_classes(self) -> int:
        """The number of outputs."""
        return width(self.layer)


def find_head(model: nn.Module, *, name: str | None = None, images: Tensor | None = None) -> Head:
    """Return the classifier of a network: the last linear layer, or last convolution, of its head.

    The head is what `name` names; else, with `images` (N, channels, height, width), the last
    layer called that is as wide as the output; else what timm's `get_classifier` gives; else the
    child with one of the usual names (head, fc, classifier, …); else the only or, in a plain
    sequence, the last linear layer. Auxiliary heads, as in Inception and GoogLeNet, are the last
    layers of children whose names begin with "aux", where they are as wide. The model is not
    changed; with `images` it runs once, in evaluation mode and without gradients.

    Raises `AmbiguousHeadError` where several layers or none qualify or `name` is none of the
    model's, and `TypeError` for a model that is compiled, distributed or quantised, or whose
    layers have no shape yet.

    >>> from companion import small_cnn
    >>> find_head(small_cnn(10, seed=0)).name
    'head'
    """
    inner, prefix = unwrapped(model)
    layers = dict(_layers(inner))
    if name is not None:
        place = _named(inner, layers, name.removeprefix(prefix))
    elif images is not None:
        place = _traced(inner, layers, images)
    else:
        place = _guessed(inner, layers)
    layer = layers[place]
    last_of = {each.split(".")[0]: each for each in layers if each.lower().startswith("aux")}
    auxiliary = [
        each for each in last_of.values() if each != place and width(layers[each]) == width(layer)
    ]
    return Head(prefix + place, layer, tuple(prefix + each for each in auxiliary))


def width(layer: Layer) -> int:
    """Return the number of outputs of a layer.

    >>> width(nn.Conv2d(3, 8, 1))
    8
    """
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def unwrapped(model: nn.Module) -> tuple[nn.Module, str]:
    """Return the model inside a `DataParallel` and the prefix of its names; refuse other wrappers.

    >>> unwrapped(nn.DataParallel(nn.Linear(2, 2)))
    (Linear(in_features=2, out_features=2, bias=True), 'module.')
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"a model is a torch.nn.Module; received {type(model).__name__}.")
    kinds = {kind.__name__ for kind in type(model).__mro__}
    if hasattr(model, "_orig_mod"):
        raise TypeError("a compiled model keeps its old graph; change the head, then compile.")
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError("a scripted model cannot be changed; change the head, then script it.")
    laid_out = kinds & {"DistributedDataParallel", "FullyShardedDataParallel", "FSDPModule"}
    if laid_out:
        raise TypeError(
            f"a {laid_out.pop()} has laid out its gradients; change the head, then wrap it."
        )
    quantised = [n for n, m in model.named_modules() if ".quantized" in type(m).__module__]
    if quantised:
        raise TypeError(
            f"a quantised model has no trainable head; received {quantised[0]!r} quantised. "
            "Change the head of the float model, then quantise it."
        )
    if isinstance(model, nn.DataParallel):
        inner, prefix = unwrapped(model.module)
        return inner, f"module.{prefix}"
    return model, ""


def _layers(model: nn.Module) -> Iterator[tuple[str, Layer]]:
    """Yield the linear and convolution layers, in the order in which they were registered."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            if isinstance(module.weight, UninitializedParameter):
                raise TypeError(
                    f"layer {name!r} has no shape yet, as it is lazy; run a batch through the "
                    "model first."
                )
            yield name, module


def _named(model: nn.Module, layers: dict[str, Layer], name: str) -> str:
    if name in layers:
        return name
    inside = [each for each in layers if name and each.startswith(f"{name}.")]
    if not inside:
        raise AmbiguousHeadError(f"{name!r} names no layer of the model", list(layers))
    return _last(model.get_submodule(name), inside, f"{name!r} holds several layers")


def _guessed(model: nn.Module, layers: dict[str, Layer]) -> str:
    if not layers:
        raise AmbiguousHeadError("the model has no linear layer and no convolution", [])
    get_classifier = getattr(model, "get_classifier", None)
    if callable(get_classifier):  # timm
        found = get_classifier()
        for name, layer in layers.items():
            if layer is found:
                return name
    children = dict(model.named_children())
    usual = [
        name
        for name in USUAL_NAMES
        if name in children and any(_below(each, name) for each in layers)
    ]
    if len(usual) > 1:
        raise AmbiguousHeadError(f"it has {' and '.join(map(repr, usual))}", list(layers))
    if usual:
        inside = [each for each in layers if _below(each, usual[0])]
        return _last(children[usual[0]], inside, f"{usual[0]!r} holds several layers")
    linear = [name for name, layer in layers.items() if isinstance(layer, nn.Linear)]
    if len(linear) == 1:
        return linear[0]
    return _last(model, list(layers), "no child has a usual name and several layers are there")


def _last(container: nn.Module, names: list[str], reason: str) -> str:
    """Return the last layer where the order is the order of computation, in sequences all down."""
    while not isinstance(container, nn.Linear | nn.Conv2d):
        filled = [c for c in container.children() if any(True for _ in _layers(c))]
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


def _traced(model: nn.Module, layers: dict[str, Layer], images: Tensor) -> str:
    called: list[str] = []
    handles = [
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, layer in layers.items()
    ]
    try:
        outputs = output_width(model, images)
    finally:
        for handle in handles:
            handle.remove()
    wide = [name for name in called if width(layers[name]) == outputs]
    if not wide:
        raise AmbiguousHeadError(f"no layer that is called has the {outputs} outputs", called)
    return wide[-1]


def output_width(model: nn.Module, images: Tensor) -> int:
    """Return the number of outputs for a batch, in evaluation mode, which is undone after.

    Raises `ValueError` for an output that is not (N, classes).

    >>> output_width(nn.Linear(4, 3), torch.zeros(2, 4))
    3
    """
    device = device_of(model)
    # A forward pass may draw, and looking at a model must not move the random state.
    with torch.random.fork_rng([device] if device.type == "cuda" else []), evaluating(model):
        outputs = model(images.to(device))
    if not isinstance(outputs, Tensor) or outputs.dim() != 2:
        shown = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(
            f"a classifier returns logits of shape (N, classes); received {shown}. "
            "Flatten after the head."
        )
    return outputs.shape[1]


def check_names(model: nn.Module, names: Sequence[str], option: str) -> None:
    """Raise `ValueError` for names that are no submodules of a model.

    >>> check_names(nn.Sequential(nn.ReLU()), ["0"], "keep")
    """
    if isinstance(names, str):
        raise ValueError(f"{option} is a list of names; received the string {names!r}.")
    known = {name for name, _ in model.named_modules() if name}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"{option} names submodules; {unknown} are none of them. Those of the model begin "
            f"with {sorted({name.split('.')[0] for name in known})}."
        )
