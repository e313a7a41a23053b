"""What stays as it is while the rest is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from companion.heads.finding import check_names

Model = TypeVar("Model", bound=nn.Module)


def freeze(model: Model, *, keep: Iterable[str] = ()) -> Model:
    """Stop a network, or a part of one, from changing, in place, and return it.

    Its parameters get no gradients, and its normalisations with running statistics (BatchNorm and
    its kin) stay in evaluation mode, also after a later `.train()`, so that neither weights nor
    buffers move. Submodules named in `keep` stay as they are, in everything. Dropout goes on.

    Mutated: `requires_grad` and gradients of parameters, mode and class of the normalisations,
    which become subclasses of themselves with the same parameters and buffers; `unfreeze` undoes
    it all.
    Freeze before you make the optimiser: one with momentum goes on moving what it holds.

    Raises `ValueError` for a name in `keep` that is no submodule; nothing is changed then.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 3))
    >>> frozen = freeze(model, keep=["2"]).train()
    >>> frozen[1].training, [name for name, p in model.named_parameters() if p.requires_grad]
    (False, ['2.weight', '2.bias'])
    """
    names = keep if isinstance(keep, str) else list(keep)
    check_names(model, names, "keep")
    left_out = [model.get_submodule(name) for name in names]
    trainable = {parameter for module in left_out for parameter in module.parameters()}
    spared = {each for module in left_out for each in module.modules()}
    for parameter in model.parameters():
        if parameter not in trainable:
            parameter.requires_grad_(False)
            parameter.grad = None  # an optimiser would go on using it
    for module in model.modules():
        if module not in spared and isinstance(module, _NormBase) and module.track_running_stats:
            if not isinstance(module, _StaysInEvaluation):
                module.__class__ = _still(type(module))  # type: ignore[assignment]
            module.eval()
    return model


def unfreeze(model: Model) -> Model:
    """Let a network, or a part of one, change again, in place, and return it.

    All its parameters get gradients. Normalisations that were frozen are their own class again,
    in the mode of the module they are called on.

    >>> model = unfreeze(freeze(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))))
    >>> model.train()[1].training, type(model[1]).__name__
    (True, 'BatchNorm1d')
    """
    mode = model.training and not isinstance(model, _StaysInEvaluation)
    for module in model.modules():
        if isinstance(module, _StaysInEvaluation):
            module.__class__ = type(module).__mro__[2]
            module.train(mode)
    for parameter in model.parameters():
        if parameter.is_floating_point() or parameter.is_complex():
            parameter.requires_grad_(True)
    return model


class _StaysInEvaluation(nn.Module):
    """Ignores `.train()`, which a training loop calls on the whole model at each epoch."""

    def train(self, mode: bool = True) -> Any:
        return super().train(False)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # The subclass is made at run time, so a pickle has to name the class below it.
        return _restored, (type(self).__mro__[2],), self.__dict__


_SUBCLASSES: dict[type[nn.Module], type[nn.Module]] = {}


def _still(kind: type[nn.Module]) -> type[nn.Module]:
    if kind not in _SUBCLASSES:
        _SUBCLASSES[kind] = type(f"Frozen{kind.__name__}", (_StaysInEvaluation, kind), {})
    return _SUBCLASSES[kind]


def _restored(kind: type[nn.Module]) -> nn.Module:
    return _still(kind).__new__(_still(kind))
