from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from companion import LabelMap, extend_head, find_head, small_cnn

OLD, NEW = LabelMap(["cat", "dog", "emu"]), LabelMap(["owl", "emu", "cat", "fox"])
quickly = settings(deadline=None, max_examples=40)

NAMES = st.lists(st.sampled_from([*"abcdefgh"]), min_size=1, unique=True)
MAPS = st.tuples(NAMES, NAMES).filter(lambda names: set(names[0]) & set(names[1]))
ROWS = st.sampled_from(["default", "zero", "mean"])
KINDS = st.sampled_from(["linear", "convolution"])
Maps = tuple[list[str], list[str]]


def model_of(kind: str, classes: int, *, bias: bool = True, seed: int = 0) -> nn.Sequential:
    """A model of one layer and a pool, whose weights are small integers, so that sums are exact."""
    shape: dict[str, Any] = {} if kind == "linear" else {"kernel_size": 1}
    layer = (nn.Linear if kind == "linear" else nn.Conv2d)(5, classes, bias=bias, **shape)
    pool = nn.Identity() if kind == "linear" else nn.Sequential(nn.AdaptiveAvgPool2d(1))
    generator = torch.Generator().manual_seed(seed)
    for parameter in layer.parameters():
        parameter.data = torch.randint(-9, 9, parameter.shape, generator=generator).float()
    return nn.Sequential(OrderedDict(head=layer, pool=pool, flat=nn.Flatten()))


def inputs(kind: str, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-9, 9, (3, 5), generator=generator).float()
    return values if kind == "linear" else values[:, :, None, None].expand(-1, -1, 2, 2)


def extended(model: nn.Sequential, maps: Maps, **options: Any) -> nn.Sequential:
    old, new = maps
    return extend_head(model, LabelMap(old), LabelMap(new), name="head", **options)


class WithAux(nn.Module):
    """Two heads, of which one answers in training alone."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.num_classes = classes
        self.AuxLogits = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, classes))
        self.fc = nn.Linear(5, classes, bias=False)

    def forward(self, images: Tensor) -> Any:
        return (self.fc(images), self.AuxLogits(images)) if self.training else self.fc(images)


@given(maps=MAPS, rows=ROWS, kind=KINDS, bias=st.booleans(), seed=st.integers(0, 99))
@quickly
def test_classes_that_survive_keep_their_rows_by_name(
    maps: Maps, rows: str, kind: str, bias: bool, seed: int
) -> None:
    old, new = maps
    model = model_of(kind, len(old), bias=bias, seed=seed)
    before = {name: values.clone() for name, values in model.head.named_parameters()}
    assert extended(model, maps, new_rows=rows) is model
    after = dict(model.head.named_parameters())
    assert before.keys() == after.keys()
    for name, values in after.items():
        assert values.requires_grad
        assert values.shape == (len(new), *before[name].shape[1:])
        for index, each in enumerate(new):
            if each in old:
                assert torch.equal(values[index], before[name][old.index(each)])


@given(maps=MAPS, rows=ROWS, kind=KINDS, bias=st.booleans(), seed=st.integers(0, 99))
@quickly
def test_logits_of_the_classes_that_survive_stay_bit_for_bit(
    maps: Maps, rows: str, kind: str, bias: bool, seed: int
) -> None:
    old, new = maps
    model, images = model_of(kind, len(old), bias=bias, seed=seed), inputs(kind, seed)
    before = model(images)
    after = extended(model, maps, new_rows=rows, images=images)(images)
    assert after.shape == (3, len(new))
    both = [name for name in new if name in old]
    columns = after[:, [new.index(name) for name in both]]
    assert torch.equal(columns, before[:, [old.index(name) for name in both]])


@given(maps=MAPS, seed=st.integers(0, 99))
@quickly
def test_logits_of_floats_stay_up_to_rounding(maps: Maps, seed: int) -> None:
    old, new = maps
    model = small_cnn(len(old), widths=(3, 6), seed=seed).eval()
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    before = model(images)
    after = extended(model, maps)(images)
    both = [name for name in new if name in old]
    columns = after[:, [new.index(name) for name in both]]
    torch.testing.assert_close(columns, before[:, [old.index(name) for name in both]])


@given(maps=MAPS, kind=KINDS, rows=st.sampled_from(["zero", "mean"]), bias=st.booleans())
@quickly
def test_rows_of_new_classes_are_nothing_or_the_mean_of_all_old_ones(
    maps: Maps, kind: str, rows: str, bias: bool
) -> None:
    old, new = maps
    model = model_of(kind, len(old), bias=bias)
    before = {name: values.clone() for name, values in model.head.named_parameters()}
    extended(model, maps, new_rows=rows)
    for name, values in model.head.named_parameters():
        expected = before[name].mean(0) if rows == "mean" else torch.zeros_like(before[name][0])
        for index, each in enumerate(new):
            if each not in old:
                assert torch.equal(values[index], expected)


@given(maps=MAPS, kind=KINDS, seed=st.integers(0, 5))
@quickly
def test_rows_of_new_classes_are_drawn_from_the_seed(maps: Maps, kind: str, seed: int) -> None:
    old, new = maps
    torch.manual_seed(seed)
    layer = model_of(kind, len(old)).head
    fresh = type(layer)(5, len(new), **({} if kind == "linear" else {"kernel_size": 1}))
    model, state = model_of(kind, len(old)), torch.get_rng_state()
    extended(model, maps, seed=seed)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(seed)
    fresh.reset_parameters()
    for index, each in enumerate(new):
        if each not in old:
            assert torch.equal(model.head.weight[index], fresh.weight[index])
            assert torch.equal(model.head.bias[index], fresh.bias[index])


@given(names=NAMES, kind=KINDS, rows=ROWS, seed=st.integers(0, 99))
@quickly
def test_the_same_map_changes_nothing(names: list[str], kind: str, rows: str, seed: int) -> None:
    model = model_of(kind, len(names), seed=seed)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    after = extended(model, (names, list(names)), new_rows=rows).state_dict()
    assert all(torch.equal(after[name], values) for name, values in before.items())


@given(maps=MAPS)
@quickly
def test_there_and_back_again_is_the_same_head_where_no_class_was_lost(maps: Maps) -> None:
    old = maps[0]
    more = [*(name for name in maps[1] if name not in old), *reversed(old)]
    model = model_of("linear", len(old))
    weight = model.head.weight.clone()
    extended(model, (old, more))
    extended(model, (more, old))
    assert torch.equal(model.head.weight, weight)


def test_nothing_but_the_head_is_replaced() -> None:
    model = small_cnn(3, seed=0)
    before = dict([*model.named_parameters(), *model.named_buffers()])
    extend_head(model, OLD, NEW)
    after = dict([*model.named_parameters(), *model.named_buffers()])
    assert [name for name in before if before[name] is not after[name]] == [
        "head.weight",
        "head.bias",
    ]


@pytest.mark.parametrize("images", [None, torch.zeros(2, 5)], ids=["no images", "images"])
@pytest.mark.parametrize("rows", ["default", "zero", "mean"])
def test_auxiliary_heads_are_extended_alike(images: Tensor | None, rows: str) -> None:
    model = WithAux(3)
    hidden, heads = model.AuxLogits[0], {"fc": model.fc, "AuxLogits.1": model.AuxLogits[1]}
    extend_head(model, OLD, NEW, images=images, new_rows=rows)
    for name, old in heads.items():
        new = model.get_submodule(name)
        for key, values in old.named_parameters():
            assert torch.equal(new.get_parameter(key)[[2, 1]], values[[0, 2]])
            if rows == "mean":
                assert torch.equal(new.get_parameter(key)[0], values.mean(0))
    assert model.AuxLogits[0] is hidden
    assert model.fc.bias is None
    assert model.num_classes == 4
    assert [output.shape for output in model.train()(torch.zeros(2, 5))] == [(2, 4), (2, 4)]


def test_inside_a_data_parallel_model_the_head_is_extended_too() -> None:
    model = nn.DataParallel(WithAux(3))
    kept = model.module.fc.weight[2].clone()
    extend_head(model, OLD, NEW)
    assert torch.equal(model.module.fc.weight[1], kept)
    assert model.module.AuxLogits[1].out_features == 4


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_and_dtype_of_the_old_head_are_kept(training: bool) -> None:
    model = small_cnn(3, seed=0).bfloat16()
    model.head.train(training)
    layer = find_head(extend_head(model, OLD, NEW)).layer
    assert (layer.training, layer.weight.dtype) == (training, torch.bfloat16)


def test_a_frozen_head_is_extended_to_one_that_learns() -> None:
    model = extend_head(small_cnn(3, seed=0).requires_grad_(False), OLD, NEW)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [
        "head.weight",
        "head.bias",
    ]
    assert model.get_parameter("head.weight").is_leaf


@pytest.mark.parametrize(
    ("old", "new", "options", "message"),
    [
        (["a", "b"], ["a"], {}, r"name the head's 3 outputs; it has 2 classes\. 'head'"),
        (["a", "b", "c", "d"], ["a"], {}, "name the head's 3 outputs; it has 4 classes"),
        (["a", "b", "c"], ["d", "e"], {}, "no class in common"),
        (["1", "2", "3"], [1, 2, 3], {}, "no class in common"),
        (["a", "b", "c"], ["a"], {"new_rows": "ones"}, "default, zero, mean; received 'ones'"),
        (["a", "b", "c"], ["a"], {"new_rows": None}, "default, zero, mean; received None"),
        (["a", "b", "c"], ["a"], {"name": "nowhere"}, "'nowhere' names no layer"),
        (["a", "b", "c"], ["a"], {"images": torch.zeros(2, 1, 8, 8, 8)}, "."),
    ],
)
def test_what_cannot_be_extended_is_refused_and_left_alone(
    old: list[Any], new: list[Any], options: dict[str, Any], message: str, snapshot: type[Any]
) -> None:
    model = small_cnn(3, seed=0)
    modules, before = list(model.named_modules()), snapshot(model)
    with pytest.raises((ValueError, RuntimeError), match=message):
        extend_head(model, LabelMap(old), LabelMap(new), **options)
    assert list(model.named_modules()) == modules
    before.check()


def test_the_wrong_layer_is_found_out_by_images() -> None:
    model = nn.Sequential(OrderedDict(body=nn.Linear(4, 3), head=nn.Linear(3, 3)))
    modules = list(model.named_modules())
    with pytest.raises(RuntimeError):
        extend_head(model, OLD, NEW, name="body", images=torch.zeros(2, 4))
    assert list(model.named_modules()) == modules


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("rows", ["default", "zero", "mean"])
def test_on_the_gpu_it_is_as_on_the_cpu(rows: str) -> None:
    here = extend_head(model_of("linear", 3), OLD, NEW, name="head", new_rows=rows)
    there = extend_head(
        model_of("linear", 3).cuda(), OLD, NEW, new_rows=rows, images=inputs("linear")
    )
    assert {p.device.type for p in there.parameters()} == {"cuda"}
    torch.testing.assert_close(there.head.weight.cpu(), here.head.weight)
    assert torch.equal(there.head.weight[[1, 2]].cpu(), here.head.weight[[1, 2]])
