"""A head that a function makes is tried before it is put in place; counts come from NumPy too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from companion import LabelMap, replace_head, skeleton, small_cnn
from small_models import WithAux


class Pooled(nn.Module):
    """Ends with a convolution, as SqueezeNet does."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.classifier = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 3, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.body(images)).flatten(2).mean(2)


class Tokens(nn.Module):
    """A head that reads positions and cannot do without."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.out = nn.Linear(before, after)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, length, _ = tokens.shape
        return self.out(tokens.reshape(batch * length, -1)).reshape(batch, length, -1)


def noisy(before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.Linear(before, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, after))


WRONG: dict[str, Any] = {
    "too wide": lambda a, b: nn.Linear(a, b + 1),
    "the features": lambda a, b: nn.Linear(a, a),
    "a sequence": lambda a, b: nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, 2)),
    "lazy": lambda a, b: nn.LazyLinear(b + 1),
}


@pytest.mark.parametrize("head", WRONG.values(), ids=WRONG)
def test_a_head_of_another_width_is_refused_without_images(head: Any, snapshot: type[Any]) -> None:
    model = small_cnn(3, widths=(4, 6), seed=0).train()
    before, old = snapshot(model), model.head
    with pytest.raises(ValueError, match=r"must make 5 outputs; the function made a .* that makes"):
        replace_head(model, 5, head=head)
    assert model.head is old
    before.check()


@pytest.mark.parametrize(
    "build", [small_cnn, lambda *_, **__: WithAux(), lambda *_, **__: Pooled()]
)
def test_a_head_that_reads_something_else_is_refused(build: Any) -> None:
    def head(before: int, _: int) -> nn.Module:
        return nn.Linear(before + 2, 5)

    with pytest.raises(
        ValueError, match=r"must read what the old one reads.*as its first argument"
    ):
        replace_head(build(3, seed=0), 5, head=head)


def test_a_head_that_returns_no_tensor_is_refused() -> None:
    def head(before: int, after: int) -> nn.Module:
        return nn.LSTM(before, after)

    with pytest.raises(ValueError, match="it returns tuple"):
        replace_head(small_cnn(3, seed=0), 5, head=head)


@pytest.mark.parametrize(
    ("head", "right"),
    [
        (lambda a, b: nn.Conv2d(a, b, 2), True),
        (lambda a, b: nn.Sequential(nn.Conv2d(a, b, 1), nn.BatchNorm2d(b)), True),
        (lambda a, b: nn.Conv2d(a, b, 5), True),
        (lambda a, b: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(a, b)), True),
        (lambda a, b: nn.Conv2d(a, b + 1, 2), False),
        (lambda a, b: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(a, a)), False),
    ],
    ids=["same", "1×1", "larger", "pooling", "too wide", "pooling, too narrow"],
)
def test_the_head_in_the_place_of_a_convolution_is_tried_too(head: Any, right: bool) -> None:
    model = Pooled()
    if right:
        assert replace_head(model, 5, head=head) is model
        return
    with pytest.raises(ValueError, match="must make 5 outputs"):
        replace_head(model, 5, head=head)
    assert model.classifier.out_channels == 3


def test_a_right_head_is_tried_in_evaluation_mode_and_without_a_draw() -> None:
    model, state = small_cnn(3, widths=(4, 6), seed=0).train(), torch.get_rng_state()
    replace_head(model, 5, head=noisy)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.head.training
    assert model.head[1].num_batches_tracked == 0


def test_a_head_that_needs_positions_is_given_some() -> None:
    assert isinstance(replace_head(small_cnn(3, seed=0), 5, head=Tokens).head, Tokens)
    with pytest.raises(ValueError, match="that makes 6"):
        replace_head(small_cnn(3, seed=0), 5, head=lambda a, b: Tokens(a, b + 1))


def test_a_head_without_memory_is_tried_too() -> None:
    model = skeleton("resnet18")
    replace_head(model, 5, head=noisy)
    with pytest.raises(ValueError, match="must make 5 outputs"):
        replace_head(model, 5, head=WRONG["too wide"])


@pytest.mark.parametrize("classes", [np.int64(5), np.uint8(5), torch.tensor(5), np.array(5)[()]])
def test_counts_may_come_from_numpy(classes: Any) -> None:
    model = replace_head(WithAux(), classes)
    assert (model.fc.out_features, model.num_classes) == (5, 5)
    assert type(model.num_classes) is int


def test_a_map_says_how_many_classes_there_are() -> None:
    model = replace_head(WithAux(), LabelMap(["a", "b"]))
    assert (model.fc.out_features, model.aux[2].out_features, model.num_classes) == (2, 2, 2)
