"""Normalisations that stay in evaluation mode, whoever calls `.train()`.

Their class stays, as fusing, converting and pickling go by it. A module that is told to train
looks for `train` among its own attributes first, so that is where a `Watch` stands: in the
normalisation, and in the module around it, where it is handed on to whatever takes the
normalisation's place, such as what `convert_sync_batchnorm` makes. Hooks would be lost there,
would come too late for those who read `.training`, and would stop `torch.jit.script`.
"""

from __future__ import annotations

from collections.abc import Collection

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

FROZEN = "_parameters_frozen_here"  # on a module: the names of its own that `freeze` stopped


class Watch:
    """A module's `train` as long as it, or a module right inside it, is held still.

    `asked` is the mode that the module would have without it; `apart` says that it was in
    evaluation mode while the module around it was training; `inside` has the watches of the
    modules right inside, by name.

    >>> layer = nn.BatchNorm1d(2)
    >>> still([layer], layer)
    >>> layer.train().training, watch_of(layer).asked
    (False, True)
    """

    def __init__(self, module: nn.Module) -> None:
        self.still = self.apart = False
        self.asked = module.training
        self.inside: dict[str, Watch] = {}
        self.watch(module)

    def __call__(self, mode: bool = True) -> nn.Module:
        """Put the module into a mode, as far as it is not held still, and return it."""
        self.asked, self.apart = mode, self.apart and not mode
        type(self.module).train(self.module, mode and not self.still)
        for heir in self.adopt():
            heir.train(mode)
        return self.module

    def watch(self, module: nn.Module) -> None:
        """Stand in a module."""
        self.module = module  # not weakly: in build().train() nothing else holds what is built
        vars(module)["train"] = self

    def adopt(self) -> list[nn.Module]:
        """Hand the record on to what has taken the place of modules inside, and return those.

        A normalisation with weights that may change is a new one, and not adopted.
        """
        adopted: list[nn.Module] = []
        for name, record in self.inside.items():
            here = self.module._modules.get(name)
            if (
                record.still
                and isinstance(here, _NormBase)
                and watch_of(here) is None
                and not any(parameter.requires_grad for parameter in here.parameters())
            ):
                if FROZEN in vars(record.module):
                    vars(here)[FROZEN] = vars(record.module)[FROZEN]
                record.watch(here)
                adopted.append(here)
        return adopted

    def release(self, mode: bool) -> None:
        """Let the module train again, and put it into a mode."""
        self.still = False
        if not self.inside:
            vars(self.module).pop("train", None)
        type(self.module).train(self.module, mode)


def watch_of(module: nn.Module) -> Watch | None:
    """Return the watch that stands in a module, if there is one.

    >>> watch_of(nn.Linear(2, 2)) is None
    True
    """
    found = vars(module).get("train")
    return found if isinstance(found, Watch) else None


def adopt(model: nn.Module) -> None:
    """Let what has taken the place of frozen normalisations have their record.

    >>> adopt(nn.Linear(2, 2))
    """
    for module in list(model.modules()):
        watch = watch_of(module)
        if watch is not None:
            watch.adopt()


def still(norms: Collection[nn.Module], model: nn.Module) -> None:
    """Hold normalisations of a model in evaluation mode until `thaw`.

    >>> model = nn.Sequential(nn.BatchNorm1d(2))
    >>> still([model[0]], model)
    >>> [part.training for part in model.train().modules()]
    [True, False]
    """
    chosen = set(norms)
    for parent in model.modules():
        for name, norm in parent._modules.items():
            if norm in chosen:
                watch = watch_of(norm) or Watch(norm)
                if not watch.still:
                    watch.apart = parent.training and not norm.training
                (watch_of(parent) or Watch(parent)).inside[name] = watch
    for norm in norms:
        watch = watch_of(norm) or Watch(norm)
        if not watch.still:
            watch.still, watch.asked = True, norm.training
        norm.training = False


def thaw(model: nn.Module) -> None:
    """Give the normalisations of a model the mode that they would have without `still`.

    >>> model = nn.Sequential(nn.BatchNorm1d(2))
    >>> still([model[0]], model)
    >>> thaw(model.eval().train())
    >>> model[0].training, "train" in vars(model[0])
    (True, False)
    """
    adopt(model)
    for parent in list(model.modules()):
        watch = watch_of(parent)
        if watch is None or not watch.inside:
            continue
        inside, watch.inside = watch.inside, {}
        for record in inside.values():
            if record.still:  # others may have set the parent's flag and not called train
                record.release(parent.training and not record.apart)
        if not watch.still:
            vars(parent).pop("train")
    for module in model.modules():
        watch = watch_of(module)
        if watch is not None and watch.still:
            watch.release(watch.asked)
