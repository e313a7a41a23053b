"""What a model is given and what it returns, in all the forms that libraries use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from companion.inputs.calling import called


def compute_logits(model: nn.Module, inputs: Any, *, rows: int | None = None) -> Tensor:
    """Return the model's logits (N, classes) for one batch of inputs, as `logits_of` reads them.

    `inputs` is a tensor, or a mapping, whose entries become the model's named arguments. `rows`
    is N where it is known. Raises the errors of `logits_of` and `called`, and whatever the model
    raises itself.

    >>> compute_logits(nn.Linear(4, 3), torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """
    return logits_of(called(model, inputs), rows=rows)


def logits_of(output: Any, *, rows: int | None = None) -> Tensor:
    """Return the logits (N, classes) in what a classifier returned.

    That is a tensor; an object with `.logits` (Hugging Face, Inception in training); a mapping
    with "logits" or "out" (torchvision's segmentation), or with one tensor alone; or a tuple or
    list, whose first element counts, as what follows it is auxiliary by convention.

    Raises `TypeError` where no logits are found, `ValueError` for another shape.

    >>> logits_of({"logits": torch.zeros(2, 3)}).shape
    torch.Size([2, 3])
    """
    found = _tensor_in(output)
    if found is None:
        keys = f" with {sorted(map(str, output))}" if isinstance(output, Mapping) else ""
        raise TypeError(
            "a classifier returns logits: a tensor, an object with .logits, a mapping with "
            f"'logits', or a tuple that begins with them; received {type(output).__name__}{keys}. "
            "Wrap the model in a module that returns the logits."
        )
    if found.dim() != 2 or not found.shape[1]:
        advice = "Flatten before the head."
        if found.dim() < 2:
            advice = "Of one output x for two classes make two: stack([zeros_like(x), x], 1)."
        raise ValueError(
            "a classifier returns logits of shape (N, classes); received "
            f"{tuple(found.shape)}. {advice}"
        )
    if rows is not None and len(found) != rows:
        raise ValueError(
            f"a classifier returns a row of logits for each of the {rows} inputs; received "
            f"{len(found)}. Keep the first dimension: flatten(1) rather than view(-1, …)."
        )
    return found


def _tensor_in(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    named = getattr(output, "logits", None)
    if isinstance(named, Tensor):
        return named
    if isinstance(output, Mapping):
        for key in ("logits", "out"):
            if isinstance(output.get(key), Tensor):
                return output[key]
        tensors = [value for value in output.values() if isinstance(value, Tensor)]
        return tensors[0] if len(tensors) == 1 else None
    if isinstance(output, tuple | list) and output:
        return _tensor_in(output[0])
    return None


def moved(inputs: Any, device: torch.device, dtype: torch.dtype | None = None) -> Any:
    """Return a batch's inputs on a device, floating-point ones as `dtype` where that is given.

    Tensors inside mappings, tuples and lists go along, as does what has a `to` of its own, such as
    a packed sequence; anything else stays as it is.

    >>> moved({"x": torch.zeros(1, dtype=torch.float64)}, torch.device("cpu"), torch.float32)
    {'x': tensor([0.])}
    """
    if isinstance(inputs, Tensor):
        wanted = dtype if inputs.is_floating_point() else None
        if inputs.device == device and wanted in (None, inputs.dtype):
            return inputs  # as in each step of a training whose data lie on the device
        # Towards the CPU nobody would wait for the copy to be complete.
        return inputs.to(device, wanted, non_blocking=device.type == "cuda")
    if isinstance(inputs, Mapping):
        return {name: moved(value, device, dtype) for name, value in inputs.items()}
    if hasattr(inputs, "to"):
        return inputs.to(device)
    if isinstance(inputs, tuple) and hasattr(inputs, "_fields"):
        return type(inputs)(*(moved(value, device, dtype) for value in inputs))
    if isinstance(inputs, tuple | list):
        return type(inputs)(moved(value, device, dtype) for value in inputs)
    return inputs
