"""The largest curvature of the loss, which says how long a step may be."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.datasets import LabelledImages
from companion.inputs import device_of, trainable_parameters
from companion.states import evaluating
from companion.training import Loss


def sharpness(
    model: nn.Module,
    data: LabelledImages,
    *,
    loss: Loss = F.cross_entropy,
    iterations: int = 200,
    tolerance: float = 1e-3,
    batch_size: int = 1024,
    seed: int = 0,
) -> float:
    """Return the largest eigenvalue of the Hessian of the mean loss over all of `data`.

    Power iteration on Hessian-vector products (Pearlmutter, "Fast exact multiplication by the
    Hessian", Neural Computation 1994), from a vector drawn from `seed`, until the value changes
    by less than `tolerance` of itself, or for `iterations`. Where the eigenvalue of largest size
    is negative, the iteration is repeated from there for the largest. The Hessian is that of the
    trainable parameters, in evaluation mode; `loss` is a mean over the batch. Full-batch gradient
    descent on a quadratic diverges above 2 / sharpness, and at the current weights of any other
    loss that is where it stops going down.

    Nothing is mutated: weights, gradients, modes and the global random state stay. Raises
    `ValueError` for a model without trainable parameters and for a curvature that is not finite.

    >>> from companion import digits, linear
    >>> round(sharpness(linear(10, inputs=64, seed=0), digits()), 1) > 0
    True
    """
    parameters = trainable_parameters(model, "sharpness")
    device = device_of(model) or torch.device("cpu")
    data = data.to(device)

    def curvature(direction: Tensor) -> Tensor:
        """Return the Hessian times a direction (P,), averaged over the images."""
        total = torch.zeros_like(direction)
        for rows in torch.arange(len(data), device=device).split(batch_size):
            with torch.enable_grad():
                value = loss(model(data.images[rows]), data.labels[rows])
                slopes = torch.autograd.grad(
                    value, parameters, create_graph=True, materialize_grads=True
                )
                along = _flat(slopes) @ direction
                if not along.requires_grad:  # a loss that is linear in the weights
                    continue
                products = torch.autograd.grad(along, parameters, materialize_grads=True)
            total += _flat(products) * (len(rows) / len(data))
        return total

    start = torch.randn(
        sum(p.numel() for p in parameters), generator=torch.Generator().manual_seed(seed)
    ).to(parameters[0])
    with evaluating(model):
        largest, size = _dominant(curvature, start, iterations, tolerance)
        if largest >= (1 - tolerance) * size:
            return largest
        shifted, _ = _dominant(lambda v: curvature(v) + size * v, start, iterations, tolerance)
        return max(largest, shifted - size)  # neither exceeds the eigenvalue


def _flat(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])


def _dominant(
    apply: Callable[[Tensor], Tensor], direction: Tensor, iterations: int, tolerance: float
) -> tuple[float, float]:
    """Return the eigenvalue of largest size of a symmetric operator, and that size.

    Where λ and −λ are both eigenvalues the first of these lies between them.
    """
    direction = direction / direction.norm()
    found = size = 0.0
    for _ in range(iterations):
        image = apply(direction)
        before, found, size = found, float(direction @ image), float(image.norm())
        if not math.isfinite(size):
            raise ValueError(
                f"the curvature must be finite; received {size}. Look for NaN in weights and "
                "images."
            )
        if size == 0 or abs(found - before) < tolerance * abs(found):
            break
        direction = image / size
    return found, size
