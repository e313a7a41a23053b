"""Logits of a model on a set, and the mode they are computed in."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from companion.datasets import LabelledImages
from companion.inputs import batches, device_of
from companion.states import evaluating


def predict(
    model: nn.Module, data: LabelledImages | DataLoader | Tensor, *, batch_size: int = 512
) -> Tensor:
    """Return the model's logits (N, classes) for all images, in order, on the CPU.

    The model is used where it is, in evaluation mode, without gradients; its modes are restored
    whatever happens. A tensor of images (N, channels, height, width) will do for `data`.

    Raises `ValueError` for no images and for an output that is not (N, classes).

    >>> from companion import digits, small_cnn
    >>> predict(small_cnn(10, seed=0), digits()).shape
    torch.Size([1797, 10])
    """
    if isinstance(data, Tensor):
        chunks: Iterable[Tensor] = data.split(batch_size)
    else:
        chunks = (images for images, _ in batches(data, batch_size))
    device = device_of(model)
    with evaluating(model):
        logits = [model(chunk.to(device)).float().cpu() for chunk in chunks]
    if not logits or sum(map(len, logits)) == 0:
        raise ValueError("predict needs an image; the data yielded none. Look at their length.")
    if logits[0].dim() != 2:
        raise ValueError(
            "a classifier returns logits of shape (N, classes); received "
            f"{tuple(logits[0].shape)}. Flatten before the head."
        )
    return torch.cat(logits)
