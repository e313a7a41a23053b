from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2

from companion import LabelledImages, few_of_each, join, long_tailed, noisy_labels
from companion.inputs import batches, is_held

MEAN, DEVIATION = 0.25, 0.5


def normalise(images: Tensor) -> Tensor:
    """What pretrained weights want, with one mean for every channel."""
    return (images - MEAN) / DEVIATION


def numbered(labels: list[int], classes: str = "abc") -> LabelledImages:
    """Images whose pixels are all their position."""
    images = torch.arange(len(labels)).float().reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return LabelledImages(images.clone(), labels, [*classes], transform=normalise)


SELECTIONS: dict[str, Callable[[LabelledImages], LabelledImages]] = {
    "at": lambda data: data.at([1, 0]),
    "only": lambda data: data.only(["a", "c"]),
    "without": lambda data: data.without(["a"]),
    "split": lambda data: data.split([0.5, 0.5], seed=0)[1],
    "to": lambda data: data.to("cpu"),
    "join": lambda data: join(data, data.only(["a"])),
    "join with new classes": lambda data: join(
        data.only(["a"]), data.only(["c"]), new_classes=True
    ),
    "replace": lambda data: data.replace(labels=data.labels),
    "long_tailed": lambda data: long_tailed(data, 2),
    "noisy_labels": lambda data: noisy_labels(data, 0.5),
    "few_of_each": lambda data: few_of_each(data, 1, seed=0),
    "a pickle": lambda data: pickle.loads(pickle.dumps(data)),
}


class TestWhatIsGiven:
    def test_batches_are_transformed_and_the_images_held_are_not(self) -> None:
        data = numbered([0, 1, 2])
        images, labels = data.batch(torch.tensor([2, 0]))
        assert images[:, 0, 0, 0].tolist() == [(2 - MEAN) / DEVIATION, -MEAN / DEVIATION]
        assert labels.tolist() == [2, 0]
        assert data.images[:, 0, 0, 0].tolist() == [0, 1, 2]

    def test_a_single_image_is_the_one_of_the_batch(self) -> None:
        data = numbered([0, 1, 2])
        image, label = data[1]
        assert torch.equal(image, data.batch(torch.tensor([1]))[0][0])
        assert (image.shape, label.item()) == ((1, 2, 2), 1)
        assert torch.equal(data[1:][0], data.batch(torch.tensor([1, 2]))[0])

    def test_a_loader_gives_it(self) -> None:
        (found,) = DataLoader(numbered([0, 1, 2]), batch_size=3)
        assert torch.equal(found[0], normalise(numbered([0, 1, 2]).images))

    def test_whoever_asks_for_batches_gets_it(self) -> None:
        data = numbered([0, 1, 2])
        assert is_held(data)
        given = torch.cat([images for images, _ in batches(data, 2)])
        assert torch.equal(given, normalise(data.images))

    @pytest.mark.parametrize("select", SELECTIONS.values(), ids=list(SELECTIONS))
    def test_every_selection_keeps_it(
        self, select: Callable[[LabelledImages], LabelledImages]
    ) -> None:
        part = select(numbered([0, 1, 2] * 4))
        every = torch.arange(len(part))
        assert part.transform is normalise
        assert torch.equal(part.batch(every)[0], normalise(part.images))

    def test_another_one_makes_a_new_set(self) -> None:
        data = numbered([0, 1])
        bare = data.with_transform(None)
        assert (bare.transform, data.transform) == (None, normalise)
        assert bare.images is data.images
        assert repr(data) == "LabelledImages(2 images of 1×2×2, 3 classes, transformed)"
        assert repr(bare) == "LabelledImages(2 images of 1×2×2, 3 classes)"


class TestTorchvision:
    def test_the_presets_of_pretrained_weights(self) -> None:
        preset = ResNet18_Weights.IMAGENET1K_V1.transforms()
        data = LabelledImages(torch.full((2, 3, 8, 8), 0.485), [0, 1], [*"ab"], transform=preset)
        images, _ = data.batch(torch.tensor([0, 1]))
        assert images.shape == (2, 3, 224, 224)
        # The mean of the red channel is what the picture is filled with.
        assert images[:, 0].abs().max() < 1e-6
        assert images[0, 1, 0, 0].item() == pytest.approx((0.485 - 0.456) / 0.224, abs=1e-5)

    def test_grey_images_are_told_the_way_to_three_channels(self) -> None:
        preset = ResNet18_Weights.IMAGENET1K_V1.transforms()
        grey = LabelledImages(torch.zeros(2, 1, 8, 8), [0, 1], [*"ab"])
        with pytest.raises(ValueError, match=r"given \(2, 1, 8, 8\) it raised .*v2\.RGB\(\) bef"):
            grey.with_transform(preset)
        colour = grey.with_transform(v2.Compose([v2.RGB(), preset]))
        assert colour.batch(torch.tensor([0]))[0].shape == (1, 3, 224, 224)


class TestRefusals:
    @pytest.mark.parametrize(
        ("transform", "error", "message"),
        [
            (lambda batch: batch[:1], ValueError, r"as many images .*; 2 went in and \(1, 1, 2, 2"),
            (lambda batch: batch.flatten(), ValueError, r"2 went in and \(8,\) came out"),
            (
                lambda batch: batch.long(),
                TypeError,
                r"floating-point tensor; received torch\.int64",
            ),
            (lambda batch: batch.numpy(), TypeError, "received ndarray. Let it end in tensors"),
            (lambda batch: None, TypeError, "received NoneType"),
            (lambda batch: batch / 0, ValueError, "made NaN or infinity of the first images"),
            (lambda: None, ValueError, r"given \(2, 1, 2, 2\) it raised TypeError"),
            (v2.PILToTensor, ValueError, "it raised TypeError"),
            ("normalise", TypeError, r"received str\. Pass weights\.transforms\(\), with the"),
            (ResNet18_Weights.IMAGENET1K_V1, TypeError, "received ResNet18_Weights"),
        ],
        ids=[
            "fewer images",
            "flat",
            "integers",
            "arrays",
            "nothing",
            "not finite",
            "no argument",
            "a class",
            "a name",
            "weights",
        ],
    )
    def test_a_transform_that_cannot_be_used(
        self, transform: Any, error: type[Exception], message: str
    ) -> None:
        data = LabelledImages(torch.ones(3, 1, 2, 2), [0, 1, 0], [*"ab"])
        with pytest.raises(error, match=message):
            data.with_transform(transform)
        assert data.transform is None

    def test_what_shows_only_later_is_refused_then(self) -> None:
        data = LabelledImages(
            torch.ones(4, 1, 2, 2), [0, 1, 0, 1], [*"ab"], transform=lambda batch: batch[:2]
        )
        with pytest.raises(ValueError, match="4 went in"):
            data.batch(torch.arange(4))

    def test_images_of_another_shape_are_tried_anew(self) -> None:
        data = LabelledImages(torch.ones(1, 1, 2, 2), [0], ["a"], transform=nn.LayerNorm((2, 2)))
        with pytest.raises(ValueError, match="it raised RuntimeError"):
            data.replace(images=torch.ones(1, 1, 4, 4))

    def test_sets_to_join_are_transformed_alike(self) -> None:
        data = numbered([0, 1])
        with pytest.raises(ValueError, match=r"must have one transform; .* and None\. Give both"):
            join(data, data.with_transform(None))

    def test_a_trial_takes_nothing_from_the_random_state(self) -> None:
        def draw(batch: Tensor) -> Tensor:
            return batch + torch.rand(1) + np.random.rand() + random.random()

        before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()
        LabelledImages(torch.ones(1, 1, 2, 2), [0], ["a"], transform=draw)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (repr(np.random.get_state()), random.getstate()) == before[1:]


class TestArrays:
    def test_numpys_images_and_labels_are_read(self) -> None:
        images = np.random.default_rng(0).random((2, 1, 2, 2), dtype=np.float32)
        data = LabelledImages(images, np.array([1, 0], dtype=np.uint8), [*"ab"])
        assert torch.equal(data.images, torch.from_numpy(images))
        assert data.labels.tolist() == [1, 0]
        assert data.only(["b"]).labels.tolist() == [0]

    def test_bytes_are_not_scaled_in_silence(self) -> None:
        with pytest.raises(TypeError, match=r"received torch\.uint8\. Scale .*float\(\) / 255"):
            LabelledImages(np.zeros((1, 1, 2, 2), dtype=np.uint8), [0], ["a"])

    @pytest.mark.parametrize("images", [[[[[0.0]]]], None, "picture.png"], ids=str)
    def test_what_is_no_array(self, images: Any) -> None:
        with pytest.raises(TypeError, match="must be floating point, a tensor or an array"):
            LabelledImages(images, [0], ["a"])

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_labels_go_to_the_images_device_and_transforms_along(self) -> None:
        images, labels = torch.ones(2, 1, 2, 2, device="cuda"), torch.tensor([0, 1])
        assert LabelledImages(images, labels, [*"ab"]).labels.device.type == "cuda"
        shift = nn.BatchNorm2d(1).eval()
        data = LabelledImages(images.cpu(), labels, [*"ab"], transform=shift).to("cuda")
        assert data.batch(torch.tensor([0], device="cuda"))[0].device.type == "cuda"
        assert shift.weight.device.type == "cpu"
