"""A check of how much of the weights an optimiser's decay leaves."""

from __future__ import annotations

import torch
from torch import nn

from companion.doctor.copies import shadow_of
from companion.doctor.optimizer_checks import optimizer_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.words import NotRunError, Result, warning

STEPS = 10


@check("OPT113", chapter="starting-rates", needs=["optimizer"], explains=["SMP116", "PRO032"])
def decays_away(pipeline: Pipeline) -> Result:
    """Weight decay takes the weights away faster than they can be learnt.

    Fault: An exponent is missing, 5 for 5e-4, or a decay is meant for a much smaller rate.
    Evidence: Ten steps of an optimiser of the same kind and settings, on weights of its own whose
    gradient is zero: the share of them that is left.
    Consequence: What was learnt ten batches ago is gone; the answers go to the bias alone.
    Remedy: SGD takes 5e-4 or less, AdamW 0.01 to 0.1.
    False alarms: A warning, where less than half is left in ten steps: a rate of 0.1 with a decay
    of 5e-4 leaves 0.999. Adam, which scales a decay as it does gradients, is passed over.

    In code:
        SGD(model.parameters(), lr=0.1, weight_decay=5)
    """
    optimizer = optimizer_of(pipeline)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    left = [_left(optimizer, parameters, size) for size in (1.0, 2.0)]
    told = f"without a gradient {min(left[0]):.3g} of the weights are left after {STEPS} steps"
    alike = all(abs(a - b) < 1e-6 + 1e-3 * abs(a) for a, b in zip(*left, strict=True))
    if not alike:
        raise NotRunError(f"{type(optimizer).__name__} does not take a share of the weights")
    gone = [each for each in left[0] if not abs(each) > 0.5]
    return warning(f"{told}, in {len(gone)} of {len(left[0])} parameters") if gone else told


def _left(optimizer: torch.optim.Optimizer, given: list[nn.Parameter], size: float) -> list[float]:
    """Return the share of each weight that ten steps without a gradient leave."""
    small = {id(p): nn.Parameter(torch.full((2, 2), size, dtype=torch.float64)) for p in given}
    stepper = shadow_of(optimizer, small)
    try:
        for _ in range(STEPS):
            for weight in small.values():
                weight.grad = torch.zeros_like(weight)
            stepper.step()
    except Exception as raised:
        raise NotRunError(f"its step cannot be tried alone ({raised})") from raised
    return [float(weight.detach()[0, 0]) / size for weight in small.values()]
