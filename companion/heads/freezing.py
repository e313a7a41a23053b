"""What stays as it is while the rest is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from companion.heads.layers import check_names
from companion.heads.stilling import FROZEN, adopt, still, thaw
from companion.inputs import refuse_lazy

Model = TypeVar("Model", bound=nn.Module)


def freeze(model: Model, *, keep: Iterable[str] = ()) -> Model:
    """Stop a network, or a part of one, from changing, in place, and return it.

    Its parameters get no gradients, and its normalisations with running statistics (BatchNorm and
    its kin) stay in evaluation mode, also after a later `.train()`, so that neither weights nor
    statistics move. Submodules named in `keep` stay as they are, in everything. Dropout goes on.

    What was changed is written down in the modules themselves, so that it goes along with copies
    and pickles, and `unfreeze` puts back that and nothing else. It also holds when BatchNorms
    become `SyncBatchNorm` later, as the module around them has the record; a normalisation that
    was frozen alone has none around it: freeze the block that holds it.

    Mutated: `requires_grad` and gradients of parameters, the mode of the normalisations, and
    their `train`, which is wrapped. Their classes, the state and the modules stay.
    Freeze before you make the optimiser: one with momentum goes on moving what it holds.

    Raises `ValueError` for a name in `keep` that is no submodule, `TypeError` for a lazy or a
    scripted model; nothing is changed then.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 3))
    >>> frozen = freeze(model, keep=["2"]).train()
    >>> frozen[1].training, [name for name, p in model.named_parameters() if p.requires_grad]
    (False, ['2.weight', '2.bias'])
    """
    names = keep if isinstance(keep, str) else list(keep)
    check_names(model, names, "keep")
    _check(model)
    left_out = [model.get_submodule(name) for name in names]
    trainable = {parameter for module in left_out for parameter in module.parameters()}
    spared = {each for module in left_out for each in module.modules()}
    _stop({p for p in model.parameters() if p.requires_grad and p not in trainable}, model)
    still([each for each in model.modules() if each not in spared and _moves(each)], model)
    return model


def unfreeze(model: Model, *, everything: bool = False) -> Model:
    """Undo `freeze` in a network, or in a part of one, in place, and return it.

    The parameters that `freeze` stopped get gradients again; those that somebody else had frozen
    before stay frozen. The normalisations it stilled get the mode back that they would have had
    without it. With `everything` all parameters get gradients, whoever froze them.

    Raises `ValueError` where everything trainable is frozen, and none of it by `freeze`: there
    would be nothing to put back, and nothing to train.

    >>> model = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.BatchNorm1d(2))
    >>> model = unfreeze(freeze(model))
    >>> model[1].training, [name for name, p in model.named_parameters() if p.requires_grad]
    (True, ['1.weight', '1.bias'])
    """
    possible = [p for p in model.parameters() if p.is_floating_point() or p.is_complex()]
    adopt(model)
    ours = [*_stopped(model)]
    if possible and not (everything or ours or any(p.requires_grad for p in possible)):
        raise ValueError(
            f"unfreeze puts back what freeze changed; received a {type(model).__name__} whose "
            f"{len(possible)} parameters were frozen by other means. Pass everything=True to let "
            "them change all the same."
        )
    for module in model.modules():
        vars(module).pop(FROZEN, None)
    thaw(model)
    for parameter in possible if everything else ours:
        parameter.requires_grad_(True)
    return model


def _check(model: nn.Module) -> None:
    refuse_lazy(model)
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise TypeError("a scripted model cannot be frozen; freeze the model, then script it.")


def _moves(module: nn.Module) -> bool:
    return isinstance(module, _NormBase) and module.track_running_stats


def _stop(parameters: set[nn.Parameter], model: nn.Module) -> None:
    """Take the gradients away, and write down in each module which of its own it were."""
    for module in model.modules():
        own = {name for name, each in module._parameters.items() if each in parameters}
        if own:
            vars(module)[FROZEN] = tuple(sorted(own | {*vars(module).get(FROZEN, ())}))
    for parameter in parameters:
        parameter.requires_grad_(False)
        parameter.grad = None  # an optimiser would go on using it


def _stopped(model: nn.Module) -> Iterable[nn.Parameter]:
    """Yield the parameters that `freeze` stopped, by the modules' own record."""
    for module in model.modules():
        for name in vars(module).get(FROZEN, ()):
            parameter = module._parameters.get(name)
            if parameter is not None:
                yield parameter
            else:  # a weight norm, say, was put on it since, and holds it now
                around = dict(module.named_modules())
                inside = around.get(f"parametrizations.{name}")
                yield from inside.parameters() if inside is not None else ()
