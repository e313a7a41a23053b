"""Small networks that train in seconds, each a backbone called `features` and a `head`.

Imports `states` alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from companion.inputs import whole_number
from companion.states import seeded


def small_cnn(
    num_classes: int,
    *,
    channels: int = 1,
    widths: Sequence[int] = (16, 32, 64),
    dropout: float = 0.0,
    seed: int,
) -> nn.Sequential:
    """Return a network of 3×3 convolutions with BatchNorm, a global average and a linear head.

    It takes images (N, channels, height, width) of at least 8×8 and returns logits
    (N, num_classes). The first convolution and each after the second halve the sides, `dropout`
    stands before the head. Initial weights come from `seed`; the global random state stays.

    >>> import torch
    >>> model = small_cnn(10, seed=0)
    >>> model(torch.zeros(2, 1, 8, 8)).shape, model.features(torch.zeros(2, 1, 8, 8)).shape
    (torch.Size([2, 10]), torch.Size([2, 64]))
    """
    _check_positive(num_classes=num_classes, channels=channels)
    with seeded(seed):
        layers: list[nn.Module] = []
        for depth, (before, after) in enumerate(zip([channels, *widths], widths, strict=False)):
            stride = 1 if depth == 1 else 2
            layers += [
                nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        return _named(layers, nn.Linear(widths[-1], num_classes))


def mlp(
    num_classes: int,
    *,
    inputs: int,
    hidden: Sequence[int] = (128,),
    dropout: float = 0.0,
    seed: int,
) -> nn.Sequential:
    """Return a network of fully connected layers with ReLU, for `inputs` values an image.

    It takes anything of shape (N, …) with `inputs` values each and returns logits
    (N, num_classes). Initial weights come from `seed`; the global random state stays.

    >>> import torch
    >>> mlp(10, inputs=64, seed=0)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    _check_positive(num_classes=num_classes, inputs=inputs)
    with seeded(seed):
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in zip([inputs, *hidden], hidden, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        return _named(layers, nn.Linear(hidden[-1] if hidden else inputs, num_classes))


def linear(num_classes: int, *, inputs: int, seed: int) -> nn.Sequential:
    """Return a linear classifier of `inputs` values: `mlp` without a hidden layer.

    >>> sum(p.numel() for p in linear(3, inputs=4, seed=0).parameters())
    15
    """
    return mlp(num_classes, inputs=inputs, hidden=(), seed=seed)


def _named(layers: list[nn.Module], head: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(features=nn.Sequential(*layers), head=head))


def _check_positive(**sizes: int) -> None:
    for name, size in sizes.items():
        whole_number(size, name, advice="For num_classes pass len(data.classes).")
