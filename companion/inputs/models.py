"""What a model is asked before it is used: where it is, in what it computes, what may change."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from companion.inputs.numbers import refuse_without_values


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the model's first parameter or buffer, the CPU where it has none.

    >>> device_of(nn.Linear(2, 2))
    device(type='cpu')
    """
    for tensor in chain(model.parameters(), model.buffers()):
        return tensor.device
    return torch.device("cpu")


def dtype_of(model: nn.Module) -> torch.dtype:
    """Return the floating-point type that the model computes in, float32 where it has none.

    >>> dtype_of(nn.Linear(2, 2).double())
    torch.float64
    """
    for tensor in chain(model.parameters(), model.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.float32


def refuse_lazy(model: nn.Module) -> None:
    """Raise `TypeError` for a model with layers that have no shape yet.

    >>> refuse_lazy(nn.Linear(2, 2))
    """
    lazy = [name for name, tensor in _tensors(model) if is_lazy(tensor)]
    if lazy:
        raise TypeError(
            f"a model's layers need their shapes; {lazy[0]!r} is lazy and has none yet. Run a "
            "batch through the model first."
        )


def refuse_unready(model: nn.Module) -> None:
    """Raise `TypeError` for a model with layers that have no shape yet, or no values.

    A model on the meta device has a head that can be found and replaced, and cannot compute.

    >>> refuse_unready(nn.Linear(2, 2))
    """
    refuse_lazy(model)
    for name, tensor in _tensors(model):
        refuse_without_values(tensor, f"a model's weights, {name!r} among them,")


def _tensors(model: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def trainable_parameters(model: nn.Module, purpose: str) -> list[nn.Parameter]:
    """Return the parameters that may change, each once; `purpose` is what needs them.

    Raises `ValueError` where every parameter is frozen, `TypeError` for a model without shapes
    or values.

    >>> len(trainable_parameters(nn.Linear(2, 2), "training"))
    2
    """
    refuse_unready(model)
    found = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not found:
        raise ValueError(
            f"{purpose} needs a parameter that may change; every one is frozen. Thaw a part: "
            "unfreeze(model.head), with everything=True where freeze has not frozen it."
        )
    return found
