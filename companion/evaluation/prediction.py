"""Logits of a model on a set, and the mode they are computed in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from companion.datasets import LabelledImages


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every module into evaluation mode without gradients, and back into its own mode after.

    Each module's mode is kept on its own, so that a BatchNorm that was frozen stays frozen.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    >>> with evaluating(model):
    ...     model.training
    False
    >>> model.training
    True
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the model's first parameter or buffer, the CPU where it has none.

    >>> device_of(nn.Linear(2, 2))
    device(type='cpu')
    """
    for tensor in [*model.parameters(), *model.buffers()]:
        return tensor.device
    return torch.device("cpu")


def batches(data: LabelledImages | DataLoader, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (images, labels) batches, in order: slices of a set, or what a loader gives.

    >>> from companion import digits
    >>> [len(labels) for _, labels in batches(digits(), 1000)]
    [1000, 797]
    """
    if isinstance(data, LabelledImages):
        yield from zip(data.images.split(batch_size), data.labels.split(batch_size), strict=True)
    else:
        for images, labels in data:
            yield images, torch.as_tensor(labels)


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
