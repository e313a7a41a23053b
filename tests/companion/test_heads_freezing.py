from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from companion import LabelledImages, fit, freeze, replace_head, small_cnn, unfreeze
from small_models import OwnNorm, state, tiny, trainable

TRACKING: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3), (4, 3)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3), (4, 3, 5, 5)),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(3), (4, 3, 2, 2, 2)),
    "without momentum": (lambda: nn.BatchNorm2d(3, momentum=None), (4, 3, 5, 5)),
    "without weights": (lambda: nn.BatchNorm2d(3, affine=False), (4, 3, 5, 5)),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(3, track_running_stats=True), (4, 3, 5, 5)),
    "OwnNorm": (lambda: OwnNorm(3), (4, 3, 5, 5)),
}
each_tracking = pytest.mark.parametrize(("build", "shape"), TRACKING.values(), ids=TRACKING)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_training_moves_the_head_and_nothing_else(patches: LabelledImages, optimizer: str) -> None:
    model = tiny()
    fit(model, patches, epochs=1, lr=0.01)
    before = state(model)
    assert freeze(model, keep=["head"]) is model
    fit(model.train(), patches, epochs=3, lr=0.01, optimizer=optimizer)
    after = state(model)
    assert list(after) == list(before)
    assert {name for name in after if not torch.equal(after[name], before[name])} == {
        "head.weight",
        "head.bias",
    }


def test_a_new_head_learns_on_a_frozen_backbone(patches: LabelledImages) -> None:
    model = replace_head(freeze(small_cnn(9, widths=(4, 6), seed=0)), 3)
    before = state(model)
    fit(model, patches, epochs=1, lr=0.01)
    after = state(model)
    assert [name for name in after if not torch.equal(after[name], before[name])] == [
        "head.weight",
        "head.bias",
    ]


def test_momentum_does_not_move_what_was_frozen_before_the_optimiser_was_made() -> None:
    model, images = freeze(tiny(), keep=["head"]), torch.rand(6, 1, 8, 8)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    before = state(model)
    for _ in range(3):
        optimiser.zero_grad()
        model(images).square().sum().backward()
        optimiser.step()
    after = state(model)
    moved = [name for name in after if not torch.equal(after[name], before[name])]
    assert moved == ["head.weight", "head.bias"]
    assert [name for name, p in model.named_parameters() if p.grad is not None] == moved


@each_tracking
def test_running_statistics_stay_after_train(
    build: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    model, images = nn.Sequential(build()), torch.randn(shape)
    kind, keys = type(model[0]), list(model.state_dict())
    values = [*model.parameters(), *model.buffers()]
    model.train()(images)
    before, expected = state(model), copy.deepcopy(model).eval()(images)
    freeze(model)
    assert not model[0].training
    assert isinstance(model[0], kind)
    assert torch.equal(model.train()(images), expected)
    assert model.training
    assert not model[0].train(True).training
    assert list(model.state_dict()) == keys
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert all(
        new is old for new, old in zip([*model.parameters(), *model.buffers()], values, strict=True)
    )
    unfreeze(model)
    assert type(model[0]) is kind
    assert model[0].training
    model(images)
    assert any(not torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_synchronised_batch_norm_is_frozen_and_thawed() -> None:
    model = nn.Sequential(nn.SyncBatchNorm(3))
    assert not freeze(model).train()[0].training
    assert isinstance(model[0], nn.SyncBatchNorm)
    assert type(unfreeze(model)[0]) is nn.SyncBatchNorm


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(3, track_running_stats=False),
        nn.InstanceNorm2d(3, affine=True),
        nn.GroupNorm(1, 3),
        nn.Dropout(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_without_running_statistics_only_loses_its_gradients(layer: nn.Module) -> None:
    kind = type(layer)
    model = freeze(nn.Sequential(layer, nn.Conv2d(3, 3, 1)).train())
    assert type(layer) is kind
    assert layer.training
    assert trainable(model) == []


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ([], []),
        (["head"], ["head.weight", "head.bias"]),
        (["features.4"], ["features.4.weight", "features.4.bias"]),
        (["features.3", "features"], 6),
        (iter(["head", "features"]), 8),
        (("head.0",), None),
    ],
)
def test_what_is_kept_stays_trainable(keep: Any, expected: Any) -> None:
    model = small_cnn(3, widths=(4, 6), seed=0)
    if expected is None:
        with pytest.raises(ValueError, match=r"keep names submodules; \['head\.0'\] are none"):
            freeze(model, keep=keep)
        return
    found = trainable(freeze(model, keep=keep))
    assert (len(found) if isinstance(expected, int) else found) == expected


def test_normalisations_inside_what_is_kept_go_on() -> None:
    model = freeze(tiny().train(), keep=["features.4"])
    model.train()
    assert [m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d)] == [False, True]
    assert type(model[0][4]) is nn.BatchNorm2d
    kept_still = small_cnn(3, seed=0).eval()
    freeze(kept_still.requires_grad_(False), keep=["features"])
    assert not kept_still.features.training
    assert trainable(kept_still) == []


def test_a_weight_that_is_shared_with_what_is_kept_stays_trainable() -> None:
    model = nn.Sequential(OrderedDict(body=nn.Linear(3, 3), head=nn.Linear(3, 3)))
    model.head.weight = model.body.weight
    freeze(model, keep=["head"])
    assert trainable(model) == ["body.weight", "head.bias"]


@pytest.mark.parametrize("keep", [["heads"], ["head", "nothing"], [""], "head", "weight"])
def test_an_unknown_name_is_refused_and_nothing_is_changed(keep: Any, snapshot: type[Any]) -> None:
    model = tiny()
    classes, before = [type(m) for m in model.modules()], snapshot(model)
    with pytest.raises(
        ValueError, match=r"none of them.*\['features', 'head'\]|is a list of names"
    ):
        freeze(model, keep=keep)
    assert [type(m) for m in model.modules()] == classes
    before.check()


def test_a_string_is_not_taken_for_the_names_of_its_letters(snapshot: type[Any]) -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(13)))
    before = snapshot(model)
    try:
        freeze(model, keep="12")
    except (TypeError, ValueError):
        before.check()
    else:
        assert trainable(model) == ["12.weight", "12.bias"]


def test_freezing_twice_is_freezing_once() -> None:
    model = freeze(freeze(tiny(), keep=["head"]))
    kinds = [type(m) for m in model.modules()]
    assert kinds == [type(m) for m in freeze(freeze(model)).modules()]
    assert trainable(model) == []
    freeze(model, keep=["features"])
    assert not model.train()[0][1].training
    assert not any("Frozen" in type(m).__name__ for m in unfreeze(model).modules())


def test_dropout_goes_on() -> None:
    model = freeze(nn.Sequential(nn.Dropout(0.5))).train()
    assert (model(torch.ones(1000)) == 0).any()
