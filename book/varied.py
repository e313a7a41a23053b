"""Change what a chapter runs with, from outside: seeds, rates, lengths, networks, images, labels.

``replicate.py`` runs this in a kernel before the first cell of a chapter, whose code stays as it
is. Each change reaches all that goes through PyTorch's optimisers and generators and through the
companion's training; a loop that a chapter writes out by hand keeps its number of steps.
"""

from __future__ import annotations

import inspect
import random
import sys
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import companion
from companion import LabelledImages

SCALED = "rate_is_varied"
SHUFFLED = 20_261_121  # the seed of what this file draws itself


def vary(changes: dict[str, Any]) -> None:
    """Make these changes, each named by what it changes; `KeyError` for one that is unknown."""
    for name, value in changes.items():
        CHANGES[name](value)


def replace_everywhere(original: Any, replacement: Any) -> None:
    """Put another object in the place of one, under whatever name a module of ours holds it."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "companion":
            for key, value in list(vars(module).items()):
                if value is original:
                    setattr(module, key, replacement)
    setattr(companion, original.__name__, replacement)


def move_seeds(by: int) -> None:
    """Add a number to every seed that a generator is given, of PyTorch, NumPy and Python."""

    class Moved(torch.Generator):
        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed(seed + by)

    class MovedDefault:
        """The default generator, which is no type to make another of."""

        def __getattr__(self, name: str) -> Any:
            return getattr(default, name)

        def manual_seed(self, seed: int) -> torch.Generator:
            return default.manual_seed(seed + by)

    default = torch.default_generator
    torch.Generator = Moved  # type: ignore[misc]
    torch.default_generator = MovedDefault()  # type: ignore[assignment]
    for place, name in ((torch, "manual_seed"), (np.random, "seed"), (random, "seed")):
        setattr(place, name, _moved(getattr(place, name), by))
    np.random.default_rng = _moved(np.random.default_rng, by)
    split = LabelledImages.split

    @wraps(split)
    def split_elsewhere(self: LabelledImages, *given: Any, seed: int, **options: Any) -> Any:
        return split(self, *given, seed=seed + by, **options)

    LabelledImages.split = split_elsewhere  # type: ignore[method-assign]


def _moved(seeding: Callable[..., Any], by: int) -> Callable[..., Any]:
    @wraps(seeding)
    def moved(seed: Any = None, *rest: Any, **named: Any) -> Any:
        known = isinstance(seed, int | np.integer)
        return seeding(seed + by if known else seed, *rest, **named)

    return moved


def scale_rates(by: float) -> None:
    """Multiply the learning rate of each optimiser that is made, and of its groups."""
    original = torch.optim.Optimizer.__init__

    @wraps(original)
    def scaled(self: Any, params: Any, defaults: dict[str, Any]) -> None:
        if "lr" in defaults:
            # Marked, as an optimiser may be made of another's groups.
            defaults = {**defaults, "lr": defaults["lr"] * by, SCALED: True}
            params = [_scaled_group(group, by) for group in params]
        original(self, params, defaults)

    torch.optim.Optimizer.__init__ = scaled  # type: ignore[method-assign]


def _scaled_group(group: Any, by: float) -> Any:
    if not isinstance(group, dict) or "lr" not in group or SCALED in group:
        return group
    return {**group, "lr": group["lr"] * by}


def scale_lengths(by: float) -> None:
    """Train so many times as many epochs; where that is less than one, a part of one."""
    from companion.inputs import is_held
    from companion.replicas import fit_replicas
    from companion.training import TrainingRun, count_batches
    from companion.training.batching import held

    begin = TrainingRun.__init__

    @wraps(begin)
    def scaled(self: Any, model: Any, train: Any, **options: Any) -> None:
        epochs = options["epochs"] * by
        if epochs < 1 and is_held(data := held(train)):
            size = options.get("batch_size") or 128
            batches = count_batches(data, options.get("sampler"), size)
            options["steps_per_epoch"] = max(1, round(batches * epochs))
        begin(self, model, train, **options | {"epochs": max(1, round(epochs))})

    TrainingRun.__init__ = scaled  # type: ignore[method-assign]

    @wraps(fit_replicas)
    def replicas(*given: Any, epochs: int, **options: Any) -> Any:
        return fit_replicas(*given, epochs=max(1, round(epochs * by)), **options)

    replace_everywhere(fit_replicas, replicas)


def widen_networks(by: int) -> None:
    """Multiply the widths that the small networks have by default."""
    from companion.networks import mlp, small_cnn

    for network, name in ((small_cnn, "widths"), (mlp, "hidden")):
        usual = inspect.signature(network).parameters[name].default
        wider = tuple(width * by for width in usual)
        replace_everywhere(network, _with_default(network, name, wider))


def _with_default(network: Any, name: str, value: Any) -> Callable[..., Any]:
    @wraps(network)
    def changed(*given: Any, **options: Any) -> Any:
        return network(*given, **{name: value} | options)

    signature = inspect.signature(network)
    own = signature.parameters | {name: signature.parameters[name].replace(default=value)}
    changed.__signature__ = signature.replace(parameters=list(own.values()))  # type: ignore[attr-defined]
    return changed


class Residual(nn.Module):
    """Two convolutions with BatchNorm beside a shortcut (He et al. 2016)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(after), nn.BatchNorm2d(after)])
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both ways, after a ReLU."""
        found = self.norms[0](self.first(x)).relu()
        return (self.norms[1](self.second(found)) + self.shortcut(x)).relu()


def residual_networks(_: bool) -> None:
    """Give residual blocks to what was a row of convolutions; perceptrons stay."""
    from companion.networks import small_cnn
    from companion.states import seeded

    @wraps(small_cnn)
    def residual(*given: Any, **options: Any) -> nn.Sequential:
        asked = inspect.signature(small_cnn).bind(*given, **options)
        asked.apply_defaults()
        chosen = asked.arguments
        widths, dropout = chosen["widths"], chosen["dropout"]
        with seeded(chosen["seed"]):
            # Named by the places of the convolutions, of which chapters freeze all but the last.
            named: list[tuple[str, nn.Module]] = [
                (str(3 * depth), Residual(before, after, stride=1 if depth == 1 else 2))
                for depth, (before, after) in enumerate(
                    zip([chosen["channels"], *widths], widths, strict=False)
                )
            ]
            # Where the last one's BatchNorm was, which is part of its block here.
            named += [(str(3 * len(widths) - 2), nn.Identity())]
            named += [("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
            named += [("dropout", nn.Dropout(dropout))] if dropout else []
            features = nn.Sequential(OrderedDict(named))
            head = nn.Linear(widths[-1], chosen["num_classes"])
            return nn.Sequential(OrderedDict(features=features, head=head))

    replace_everywhere(small_cnn, residual)


def keep_images(share: float) -> None:
    """Keep this share of each class's training images, at least one."""

    def fewer(train: LabelledImages, *held: LabelledImages) -> tuple[LabelledImages, ...]:
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(SHUFFLED))
        labels = train.labels[order]
        kept = [
            rows[: max(1, round(len(rows) * share))]
            for each in range(len(train.classes))
            if len(rows := order[labels == each])
        ]
        return train.at(torch.cat(kept).sort().values), *held

    _change_loading(fewer)


def shuffle_labels(_: bool) -> None:
    """Deal each part's labels out anew: no image says anything of its label."""

    def shuffled(*parts: LabelledImages) -> tuple[LabelledImages, ...]:
        dealer = torch.Generator().manual_seed(SHUFFLED)
        return tuple(
            LabelledImages(
                part.images,
                part.labels[torch.randperm(len(part), generator=dealer)],
                part.label_map,
                transform=part.transform,
            )
            for part in parts
        )

    _change_loading(shuffled)


def _change_loading(change: Callable[..., tuple[LabelledImages, ...]]) -> None:
    from companion.datasets import load

    @wraps(load)
    def changed(*given: Any, **options: Any) -> Any:
        parts = load(*given, **options)
        return type(parts)(*change(*parts))

    replace_everywhere(load, changed)


CHANGES: dict[str, Callable[[Any], None]] = {
    "seeds": move_seeds,
    "rates": scale_rates,
    "lengths": scale_lengths,
    "widths": widen_networks,
    "residual": residual_networks,
    "images": keep_images,
    "shuffled": shuffle_labels,
}
