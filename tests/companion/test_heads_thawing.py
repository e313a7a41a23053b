from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

from companion import LabelledImages, fit, freeze, small_cnn, unfreeze
from small_models import OwnNorm, state, tiny, trainable


class Counter(nn.Module):
    """Holds a number among its parameters that can have no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.Parameter(torch.zeros(1, dtype=torch.int64), requires_grad=False)
        self.fc = nn.Linear(2, 2)


def saved_and_loaded(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


each_copy = pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), saved_and_loaded],
    ids=["deepcopy", "pickle", "torch.save"],
)


@each_copy
def test_a_copy_is_as_frozen_as_the_original(
    copied: Callable[[nn.Module], nn.Module], patches: LabelledImages
) -> None:
    model = freeze(tiny(), keep=["head"])
    again = copied(model)
    assert trainable(again) == trainable(model)
    assert [type(m) for m in again.modules()] == [type(m) for m in model.modules()]
    before = state(again)
    fit(again, patches, epochs=1, lr=0.01)
    after = state(again)
    assert {name for name in after if not torch.equal(after[name], before[name])} == {
        "head.weight",
        "head.bias",
    }
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert type(unfreeze(again)[0][1]) is nn.BatchNorm2d
    assert not model.train()[0][1].training


@each_copy
def test_a_copy_of_a_users_normalisation_is_one_too(
    copied: Callable[[nn.Module], nn.Module],
) -> None:
    model = freeze(nn.Sequential(OwnNorm(3)))
    again = copied(model).train()
    assert isinstance(again[0], OwnNorm)
    assert not again[0].training
    assert type(unfreeze(again)[0]) is OwnNorm


def test_the_weights_can_go_into_a_model_that_is_not_frozen_and_back() -> None:
    model, other = freeze(tiny()), small_cnn(3, widths=(4, 6), dropout=0.2, seed=5)
    other.load_state_dict(model.state_dict())
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(model.eval()(images), other.eval()(images))
    model.load_state_dict(small_cnn(3, widths=(4, 6), dropout=0.2, seed=6).state_dict())
    assert not torch.equal(model(images), other(images))


@pytest.mark.parametrize("training", [True, False])
def test_unfreezing_gives_classes_gradients_and_modes_back(training: bool) -> None:
    model = tiny()
    names, kinds = trainable(model), [type(m) for m in model.modules()]
    assert unfreeze(freeze(model).train(training)) is model
    assert trainable(model) == names
    assert [type(m) for m in model.modules()] == kinds
    assert {m.training for m in model.modules()} == {training}


def test_a_thawed_model_learns_as_if_it_had_never_been_frozen(patches: LabelledImages) -> None:
    model, other = unfreeze(freeze(tiny())), tiny()
    for each in (model, other):
        fit(each, patches, epochs=1, lr=0.01)
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())


def test_a_part_can_be_thawed_alone() -> None:
    model = freeze(tiny())
    unfreeze(model.features[4])
    assert trainable(model) == ["features.4.weight", "features.4.bias"]
    assert [m.training for m in model.train().modules() if isinstance(m, nn.BatchNorm2d)] == [
        False,
        True,
    ]


def test_a_normalisation_that_is_not_frozen_keeps_its_mode_when_thawed() -> None:
    model = tiny().train()
    model[0][1].eval()
    assert not unfreeze(model)[0][1].training


def test_a_parameter_that_can_have_no_gradient_is_passed_over() -> None:
    model = unfreeze(freeze(Counter()))
    assert trainable(model) == ["fc.weight", "fc.bias"]


@pytest.mark.parametrize("training", [True, False])
def test_a_normalisation_that_is_thawed_alone_gets_the_mode_it_was_asked_for(
    training: bool,
) -> None:
    model = freeze(nn.Sequential(nn.BatchNorm1d(2)).train()).train(training)
    assert unfreeze(model[0]).training == training
    assert model.train()[0].training
