"""What a model does with a batch: which layers it calls, and how wide its answer is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from companion.heads.layers import AmbiguousHeadError, Layer, features_of, width
from companion.inputs import compute_logits, device_of, dtype_of, moved
from companion.states import evaluating, randomness_kept


def layers_called(
    model: nn.Module, layers: Mapping[str, Layer], images: Tensor | Mapping[str, Any]
) -> list[str]:
    """Return the names of the layers that are called and as wide as the output, in that order.

    Raises `AmbiguousHeadError` where there are none, and the errors of `output_width`.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2))
    >>> images = torch.zeros(1, 4)
    >>> layers_called(model, dict(model.named_children()), images)
    ['0', '1']
    """
    called: list[str] = []
    handles = [
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, layer in layers.items()
    ]
    try:
        outputs = output_width(model, images)
    finally:
        for handle in handles:
            handle.remove()
    wide = [name for name in called if width(layers[name]) == outputs]
    if not wide:
        raise AmbiguousHeadError(f"no layer that is called has the {outputs} outputs", called)
    return wide


def output_width(model: nn.Module, images: Tensor | Mapping[str, Any]) -> int:
    """Return the number of outputs for a batch, in evaluation mode, which is undone after.

    Raises the errors of `compute_logits`: `ValueError` for an output that is not (N, classes).

    >>> import torch
    >>> output_width(nn.Linear(4, 3), torch.zeros(2, 4))
    3
    """
    device = device_of(model)
    # A forward pass may draw, and looking at a model must not move the random state.
    with randomness_kept(device), evaluating(model):
        return compute_logits(model, moved(images, device, dtype_of(model))).shape[1]


def check_width(new: nn.Module, old: Layer, num_classes: int) -> None:
    """Raise `ValueError` for a new head that does not make an output of each class.

    It reads a few features like those of the old layer, in evaluation mode; the random state
    stays.

    >>> check_width(nn.Linear(4, 3), nn.Linear(4, 2), 3)
    """
    refused: Exception | None = None
    with randomness_kept(device_of(new)), evaluating(new):
        for shape in _shapes_read(old):
            try:
                outputs = new(old.weight.new_zeros(shape))
            except Exception as error:  # it may need positions to read, as attention does
                refused = error
                continue
            axis = 1 if isinstance(old, nn.Conv2d) else -1
            if isinstance(outputs, Tensor) and outputs.dim() > 1:
                if outputs.shape[axis] != num_classes:
                    raise ValueError(
                        f"the new head must make {num_classes} outputs; the function made a "
                        f"{type(new).__name__} that makes {outputs.shape[axis]}. Let it return a "
                        "module that ends as wide as its second argument."
                    )
                return
            refused = TypeError(f"it returns {getattr(outputs, 'shape', type(outputs).__name__)}")
            break
    raise ValueError(
        f"the new head must read what the old one reads, such as {_shapes_read(old)[0]}; the "
        f"function made a {type(new).__name__} that refuses it ({refused}). Build it for as many "
        "features as its first argument says, or pass images= to try it in the model."
    ) from refused


def _shapes_read(old: Layer) -> list[tuple[int, ...]]:
    features = features_of(old)
    if isinstance(old, nn.Linear):
        return [(2, features), (2, 4, features), (2, 4, 4, features)]
    return [(2, features, *map(int, old.kernel_size)), (2, features, 8, 8)]
