"""The ward's faults in models, beside the same pipelines without them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import Normalize

from companion.ward import patients
from companion.ward.labels_sources import _grey
from companion.ward.model_freezing import with_new_head
from companion.ward.model_layers import Listed, OneNorm
from companion.ward.model_parts import adam, fitted, perceptron, plain_cnn
from companion.ward.parts import Net, Photos, loaders, seeded, trained

MAKE = {each.name: each.make for each in patients()}


def accuracy(model: nn.Module, loader: Any) -> float:
    model = copy.deepcopy(model).eval()
    with torch.no_grad(), torch.random.fork_rng():
        right = [model(images).argmax(1) == labels for images, labels in loader]
    return float(torch.cat(right).float().mean())


def with_activations(made: dict[str, Any]) -> nn.Module:
    layers = [nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)]
    model = nn.Sequential(nn.Flatten(), *layers)
    return fitted(model, made["train"], adam(model, 0.003), epochs=6)


def without_softmax(made: dict[str, Any]) -> nn.Module:
    model = plain_cnn(10)
    return fitted(model, made["train"], adam(model, 0.001), epochs=6)


def with_listed_blocks(made: dict[str, Any]) -> nn.Module:
    model = Listed(5)
    model.blocks = nn.ModuleList(model.blocks)  # type: ignore[assignment]
    return fitted(model, made["train"])


def with_two_norms(made: dict[str, Any]) -> nn.Module:
    model = OneNorm(5)
    model.bn2 = nn.BatchNorm2d(12)
    return fitted(model, made["train"], epochs=6)


def with_usual_momentum(made: dict[str, Any]) -> nn.Module:
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(768, 64, bias=False),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Linear(64, 6),
    )
    return fitted(model, made["train"], adam(model, 0.003), epochs=6)


def with_head_alone(made: dict[str, Any]) -> nn.Module:
    model = with_new_head(4)
    for norm in (model.bn1, model.bn2):
        norm.momentum = 0.0
    return fitted(model, made["train"], torch.optim.Adam(model.fc.parameters(), lr=0.05), epochs=8)


def with_new_head_in_the_optimizer(made: dict[str, Any]) -> nn.Module:
    model = with_new_head(6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    return fitted(model, made["train"], optimizer, epochs=4)


def with_head_thawed(made: dict[str, Any]) -> nn.Module:
    model = with_new_head(6).requires_grad_(False)
    model.bn2.requires_grad_(True)
    model.fc.requires_grad_(True)
    return fitted(model, made["train"], adam(model, 0.001), epochs=3)


def with_drawn_weights(made: dict[str, Any]) -> nn.Module:
    model = perceptron(8)
    return fitted(model, made["train"], adam(model, 0.003), epochs=6)


def without_flips(made: dict[str, Any]) -> nn.Module:
    photos = Photos(240, 4, transform=_grey)
    return fitted(plain_cnn(4), DataLoader(photos, batch_size=32, shuffle=True), epochs=12)


def without_doubles(made: dict[str, Any]) -> nn.Module:
    return fitted(Net(5), loaders(5, batch=40, counts=(200, 80, 120))[0])


MENDED: dict[str, Callable[[dict[str, Any]], nn.Module]] = {
    "linear_layers_without_activations": with_activations,
    "network_ends_in_softmax": without_softmax,
    "blocks_in_a_python_list": with_listed_blocks,
    "one_batchnorm_for_two_layers": with_two_norms,
    "batchnorm_momentum_as_in_keras": with_usual_momentum,
    "requires_grad_set_on_modules": with_head_alone,
    "optimizer_made_before_the_new_head": with_new_head_in_the_optimizer,
    "head_thawed_by_an_attribute": with_head_thawed,
    "weights_set_to_one_constant": with_drawn_weights,
    "flips_turn_one_class_into_another": without_flips,
    "pictures_repeated_under_a_second_label": without_doubles,
    "relu_after_the_last_layer": lambda made: fitted(Net(7), made["train"], epochs=5),
    "features_taken_without_gradients": lambda made: fitted(Net(8), made["train"], epochs=6),
    "dropout_is_never_switched_off": lambda made: fitted(
        Net(10, channels=6, dropout=0.7), made["train"], epochs=6
    ),
}


@pytest.mark.parametrize("name", MENDED)
def test_without_the_fault_the_same_pipeline_is_better(name: str, tmp_path: Path) -> None:
    made = MAKE[name](tmp_path)
    mended = seeded(lambda: MENDED[name](made))
    gained = accuracy(mended, made["test"]) - accuracy(made["model"], made["test"])
    assert gained > 0.08


def test_normalised_as_its_configuration_says_the_model_is_right(tmp_path: Path) -> None:
    model = MAKE["normalised_for_another_network"](tmp_path)["model"]
    half = Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    test = DataLoader(Photos(120, 10, seed=2, transform=half), batch_size=32)
    assert accuracy(model, test) > 0.85


@pytest.mark.parametrize(
    "name", ["colours_swapped_at_test_time", "pixels_divided_by_255_twice_at_test_time"]
)
def test_model_is_right_about_pictures_read_as_in_training(name: str, tmp_path: Path) -> None:
    made = MAKE[name](tmp_path)
    classes = made["model"].fc.out_features
    assert accuracy(made["model"], loaders(classes)[2]) > 0.9


@pytest.mark.parametrize(
    ("name", "classes"), [("out_features_set_by_hand", 6), ("new_fc_beside_the_real_classifier", 5)]
)
def test_network_keeps_a_thousand_outputs(name: str, classes: int, tmp_path: Path) -> None:
    made = MAKE[name](tmp_path)
    assert made["model"].fc.out_features == classes
    assert made["model"].eval()(torch.rand(1, 3, 32, 32)).shape == (1, 1000)


def test_no_gradient_reaches_the_new_head(tmp_path: Path) -> None:
    model = MAKE["new_head_is_never_called"](tmp_path)["model"]
    model(torch.rand(4, 3, 16, 16)).sum().backward()
    assert all(parameter.grad is None for parameter in model.head.parameters())


def test_old_head_is_lost_on_the_drifted_body(tmp_path: Path) -> None:
    model, old = MAKE["frozen_body_with_live_batchnorm"](tmp_path)["model"], trained(4)
    assert all(torch.equal(model.conv1.weight, each) for each in [old.conv1.weight])
    model.fc = old.fc
    assert accuracy(old, loaders(4)[2]) > 0.95
    assert accuracy(model, loaders(4)[2]) < 0.6


def test_picture_alone_is_taken_for_another(tmp_path: Path) -> None:
    made = MAKE["features_normalised_over_the_batch"](tmp_path)
    alone = DataLoader(made["test"].dataset, batch_size=1)
    assert accuracy(made["model"], made["test"]) - accuracy(made["model"], alone) > 0.1


def test_new_head_is_drawn_and_is_in_the_optimizer(tmp_path: Path) -> None:
    made = MAKE["new_head_on_a_pretrained_body"](tmp_path)
    held = {id(each) for group in made["optimizer"].param_groups for each in group["params"]}
    assert held == {id(each) for each in made["model"].parameters()}
    assert torch.equal(made["model"].conv1.weight, trained(4).conv1.weight)
    assert accuracy(made["model"], made["test"]) < 0.5


def test_network_that_starts_at_zero_learns(tmp_path: Path) -> None:
    made = MAKE["residual_branches_and_head_start_at_zero"](tmp_path)
    assert not made["model"].fc.weight.any()
    batch = next(iter(DataLoader(made["train"].dataset, batch_size=12)))
    loss = nn.CrossEntropyLoss()
    first = float(loss(made["model"](batch[0]), batch[1]).detach())
    model = fitted(made["model"], [batch], adam(made["model"], 0.001), epochs=8)
    assert float(loss(model(batch[0]), batch[1]).detach()) < first / 2
