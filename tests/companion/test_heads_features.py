from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from companion import LabelledImages, replace_head, small_cnn
from companion.heads import AmbiguousHeadError, features
from small_models import Backwards

IMAGES = torch.randn(11, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(11) % 3


class Convolutional(nn.Module):
    """Ends with a convolution and pools after it, as SqueezeNet does; or is given tokens."""

    def __init__(self, head: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.head = shape, head

    def forward(self, images: Tensor) -> Tensor:
        found = self.head(images.reshape(-1, *self.shape))
        over = [1] if isinstance(self.head, nn.Linear) else [2, 3]
        return found.mean(over)


def body() -> nn.Sequential:
    """A network whose features are two columns of its images, with dropout in training."""
    flat, drop = nn.Linear(4, 2, bias=False), nn.Dropout(0.9)
    flat.weight.data = torch.eye(4)[1:3].clone()
    return nn.Sequential(OrderedDict(flat=flat, drop=drop, norm=nn.Identity(), fc=nn.Linear(2, 3)))


def loader(**options: Any) -> DataLoader:
    return DataLoader(TensorDataset(IMAGES, LABELS), batch_size=4, **options)


FORMS: dict[str, Any] = {
    "tensor": IMAGES,
    "array": IMAGES.numpy(),
    "pair": (IMAGES, LABELS),
    "pair without classes": (IMAGES, torch.rand(11)),
    "pair of arrays": (IMAGES.numpy(), LABELS.numpy()),
    "loader": loader(),
    "loader of inputs": DataLoader(TensorDataset(IMAGES), batch_size=4),
    "tensors": [IMAGES[:5], IMAGES[5:]],
    "dicts": [{"image": IMAGES[:5], "label": LABELS[:5]}, {"image": IMAGES[5:]}],
    "generator": lambda: ((part, None) for part in IMAGES.split(3)),
    "float64": IMAGES.double(),
}


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
def test_features_are_what_the_head_reads(data: Any, snapshot: type[Any]) -> None:
    model = body().train()
    before = snapshot(model)
    found = features(model, data() if callable(data) else data, batch_size=4)
    assert torch.allclose(found, IMAGES[:, 1:3], atol=1e-6)
    assert (found.dtype, found.device.type) == (torch.float32, "cpu")
    assert not found.requires_grad
    assert not model.fc._forward_pre_hooks
    before.check()


def test_labels_come_along_from_the_same_pass() -> None:
    shuffled = loader(shuffle=True, generator=torch.Generator().manual_seed(1))
    for data in (shuffled, loader(), (IMAGES, LABELS), loader(shuffle=True, drop_last=True)):
        found, labels = features(body(), data, with_labels=True)
        assert len(found) == len(labels) >= 8
        for row, label in zip(found, labels, strict=True):
            match = (IMAGES[:, 1:3] - row).abs().sum(1).argmin()
            assert LABELS[match] == label


def test_labelled_images_give_theirs(patches: LabelledImages) -> None:
    model = small_cnn(3, widths=(4, 6), seed=0).eval()
    found, labels = features(model, patches, with_labels=True)
    assert torch.equal(labels, patches.labels)
    assert torch.allclose(model.head(found), model(patches.images), atol=1e-5)
    assert torch.equal(found, features(model, patches))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"shuffle": True}, "draws by RandomSampler"),
        ({"drop_last": True}, "drops the last batch"),
    ],
)
def test_rows_that_fit_no_labels_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=f"{reason}.*Pass with_labels=True"):
        features(body(), loader(**options))


def test_selectors_say_what_is_what() -> None:
    batches = [{"x_left": IMAGES, "mask": LABELS, "kind": LABELS}]
    found, labels = features(body(), batches, inputs="x_left", labels="kind", with_labels=True)
    assert torch.allclose(found, IMAGES[:, 1:3])
    assert torch.equal(labels, LABELS)
    with pytest.raises(KeyError, match="inputs='y' must be in every batch"):
        features(body(), batches, inputs="y")


def test_a_head_that_names_do_not_tell_is_found_by_the_first_batch() -> None:
    model = Backwards().eval()
    assert torch.equal(features(model, IMAGES), model.bottom(IMAGES).detach())


def test_a_name_gives_the_input_of_any_module() -> None:
    model = replace_head(body(), 3, head="mlp").eval()
    assert features(model, IMAGES).shape == (11, 2)
    assert torch.equal(features(model, IMAGES, name="fc"), features(body(), IMAGES))
    assert torch.equal(features(model, IMAGES, name="flat"), IMAGES)
    with pytest.raises(ValueError, match=r"name names submodules; \['fcc'\]"):
        features(model, IMAGES, name="fcc")


@pytest.mark.parametrize(
    ("head", "shape", "over"),
    [
        (nn.Conv2d(2, 3, 1), (2, 2, 3), (2, 3)),
        (nn.Linear(2, 3), (6, 2), (1,)),
    ],
    ids=["images", "tokens"],
)
def test_positions_are_averaged(
    head: nn.Module, shape: tuple[int, ...], over: tuple[int, ...]
) -> None:
    model, images = Convolutional(head, shape).eval(), torch.randn(5, 12)
    found = features(model, images, name="head")
    assert torch.allclose(found, images.reshape(5, *shape).mean(over), atol=1e-6)


def test_named_arguments_and_outputs_that_hold_logits() -> None:
    class Answering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
            return {"logits": self.fc(pixel_values)}

    batches = [{"inputs": {"pixel_values": IMAGES}, "labels": LABELS}]
    assert torch.equal(features(Answering(), batches), IMAGES)


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="eager")])
def test_the_model_inside_a_wrapper_counts(wrap: Any) -> None:
    assert torch.allclose(features(wrap(body()), IMAGES), IMAGES[:, 1:3])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_inputs_get_the_type_of_the_model(dtype: torch.dtype) -> None:
    found = features(body().to(dtype), IMAGES)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.allclose(found.float(), IMAGES[:, 1:3], atol=0.02)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([], ValueError, "at least one batch; the data gave none"),
        (np.zeros((0, 4)), ValueError, "at least one batch"),
        ("images", TypeError, "received str"),
        (TensorDataset(IMAGES), TypeError, "Wrap a Dataset in a DataLoader"),
        (3, TypeError, "received int"),
        ([{"a": IMAGES}], KeyError, "the inputs of a batch must be in one place"),
    ],
    ids=["none", "empty", "a name", "a dataset", "a number", "a dict of others"],
)
def test_other_data_are_refused(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        features(body(), data)


def test_labels_that_are_not_there_are_refused() -> None:
    with pytest.raises(TypeError, match=r"a pair \(inputs, labels\) of tensors"):
        features(body(), IMAGES, with_labels=True)
    with pytest.raises(TypeError, match="Say what its labels are"):
        features(body(), [IMAGES], with_labels=True)
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1"):
        features(body(), IMAGES, batch_size=0)


class Odd(nn.Module):
    """Reads its head never, twice, or with other rows."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.fc = way, nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        if self.way == "never":
            return nn.functional.linear(images, self.fc.weight)
        if self.way == "twice":
            return self.fc(images) + self.fc(images)
        return self.fc(images.repeat(2, 1)).chunk(2)[0]


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("never", "was called 0 times"),
        ("twice", "was called 2 times"),
        ("other rows", r"a row for each of the 11 images of a batch; the Linear reads \(22, 4\)"),
    ],
)
def test_a_head_that_reads_no_row_for_each_image_is_refused(way: str, message: str) -> None:
    model = Odd(way)
    with pytest.raises(ValueError, match=message):
        features(model, IMAGES)
    assert not model.fc._forward_pre_hooks


def test_a_model_without_a_head_is_refused() -> None:
    with pytest.raises(AmbiguousHeadError, match="no layer that is called"):
        features(nn.Sequential(nn.Flatten()), IMAGES)


def test_the_order_of_a_pass_does_not_move_the_random_state(snapshot: type[Any]) -> None:
    model = copy.deepcopy(body())
    before = snapshot(model)
    features(model, loader(shuffle=True), with_labels=True)
    before.check()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_features_of_a_model_on_the_gpu_come_back() -> None:
    found, labels = features(body().cuda(), loader(), with_labels=True)
    assert found.device.type == labels.device.type == "cpu"
    assert torch.allclose(found, IMAGES[:, 1:3], atol=1e-6)
