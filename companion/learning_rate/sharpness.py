"""The largest curvature of the loss, which says how long a step may be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from companion.datasets import LabelledImages
from companion.inputs import (
    IGNORE_INDEX,
    BatchReader,
    Selector,
    batches,
    compute_logits,
    device_of,
    dtype_of,
    moved,
    trainable_parameters,
    whole_number,
)
from companion.learning_rate.reading import check_targets, checked_size
from companion.states import evaluating, loader_randomness_kept, own_randomness, reseed_loader
from companion.training import Loss, check_loss

ROUND, WIDEST = 10, 40  # dimensions of the space that a round of Lanczos' iteration searches
ANY = 1e30  # a tolerance that each round meets


class SharpnessNotFoundError(ArithmeticError):
    """An iteration that ended before its value was certain.

    `value` is what it had reached, a lower bound but for rounding; `residual` how far that is
    from an eigenvalue at most; `products` how many Hessian-vector products it took.
    """

    def __init__(self, value: float, residual: float, products: int, tolerance: float) -> None:
        super().__init__(
            f"sharpness must be certain to {tolerance:g} of the curvature; after {products} "
            f"products with the Hessian it is {value:.4g}, within {residual:.2g}. Pass more "
            "iterations or a larger tolerance; the error's .value is what was reached."
        )
        self.value, self.residual, self.products = value, residual, products


def sharpness(
    model: nn.Module,
    data: Any,
    *,
    loss: Loss = F.cross_entropy,
    iterations: int = 200,
    tolerance: float = 1e-3,
    batch_size: int | None = None,
    seed: int = 0,
    inputs: Selector = None,
    labels: Selector = None,
) -> float:
    """Return the largest eigenvalue of the Hessian of the mean loss over all of `data`.

    Lanczos' iteration (`scipy.sparse.linalg.eigsh`) on Hessian-vector products (Pearlmutter,
    "Fast exact multiplication by the Hessian", Neural Computation 1994), from a vector drawn from
    `seed`, until the value is within `tolerance` of an eigenvalue, as a share of the largest
    curvature in size; its error is about the square of that. `iterations` bounds the products;
    a dozen are usual. The Hessian is that of the trainable parameters, in evaluation mode; `loss`
    is a mean over the batch, and batches weigh as many labels as they have. Full-batch gradient
    descent on a quadratic diverges above 2 / sharpness, and at the current weights of any other
    loss that is where it stops going down.

    `data` are a `LabelledImages`, a pair (inputs, labels) of tensors, both in chunks of
    `batch_size` (1024), or any iterable of batches, in which `inputs` and `labels` say what is
    what where it is not obvious (see `BatchReader`). It is read once for each product.

    Nothing is mutated: weights, gradients, modes and random states stay, a loader's too. Raises
    `SharpnessNotFoundError`, with the value, where `iterations` do not suffice; `ValueError` for
    a model without trainable parameters, a curvature that is not finite, data without labels and
    a `batch_size` that would be ignored; the errors of `BatchReader`.

    >>> from companion import digits, linear
    >>> round(sharpness(linear(10, inputs=64, seed=0), digits()), 1) > 0
    True
    """
    check_loss(loss)
    iterations = whole_number(iterations, "iterations", least=ROUND // 2, advice="Try 200.")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must lie in 0 … 1; received {tolerance}. Try 1e-3.")
    size = checked_size(data, batch_size, 1024)
    hessian = _Hessian(model, data, loss, size, BatchReader(inputs, labels), seed)
    # No product is more exact than the weights it is computed in.
    enough = max(tolerance, 4 * torch.finfo(dtype_of(model)).eps)
    with evaluating(model), loader_randomness_kept(data), sdpa_kernel(SDPBackend.MATH):
        if hessian.size <= min(ROUND, iterations):
            matrix = np.stack([hessian.times(unit) for unit in np.eye(hessian.size)])
            return float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1])
        return _largest(hessian, iterations, enough, seed)


def _largest(hessian: _Hessian, iterations: int, tolerance: float, seed: int) -> float:
    """Return the largest eigenvalue, by rounds that each begin with the last one's vector.

    `eigsh` would restart by itself, but where it does not converge it says nothing of how far it
    came. So it is asked for what one round reaches, and the residual is judged here. Later rounds
    search more dimensions, as curvatures that lie close need.
    """
    operator = LinearOperator((hessian.size,) * 2, matvec=hessian.times, dtype=np.float64)
    vector = np.random.default_rng(seed).standard_normal(hessian.size)
    steps = min(ROUND, iterations - 2)
    while True:
        try:
            values, vectors = eigsh(operator, 1, which="LA", v0=vector, ncv=steps, tol=ANY)
        except ArpackError:
            if hessian.scale == 0:  # no direction is curved, and there is nowhere to go
                return 0.0
            raise
        value, vector = float(values[0]), vectors[:, 0]
        residual = float(np.linalg.norm(hessian.times(vector) - value * vector))
        if residual <= tolerance * hessian.scale:
            return value
        steps = min(hessian.products, WIDEST, hessian.size, iterations - hessian.products - 2)
        if steps < 2:
            raise SharpnessNotFoundError(value, residual, hessian.products, tolerance)


class _Hessian:
    """The Hessian of a loss over data, by its products with directions."""

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        loss: Loss,
        batch_size: int,
        reader: BatchReader,
        seed: int,
    ) -> None:
        self.parameters = trainable_parameters(model, "sharpness")
        self.model, self.loss, self.device = model, loss, device_of(model)
        self.data = data.to(self.device) if isinstance(data, LabelledImages) else data
        self.batch_size, self.reader, self.seed = batch_size, reader, seed
        self.size = sum(p.numel() for p in self.parameters)
        self.products, self.scale = 0, 0.0  # so far; the largest norm of a product in them

    def times(self, direction: Any) -> Any:
        """Return the Hessian times a direction (P,), averaged over the labelled images."""
        along = torch.as_tensor(np.asarray(direction).ravel()).to(self.parameters[0])
        total, count = torch.zeros_like(along), 0
        # Whatever augments or shuffles does the same in each product, or it was no one matrix.
        with own_randomness(self.seed, self.device):
            reseed_loader(self.data, self.seed, apart=1)
            for inputs, labels in batches(self.data, self.batch_size, reader=self.reader):
                labelled = int((labels != IGNORE_INDEX).sum())
                if labelled:
                    total += self._product(inputs, labels, along) * labelled
                    count += labelled
        if not count:
            raise ValueError(
                "sharpness needs a labelled image; the data gave none. Look at the length of the "
                "loader; an iterator ends after one pass."
            )
        image = (total / count).double().cpu().numpy()
        self.products += 1
        norm = float(np.linalg.norm(image))
        if not math.isfinite(norm):
            raise ValueError(
                f"the curvature must be finite; received {norm}. Look for NaN in weights and "
                "images."
            )
        self.scale = max(self.scale, norm / float(np.linalg.norm(direction)))
        return image

    def _product(self, inputs: Any, labels: Tensor, along: Tensor) -> Tensor:
        labels = labels.to(self.device)
        with torch.enable_grad():
            given = moved(inputs, self.device, dtype_of(self.model))
            logits = compute_logits(self.model, given, rows=len(labels))
            check_targets(self.loss, logits, labels)
            slopes = torch.autograd.grad(
                self.loss(logits, labels),
                self.parameters,
                create_graph=True,
                materialize_grads=True,
            )
            change = _flat(slopes) @ along
            if not change.requires_grad:  # a loss that is linear in the weights
                return torch.zeros_like(along)
            return _flat(torch.autograd.grad(change, self.parameters, materialize_grads=True))


def _flat(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])
