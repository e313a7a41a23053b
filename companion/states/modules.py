"""What a module holds: modes, frozen flags, weights and buffers, gradients."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Put every module back into its own train/eval mode after the block.

    Each module's mode is kept on its own, so that a BatchNorm that was frozen stays frozen.

    >>> model = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    >>> with modes_kept(model):
    ...     _ = model.train()
    >>> [part.training for part in model]
    [True, False]
    """
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every module into evaluation mode without gradients, and back into its own mode after.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    >>> with evaluating(model):
    ...     model.training
    False
    >>> model.training
    True
    """
    with modes_kept(model), torch.no_grad():
        model.eval()
        yield


@contextmanager
def frozen_flags_kept(model: nn.Module) -> Iterator[None]:
    """Give every parameter its own `requires_grad` back after the block.

    >>> layer = nn.Linear(2, 2)
    >>> with frozen_flags_kept(layer):
    ...     _ = layer.requires_grad_(False)
    >>> layer.weight.requires_grad
    True
    """
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


class Weights:
    """A copy of all that a module computes with: parameters, buffers, extra state.

    Buffers are copied that are in no `state_dict` too. `restore` writes the copy into the very
    tensors that the module had when the copy was made, on the device they were on, so that an
    optimiser, or anybody who holds one, still holds it. It needs no `load_state_dict`, which some
    modules override, and which some buffers do not survive.

    Raises `TypeError` for a lazy model, which cannot be what it was once it has run.

    >>> layer = nn.Linear(2, 2)
    >>> before = Weights(layer)
    >>> _ = nn.init.zeros_(layer.weight)
    >>> before.restore()
    >>> bool((layer.weight != 0).any())
    True
    """

    def __init__(self, model: nn.Module) -> None:
        tensors = [*model.named_parameters(), *model.named_buffers()]
        lazy = [name for name, tensor in tensors if is_lazy(tensor)]
        if lazy:
            raise TypeError(
                f"weights can be kept once they have a shape; {lazy[0]!r} is lazy and has none "
                "yet. Run a batch through the model first."
            )
        self.places = [
            (module._parameters, name, parameter)
            for module in model.modules()
            for name, parameter in module._parameters.items()
        ]
        parameters = [(p, p.data) for p in model.parameters()]
        self.parameters = [(p, data, data.clone()) for p, data in parameters]
        self.buffers = [
            (module, name, buffer, buffer.clone())
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        self.extra = [(m, copy.deepcopy(m.get_extra_state())) for m in _with_extra_state(model)]

    def restore(self) -> None:
        """Write the copy back."""
        with torch.no_grad():
            for parameter, data, values in self.parameters:
                _write(data, values)
                parameter.data = data
            for held, name, own in self.places:
                if name in held:  # another may have been assigned
                    held[name] = own
            for module, name, buffer, values in self.buffers:
                _write(buffer, values)
                module._buffers[name] = buffer
        for module, state in self.extra:
            module.set_extra_state(copy.deepcopy(state))


def _write(target: Tensor, values: Tensor) -> None:
    """Write values into a tensor that has others; some, such as expanded ones, refuse any."""
    if not torch.equal(target, values):
        target.copy_(values)


def _with_extra_state(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that can give a state of their own and take it back."""
    for module in model.modules():
        kind = type(module)
        gives = kind.get_extra_state is not nn.Module.get_extra_state
        if gives and kind.set_extra_state is not nn.Module.set_extra_state:
            yield module


@contextmanager
def weights_kept(model: nn.Module, *, on_error_only: bool = False) -> Iterator[None]:
    """Restore parameters, buffers and extra state after the block, and where they were.

    With `on_error_only` they stay as the block left them, unless it raised. An interruption is
    an error too.

    >>> layer = nn.Linear(2, 2)
    >>> with weights_kept(layer):
    ...     _ = nn.init.zeros_(layer.weight)
    >>> bool((layer.weight != 0).any())
    True
    """
    before, stays = Weights(model), False
    try:
        yield
        stays = on_error_only
    finally:
        if not stays:
            before.restore()


@contextmanager
def gradients_kept(parameters: Iterable[Tensor]) -> Iterator[None]:
    """Give parameters their own gradients back after the block, the same tensors and values.

    >>> layer = nn.Linear(2, 2)
    >>> with gradients_kept(layer.parameters()):
    ...     layer(torch.ones(1, 2)).sum().backward()
    >>> layer.weight.grad is None
    True
    """
    held: list[tuple[Tensor, Tensor | None, Any]] = [
        (p, p.grad, None if p.grad is None else (p.grad.data, p.grad.detach().clone()))
        for p in parameters
    ]
    try:
        yield
    finally:
        for parameter, gradient, kept in held:
            if gradient is not None:
                data, values = kept
                data.copy_(values)
                gradient.data = data  # it may have gone along to another device
            parameter.grad = gradient
