"""The learning-rate range test: raise the rate step by step and watch the loss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from companion.datasets import LabelledImages
from companion.inputs import (
    BatchReader,
    Selector,
    compute_logits,
    device_of,
    distinct,
    dtype_of,
    moved,
    trainable_parameters,
    whole_number,
)
from companion.learning_rate.curves import RangeTest
from companion.learning_rate.reading import check_targets, checked_size, shuffled
from companion.learning_rate.sweeps import ascending_rates
from companion.states import everything_kept, own_randomness, reseed_loader, seeded_generator
from companion.training import (
    Loss,
    NonFiniteLossError,
    OptimizerFactory,
    check_loss,
    check_optimizer,
    check_sampling,
    checked_device,
    optimizer_factory,
    shows_progress,
)

SETTLED = 0.1  # of the steps: their rates are too low to explode


def range_test(
    model: nn.Module,
    train: Any,
    *,
    low: float = 1e-5,
    high: float = 10.0,
    steps: int = 100,
    seeds: Iterable[int] = range(5),
    optimizer: str | OptimizerFactory | Optimizer = "adamw",
    loss: Loss = F.cross_entropy,
    batch_size: int | None = None,
    smoothing: float = 3.0,
    stop_at: float = 2.0,
    device: torch.device | str | None = None,
    progress: bool | None = None,
    inputs: Selector = None,
    labels: Selector = None,
) -> RangeTest:
    """Train for `steps` while the rate rises from `low` to `high`, from the same weights each seed.

    Rates are spaced evenly on a logarithmic scale. `train` are a `LabelledImages` or a pair of
    tensors, drawn in batches of `batch_size` (64), or any iterable of batches, in which `inputs`
    and `labels` say what is what where it is not obvious (see `BatchReader`). `optimizer` is one
    of yours, with the state it has, or what `fit` takes; groups keep the ratios of their rates. A
    seed decides on the order of the batches and on dropout. The loss is smoothed over the steps
    before and after by a Gaussian of `smoothing` steps, which does not shift the curve as a
    running mean does. A run stops when its loss exceeds `stop_at` times the highest of its first
    tenth: a single batch's loss may well be a multiple of another's, once it is low.

    The result is returned whatever the curve looks like: its `findings` say what is odd.

    Restored, whatever happens, an interruption too: weights, gradients, modes and device of the
    model, the optimiser's state and rates, the generators and epochs of the loader's samplers,
    and the global random states of PyTorch, NumPy and Python.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, where the
    rate rises linearly over several epochs and accuracy is watched.

    Raises `ValueError` for a range that is not positive and ascending, fewer than 10 steps, a
    model without trainable parameters, an optimiser of other parameters, a `batch_size` that a
    loader would ignore and data without batches; `TypeError` for an iterator; the errors of
    `BatchReader`; `NonFiniteLossError` for a loss that is NaN at the first step.

    >>> from companion import digits, mlp
    >>> found = range_test(mlp(10, inputs=64, seed=0), digits(), seeds=range(2))
    >>> 1e-4 < found.suggestion() < 1
    True
    """
    ascending_rates([low, high])
    check_loss(loss)
    names, steps = distinct(seeds, "seed", "range(5)"), whole_number(steps, "steps", least=10)
    size, reader = checked_size(train, batch_size, 64), BatchReader(inputs, labels)
    if smoothing <= 0 or stop_at <= 1:
        raise ValueError(
            f"smoothing must be positive and stop_at above 1; received {smoothing} and {stop_at}."
        )
    trainable = trainable_parameters(model, "a range test")
    own = optimizer if isinstance(optimizer, Optimizer) else None
    if own is not None:
        check_optimizer(own, model)
    check_sampling(train, None, loss)
    make = optimizer_factory("adamw" if isinstance(optimizer, Optimizer) else optimizer)
    target = device_of(model) if own is not None and device is None else checked_device(device)
    data = train.to(target) if isinstance(train, LabelledImages) else train
    lrs = torch.logspace(math.log10(low), math.log10(high), steps, dtype=torch.float64)
    show = shows_progress() if progress is None else progress
    runs = []
    for seed in tqdm(names, desc="seeds", disable=not show, delay=2, leave=False):
        kept = everything_kept(model, optimizer=own, loaders=[data], device=target)
        with kept, own_randomness(seed, target):
            reseed_loader(data, seed, apart=steps)
            model.to(target).train()
            stepper = own if own is not None else make(trainable, low)
            check_optimizer(stepper, model)
            batches = _endless(data, seed, size, reader)
            runs.append(_one_run(model, stepper, batches, lrs, loss, stop_at))
    smoothed = [_smooth(run, smoothing, stop_at) for run in runs]
    return RangeTest(
        lrs, torch.tensor(np.array(runs)), torch.tensor(np.array(smoothed)), tuple(names)
    )


def _endless(
    data: Any, seed: int, batch_size: int, reader: BatchReader
) -> Iterator[tuple[Any, Tensor]]:
    order = seeded_generator(seed)
    while True:
        count = 0
        for batch in shuffled(data, order, batch_size, reader):
            count += 1
            yield batch
        if not count:
            raise ValueError(
                "training data must yield a batch; received none. Look at the length of the loader."
            )


def _one_run(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Iterator[tuple[Any, Tensor]],
    lrs: Tensor,
    loss: Loss,
    stop_at: float,
) -> list[float]:
    """Return the loss at each rate, NaN from where the run was stopped."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    ratios = [rate / max(rates) if max(rates) else 1.0 for rate in rates]  # 0: before a warm-up
    values: list[float] = []
    device, dtype = device_of(model), dtype_of(model)
    for lr, (inputs, labels) in zip(lrs.tolist(), batches, strict=False):
        for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
            _set_rate(group, lr * ratio)
        optimizer.zero_grad(set_to_none=True)
        labels = labels.to(device)
        logits = compute_logits(model, moved(inputs, device, dtype), rows=len(labels))
        check_targets(loss, logits, labels)
        value = loss(logits, labels)
        values.append(float(value.detach()))
        if not math.isfinite(values[-1]) or values[-1] > _ceiling(values, len(lrs), stop_at):
            break
        value.backward()
        optimizer.step()
    if not math.isfinite(values[0]):
        raise NonFiniteLossError(
            f"the loss must be finite at the first step; it is {values[0]} before any weight has "
            f"changed. Look for NaN in images and weights, and for labels of −100 alone."
        )
    if not math.isfinite(values[-1]):
        values.pop()
    return values + [math.nan] * (len(lrs) - len(values))


def _set_rate(group: dict[str, Any], lr: float) -> None:
    """Set a group's rate, in place where it is kept as a tensor."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def _ceiling(values: list[float], steps: int, stop_at: float) -> float:
    return stop_at * max(*values[: int(SETTLED * steps)], 1e-3)


def _smooth(values: list[float], width: float, stop_at: float) -> Any:
    """Smooth what was measured, an explosion cut at `stop_at`; NaN stays where nothing was."""
    curve = np.minimum(values, _ceiling(values, len(values), stop_at))
    measured = ~np.isnan(curve)
    curve[measured] = gaussian_filter1d(curve[measured], width, mode="nearest")
    return curve
