"""Chains of fully connected layers, computed over all replicas without `vmap`'s overhead."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Identity)

Chain = list[tuple[str, nn.Module]]


def chain_of(model: nn.Module, name: str = "") -> Chain | None:
    """Return the layers of a chain that `forward` can compute, by name, or None for any other.

    A step of a small network is mostly overhead, and `vmap` adds some to each operation: without
    it, a step of sixteen networks of two layers takes two thirds of the time.

    >>> chain_of(nn.Sequential(nn.Linear(4, 2)))
    [('0', Linear(in_features=4, out_features=2, bias=True))]
    >>> chain_of(nn.Sequential(nn.BatchNorm1d(4))) is None
    True
    """
    if model._forward_hooks or model._forward_pre_hooks or "forward" in vars(model):
        return None
    if type(model) is nn.Sequential:
        chain: Chain = []
        # Not named_children, which names a module that stands twice only once.
        for part, module in zip(model._modules, model, strict=True):
            inner = chain_of(module, f"{name}.{part}" if name else part)
            if inner is None:
                return None
            chain += inner
        return chain
    whole = type(model) is nn.Flatten and (model.start_dim, model.end_dim) == (1, -1)
    # The exact type: a subclass may compute something else.
    return [(name, model)] if whole or type(model) in (nn.Linear, *ELEMENTWISE) else None


def forward(chain: Chain, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return logits (R, N, classes) of images (R, N, …) by weights stacked along R."""
    values = images
    for name, module in chain:
        if isinstance(module, nn.Linear):
            turned, bias = weights[f"{name}.weight"].transpose(1, 2), weights.get(f"{name}.bias")
            if bias is None:
                values = torch.bmm(values, turned)
            else:
                values = torch.baddbmm(bias[:, None], values, turned)
        else:
            values = values.flatten(2) if isinstance(module, nn.Flatten) else module(values)
    return values
