"""Parts of what batches and models give: some rows of inputs, the tensor in an answer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.doctor.words import NotRunError
from companion.inputs import logits_of

SMALL = 16  # pixels a side of the pictures that are compared


def cut(inputs: Any, count: int) -> Any:
    """Return the first rows of a batch's inputs.

    >>> cut(torch.zeros(5, 2), 3).shape
    torch.Size([3, 2])
    """
    if isinstance(inputs, Tensor):
        return inputs[:count] if inputs.ndim else inputs
    if isinstance(inputs, dict):
        return {name: cut(each, count) for name, each in inputs.items()}
    if type(inputs) in (list, tuple):
        return type(inputs)(cut(each, count) for each in inputs)
    return inputs


def tensor_in(answer: Any) -> Tensor | None:
    """Return the tensor that a model's answer is about, of any shape; None where there is none.

    >>> tensor_in({"out": torch.zeros(1, 2, 3, 3)}).shape
    torch.Size([1, 2, 3, 3])
    """
    if isinstance(answer, Tensor):
        return answer
    with suppress(TypeError, ValueError):
        return logits_of(answer)
    for name in ("logits", "out"):
        found = answer.get(name) if isinstance(answer, dict) else getattr(answer, name, None)
        if isinstance(found, Tensor):
            return found
    if isinstance(answer, tuple | list) and answer and isinstance(answer[0], Tensor):
        return answer[0]
    return None


def flat_images(batches: Sequence[Any]) -> Tensor:
    """Return the images of some batches as rows of numbers, (N, D) float32 on the CPU.

    Large pictures are averaged over blocks. Raises `NotRunError` for inputs that are no tensor of
    one shape.

    >>> flat_images([torch.zeros(2, 3, 4, 4), torch.zeros(1, 3, 4, 4)]).shape
    torch.Size([3, 48])
    """
    if not all(isinstance(each, Tensor) for each in batches):
        raise NotRunError("inputs are no tensors")
    if len({each.shape[1:] for each in batches}) != 1:
        raise NotRunError("inputs have several shapes")
    found = torch.cat([each.detach().cpu() for each in batches])
    found = found.float()
    if found.dim() == 4 and found.shape[2] * found.shape[3] > SMALL**2:
        found = F.adaptive_avg_pool2d(found, SMALL)
    return found.flatten(1)
