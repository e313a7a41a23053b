from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from companion import LabelledImages, find_head, fit, replace_head, small_cnn
from small_models import WithAux

IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
HEADS = ["linear", "bottleneck", "mlp"]


class Counting(nn.Module):
    """Its number of classes is what the head makes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    @property
    def num_classes(self) -> int:
        return self.fc.out_features


class TwoNames(nn.Module):
    """Registers its head under two names, and calls the second."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.alias = self.fc

    def forward(self, images: Tensor) -> Tensor:
        return self.alias(images)


class Noisy(nn.Module):
    """Draws random numbers in evaluation mode too, as Monte Carlo dropout does."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.dropout(self.fc(images), training=True)


def squeezed(features: int = 4, classes: int = 3, **options: Any) -> nn.Sequential:
    """A model that ends with a convolution, as SqueezeNet does."""
    head = nn.Sequential(nn.Conv2d(features, classes, **{"kernel_size": 1, **options}), nn.ReLU())
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(
        OrderedDict(features=nn.Conv2d(1, features, 3), classifier=head, pool=pool)
    )


def kinds(module: nn.Module) -> list[str]:
    return [type(each).__name__ for each in module.children()]


def test_one_class_is_a_number_of_classes() -> None:
    assert replace_head(small_cnn(3, seed=0), 1)(IMAGES).shape == (2, 1)


@pytest.mark.parametrize(
    ("head", "shapes"),
    [
        ("linear", [(5, 64)]),
        ("bottleneck", [(32, 64), (5, 32)]),
        ("mlp", [(128, 64), (64, 128), (5, 64)]),
    ],
)
def test_each_head_has_the_layers_it_says(head: str, shapes: list[tuple[int, int]]) -> None:
    model = replace_head(small_cnn(3, seed=0), 5, head=head, images=IMAGES)
    place = model.get_submodule("head")
    layers = [place] if isinstance(place, nn.Linear) else list(place.children())
    assert [tuple(layer.weight.shape) for layer in layers[::2]] == shapes
    assert all(isinstance(layer, nn.ReLU) for layer in layers[1::2])
    assert len(layers) == 2 * len(shapes) - 1


def test_a_single_feature_still_has_a_bottleneck() -> None:
    model = replace_head(nn.Sequential(nn.Linear(1, 2)), 3, head="bottleneck")
    assert model(torch.zeros(4, 1)).shape == (4, 3)


@pytest.mark.parametrize("head", HEADS)
def test_the_bias_of_the_head_is_as_it_was_and_inner_ones_are_there(head: str) -> None:
    for model in (nn.Sequential(nn.Linear(4, 3, bias=False)), squeezed(bias=False)):
        found = find_head(replace_head(model, 5, head=head))
        assert found.layer.bias is None
        inner = list(model.get_submodule(find_head(model).name.rpartition(".")[0]).children())
        layers = [each for each in inner if isinstance(each, nn.Linear | nn.Conv2d)]
        assert all(layer.bias is not None for layer in layers[:-1])


@pytest.mark.parametrize("head", HEADS)
def test_a_convolution_is_replaced_by_convolutions(head: str) -> None:
    model = replace_head(squeezed(), 5, head=head, images=IMAGES)
    assert not any(isinstance(module, nn.Linear) for module in model.modules())
    assert model(IMAGES).shape == (2, 5)


@pytest.mark.parametrize("head", HEADS)
def test_the_last_convolution_keeps_its_geometry(head: str) -> None:
    shape = {"kernel_size": 3, "stride": 2, "padding": 2, "dilation": 2, "padding_mode": "reflect"}
    model = squeezed(**shape)
    before = model[:2](IMAGES).shape
    found = find_head(replace_head(model, 5, head=head, images=IMAGES))
    assert {name: getattr(found.layer, name) for name in shape} == {
        name: value if isinstance(value, str) else (value, value) for name, value in shape.items()
    }
    assert model[:2](IMAGES).shape == (2, 5, *before[2:])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("training", [True, False])
def test_the_mode_and_dtype_of_the_old_head_are_kept(head: str, training: bool) -> None:
    model = small_cnn(3, seed=0).double()
    model.head.train(training)
    replace_head(model, 5, head=head)
    assert {module.training for module in model.get_submodule("head").modules()} == {training}
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    replace_head(model, 4, name="head", head=lambda before, after: nn.Linear(before, after))
    last = find_head(model).layer
    assert (last.training, last.weight.dtype) == (training, torch.float64)


@pytest.mark.parametrize("head", [*HEADS, nn.Linear])
def test_the_seed_gives_the_weights_and_the_global_state_stays(head: Any) -> None:
    models = []
    for state, seed in [(1, 3), (2, 3), (1, 4)]:
        torch.manual_seed(state)
        before = torch.get_rng_state()
        models.append(replace_head(small_cnn(3, seed=0), 5, head=head, seed=seed, images=IMAGES))
        assert torch.equal(torch.get_rng_state(), before)
    first, again, other = (find_head(model).layer.weight for model in models)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("images", [None, torch.ones(2, 4)], ids=["no images", "images"])
def test_the_global_state_stays_where_the_model_draws_from_it(images: Tensor | None) -> None:
    model = Noisy()
    before = torch.get_rng_state()
    replace_head(model, 5, images=images)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_function_gets_the_features_and_the_classes() -> None:
    model = small_cnn(3, seed=0)
    made = nn.Linear(64, 5)
    replace_head(model, 5, head=lambda *sizes: made if sizes == (64, 5) else None)
    assert model.get_submodule("head") is made


@pytest.mark.parametrize("head", HEADS)
def test_auxiliary_heads_get_a_linear_one_of_the_new_width(head: str) -> None:
    model = WithAux()
    hidden = model.aux[0]
    replace_head(model, 5, head=head)
    assert [output.shape for output in model.train()(torch.zeros(2, 4))] == [(2, 5), (2, 5)]
    assert model.aux[0] is hidden
    assert isinstance(model.aux[2], nn.Linear)
    assert model.aux[2].bias is None
    assert model.num_classes == 5


def test_inside_a_data_parallel_model_the_head_is_replaced_too() -> None:
    model = nn.DataParallel(WithAux())
    replace_head(model, 5, images=torch.zeros(2, 4))
    assert model.eval()(torch.zeros(2, 4)).shape == (2, 5)
    assert model.module.num_classes == 5
    assert not hasattr(model, "num_classes")


def test_an_attribute_that_is_no_number_is_left_alone() -> None:
    model = small_cnn(3, seed=0)
    model.num_classes = "three"  # type: ignore[assignment]
    assert replace_head(model, 5).num_classes == "three"
    assert not hasattr(replace_head(small_cnn(3, seed=0), 5), "num_classes")


def test_a_number_of_classes_that_is_computed_is_no_obstacle() -> None:
    assert replace_head(Counting(), 5).num_classes == 5


def test_a_head_with_two_names_is_replaced_under_both() -> None:
    assert replace_head(TwoNames(), 5)(torch.zeros(2, 4)).shape == (2, 5)


def test_a_frozen_head_is_replaced_by_one_that_learns(patches: LabelledImages) -> None:
    model = small_cnn(5, seed=0).requires_grad_(False)
    replace_head(model, 3, head="bottleneck")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model(patches.images).sum().backward()
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None} == {
        "head"
    }
    fit(model, patches, epochs=1, lr=0.01, optimizer="sgd")
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias"}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["deepcopy", "pickle"],
)
def test_the_result_can_be_copied(head: str, copied: Callable[[nn.Module], nn.Module]) -> None:
    model = replace_head(small_cnn(3, seed=0), 5, head=head, images=IMAGES).eval()
    again = copied(model)
    assert torch.equal(again(IMAGES), model(IMAGES))
    assert kinds(again.get_submodule("head")) == kinds(model.get_submodule("head"))
    assert find_head(replace_head(again, 4)).num_classes == 4
    assert model(IMAGES).shape == (2, 5)


@pytest.mark.parametrize("head", [*HEADS, nn.Linear])
def test_the_new_head_is_on_the_device_of_the_old(head: Any) -> None:
    model = replace_head(small_cnn(3, seed=0).to("meta"), 5, head=head, images=IMAGES)
    assert {p.device.type for p in model.parameters()} == {"meta"}
