"""Networks of one structure with their weights stacked, so that one call computes them all."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from companion.inputs import (
    dtype_of,
    logits_of,
    refusals_explained,
    refuse_unready,
    trainable_parameters,
)
from companion.replicas.chains import chain_of, forward


class Stack:
    """The weights of R networks of one structure, along a leading dimension.

    The trainable weights are one matrix `weights` (R, parameters of one network), so that an
    optimiser's step is a few operations however many layers there are; `parameters` are views
    of it, by name. Frozen weights and buffers are stacked as they are.
    """

    def __init__(self, models: Sequence[nn.Module], device: torch.device) -> None:
        _check_alike(models)
        self.template = copy.deepcopy(models[0]).to(device)
        parameters, buffers = stack_module_state(list(models))
        trainable = [name for name, p in models[0].named_parameters() if p.requires_grad]
        shapes = {name: parameters[name].shape for name in trainable}
        flat = [parameters[name].detach().flatten(1) for name in trainable]
        self.weights = torch.cat(flat, 1).to(device)
        self.slopes = torch.zeros_like(self.weights)  # where an optimiser finds its gradients
        self.sizes = [values.shape[1] for values in flat]
        self.parameters = {
            name: columns.view(shapes[name]).detach().requires_grad_()
            for name, columns in zip(trainable, self.weights.split(self.sizes, 1), strict=True)
        }
        self.frozen = {
            name: values.detach().to(device)
            for name, values in parameters.items()
            if name not in shapes
        }
        names = list(self.template.named_parameters(remove_duplicate=False))
        tied = len(names) > len(self.parameters) + len(self.frozen)
        chain = None if tied else chain_of(self.template)
        self.chain = chain if chain and isinstance(chain[0][1], nn.Flatten) else None
        self.places = _places(self.template)
        self.buffers = {name: values.to(device) for name, values in buffers.items()}
        self.finite_buffers = [
            name for name, values in self.buffers.items() if bool(torch.isfinite(values).all())
        ]
        self.dtype = dtype_of(self.template)

    def __len__(self) -> int:
        return len(self.weights)

    def forward(self, images: Tensor, *, shared: bool = False) -> Tensor:
        """Return logits (R, N, classes); `images` are (R, N, …), or (N, …) where `shared`.

        What a network returns is read by `logits_of`, whose errors are raised.
        """
        weights = self.parameters | self.frozen
        if self.chain is not None:
            batch = images.expand(len(self), *images.shape) if shared else images
            return forward(self.chain, weights, batch)

        def one(own: dict[str, Tensor], batch: Tensor) -> Tensor:
            output = functional_call(self.template, own, (batch,), tie_weights=False)
            return logits_of(output, rows=len(batch))

        everything = weights | self.buffers
        own = {place: everything[name] for place, name in self.places.items()}
        with refusals_explained(images):
            return vmap(one, in_dims=(0, None if shared else 0))(own, images)

    def gradients(self, losses: Tensor) -> Tensor:
        """Write the gradient of each network's own loss into `slopes`, and return them.

        The sum of the losses has, for each network's weights, the gradient of its own loss.
        """
        wanted = list(self.parameters.values())
        found = torch.autograd.grad(losses.sum(), wanted, allow_unused=True)
        idle = [n for n, gradient in zip(self.parameters, found, strict=True) if gradient is None]
        if idle:
            # An optimiser leaves them as they are, and the matrix has no place for that.
            raise ValueError(
                f"the loss must depend on every weight that may change; {', '.join(idle)} had no "
                "part in it. Freeze them: requires_grad_(False)."
            )
        return torch.cat([gradient.flatten(1) for gradient in found], 1, out=self.slopes)

    def tensors(self) -> dict[str, Tensor]:
        """Return all that the networks are made of, by name, stacked."""
        held = self.parameters | self.frozen | self.buffers
        return {name: values.detach() for name, values in held.items()}

    def snapshot(self) -> list[Tensor]:
        """Return a copy of everything that training changes."""
        return [self.weights.clone(), *(values.clone() for values in self.buffers.values())]

    def restore(self, kept: list[Tensor]) -> None:
        """Put back what a snapshot holds."""
        for values, before in zip([self.weights, *self.buffers.values()], kept, strict=True):
            values.copy_(before)

    def finite(self) -> Tensor:
        """Return for each network whether all that training changes is finite.

        A buffer that was not finite from the start, a mask of −inf say, tells nothing.
        """
        everything = [self.weights, *(self.buffers[name] for name in self.finite_buffers)]
        return torch.stack([torch.isfinite(v).view(len(self), -1).all(1) for v in everything]).all(
            0
        )

    def network(self, row: int) -> nn.Module:
        """Return one of the networks, as a module of its own."""
        model = copy.deepcopy(self.template)
        with torch.no_grad():
            own = dict(model.named_parameters()) | dict(model.named_buffers())
            for name, values in (self.parameters | self.frozen | self.buffers).items():
                own[name].copy_(values[row])
        return model


def _places(model: nn.Module) -> dict[str, str]:
    """Return every place in a network that holds a tensor, and the name that the tensor goes by.

    Tied weights have a place in each module that shares them. `functional_call` would tie them
    itself, and leave a module behind broken that stands in a network twice.
    """
    names = {id(values): name for name, values in _tensors(model)}
    return {
        f"{path}.{part}" if path else part: names[id(values)]
        for path, module in model.named_modules()
        for part, values in (*module._parameters.items(), *module._buffers.items())
        if values is not None
    }


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _hooked_backward(model: nn.Module) -> Iterator[str]:
    for name, module in model.named_modules():
        if module._backward_hooks or module._backward_pre_hooks:
            yield name or "the network"
    for name, values in model.named_parameters():
        if values._backward_hooks or values._post_accumulate_grad_hooks:
            yield name


def _check_alike(models: Sequence[nn.Module]) -> None:
    """Raise `ValueError` for networks that cannot be computed as one."""
    for model in models:
        refuse_unready(model)
    described = [
        (
            [type(module) for module in m.modules()],
            str(m),  # the settings of its layers as well
            {name: (values.shape, values.requires_grad) for name, values in _tensors(m)},
        )
        for m in models
    ]
    if any(each != described[0] for each in described):
        raise ValueError(
            "replicas need networks of one structure; build returns other layers, names, shapes "
            "or frozen parts for some seeds. Let the seed decide on initial weights alone."
        )
    trainable_parameters(models[0], "training")
    hooked = [name for m in models for name in _hooked_backward(m)]
    if hooked:
        raise ValueError(
            "replicas must be what fit makes of the same seed, and hooks on gradients are not "
            f"called when networks are computed together; received one on {hooked[0]}. Remove it, "
            "or call fit for each seed, over processes with repeat."
        )
    dropping = [
        name
        for name, module in models[0].named_modules()
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0
    ]
    if dropping:
        raise ValueError(
            "replicas must be what fit makes of the same seed, and dropout draws in another order "
            f"when networks are computed together; received dropout in {', '.join(dropping)}. "
            "Build without it, or call fit for each seed, over processes with repeat."
        )
