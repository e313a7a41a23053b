"""Logits moved by the logarithm of the prior, in the loss or after it."""

from __future__ import annotations

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from companion.inputs import real_numbers
from companion.sampling.rows import along_classes, checked_counts


def logit_adjustment(logits: Any, counts: Any, *, tau: float = 1.0) -> Tensor:
    """Return logits − τ · log π, whose argmax is meant for balanced accuracy.

    `logits` (N, classes), or (N, classes, …) for an answer in each place, come from a network
    trained on the data as they are; `counts` (classes,) are its training counts, or the shares π
    that sum to 1. At τ = 1 it is `shift_prior` to a uniform
    prior. It may lower the accuracy on data that are as unbalanced as the training data. Do not
    use it after `LogitAdjustedLoss`, a balanced sampler or class weights: each has done it
    already. Source: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021.

    Raises `ValueError` for counts that do not fit the logits, for weights in their place and for
    a class without images, `TypeError` for integer logits.

    >>> import torch
    >>> logit_adjustment(torch.zeros(1, 2), torch.tensor([90, 10])).softmax(1)
    tensor([[0.1000, 0.9000]])
    """
    found = _tensor(logits)
    return found - _checked_tau(tau) * along_classes(_log_shares(counts), found)


def shift_prior(logits: Any, *, trained: Any, used: Any) -> Tensor:
    """Return logits whose probabilities are for other shares of the classes than in training.

    `trained` (classes,) are the shares, or counts, that the network saw: all equal after a
    balanced sampler. `used` are those where it is used. The correction is Bayes' rule, exact
    where only the shares differ. Source: Saerens, Latinne and Decaestecker, "Adjusting the
    Outputs of a Classifier to New a Priori Probabilities", Neural Computation 2002.

    Raises `ValueError` for rows that do not fit the logits, for weights in their place and for a
    class with a share of 0, `TypeError` for integer logits.

    >>> import torch
    >>> even, real = torch.tensor([1, 1]), torch.tensor([99, 1])
    >>> shift_prior(torch.zeros(1, 2), trained=even, used=real).softmax(1)
    tensor([[0.9900, 0.0100]])
    """
    found = _tensor(logits)
    before, after = (along_classes(_log_shares(row), found) for row in (trained, used))
    return found + after - before


class LogitAdjustedLoss(nn.Module):
    """Cross-entropy of logits + τ · log π: trains a network for balanced accuracy.

    `counts` (classes,) are the training counts, or shares that sum to 1. Logits are (N, classes)
    or, for an answer in each place, (N, classes, …). Predict with the network's plain
    argmax; at τ = 1 its probabilities are those of balanced classes.
    Source: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021.

    Raises `ValueError` for counts that do not fit the logits, for weights in their place and for
    a class without images, `TypeError` for integer logits.

    >>> import torch
    >>> loss = LogitAdjustedLoss(torch.tensor([90, 10]))
    >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # −log 0.1
    tensor(2.3026)
    """

    log_prior: Tensor

    def __init__(self, counts: Any, *, tau: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("log_prior", _log_shares(counts))
        self.tau = _checked_tau(tau)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of the adjusted logits."""
        prior = along_classes(self.log_prior, logits)
        return F.cross_entropy(logits + self.tau * prior, labels)


def _tensor(logits: Any) -> Tensor:
    # Not real_numbers for all: half precision stays, and a tensor keeps its gradient.
    return logits if isinstance(logits, Tensor) else real_numbers(logits, what="logits")


def _checked_tau(tau: float) -> float:
    if not math.isfinite(tau):
        raise ValueError(f"tau must be finite; received {tau}. The paper uses 1.")
    return tau


def _log_shares(counts: Any) -> Tensor:
    row = checked_counts(counts)
    empty = (row == 0).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"every class needs an image, as log 0 is infinite; classes {empty} have none. Leave "
            "them out of the label map, or collect some."
        )
    return (row / row.sum()).log()
