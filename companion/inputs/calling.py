"""Calling other people's models, and saying in words what they refuse of their inputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

REFUSALS = (RuntimeError, ValueError, IndexError)
INPUT_NAMES = ("pixel_values", "images", "image", "inputs", "input", "x", "img")
# What PyTorch's layers say of a type, each in its own words.
OF_TYPE = re.compile(r"dtype|datatype|scalar type|Input type|not implemented for '")
WANTS_INTEGERS = re.compile(r"'indices'|LongTensor|used as indices")


def called(model: nn.Module, inputs: Any) -> Any:
    """Return what a model makes of inputs; the entries of a mapping are its named arguments.

    Raises the errors of `refusals_explained`, and whatever the model raises itself.

    >>> called(nn.Identity(), 3)
    3
    """
    try:
        # A tensor is tried first: each step of each training asks.
        if isinstance(inputs, Tensor) or not isinstance(inputs, Mapping):
            return model(inputs)
        return model(**inputs)
    except REFUSALS as error:
        _raise_explained(error, inputs)
        raise


@contextmanager
def refusals_explained(inputs: Any) -> Iterator[None]:
    """Say what a model refuses of its inputs where it does: their type, or a batch of one.

    Some models scale bytes, or look integers up in a table: only their own refusal tells. Raises
    `TypeError` for a type, `ValueError` for one image where BatchNorm needs several; anything else
    is raised as it is.

    >>> with refusals_explained(None):
    ...     raise ValueError("Expected more than 1 value per channel when training")
    Traceback (most recent call last):
    ValueError: a batch needs two images where BatchNorm computes a mean of them; one of the \
batches has a single image. Choose a batch_size that leaves no remainder of 1, or drop_last=True.
    """
    try:
        yield
    except REFUSALS as error:
        _raise_explained(error, inputs)
        raise


def _raise_explained(error: Exception, inputs: Any) -> None:
    """Raise what an error means in words, where that is known."""
    explained = _explained(str(error), _images_in(inputs))
    if explained is not None:
        raise explained from error


def _explained(said: str, images: Tensor | None) -> Exception | None:
    if "Expected more than 1 value per channel" in said:
        return ValueError(
            "a batch needs two images where BatchNorm computes a mean of them; one of the batches "
            "has a single image. Choose a batch_size that leaves no remainder of 1, or "
            "drop_last=True."
        )
    if images is None:
        return None
    first = said.splitlines()[0] if said else ""
    if images.is_floating_point():
        if not WANTS_INTEGERS.search(said):
            return None
        return TypeError(
            "a model that looks its inputs up in a table is given whole numbers; this one received "
            f"{images.dtype} and failed ({first}). Give them as integers: inputs.long()."
        )
    if not OF_TYPE.search(said):
        return None
    return TypeError(
        "a model is given images in floating point, unless it scales bytes itself or looks "
        f"integers up; this one received {images.dtype} and failed ({first}). Scale in the data "
        "set: images.float() / 255."
    )


def _images_in(inputs: Any) -> Tensor | None:
    if isinstance(inputs, Mapping):
        inputs = next((inputs[name] for name in INPUT_NAMES if name in inputs), None)
    return inputs if isinstance(inputs, Tensor) else None
