"""Which areas of the ward an alarm of a tool is about, for the strict reading.

An area for each rule, or several where the rule cannot tell: an alarm then counts as right in any
of them. Tools that are not here have no rules with names that say where the fault is.
"""

from __future__ import annotations

from collections.abc import Iterable

LABELS, MODEL, LOSS, OPTIMISER, PROTOCOL = (
    *("labels", "model and head", "sampling and loss"),
    *("optimiser and schedule", "protocol"),
)

# By the first three letters of a code.
COMPANION = {
    "LBL": {LABELS},
    "MOD": {MODEL},
    "SMP": {LOSS},
    "OPT": {OPTIMISER},
    "PRO": {PROTOCOL},
}

TORCHTEST2 = {
    "forward": {MODEL},
    "output_shape": {MODEL},
    "output_finite": {MODEL},
    "output_range": {MODEL, LOSS},
    "output_varies": {MODEL},
    "eval_determinism": {MODEL, PROTOCOL},
    "loss": {LOSS, LABELS},
    "initial_loss": {LOSS, LABELS, MODEL},
    "optimizer_coverage": {OPTIMISER, MODEL},
    "gradient_flow": {MODEL, LOSS},
    "gradient_magnitude": {MODEL, LOSS},
    "params_change": {OPTIMISER, MODEL},
    "frozen_params": {OPTIMISER, MODEL},
    "input_dependency": {MODEL},
    "batch_independence": {MODEL},
    "overfit_batch": {OPTIMISER, LOSS, MODEL},
}

TORCH_AUDIT = {
    "TA100": {MODEL, LOSS, OPTIMISER},  # NaN or infinity
    "TA102": {LOSS, OPTIMISER},  # gradients explode
    "TA103": {MODEL},  # gradients of exactly zero
    "TA104": {MODEL, OPTIMISER},  # no gradients
    "TA105": {MODEL},  # activations collapse
    "TA300": {PROTOCOL},  # device of the inputs
    "TA301": {MODEL, PROTOCOL},  # range of the inputs
    "TA302": {MODEL, PROTOCOL},  # inputs are flat
    "TA303": {MODEL, PROTOCOL},  # channels last
    "TA304": {MODEL, LOSS},  # tiny batches with BatchNorm
    "TA305": {LABELS, MODEL},  # whole numbers that cannot be
    "TA400": {MODEL},
    "TA401": {OPTIMISER},
    "TA402": {OPTIMISER},
    "TA403": {OPTIMISER},
    "TA404": {MODEL},
    "TA405": {MODEL},
    "TA500": {MODEL},  # a layer is never used
    "TA501": {MODEL},  # a BatchNorm is used twice
}

RULES = {"torchtest2": TORCHTEST2, "torch-audit": TORCH_AUDIT}
MAPPED = ("companion.doctor", *RULES)


def areas_of(tool: str, rules: Iterable[str]) -> set[str]:
    """Return the areas that a tool's alarms are about.

    >>> sorted(areas_of("companion.doctor", ["LBL003", "MOD006"]))
    ['labels', 'model and head']
    """
    if tool == "companion.doctor":
        return set().union(*(COMPANION.get(rule[:3], set()) for rule in rules))
    table = RULES.get(tool, {})
    return set().union(*(table.get(rule, set()) for rule in rules))
