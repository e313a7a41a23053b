"""How much an image looks like one of the known classes, read off its logits.

Every score is higher for what looks known, so that all are compared and thresholded alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from companion.inputs import checked_logits, positive_number


def confidence(logits: Any) -> Tensor:
    """Return the largest softmax probability of each image: (N, classes) to (N,), float64.

    The baseline of Hendrycks and Gimpel (2017), https://arxiv.org/abs/1610.02136. It is computed
    in float64, because float32 rounds the surest images to 1 and so ties what it should rank.
    `logits` are a tensor, whose gradient is kept, or an array.

    Raises `TypeError` for integer logits, `ValueError` for another shape and for logits that are
    not finite.

    >>> confidence(torch.tensor([[0.0, 0.0], [0.0, 100.0]])).tolist()
    [0.5, 1.0]
    """
    return _precise(logits).softmax(1).amax(1)


def maximum_logit(logits: Any) -> Tensor:
    """Return the largest logit of each image: (N, classes) to (N,), float64.

    Proposed by Hendrycks et al. (2022), https://arxiv.org/abs/1911.11132, and the baseline of
    Vaze et al. (2022), https://arxiv.org/abs/2110.06207. Unlike `confidence` it keeps how strong
    the evidence is, not only how it compares between classes. Of the negative squared distances
    of `Prototypes` it is the nearness of the nearest class; of one-vs-rest logits it ranks as the
    largest sigmoid does. Errors as in `confidence`.

    >>> maximum_logit(torch.tensor([[1.0, 3.0], [2.0, 0.0]])).tolist()
    [3.0, 2.0]
    """
    return _precise(logits).amax(1)


def negative_energy(logits: Any, *, temperature: float = 1.0) -> Tensor:
    """Return T · log Σ exp(logit / T) of each image: (N, classes) to (N,), float64.

    The negative of the energy of Liu et al. (2020), https://arxiv.org/abs/2010.03759, who reject
    where it is low. Towards temperature 0 it becomes `maximum_logit`. Errors as in `confidence`,
    and `ValueError` for a temperature that is not positive.

    >>> negative_energy(torch.tensor([[0.0, 0.0]])).exp()
    tensor([2.], dtype=torch.float64)
    """
    scale = positive_number(temperature, "temperature", advice="The paper uses 1.")
    return scale * torch.logsumexp(_precise(logits) / scale, 1)


def _precise(logits: Any) -> Tensor:
    checked = checked_logits(logits)
    return (logits if isinstance(logits, Tensor) else checked).double()
