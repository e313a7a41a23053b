"""What `freeze` writes down outlives what other libraries do, and `unfreeze` reads it."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import parametrizations

from companion import freeze, unfreeze
from companion.states import evaluating
from small_models import OwnNorm, state, trainable

IMAGES = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """A convolution and its BatchNorm, not in a sequence."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images))


def blocks() -> nn.Sequential:
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = nn.Linear(5, 3)
    return nn.Sequential(OrderedDict(low=Block(1, 4), up=Block(4, 5), pooled=pooled, head=head))


def norms(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, _NormBase)]


def moved(model: nn.Module, run: Callable[[Tensor], Any]) -> list[str]:
    """The entries of a model's state that a pass in training mode changes."""
    before = state(model)
    run(IMAGES)
    return [name for name, value in state(model).items() if not torch.equal(value, before[name])]


def synchronised(model: nn.Module) -> nn.Module:
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def rebuilt(model: nn.Module) -> nn.Module:
    return nn.Sequential(*model.children())


@pytest.mark.parametrize(
    "others",
    [
        synchronised,
        lambda m: copy.deepcopy(synchronised(m)),
        lambda m: pickle.loads(pickle.dumps(synchronised(m))),
        lambda m: synchronised(copy.deepcopy(m)),
        lambda m: synchronised(m.double()),
        lambda m: synchronised(rebuilt(m)),
        lambda m: synchronised(nn.Sequential(OrderedDict(inside=m))),
        lambda m: synchronised(synchronised(m)),
    ],
    ids=["converted", "copied", "pickled", "copy", "double", "rebuilt", "wrapped", "twice"],
)
def test_a_model_whose_norms_become_synchronised_stays_frozen(
    others: Callable[[nn.Module], nn.Module],
) -> None:
    model = others(freeze(blocks().train(), keep=["head"]))
    assert {type(norm) for norm in norms(model)} == {nn.SyncBatchNorm}
    for _ in range(2):  # a loop that is not ours, at each epoch
        model.train()
        assert [norm.training for norm in norms(model)] == [False, False]
        assert moved(model.float(), model) == []
    unfreeze(model)
    assert "running_mean" in " ".join(moved(model, model))
    assert all(module.training for module in model.modules())
    assert len(trainable(model)) == 10
    assert not any("train" in vars(module) for module in model.modules())


def test_a_conversion_right_before_thawing_changes_nothing() -> None:
    model = unfreeze(synchronised(freeze(blocks().train())))
    assert len(trainable(model)) == 10
    assert all(module.training for module in model.modules())


def test_a_block_alone_trains_no_norm_after_a_conversion() -> None:
    model = synchronised(freeze(blocks().train()))
    assert not model.up.train().norm.training
    assert not model.train().up.norm.train().training


def test_a_new_norm_in_the_place_of_a_frozen_one_is_not_frozen() -> None:
    model = freeze(blocks())
    model.low.norm = nn.BatchNorm2d(4)
    model.train()
    assert [norm.training for norm in norms(model)] == [True, False]
    model.low.norm.eval()
    unfreeze(model)
    assert [norm.training for norm in norms(model)] == [False, True]


def test_frozen_norms_are_fused() -> None:
    model = freeze(blocks()).eval()
    expected = model(IMAGES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a package that is to move
        from torch.ao.quantization import fuse_modules

        fused = fuse_modules(model, [["low.conv", "low.norm"]])
    assert torch.allclose(fused(IMAGES), expected, atol=1e-5)
    assert len(norms(fused)) == 1
    assert moved(fused, fused.train()) == []
    assert unfreeze(fused).up.norm.training


@pytest.mark.parametrize(
    "wrapped",
    [
        nn.DataParallel,
        lambda m: torch.compile(m, backend="eager", fullgraph=True),
        torch.fx.symbolic_trace,
        rebuilt,
    ],
    ids=["DataParallel", "compile", "fx", "rebuilt"],
)
def test_what_computes_with_a_frozen_model_moves_nothing(wrapped: Callable[..., Any]) -> None:
    model = freeze(blocks())
    other = wrapped(model)
    other.train()
    assert moved(model, other) == []
    unfreeze(model)
    other.train()
    assert any("running_mean" in name for name in moved(model, other))


def test_a_frozen_model_can_be_scripted() -> None:
    model = freeze(blocks()).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is to go
        scripted = torch.jit.script(model)
    assert torch.equal(scripted(IMAGES), model(IMAGES))
    with pytest.raises(TypeError, match="freeze the model, then script it"):
        freeze(scripted)


def test_what_is_only_held_by_the_call_is_put_into_its_mode() -> None:
    gc.collect()
    assert freeze(blocks()).train()[0].training
    assert not freeze(nn.Sequential(OwnNorm(3))).train()[0].training


def test_no_class_is_changed() -> None:
    model = nn.Sequential(OwnNorm(3), nn.BatchNorm2d(3))
    freeze(model)
    assert [type(module) for module in model] == [OwnNorm, nn.BatchNorm2d]
    model.train()
    assert model[0].calls == 1, "a user's own train is called once"


def test_what_was_frozen_before_stays_frozen() -> None:
    model = blocks()
    model.low.requires_grad_(False)
    before = trainable(model)
    assert trainable(freeze(model)) == []
    assert trainable(unfreeze(model)) == before
    assert trainable(unfreeze(model)) == before
    assert len(trainable(unfreeze(model, everything=True))) == 10


def test_freezing_in_steps_is_undone_in_any_order() -> None:
    model = blocks().train()
    freeze(model.low)
    freeze(model, keep=["head"])
    freeze(model)
    unfreeze(model.head)
    assert trainable(model) == ["head.weight", "head.bias"]
    unfreeze(model[1:])
    assert [norm.training for norm in norms(model.train())] == [False, True]
    unfreeze(model)
    assert len(trainable(model)) == 10
    assert all(module.training for module in model.modules())
    assert not any("train" in vars(module) for module in model.modules())


def test_weights_shared_by_two_parts_are_thawed_with_either() -> None:
    model = nn.Sequential(OrderedDict(body=nn.Linear(3, 3), head=nn.Linear(3, 3)))
    model.head.weight = model.body.weight
    unfreeze(freeze(model).head)
    assert trainable(model) == ["body.weight", "head.bias"]


@pytest.mark.parametrize("part", ["low", "head"])
def test_a_part_frozen_by_other_means_is_not_thawed_in_silence(
    part: str, snapshot: type[Any]
) -> None:
    model = blocks().requires_grad_(False)
    before = snapshot(model)
    with pytest.raises(ValueError, match=r"frozen by other means\. Pass everything=True"):
        unfreeze(model.get_submodule(part))
    before.check()
    unfreeze(model.get_submodule(part), everything=True)
    assert {name.split(".")[0] for name in trainable(model)} == {part}


def test_what_was_never_frozen_stays_as_it_is(snapshot: type[Any]) -> None:
    model = blocks()
    model.low.conv.requires_grad_(False)
    before = snapshot(model)
    assert unfreeze(model) is model
    unfreeze(nn.Dropout())
    before.check()


def test_norms_get_the_mode_that_they_would_have() -> None:
    model = blocks().train()
    model.low.norm.eval()  # by hand
    with evaluating(freeze(model)):
        assert not model.training  # the flags are set back one by one, and not by train()
    unfreeze(model)
    assert [norm.training for norm in norms(model)] == [False, True]
    freeze(model).eval()
    assert not any(norm.training for norm in norms(unfreeze(model)))
    freeze(model)
    assert all(norm.training for norm in norms(unfreeze(model.train())))


@pytest.mark.parametrize("norm", [nn.LazyBatchNorm2d, lambda: nn.LazyConv2d(3, 1)])
def test_a_model_without_shapes_is_refused_untouched(norm: Callable[[], nn.Module]) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), norm())
    with pytest.raises(TypeError, match=r"is lazy and has none yet\. Run a batch"):
        freeze(model)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_weight_that_is_parametrised_later_is_thawed() -> None:
    model = freeze(nn.Sequential(nn.Linear(3, 3)))
    parametrizations.orthogonal(model[0])
    assert trainable(model) == []
    assert len(trainable(unfreeze(model))) == 2


def test_weights_that_are_assigned_are_thawed() -> None:
    model = freeze(blocks())
    model.load_state_dict(blocks().state_dict(), assign=True)
    assert trainable(model) == []
    assert len(trainable(unfreeze(model))) == 10


def test_a_state_holds_nothing_of_the_record() -> None:
    model = freeze(blocks())
    assert list(model.state_dict()) == list(blocks().state_dict())
    assert [name for name, _ in model.named_modules()] == [n for n, _ in blocks().named_modules()]
