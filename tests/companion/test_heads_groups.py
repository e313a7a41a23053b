from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from companion import LabelledImages, fit, freeze, parameter_groups, small_cnn

BUILDS: dict[str, Callable[[], nn.Module]] = {
    "small_cnn": lambda: small_cnn(3, widths=(4, 6), seed=0),
    "resnet18": lambda: torchvision.models.resnet18(num_classes=3),
    "tied": lambda: tied(),
    "frozen": lambda: freeze(small_cnn(3, widths=(4, 6), seed=0), keep=["head", "features.3"]),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "decay": {"weight_decay": 0.1},
    "not all": {"decay_all": False},
    "decay, not all": {"weight_decay": 0.1, "decay_all": False},
}
each_build = pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def tied() -> nn.Sequential:
    """Two layers that share a weight, and a third."""
    model = nn.Sequential(
        OrderedDict(body=nn.Linear(3, 3), middle=nn.Linear(3, 3), head=nn.Linear(3, 3))
    )
    model.head.weight = model.body.weight
    return model


def last_part(model: nn.Module) -> str:
    return list(dict(model.named_children()))[-1]


def names_of(model: nn.Module, group: dict[str, Any]) -> list[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for parameter in group["params"]]


@each_build
@each_option
@pytest.mark.parametrize("with_rates", [False, True], ids=["one rate", "two rates"])
def test_every_trainable_parameter_is_there_once(
    build: Callable[[], nn.Module],
    options: dict[str, Any],
    with_rates: bool,
    snapshot: type[Any],
) -> None:
    model = build()
    before = snapshot(model)
    rates = {last_part(model): 0.5} if with_rates else None
    groups = parameter_groups(model, 0.25, rates=rates, **options)
    found = [id(parameter) for group in groups for parameter in group["params"]]
    expected = [id(parameter) for parameter in model.parameters() if parameter.requires_grad]
    assert len(found) == len(set(found))
    assert sorted(found) == sorted(expected)
    assert {group["lr"] for group in groups} == ({0.25, 0.5} if with_rates else {0.25})
    assert all(group["params"] for group in groups)
    for kind in (torch.optim.AdamW, torch.optim.SGD):
        optimiser = kind(groups, lr=9.0)
        assert [group["lr"] for group in optimiser.param_groups] == [g["lr"] for g in groups]
    before.check()


def test_the_innermost_name_wins_whatever_the_order() -> None:
    model = small_cnn(3, widths=(4, 6), seed=0)
    rates = {"features.3": 3.0, "features": 2.0, "features.0": 1.0}
    for chosen in (rates, dict(reversed(rates.items()))):
        groups = parameter_groups(model, 9.0, rates=chosen)
        assert [group["name"] for group in groups] == [*chosen, "the rest"]
        found = {group["name"]: (group["lr"], names_of(model, group)) for group in groups}
        assert found == {
            "features.0": (1.0, ["features.0.weight"]),
            "features.3": (3.0, ["features.3.weight"]),
            "features": (
                2.0,
                ["features.1.weight", "features.1.bias", "features.4.weight", "features.4.bias"],
            ),
            "the rest": (9.0, ["head.weight", "head.bias"]),
        }


def test_a_name_that_only_begins_like_another_is_not_inside_it() -> None:
    layers = OrderedDict((f"layer{number}", nn.Linear(1, 1)) for number in (1, 10))
    groups = parameter_groups(nn.Sequential(layers), 0.1, rates={"layer1": 0.2})
    assert [(group["lr"], len(group["params"])) for group in groups] == [(0.2, 2), (0.1, 2)]


def test_where_every_part_has_a_rate_there_is_no_rest() -> None:
    groups = parameter_groups(small_cnn(3, seed=0), 0.1, rates={"head": 0.2, "features": 0.3})
    assert [group["name"] for group in groups] == ["head", "features"]


def test_a_shared_parameter_counts_where_it_is_first() -> None:
    model = tied()
    groups = parameter_groups(model, 0.1, rates={"head": 0.2, "body": 0.3})
    assert {group["name"]: names_of(model, group) for group in groups} == {
        "head": ["head.bias"],
        "body": ["body.weight", "body.bias"],
        "the rest": ["middle.weight", "middle.bias"],
    }


def test_normalisations_and_biases_are_not_decayed_when_not_all_are() -> None:
    model = small_cnn(3, widths=(4,), seed=0)
    model.scale = nn.Parameter(torch.tensor(1.0))
    groups = parameter_groups(
        model, 0.1, rates={"features": 0.2}, weight_decay=0.5, decay_all=False
    )
    found = [(g["name"], g["lr"], g["weight_decay"], names_of(model, g)) for g in groups]
    assert found == [
        ("features", 0.2, 0.5, ["features.0.weight"]),
        ("features, not decayed", 0.2, 0.0, ["features.1.weight", "features.1.bias"]),
        ("the rest", 0.1, 0.5, ["head.weight"]),
        ("the rest, not decayed", 0.1, 0.0, ["scale", "head.bias"]),
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [None]),
        ({"weight_decay": 0.3}, [0.3]),
        ({"weight_decay": 0}, [0]),
        ({"weight_decay": 0.0, "decay_all": False}, [0.0, 0.0]),
        ({"decay_all": False}, [None, 0.0]),
    ],
)
def test_a_decay_is_given_only_where_it_was_asked_for(
    options: dict[str, Any], expected: list[float | None]
) -> None:
    groups = parameter_groups(small_cnn(3, seed=0), 0.1, **options)
    assert [group.get("weight_decay") for group in groups] == expected
    assert all(
        ("weight_decay" in g) == (e is not None) for g, e in zip(groups, expected, strict=True)
    )


def test_training_moves_each_part_at_its_own_rate(patches: LabelledImages) -> None:
    moved = {}
    for rate in (1e-6, 1e-2):
        model = small_cnn(3, widths=(4, 6), seed=0)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        fit(
            model,
            patches,
            epochs=1,
            lr=0.01,
            optimizer=lambda parameters, lr, model=model, rate=rate: torch.optim.AdamW(
                parameter_groups(model, lr, rates={"features": rate}, decay_all=False)
            ),
        )
        moved[rate] = {
            name: (p - before[name]).abs().max().item() for name, p in model.named_parameters()
        }
    assert moved[1e-6]["features.0.weight"] < 1e-4 < moved[1e-2]["features.0.weight"]
    assert moved[1e-6]["head.weight"] > 1e-3


@pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf, -math.inf])
def test_a_rate_that_is_none_is_refused(bad: float) -> None:
    model = small_cnn(3, seed=0)
    with pytest.raises(ValueError, match=r"positive and finite; received .* for 'lr'"):
        parameter_groups(model, bad)
    with pytest.raises(ValueError, match=r"positive and finite; received .* for 'head'"):
        parameter_groups(model, 0.1, rates={"features": 0.1, "head": bad})


def test_the_rate_of_the_rest_is_checked_where_a_part_is_called_lr() -> None:
    model = nn.Sequential(OrderedDict(lr=nn.Linear(2, 2), head=nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="positive and finite"):
        parameter_groups(model, -1.0, rates={"lr": 0.1})


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_a_decay_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="weight_decay must be at least 0 and finite; received"):
        parameter_groups(small_cnn(3, seed=0), 0.1, weight_decay=bad)


@pytest.mark.parametrize("name", ["", "heads", "head.weight", "features.0.weight"])
def test_a_rate_for_what_is_no_part_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"rates names submodules; \['{name}'\] are none"):
        parameter_groups(small_cnn(3, seed=0), 0.1, rates={"head": 0.1, name: 0.1})


def test_a_part_with_nothing_to_train_is_refused() -> None:
    model = freeze(small_cnn(3, widths=(4, 6), seed=0), keep=["head", "features.1"])
    with pytest.raises(ValueError, match=r"\['features\.0', 'features\.2'\] have none"):
        parameter_groups(model, 0.1, rates=dict.fromkeys(["features.0", "head", "features.2"], 1))
    with pytest.raises(ValueError, match=r"\['features'\] have none that is not in a part inside"):
        parameter_groups(model, 0.1, rates={"features": 0.1, "features.1": 0.1})


def test_a_model_with_nothing_to_train_is_refused() -> None:
    for model in (freeze(small_cnn(3, seed=0)), nn.Sequential(nn.ReLU())):
        with pytest.raises(ValueError, match=r"every one is frozen.*unfreeze\(model\.head\)"):
            parameter_groups(model, 0.1)


def test_the_rates_given_are_left_as_they_are() -> None:
    rates = {"head": 0.5}
    parameter_groups(small_cnn(3, seed=0), 0.1, rates=rates)
    assert rates == {"head": 0.5}
