"""Hugging Face's models, built from a configuration: nothing is downloaded."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from companion import LabelMap, extend_head, find_head, replace_head

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="needs transformers")

VIT: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 16,
    "patch_size": 8,
}
STAGES: dict[str, Any] = {"hidden_sizes": [4, 8], "depths": [1, 1]}
SWIN = {"image_size": 16, "patch_size": 2, "embed_dim": 4, "depths": [1, 1], "num_heads": [1, 2]}
MODELS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "ViT": ("ViTForImageClassification", "ViTConfig", VIT, "classifier"),
    "DeiT": ("DeiTForImageClassificationWithTeacher", "DeiTConfig", VIT, "cls_classifier"),
    "BEiT": ("BeitForImageClassification", "BeitConfig", VIT, "classifier"),
    "Swin": ("SwinForImageClassification", "SwinConfig", SWIN | {"window_size": 2}, "classifier"),
    "ResNet": (
        "ResNetForImageClassification",
        "ResNetConfig",
        STAGES | {"embedding_size": 4, "layer_type": "basic"},
        "classifier.1",
    ),
    "ConvNeXt V2": (
        "ConvNextV2ForImageClassification",
        "ConvNextV2Config",
        STAGES | {"num_stages": 2, "patch_size": 4},
        "classifier",
    ),
}
IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
PETS = LabelMap(["cat", "dog", "emu"])


def built(name: str) -> Any:
    model, config, options, _ = MODELS[name]
    return getattr(transformers, model)(getattr(transformers, config)(**options)).eval()


@pytest.mark.parametrize("name", MODELS)
def test_head_and_configuration_are_in_step(name: str, tmp_path: Path) -> None:
    model, place = built(name), MODELS[name][3]
    assert find_head(model).name == place
    assert find_head(model, images=IMAGES) == find_head(model)
    assert find_head(model, images={"pixel_values": IMAGES}).name == place
    replace_head(model, PETS, images=IMAGES)
    assert model.config.num_labels == model.num_labels == 3
    assert model.config.id2label == {0: "cat", 1: "dog", 2: "emu"}
    assert model.config.label2id == {"cat": 0, "dog": 1, "emu": 2}

    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path, local_files_only=True).eval()
    assert again.config.id2label == {0: "cat", 1: "dog", 2: "emu"}
    assert torch.equal(again(IMAGES).logits, model(IMAGES).logits)
    if name != "DeiT":  # which takes no labels, as it is for inference
        assert again(IMAGES, labels=torch.tensor([2, 0])).loss > 0


def test_both_heads_of_a_distilled_model_are_replaced() -> None:
    model = built("DeiT")
    assert find_head(model).beside == ("distillation_classifier",)
    for classes, images in [(1, None), (4, IMAGES), (1, IMAGES)]:
        output = replace_head(model, classes, images=images)(IMAGES)
        assert output.cls_logits.shape == output.distillation_logits.shape == (2, classes)
        assert output.logits.shape == (2, classes)
    replace_head(model, 3, head="mlp")
    assert type(model.cls_classifier) is type(model.distillation_classifier) is nn.Sequential


def test_a_number_alone_leaves_no_old_names() -> None:
    model = replace_head(built("ViT"), PETS)
    replace_head(model, 3)
    assert model.config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert model.config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}


def test_extending_keeps_rows_and_names() -> None:
    model = replace_head(built("DeiT"), PETS, images=IMAGES)
    before = model(IMAGES)
    extend_head(model, PETS, LabelMap(["owl", "dog"]), images=IMAGES)
    after = model(IMAGES)
    for name in ("logits", "cls_logits", "distillation_logits"):
        assert torch.allclose(after[name][:, 1], before[name][:, 1], atol=1e-6)
    assert model.config.id2label == {0: "owl", 1: "dog"}
    assert model.num_labels == 2


def test_numbers_as_classes_become_strings_in_the_configuration() -> None:
    model = replace_head(built("ViT"), LabelMap([7, 3]))
    assert model.config.id2label == {0: "7", 1: "3"}


class Refusing(SimpleNamespace):
    """A configuration that checks its label2id, and refuses any other."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "label2id" and hasattr(self, name) and value != {"old": 0}:
            raise TypeError("strict")
        super().__setattr__(name, value)


def test_a_configuration_that_refuses_leaves_all_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 1))
    head = model[0]
    model.config = Refusing(id2label={0: "old"}, label2id={"old": 0}, num_labels=1)
    model.num_labels = 1
    with pytest.raises(TypeError, match="strict"):
        replace_head(model, PETS)
    assert model[0] is head
    assert (model.config.id2label, model.num_labels) == ({0: "old"}, 1)


def test_the_wrapper_of_timm_is_in_step(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="needs timm")
    options = {"architecture": "test_resnet", "num_classes": 4, "label_names": list("abcd")}
    config = transformers.TimmWrapperConfig.from_dict(options)
    model = transformers.TimmWrapperForImageClassification(config).eval()
    images = torch.rand(2, 3, 32, 32)
    assert find_head(model).name == "timm_model.fc"
    replace_head(model, PETS, images=images)
    assert model.timm_model.num_classes == model.num_labels == 3
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path, local_files_only=True).eval()
    assert again.config.id2label == {0: "cat", 1: "dog", 2: "emu"}
    assert torch.allclose(again(images).logits, model(images).logits, atol=1e-6)
