"""What images have to be before a set is made of them, and after a transform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from companion.inputs import real_numbers, refuse_without_values
from companion.states import randomness_kept

Transform = Callable[[Tensor], Tensor]
"""What a batch of images goes through: (N, channels, height, width) to N of another shape."""

GREY_ADVICE = (
    "Grey images become three channels by torchvision.transforms.v2.RGB() before it: "
    "v2.Compose([v2.RGB(), weights.transforms()])."
)


def checked_images(images: Any) -> Tensor:
    """Return images as a floating-point tensor (N, channels, height, width), or say what is wrong.

    >>> import numpy as np
    >>> checked_images(np.zeros((1, 1, 2, 2), dtype=np.float32)).dtype
    torch.float32
    """
    if not isinstance(images, Tensor) or not images.is_floating_point():
        images = real_numbers(
            images,
            what="images, as networks compute in it,",
            advice="Scale bytes yourself: images.float() / 255.",
        )
    refuse_without_values(images, "images")
    if images.dim() != 4:
        raise ValueError(
            "images must have shape (N, channels, height, width); received "
            f"{tuple(images.shape)}. Grey images need a channel: images.unsqueeze(1)."
        )
    if images.numel() == 0:
        raise ValueError(
            f"a set needs at least one image; received shape {tuple(images.shape)}. "
            "Look at what selected them."
        )
    if not bool(torch.isfinite(images).all()):
        bad = (~torch.isfinite(images)).flatten(1).any(1).nonzero().flatten().tolist()
        raise ValueError(
            f"images must be finite; {len(bad)} hold NaN or infinity, the first at position "
            f"{bad[0]}. Repair or drop them."
        )
    return images


def transformed(images: Tensor, transform: Transform) -> Tensor:
    """Return a batch after a transform, as many images as before it.

    >>> transformed(torch.ones(2, 1, 4, 4), lambda batch: batch - 1).max()
    tensor(0.)
    """
    found = transform(images)
    if not isinstance(found, Tensor) or not found.is_floating_point():
        kind = str(found.dtype) if isinstance(found, Tensor) else type(found).__name__
        raise TypeError(
            "a transform returns images as a floating-point tensor; received "
            f"{kind}. Let it end in tensors, and scale to floats: v2.ToDtype(torch.float32)."
        )
    if found.dim() < 2 or len(found) != len(images):
        raise ValueError(
            f"a transform returns as many images as it is given, in their order; {len(images)} "
            f"went in and {tuple(found.shape)} came out. It is given a batch (N, channels, height, "
            "width), so let it act on the last dimensions."
        )
    return found


def try_transform(images: Tensor, transform: Any) -> None:
    """Raise what is wrong with a transform of these images, before anybody trains with it.

    Two images go through it; the global random state stays as it is.

    >>> try_transform(torch.ones(2, 1, 4, 4), lambda batch: batch / 0)
    Traceback (most recent call last):
    ValueError: a transform returns finite numbers; it made NaN or infinity of the first images. \
Look for a division by zero.
    """
    if not callable(transform):
        raise TypeError(
            "a transform is called with a batch of images; received "
            f"{type(transform).__name__}. Pass weights.transforms(), with the brackets, say."
        )
    with randomness_kept(images.device):
        try:
            found = transform(images[:2].clone())
        except Exception as error:
            shape = (len(images[:2]), *images.shape[1:])
            advice = GREY_ADVICE if images.shape[1] == 1 else "It is given tensors, not pictures."
            raise ValueError(
                f"a transform takes a batch of images; given {shape} it raised "
                f"{type(error).__name__}: {error}. {advice}"
            ) from error
        found = transformed(images[:2], lambda _: found)
    if not bool(torch.isfinite(found).all()):
        raise ValueError(
            "a transform returns finite numbers; it made NaN or infinity of the first images. "
            "Look for a division by zero."
        )
