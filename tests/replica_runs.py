"""What `fit_replicas` has to give: the same runs by `fit`, one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from companion import LabelledImages, NonFiniteLossError, Replicas, fit, fit_replicas, mlp
from companion.states import seeded

Build = Callable[[int], nn.Module]
Sampler = Callable[[int], Iterable[int]]

SHORT: dict[str, Any] = {"epochs": 3, "batch_size": 16, "device": "cpu"}


def perceptron(seed: int) -> nn.Sequential:
    """A network for the patches that is computed as a chain."""
    return mlp(3, inputs=36, hidden=(8,), seed=seed)


class Tied(nn.Module):
    """A network for the patches whose two hidden layers share their weights."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with seeded(seed):
            self.first, self.second = nn.Linear(36, 36), nn.Linear(36, 36)
            self.head = nn.Linear(36, 3)
        self.second.weight = self.first.weight

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.second(self.first(images.flatten(1)).relu()).relu())


class Drawn:
    """A sampler of some positions of sixty, others in each epoch."""

    def __init__(self, seed: int, count: int = 40) -> None:
        self.order, self.count = torch.Generator().manual_seed(seed + 100), count

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randint(60, (self.count,), generator=self.order).tolist())

    def __len__(self) -> int:
        return self.count


def assert_same_weights(first: nn.Module, second: nn.Module, tolerance: float = 1e-5) -> None:
    """Buffers are weights here as well."""
    torch.testing.assert_close(
        dict(first.state_dict()), dict(second.state_dict()), rtol=tolerance, atol=tolerance
    )


def agreeing(
    build: Build,
    train: LabelledImages,
    *,
    seeds: tuple[int, ...] = (0, 1),
    lrs: tuple[float, ...] = (0.01,),
    sampler: Sampler | None = None,
    **options: Any,
) -> Replicas:
    """Fail unless the replicas are what `fit` makes of each rate and seed; return them."""
    options = SHORT | options
    replicas = fit_replicas(build, train, seeds=seeds, lrs=lrs, sampler=sampler, **options)
    assert (replicas.lrs, replicas.seeds) == (lrs, seeds)
    for row, lr in enumerate(lrs):
        for column, seed in enumerate(seeds):
            with seeded(seed):
                model = build(seed)
            own = None if sampler is None else sampler(seed)
            history = fit(model, train, lr=lr, seed=seed, sampler=own, **options)
            assert_same_weights(replicas.model(lr, seed), model)
            assert replicas.diverged_at[row, column] == -1
            curves = {name: history.curve(name) for name in ("train_loss", "train_accuracy")}
            if replicas.validation_accuracy is not None:
                curves["validation_accuracy"] = history.curve("validation_accuracy")
            for name, curve in curves.items():
                measured = getattr(replicas, name)[row, column].tolist()
                assert measured == pytest.approx(curve, abs=1e-5), name
    return replicas


def step_of_failure(build: Build, train: LabelledImages, steps: int, **options: Any) -> int:
    """The step, from 0, at which `fit` gives up, by its own words; an epoch has `steps`."""
    with pytest.raises(NonFiniteLossError) as caught:
        fit(build(options["seed"]), train, **options)
    found = re.search(r"in epoch (\d+), step (\d+),", str(caught.value))
    if found is None:  # ruined by the last step of an epoch: the next loss would be the first
        ruined = re.search(r"after the last step of epoch (\d+) ", str(caught.value))
        assert ruined is not None, caught.value
        return int(ruined[1]) * steps
    return (int(found[1]) - 1) * steps + int(found[2]) - 1
