"""timm's architectures, one of each family, without weights and without memory."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from companion import AmbiguousHeadError, LabelMap, extend_head, find_head, replace_head
from companion.heads import features

timm = pytest.importorskip("timm", reason="needs timm")

SMALL = re.compile("test|atto|nano|tiny|xxs|small|_0?50|s0|m0|m1|b0|l1|18|_s_|_s$")
SEVERAL = {
    "deit_tiny_distilled_patch16_224": ("head", "head_dist"),
    "levit_128s": ("head.linear", "head_dist.linear"),
    "efficientformer_l1": ("head", "head_dist"),
    "swiftformer_xs": ("head", "head_dist"),
    "repvit_m0_9": ("head.head.l", "head.head_dist.l"),
    "crossvit_tiny_240": ("head.0", "head.1"),
}
ONE = {  # its classifier is inside something, a convolution, or has a name of its own
    "test_resnet": "fc",
    "dla34": "fc",
    "convformer_s18": "head.fc.fc2",
    "mobilenetv3_small_050": "classifier",
    "vgg11": "head.fc",
    "resnetv2_18": "head.fc",
    "cpubone_nano": "head.classifier.linear",
    "levit_256d": "head.linear",
}


def built(name: str, classes: int = 5) -> Any:
    known = timm.list_models()
    if name not in known:
        pytest.skip(f"timm {timm.__version__} has no {name}")
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False, num_classes=classes)


def batch(model: Any) -> Tensor:
    return torch.zeros(2, *model.default_cfg["input_size"], device="meta")


def wide(model: nn.Module, width: int) -> list[str]:
    """All layers of a width: the heads, where nothing else in the network is as wide."""
    layers = nn.Linear | nn.Conv2d
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, layers)]
    return [name for name, module in found if len(module.weight) == width]


def shapes(output: Any) -> set[tuple[int, ...]]:
    outputs = output if isinstance(output, tuple | list) else (output,)
    return {tuple(each.shape) for each in outputs}


@pytest.mark.parametrize("family", timm.list_modules())
def test_every_head_of_a_family_is_replaced(family: str) -> None:
    names = timm.list_models(module=family)
    model = built(next((name for name in names if SMALL.search(name)), names[0]))
    heads = wide(model, 5)
    if not heads:  # an encoder, which takes no number of classes
        with pytest.raises(AmbiguousHeadError, match="without guessing"):
            find_head(model)
        return
    found = find_head(model)
    assert sorted((found.name, *found.beside, *found.auxiliary)) == sorted(heads)
    assert replace_head(model, 7) is model
    assert (wide(model, 5), wide(model, 7)) == ([], heads)
    assert model.num_classes == 7
    assert 5 not in [getattr(module, "num_classes", None) for module in model.modules()]


@pytest.mark.parametrize("name", SEVERAL)
def test_heads_that_answer_together_are_replaced_together(name: str) -> None:
    model = built(name)
    found = find_head(model)
    assert (found.name, *found.beside) == SEVERAL[name]
    assert find_head(model, name=SEVERAL[name][1]).beside == SEVERAL[name][:1]
    replace_head(model, 1)
    for training in (False, True):
        model.train(training)
        model.distilled_training = training
        assert shapes(model(batch(model))) == {(2, 1)}
    assert model.num_classes == 1


def test_heads_that_answer_together_are_found_by_a_batch() -> None:
    model = built("deit_tiny_distilled_patch16_224")
    by_images = find_head(model, images=batch(model))
    assert (by_images.name, by_images.beside) == ("head", ("head_dist",))
    replace_head(model, 7, images=batch(model))
    assert wide(model, 7) == ["head", "head_dist"]


@pytest.mark.parametrize("name", ONE)
def test_a_head_inside_something_is_replaced(name: str) -> None:
    model = built(name)
    assert find_head(model).name == ONE[name]
    assert shapes(replace_head(model, 7).train()(batch(model))) == {(2, 7)}


def test_both_heads_keep_the_rows_of_classes_that_survive() -> None:
    old, new = LabelMap(["a", "b"]), LabelMap(["c", "b", "d"])
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 2}
    model = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=2, **options).eval()
    images = torch.rand(2, 3, 16, 16)
    before = model(images)
    extend_head(model, old, new, images=images)
    assert torch.allclose(model(images)[:, 1], before[:, 1], atol=1e-6)
    assert model.num_classes == 3
    replace_head(model, 4, head="bottleneck")
    assert type(model.head) is type(model.head_dist) is nn.Sequential
    assert features(model, images, name="head").shape == (2, 12)


def test_a_model_built_without_a_classifier_says_how_to_get_one() -> None:
    model = built("test_vit", classes=0)
    with pytest.raises(AmbiguousHeadError, match=r"model\.reset_classifier\(10\) gives it one"):
        replace_head(model, 7)


def test_features_are_those_of_timm() -> None:
    model = timm.create_model("test_resnet", num_classes=5)
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        expected = model.eval().forward_head(model.forward_features(images), pre_logits=True)
    assert torch.allclose(features(model, images), expected, atol=1e-6)
