"""Sampling: what to do when classes are unequally many, by drawing, by weighting, by adjusting.

Imports the lowest floor and nothing above it; works with labels and loaders of any make.
"""

from companion.sampling.adjustment import LogitAdjustedLoss, logit_adjustment, shift_prior
from companion.sampling.audit import Draw, audit_sampler, expected_coverage
from companion.sampling.correction import double_correction
from companion.sampling.mistakes import made_for_other_data, mismatched_sampler
from companion.sampling.reading import labels_of, stored_labels_of
from companion.sampling.samplers import BalancedSampler, balanced_sampler
from companion.sampling.weights import WeightedLoss, class_counts, class_weights

__all__ = [
    "BalancedSampler",
    "Draw",
    "LogitAdjustedLoss",
    "WeightedLoss",
    "audit_sampler",
    "balanced_sampler",
    "class_counts",
    "class_weights",
    "double_correction",
    "expected_coverage",
    "labels_of",
    "logit_adjustment",
    "made_for_other_data",
    "mismatched_sampler",
    "shift_prior",
    "stored_labels_of",
]
