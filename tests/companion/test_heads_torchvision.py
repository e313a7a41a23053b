from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import get_model, list_models
from torchvision.models.regnet import BlockParams

from companion import LabelMap, extend_head, find_head, replace_head

NAMES = list_models(module=torchvision.models)
AUXILIARY = {
    "googlenet": ("aux1.fc2", "aux2.fc2"),
    "inception_v3": ("AuxLogits.fc",),
}
SMALL = ["squeezenet1_1", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"]


@pytest.fixture
def meta(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """The device without data, on which RegNet cannot compute its sizes unless helped."""
    compute = BlockParams.from_init_params.__func__

    def on_the_cpu(cls: type, *args: Any, **options: Any) -> Any:
        with torch.device("cpu"):
            return compute(cls, *args, **options)

    monkeypatch.setattr(BlockParams, "from_init_params", classmethod(on_the_cpu))
    return torch.device("meta")


def built(name: str, **options: Any) -> nn.Module:
    if name in AUXILIARY:
        options["init_weights"] = False
    return get_model(name, weights=None, **options)


def batch(name: str, device: torch.device | str = "cpu") -> Tensor:
    side = 299 if name == "inception_v3" else 224
    return torch.zeros(2, 3, side, side, device=device)


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers themselves, not copies of them."""
    return dict([*model.named_parameters(), *model.named_buffers()])


def test_every_architecture_of_torchvision_is_tested() -> None:
    assert len(NAMES) >= 80
    assert len(NAMES) == len(set(list_models(module=torchvision.models)))


@pytest.mark.parametrize("name", NAMES)
def test_the_head_is_found_and_nothing_else_is_replaced(name: str, meta: torch.device) -> None:
    with meta:
        model = built(name)
    images = batch(name, meta)
    by_structure, by_images = find_head(model), find_head(model, images=images)
    assert by_structure == by_images
    assert by_structure.num_classes == 1000
    assert by_structure.auxiliary == AUXILIARY.get(name, ())
    before, order = tensors(model), list(model.state_dict())

    assert replace_head(model, 7, images=images) is model
    heads = {f"{head}." for head in (by_structure.name, *by_structure.auxiliary)}
    after = tensors(model)
    assert list(model.state_dict()) == order
    for key in before:
        in_a_head = key.rpartition(".")[0] + "." in heads
        assert (after[key] is not before[key]) == in_a_head, key
    assert {value.device.type for value in after.values()} == {"meta"}
    assert model.eval()(images).shape == (2, 7)
    if name in AUXILIARY:
        outputs = [output for output in model.train()(images) if output is not None]
        assert len(outputs) == 1 + len(by_structure.auxiliary)
        assert all(output.shape == (2, 7) for output in outputs)


@pytest.mark.parametrize("name", AUXILIARY)
@pytest.mark.parametrize("classes", [128, 768, 1024])
def test_hidden_layers_of_an_auxiliary_head_as_wide_as_the_output_stay(
    name: str, classes: int, meta: torch.device
) -> None:
    with meta:
        model = built(name, num_classes=classes, aux_logits=True)
    assert find_head(model).auxiliary == AUXILIARY[name]
    outputs = replace_head(model, 7).train()(batch(name, meta))
    assert all(output.shape == (2, 7) for output in outputs)


def test_auxiliary_heads_that_were_left_out_are_not_missed(meta: torch.device) -> None:
    with meta:
        model = built("googlenet", aux_logits=False)
    assert find_head(model).auxiliary == ()
    assert replace_head(model, 7).train()(batch("googlenet", meta)).shape == (2, 7)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("head", ["linear", "bottleneck", "mlp"])
def test_weights_outside_the_head_stay_bit_for_bit(name: str, head: str) -> None:
    model = built(name)
    found = find_head(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    replace_head(model, 7, head=head)
    after = model.state_dict()
    outside = [key for key in before if not key.startswith(f"{found.name}.")]
    assert outside == [key for key in after if not key.startswith(f"{found.name}.")]
    assert all(torch.equal(after[key], before[key]) for key in outside)
    assert model.eval()(torch.rand(2, 3, 64, 64)).shape == (2, 7)


def test_auxiliary_heads_are_extended_on_the_cpu() -> None:
    model = built("googlenet", num_classes=2)
    places = ["fc", *AUXILIARY["googlenet"]]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    extend_head(model, LabelMap(["a", "b"]), LabelMap(["c", "b", "a"]))
    after = model.state_dict()
    for key, value in before.items():
        if key.rpartition(".")[0] in places:
            assert torch.equal(after[key][[2, 1]], value)
        else:
            assert torch.equal(after[key], value)
    outputs = model.train()(torch.rand(2, 3, 64, 64))
    assert [output.shape for output in outputs] == [(2, 3)] * 3


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "squeezenet1_1"])
def test_the_new_head_has_the_dtype_of_the_old(name: str, dtype: torch.dtype) -> None:
    model = built(name).to(dtype)
    images = torch.zeros(2, 3, 64, 64, dtype=dtype)
    replace_head(model, 7, head="bottleneck", images=images)
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert model.eval()(images).dtype == dtype


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("head", ["linear", "bottleneck", "mlp"])
def test_the_new_head_is_on_the_gpu_and_as_on_the_cpu(head: str) -> None:
    randomness = torch.cuda.get_rng_state()
    there = replace_head(built("squeezenet1_1").cuda(), 7, head=head, images=batch("squeezenet1_1"))
    here = replace_head(built("squeezenet1_1"), 7, head=head)
    assert {p.device.type for p in there.parameters()} == {"cuda"}
    place = find_head(here, name="classifier.1").name
    for key, value in here.get_submodule(place).state_dict().items():
        assert torch.equal(there.get_submodule(place).state_dict()[key].cpu(), value)
    assert torch.equal(torch.cuda.get_rng_state(), randomness)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet10t.c3_in1k", "fc"),
        ("vit_tiny_patch16_224", "head"),
        ("convnext_atto", "head.fc"),
        ("efficientnet_lite0", "classifier"),
        ("mixnet_s", "classifier"),
    ],
)
def test_the_head_of_a_timm_model_is_found(name: str, expected: str) -> None:
    timm = pytest.importorskip("timm")
    model, images = timm.create_model(name, pretrained=False), torch.zeros(1, 3, 224, 224)
    assert find_head(model).name == find_head(model, images=images).name == expected
    assert model.num_classes == 1000
    assert replace_head(model, 7, images=images).num_classes == 7
    assert model.get_classifier().out_features == 7
