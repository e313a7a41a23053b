"""The layers that a head can be, and the models whose layers can be changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

Layer = nn.Linear | nn.Conv2d
"""What a head can be: a linear layer, or the 1×1 convolution that SqueezeNet ends with."""


class AmbiguousHeadError(ValueError):
    """A network that has several layers which could be its head, or none: which, and what to do."""

    def __init__(self, reason: str, candidates: Sequence[str]):
        self.candidates = tuple(candidates)
        named = ", ".join(repr(name) for name in candidates[-8:]) or "none"
        super().__init__(
            f"a head must be found without guessing; {reason}. Candidates: {named}. Name one, as "
            "in name='fc', or pass images=, a batch, to see which layer makes the output."
        )


def width(layer: Layer) -> int:
    """Return the number of outputs of a layer.

    >>> width(nn.Conv2d(3, 8, 1))
    8
    """
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def features_of(layer: Layer) -> int:
    """Return the number of features that a layer reads.

    >>> features_of(nn.Linear(4, 3))
    4
    """
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


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


def layers_of(model: nn.Module) -> Iterator[tuple[str, Layer]]:
    """Yield the linear and convolution layers, in the order in which they were registered.

    >>> [name for name, _ in layers_of(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))]
    ['0']
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            yield name, module


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
