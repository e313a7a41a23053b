"""Features: what the head of a network reads, for every image of a set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parallel import DataParallel, DistributedDataParallel

from companion.heads.finding import find_head
from companion.heads.layers import AmbiguousHeadError, check_names
from companion.inputs import (
    BatchReader,
    Selector,
    batches,
    called,
    device_of,
    dtype_of,
    input_batches,
    moved,
    out_of_order,
    real_numbers,
    whole_number,
)
from companion.states import evaluating, randomness_kept


@overload
def features(
    model: nn.Module,
    data: Any,
    *,
    name: str | None = ...,
    batch_size: int = ...,
    inputs: Selector = ...,
    labels: Selector = ...,
    with_labels: Literal[False] = ...,
) -> Tensor: ...


@overload
def features(
    model: nn.Module,
    data: Any,
    *,
    name: str | None = ...,
    batch_size: int = ...,
    inputs: Selector = ...,
    labels: Selector = ...,
    with_labels: Literal[True],
) -> tuple[Tensor, Tensor]: ...


def features(
    model: nn.Module,
    data: Any,
    *,
    name: str | None = None,
    batch_size: int = 256,
    inputs: Selector = None,
    labels: Selector = None,
    with_labels: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Return the inputs of a network's head, (N, D) on the CPU, in the order of the data.

    `data` is a `LabelledImages`, a tensor or array of inputs, a pair (inputs, labels), or any
    iterable of batches, in which `inputs` and `labels` say what is what, as for `BatchReader`.
    The head is the one that `find_head` finds, by the first batch where names do not tell; `name`
    names any other module, whose first input is returned. Inputs of a head with more dimensions
    than two are averaged over the positions: channels are last for a linear layer, a layer norm
    and sequences (N, length, D), second for images (N, D, height, width). With `with_labels` the
    result is (features, labels), read in the same pass, and a loader may shuffle.

    The model runs in evaluation mode without gradients, where it is, and is not changed; neither
    is the random state.

    Raises `ValueError` for a loader that shuffles or drops images without `with_labels`, for a
    head that is not called once a batch or not on a row for each image, and for no batches;
    `TypeError` for other data; and the errors of `find_head` and of the reader.

    >>> from companion import small_cnn
    >>> features(small_cnn(10, widths=(4, 6), seed=0), torch.rand(5, 1, 8, 8)).shape
    torch.Size([5, 6])
    """
    batch_size = whole_number(batch_size, "batch_size")
    reason = None if with_labels else out_of_order(data)
    if reason:
        raise ValueError(
            f"features stand in the order of the data; this loader does not keep it: {reason}. "
            "Pass with_labels=True, which returns the labels in the same order, or another loader."
        )
    plain = _unwrapped(model)
    device, dtype = device_of(plain), dtype_of(plain)
    found: list[Tensor] = []
    kept: list[Tensor] = []
    with randomness_kept(device), evaluating(plain):
        read = _batches(data, batch_size, BatchReader(inputs, labels), with_labels)
        first = next(read, None)
        if first is None:
            raise ValueError("features need at least one batch; the data gave none.")
        module = _module(plain, name, moved(first[0], device, dtype))
        for images, of_batch in chain([first], read):
            seen = _input_of(module, plain, moved(images, device, dtype))
            found.append(_flat(seen, module, images).cpu())
            kept.append(of_batch)
    together = real_numbers(torch.cat(found), what="features")
    return (together, torch.cat(kept).cpu()) if with_labels else together


def _batches(
    data: Any, batch_size: int, reader: BatchReader, with_labels: bool
) -> Iterator[tuple[Any, Tensor]]:
    if with_labels:
        yield from batches(data, batch_size, reader=reader)
    else:
        none = torch.zeros(0, dtype=torch.int64)
        for each in input_batches(data, batch_size, reader=reader):
            if not isinstance(each, Tensor) or len(each):
                yield each, none


def _unwrapped(model: Any) -> nn.Module:
    """Return the model inside compiled and parallel ones, which compute the same."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        else:
            return model


def _module(model: nn.Module, name: str | None, first: Any) -> nn.Module:
    if name is not None:
        check_names(model, [name], "name")
        return model.get_submodule(name)
    try:
        return find_head(model).layer
    except AmbiguousHeadError:
        return find_head(model, images=first).layer


def _input_of(module: nn.Module, model: nn.Module, images: Any) -> Any:
    """Return what a module is given when the model reads a batch."""
    given: list[Any] = []
    handle = module.register_forward_pre_hook(
        lambda _, arguments, named: given.append([*arguments, *named.values()][:1]),
        with_kwargs=True,
    )
    try:
        called(model, images)
    finally:
        handle.remove()
    if len(given) != 1 or not given[0]:
        raise ValueError(
            "features are what a module reads once for each batch; this one, a "
            f"{type(module).__name__}, was called {len(given)} times. Name another, as in "
            "name='fc'."
        )
    return given[0][0]


def _flat(seen: Any, module: nn.Module, images: Any) -> Tensor:
    """Return a row for each image: the mean over the positions where there are some."""
    values = [*images.values()] if isinstance(images, Mapping) else [images]
    rows = next((len(each) for each in values if isinstance(each, Tensor)), None)
    if not isinstance(seen, Tensor) or not seen.dim() or rows not in (None, len(seen)):
        shown = tuple(seen.shape) if isinstance(seen, Tensor) else type(seen).__name__
        raise ValueError(
            f"features need a row for each of the {rows} images of a batch; the "
            f"{type(module).__name__} reads {shown}. Name another module, as in name='fc'."
        )
    if seen.dim() < 3:
        return seen if seen.dim() == 2 else seen[:, None]
    last = isinstance(module, nn.Linear | nn.LayerNorm) or (
        seen.dim() == 3 and not isinstance(module, nn.Conv1d | _NormBase)
    )
    return seen.flatten(1, -2).mean(1) if last else seen.flatten(2).mean(2)
