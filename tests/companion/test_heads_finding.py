from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from companion import AmbiguousHeadError, find_head, replace_head, small_cnn
from small_models import Backwards

IMAGES = torch.zeros(2, 4)


class TwoUsual(nn.Module):
    """Has two children with usual names."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.classifier = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.fc(images))


class Inside(nn.Module):
    """Has a container with a usual name and no order of its own, and one with an order."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        self.head = Backwards()
        self.drop = nn.Dropout()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))


class TimmLike(nn.Module):
    """Says what its classifier is, as timm's models do."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.fc = nn.Linear(4, 3), nn.Linear(4, 4)

    def get_classifier(self) -> nn.Module:
        return self.out

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.fc(images))


class OneLinear(nn.Module):
    """Has a single linear layer, registered before two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.odd = nn.Linear(4, 3)
        self.first, self.second = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 4, 1)


class Answering(nn.Module):
    """Gives whatever it is told to."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.fc, self.answer = nn.Linear(4, 3), answer

    def forward(self, images: Tensor) -> object:
        self.fc(images)
        return self.answer


class OwnOrder(nn.Sequential):
    """A sequence that computes in an order of its own."""

    def __init__(self) -> None:
        super().__init__(OrderedDict(out=nn.Linear(4, 3), body=nn.Linear(4, 4)))

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.body(images))


def test_the_last_layer_of_a_sequence_is_its_head() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.Linear(5, 6), nn.ReLU()), nn.ReLU())
    found = find_head(model)
    assert (found.name, found.in_features, found.num_classes, found.auxiliary) == ("1.0", 5, 6, ())
    assert found.layer is model.get_submodule("1.0")


def test_a_convolution_can_be_a_head() -> None:
    found = find_head(nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Conv2d(4, 7, 1))), name="1")
    assert (found.name, found.in_features, found.num_classes) == ("1.0", 4, 7)


def test_the_usual_name_counts_before_the_order() -> None:
    model = nn.Sequential(OrderedDict(fc=nn.Linear(4, 4), late=nn.Linear(4, 3)))
    assert find_head(model).name == "fc"
    assert find_head(model, images=IMAGES).name == "late"


def test_a_usual_name_without_a_layer_does_not_count() -> None:
    model = nn.Sequential(OrderedDict(head=nn.Identity(), fc=nn.Linear(4, 4)))
    assert find_head(model).name == "fc"


def test_a_name_that_only_begins_like_a_usual_one_is_not_below_it() -> None:
    model = nn.Sequential(OrderedDict(fc=nn.Linear(4, 4), fc2=nn.Linear(4, 3)))
    assert find_head(model).name == "fc"
    with pytest.raises(AmbiguousHeadError, match="'f' names no layer"):
        find_head(model, name="f")


def test_what_get_classifier_gives_counts_before_the_usual_name() -> None:
    assert find_head(TimmLike()).name == "out"


def test_a_classifier_that_is_no_layer_is_passed_over() -> None:
    model = TimmLike()
    model.out = nn.Identity()  # type: ignore[assignment]
    assert find_head(model).name == "fc"


def test_the_only_linear_layer_is_the_head() -> None:
    assert find_head(OneLinear()).name == "odd"


def test_a_layer_registered_twice_is_one() -> None:
    layer = nn.Linear(4, 4)
    assert find_head(nn.Sequential(layer, nn.ReLU(), layer)).name == "0"


def test_several_layers_in_no_order_are_ambiguous() -> None:
    with pytest.raises(AmbiguousHeadError, match="several layers are there") as error:
        find_head(Backwards())
    assert error.value.candidates == ("top", "bottom")
    assert "Candidates: 'top', 'bottom'." in str(error.value)


def test_two_usual_names_are_ambiguous() -> None:
    with pytest.raises(AmbiguousHeadError, match="it has 'fc' and 'classifier'") as error:
        find_head(TwoUsual())
    assert error.value.candidates == ("fc", "classifier")
    assert "name='fc'" in str(error.value)


def test_a_head_without_an_order_is_ambiguous() -> None:
    with pytest.raises(AmbiguousHeadError, match="'head' holds several layers") as error:
        find_head(Inside())
    assert error.value.candidates == ("head.top", "head.bottom")


@pytest.mark.parametrize(
    "model",
    [nn.Sequential(nn.Linear(4, 4), Backwards()), nn.Sequential(nn.ReLU(), Backwards())],
    ids=["behind a layer", "alone"],
)
def test_a_sequence_that_ends_without_an_order_is_ambiguous(model: nn.Module) -> None:
    with pytest.raises(AmbiguousHeadError, match="several layers are there"):
        find_head(model)


def test_a_sequence_with_its_own_forward_has_no_order_to_go_by() -> None:
    with pytest.raises(AmbiguousHeadError):
        find_head(OwnOrder())


def test_only_the_last_candidates_are_shown() -> None:
    names = [f"layer{number}" for number in range(20)]
    model = nn.Module()
    for name in names:
        model.add_module(name, nn.Linear(1, 1))
    with pytest.raises(AmbiguousHeadError) as error:
        find_head(model)
    assert error.value.candidates == tuple(names)
    assert "'layer12'" in str(error.value)
    assert "'layer11'" not in str(error.value)


@pytest.mark.parametrize(
    ("build", "expected"),
    [(Backwards, "top"), (TwoUsual, "classifier"), (Inside, "head.top"), (OwnOrder, "out")],
)
def test_images_show_which_layer_makes_the_output(
    build: Callable[[], nn.Module], expected: str, snapshot: type[Any]
) -> None:
    model = build()
    before = snapshot(model)
    assert find_head(model, images=IMAGES).name == expected
    before.check()
    assert not any(module._forward_hooks for module in model.modules())


def test_the_model_runs_once_in_evaluation_mode_without_gradients() -> None:
    seen: list[tuple[bool, bool]] = []
    model = Backwards().train()
    model.register_forward_pre_hook(
        lambda module, _: seen.append((module.training, torch.is_grad_enabled()))
    )
    find_head(model, images=IMAGES)
    assert seen == [(False, False)]
    assert model.training


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (torch.zeros(2, 3, 4), ValueError, r"received \(2, 3, 4\)"),
        ("logits", TypeError, "received str"),
        ({"a": torch.zeros(2, 3), "b": torch.zeros(2, 3)}, TypeError, r"with \['a', 'b'\]"),
    ],
    ids=["three dimensions", "a string", "a dict of two"],
)
def test_outputs_that_are_no_logits_are_refused(
    answer: object, kind: type[Exception], message: str
) -> None:
    model = Answering(answer)
    with pytest.raises(kind, match=message):
        find_head(model, images=IMAGES)
    assert not model.fc._forward_hooks


@pytest.mark.parametrize(
    "answer",
    [
        {"logits": torch.zeros(2, 3)},
        (torch.zeros(2, 3), torch.zeros(2, 9)),
        SimpleNamespace(logits=torch.zeros(2, 3)),
    ],
    ids=["a dict", "a tuple", "an object"],
)
def test_outputs_that_hold_logits_are_read(answer: object) -> None:
    assert find_head(Answering(answer), images=IMAGES).name == "fc"


def test_an_output_that_no_layer_makes_is_ambiguous() -> None:
    with pytest.raises(AmbiguousHeadError, match="no layer that is called has the 9 outputs"):
        find_head(Answering(torch.zeros(2, 9)), images=IMAGES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("fc", "fc"), ("body", "body.2"), ("body.0", "body.0"), ("head.bottom", "head.bottom")],
)
def test_a_name_is_a_layer_or_a_sequence_of_layers(name: str, expected: str) -> None:
    model = Inside()
    model.fc = nn.Linear(4, 3)
    assert find_head(model, name=name).name == expected
    assert find_head(model, name=name, images=IMAGES).name == expected


@pytest.mark.parametrize("name", ["", "nothing", "drop", "body.7", "body.1"])
def test_a_name_without_a_layer_is_refused(name: str) -> None:
    with pytest.raises(AmbiguousHeadError, match=f"'{name}' names no layer.*'body.0'"):
        find_head(Inside(), name=name)


def test_a_named_container_without_an_order_is_ambiguous() -> None:
    with pytest.raises(AmbiguousHeadError, match="'head' holds several layers") as error:
        find_head(Inside(), name="head")
    assert error.value.candidates == ("head.top", "head.bottom")


@pytest.mark.parametrize("options", [{}, {"images": torch.zeros(2, 1, 8, 8)}, {"name": "head"}])
def test_names_inside_a_data_parallel_model_have_its_prefix(options: dict[str, Any]) -> None:
    model = nn.DataParallel(small_cnn(3, seed=0))
    found = find_head(model, **options)
    assert found.name == "module.head"
    assert found == find_head(model, name=found.name)
    assert model.get_submodule(found.name) is found.layer


def test_a_model_without_layers_has_no_head() -> None:
    with pytest.raises(AmbiguousHeadError, match=r"no linear layer and no convolution.*none\."):
        find_head(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4)))


def test_of_several_layers_as_wide_as_the_output_the_last_called_counts() -> None:
    layers = OrderedDict((name, nn.Linear(4, 4)) for name in ("first", "fc", "auxiliary"))
    assert find_head(nn.Sequential(layers), images=IMAGES).name == "auxiliary"


def test_a_head_is_not_beside_itself() -> None:
    layers = OrderedDict((name, nn.Linear(4, 4)) for name in ("aux_first", "aux_last"))
    found = find_head(nn.Sequential(layers))
    assert (found.name, found.auxiliary) == ("aux_last", ("aux_first",))


def test_head_of_a_model_without_values_is_found_and_replaced() -> None:
    """A skeleton has shapes alone, which is all that surgery needs."""
    with torch.device("meta"):
        model = torchvision.models.resnet18()
    assert find_head(replace_head(model, 7)).num_classes == 7
