"""What a loss and a sampler correct together: the prior that a network is fitted to."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, WeightedRandomSampler

from companion.findings import Finding
from companion.inputs import IGNORE_INDEX, real_numbers
from companion.sampling.adjustment import LogitAdjustedLoss
from companion.sampling.reading import labels_of, stored_labels_of
from companion.sampling.samplers import BalancedSampler
from companion.sampling.weights import WeightedLoss
from companion.states import loader_samplers

CORRECTS = 1.2  # how much more the rarest class gets by something that is meant as a correction
TURNED = 2.0  # how much more than the commonest it gets where two are surely one too many
WITH_WEIGHTS = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)


def loss_factors(loss: Any) -> Tensor | None:
    """Return by how much a loss raises each class, (classes,) float64, or None where by nothing.

    Known are `WeightedLoss`, `LogitAdjustedLoss` (1 / π^τ), PyTorch's losses with `weight` and a
    `functools.partial` with it. Of other losses nothing is known: None as well.

    >>> loss_factors(nn.CrossEntropyLoss(weight=torch.tensor([0.5, 2.0])))
    tensor([0.5000, 2.0000], dtype=torch.float64)
    """
    weights: Any = None
    if isinstance(loss, LogitAdjustedLoss):
        weights = (-loss.tau * loss.log_prior.double()).exp()
    elif isinstance(loss, WeightedLoss):
        weights = loss.weights
    elif isinstance(loss, WITH_WEIGHTS):
        weights = loss.weight
    elif isinstance(loss, partial):
        weights = loss.keywords.get("weight")
    if weights is None:
        return None
    return real_numbers(weights, what="the weights of the loss").double().cpu()


def fitted_prior(shares: Tensor, loss: Any) -> Tensor:
    """Return the shares that the classes have for a network trained on draws with a loss.

    Draws of shares d with weights w minimise what draws of shares d·w would without; and with
    logits raised by τ · log π, of d / π^τ. Equal shares are one full correction.

    >>> draws, weights = torch.tensor([0.5, 0.5]), torch.tensor([0.5, 4.5])
    >>> fitted_prior(draws, WeightedLoss(weights))
    tensor([0.1000, 0.9000], dtype=torch.float64)
    """
    factors = loss_factors(loss)
    own = shares.double()
    if factors is not None and len(factors) != len(own):
        raise ValueError(
            f"the loss must have a weight for each of the {len(own)} classes; it has "
            f"{len(factors)}. Take class_weights(labels)."
        )
    raw = own if factors is None else own * factors
    return raw / raw.sum()


def double_correction(sampler: Any, loss: Any, *, labels: Any = None) -> Finding | None:
    """Return the finding that sampler and loss both correct the imbalance, or None.

    `sampler` is a sampler or a `DataLoader`; `labels` are those of its data set (`labels_of`),
    which a `BalancedSampler` knows and a loader's data set may store. It is found where the
    rarest class ends up with more than twice the pull of the commonest; two halves of a
    correction, as "square-root" in both, are none too many. What cannot be known is None: a
    sampler or a loss of another make, labels that only reading every item would tell. Nothing is
    drawn, no random state changes.

    >>> from companion.sampling import balanced_sampler, class_weights
    >>> labels = [0] * 90 + [1] * 10
    >>> found = double_correction(
    ...     balanced_sampler(labels, seed=0), WeightedLoss(class_weights(labels)))
    >>> print(found)
    SMP105 warning: sampler and loss both correct: class 1, with 10% of the images, has 90% of \
the pull
    """
    if loss_factors(loss) is None:
        return None
    for each in [sampler, *loader_samplers(sampler)]:
        if isinstance(each, BalancedSampler | WeightedRandomSampler):
            weights = torch.as_tensor(each.weights, dtype=torch.float64).cpu()
            found = _labels(sampler, each, labels) if weights.min() < weights.max() else None
            if found is None or len(found) != len(weights):
                return None
            inside = found != IGNORE_INDEX
            counts = torch.bincount(found[inside])
            shares = torch.bincount(found[inside], weights=weights[inside])
            return corrected_twice(counts, shares, loss)
    return None


def _labels(loader: Any, sampler: Any, labels: Any) -> Tensor | None:
    if labels is not None:
        return labels_of(labels)
    if isinstance(sampler, BalancedSampler):
        return sampler.labels
    return stored_labels_of(loader.dataset) if isinstance(loader, DataLoader) else None


def corrected_twice(counts: Tensor, shares: Tensor, loss: Any) -> Finding | None:
    """Return SMP105 where draws of these shares, and the loss, both raise what is rare."""
    factors = loss_factors(loss)
    if factors is None or len(factors) < len(counts):
        return None
    there = counts.nonzero().flatten()
    if not len(there):
        return None
    rarest, commonest = there[counts[there].argmin()], there[counts[there].argmax()]

    def lead(row: Tensor) -> float:
        return (row[rarest] / row[commonest]).item()

    own, drawn = counts.double(), shares.double()
    pull = drawn * factors[: len(drawn)]
    both = min(lead(drawn) / lead(own), lead(factors)) > CORRECTS
    if not both or lead(own) >= 1 or not lead(pull) > TURNED:
        return None
    before, after = ((row / row.sum())[rarest].item() for row in (own, pull))
    return Finding(
        "SMP105",
        "warning",
        f"sampler and loss both correct: class {int(rarest)}, with {before:.0%} of the images, "
        f"has {after:.0%} of the pull",
        why="Two corrections multiply: the imbalance is turned round, and common classes are "
        "given up.",
        remedy="Keep one of the two: the sampler with a plain loss, or plain draws with the loss; "
        'or half of each, scheme="square-root" in both.',
    )
