"""Logits moved by the logarithm of the prior, in the loss or after it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from companion.sampling.weights import check_width, checked_weights


def logit_adjustment(logits: Tensor, counts: Tensor, *, tau: float = 1.0) -> Tensor:
    """Return logits − τ · log π, whose argmax is meant for balanced accuracy.

    `logits` (N, classes) come from a network trained on the data as they are, `counts` (classes,)
    are its training counts (or shares), π their shares. At τ = 1 it is `shift_prior` to a uniform
    prior. It may lower the accuracy on data that are as unbalanced as the training data. Do not
    use it after `LogitAdjustedLoss`, a balanced sampler or class weights: each has done it
    already. Source: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021.

    Raises `ValueError` for counts that do not fit the logits, and for a class without images.

    >>> import torch
    >>> logit_adjustment(torch.zeros(1, 2), torch.tensor([90, 10])).softmax(1)
    tensor([[0.1000, 0.9000]])
    """
    return logits - tau * _log_prior(counts, logits)


def shift_prior(logits: Tensor, *, trained: Tensor, used: Tensor) -> Tensor:
    """Return logits whose probabilities are for other shares of the classes than in training.

    `trained` (classes,) are the shares, or counts, that the network saw: all equal after a
    balanced sampler. `used` are those where it is used. The correction is Bayes' rule, exact
    where only the shares differ. Source: Saerens, Latinne and Decaestecker, "Adjusting the
    Outputs of a Classifier to New a Priori Probabilities", Neural Computation 2002.

    Raises `ValueError` for rows that do not fit the logits, and for a class with a share of 0.

    >>> import torch
    >>> even, real = torch.tensor([1, 1]), torch.tensor([99, 1])
    >>> shift_prior(torch.zeros(1, 2), trained=even, used=real).softmax(1)
    tensor([[0.9900, 0.0100]])
    """
    return logits + _log_prior(used, logits) - _log_prior(trained, logits)


class LogitAdjustedLoss(nn.Module):
    """Cross-entropy of logits + τ · log π: trains a network for balanced accuracy.

    `counts` (classes,) are the training counts or shares. Predict with the network's plain
    argmax; at τ = 1 its probabilities are those of balanced classes.
    Source: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021.

    Raises `ValueError` for counts that do not fit the logits, and for a class without images.

    >>> import torch
    >>> loss = LogitAdjustedLoss(torch.tensor([90, 10]))
    >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # −log 0.1
    tensor(2.3026)
    """

    log_prior: Tensor

    def __init__(self, counts: Tensor, *, tau: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("log_prior", _log_shares(counts))
        self.tau = tau

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of the adjusted logits."""
        check_width(self.log_prior, logits)
        return F.cross_entropy(logits + self.tau * self.log_prior.to(logits), labels)


def _log_prior(counts: Tensor, logits: Tensor) -> Tensor:
    row = _log_shares(counts)
    check_width(row, logits)
    return row.to(logits)


def _log_shares(counts: Tensor) -> Tensor:
    row = checked_weights(counts, "class counts")
    empty = (row == 0).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"every class needs an image, as log 0 is infinite; classes {empty} have none. Leave "
            "them out of the label map, or collect some."
        )
    return (row / row.sum()).log()
