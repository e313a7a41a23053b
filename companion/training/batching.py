"""Training batches: slices of a set on the device, or what a loader gives, checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from companion.datasets import LabelledImages
from companion.inputs import batches


def training_batches(
    data: LabelledImages | DataLoader,
    sampler: Iterable[int] | None,
    order: torch.Generator,
    batch_size: int,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of one epoch, on the device, in an order drawn from `order`."""
    if isinstance(data, LabelledImages):
        rows = positions(len(data), sampler, order).to(device)
        for chosen in rows.split(batch_size) if len(rows) else ():
            yield data.images[chosen], data.labels[chosen]
    else:
        for images, labels in batches(data, batch_size):
            yield on_device(images, labels, device)


def positions(count: int, sampler: Iterable[int] | None, order: torch.Generator) -> Tensor:
    """Return the positions of one epoch in `count` images: a permutation, or what is drawn.

    Raises `ValueError` for a sampler that was made for other data.
    """
    if sampler is None:
        return torch.randperm(count, generator=order)
    rows = torch.as_tensor(list(sampler), dtype=torch.int64)
    made_for = getattr(sampler, "items", count)
    beyond = rows[(rows < 0) | (rows >= count)]
    if len(beyond) or made_for != count:
        received = f"position {int(beyond[0])}" if len(beyond) else f"a sampler for {made_for}"
        raise ValueError(
            f"the sampler must be made for the {count} images that are trained on; received "
            f"{received}. Make it from train.labels; a Subset's dataset has its parent's labels."
        )
    return rows


def on_device(images: Tensor, labels: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return a loader's batch on the device; raise `TypeError` for types that would mislead."""
    if not images.is_floating_point():
        raise TypeError(
            f"images must be floating point; the loader gives {images.dtype}. "
            "Scale in the data set: images.float() / 255."
        )
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(
            f"labels must be integer indices; the loader gives {labels.dtype}. "
            "Encode them in the data set, with LabelMap.encode or labels.long()."
        )
    return images.to(device, non_blocking=True), labels.to(device, torch.int64, non_blocking=True)


def epochs_for(data: LabelledImages, steps: int, *, batch_size: int = 128) -> int:
    """Return the number of epochs in which training takes at least that many steps.

    With it sets of different size train equally long. Raises `ValueError` for numbers below 1.

    >>> from companion import digits
    >>> epochs_for(digits(), 200, batch_size=64)
    8
    """
    if steps < 1 or batch_size < 1:
        raise ValueError(
            f"steps and batch_size must be at least 1; received {steps} and {batch_size}."
        )
    return -(-steps * batch_size // len(data))


def count_steps(data: LabelledImages | DataLoader, sampler: Iterable[int] | None, size: int) -> int:
    """Return the number of steps in an epoch, which schedules need to know beforehand."""
    if isinstance(data, LabelledImages):
        drawn = len(sampler) if isinstance(sampler, Sized) else len(data)
        return -(-drawn // size)
    try:
        return len(data)
    except TypeError as error:
        raise TypeError(
            "training data must know their number of batches, so that the schedule can end with "
            "them; this loader has no length. Give its data set a __len__."
        ) from error
