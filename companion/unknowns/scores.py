"""How much an image looks like one of the known classes, read off its logits.

Every score is higher for what looks known, so that all are compared and thresholded alike.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def confidence(logits: Tensor) -> Tensor:
    """Return the largest softmax probability of each image: (N, classes) to (N,), float64.

    The baseline of Hendrycks and Gimpel (2017), https://arxiv.org/abs/1610.02136. It is computed
    in float64, because float32 rounds the surest images to 1 and so ties what it should rank.
    Raises `TypeError` for integer logits, `ValueError` for another shape and for logits that are
    not finite.

    >>> confidence(torch.tensor([[0.0, 0.0], [0.0, 100.0]])).tolist()
    [0.5, 1.0]
    """
    return checked_logits(logits).softmax(1).amax(1)


def maximum_logit(logits: Tensor) -> Tensor:
    """Return the largest logit of each image: (N, classes) to (N,), float64.

    Proposed by Hendrycks et al. (2022), https://arxiv.org/abs/1911.11132, and the baseline of
    Vaze et al. (2022), https://arxiv.org/abs/2110.06207. Unlike `confidence` it keeps how strong
    the evidence is, not only how it compares between classes. Of the negative squared distances
    of `Prototypes` it is the nearness of the nearest class; of one-vs-rest logits it ranks as the
    largest sigmoid does. Errors as in `confidence`.

    >>> maximum_logit(torch.tensor([[1.0, 3.0], [2.0, 0.0]])).tolist()
    [3.0, 2.0]
    """
    return checked_logits(logits).amax(1)


def negative_energy(logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Return T · log Σ exp(logit / T) of each image: (N, classes) to (N,), float64.

    The negative of the energy of Liu et al. (2020), https://arxiv.org/abs/2010.03759, who reject
    where it is low. Towards temperature 0 it becomes `maximum_logit`. Errors as in `confidence`,
    and `ValueError` for a temperature that is not positive.

    >>> negative_energy(torch.tensor([[0.0, 0.0]])).exp()
    tensor([2.], dtype=torch.float64)
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be positive; received {temperature}. The paper uses 1.")
    return temperature * torch.logsumexp(checked_logits(logits) / temperature, 1)


def checked_logits(logits: Tensor) -> Tensor:
    """Return logits as float64, after checking that they are finite and (N, classes).

    >>> checked_logits(torch.zeros(1, 2)).dtype
    torch.float64
    """
    if not logits.is_floating_point():
        raise TypeError(
            f"logits must be floating point; received {logits.dtype}. Pass what the head returns, "
            "not the predicted classes."
        )
    if logits.dim() != 2 or 0 in logits.shape:
        raise ValueError(
            f"logits must have shape (N, classes); received {tuple(logits.shape)}. "
            "Pass what predict returns."
        )
    if not bool(torch.isfinite(logits).all()):
        raise ValueError(
            "logits must be finite; some are NaN or infinite. Leave out columns that were masked, "
            "and look for NaN in images and weights."
        )
    return logits.double()
