"""torchvision's architectures without weights and without memory, to look at and to operate on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
import torchvision
from torch import nn
from torchvision.models.regnet import BlockParams


def skeleton(name: str) -> nn.Module:
    """Return a torchvision classification model on the "meta" device, built in milliseconds.

    It has every module and every shape, and no values: a forward pass of images on "meta" gives
    the shape of the output. `name` is one of `torchvision.models.list_models`.

    Raises `ValueError` for a name that torchvision does not know.

    >>> skeleton("vgg16").classifier[6].weight.shape
    torch.Size([1000, 4096])
    """
    options: dict[str, Any] = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False  # minutes of truncated normals
    with _block_parameters_on_cpu(), torch.device("meta"):
        return torchvision.models.get_model(name, **options)


@contextmanager
def _block_parameters_on_cpu() -> Iterator[None]:
    """Let RegNet compute its widths with real numbers, as "meta" has none."""
    compute = BlockParams.from_init_params

    def on_cpu(*arguments: Any, **options: Any) -> BlockParams:
        with torch.device("cpu"):
            return compute(*arguments, **options)

    with mock.patch.object(BlockParams, "from_init_params", on_cpu):
        yield
