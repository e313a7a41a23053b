"""Runs that would learn something else than was meant, and errors of other people's code."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    TensorDataset,
    WeightedRandomSampler,
)

from companion import (
    LabelledImages,
    evaluate,
    features,
    fit,
    fit_replicas,
    linear,
    mlp,
    predict,
    range_test,
    report,
    sharpness,
)


def network() -> nn.Sequential:
    return mlp(3, inputs=36, hidden=(8,), seed=0)


def fitted(data: Any, **options: Any) -> nn.Sequential:
    model = network()
    fit(model, data, **{"epochs": 1, "lr": 0.01, "progress": False} | options)
    return model


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class TestSamplersOfOtherData:
    def test_class_weights_as_sample_weights(
        self, patches: LabelledImages, snapshot: type[Any]
    ) -> None:
        model, sampler = network(), WeightedRandomSampler([1.0] * 3, 60)
        before = snapshot(model, patches)
        message = r"made for 3 images and draws from 60.*meant.*sampler=list\(sampler\)"
        for data in (patches, (patches.images, patches.labels)):
            with pytest.raises(ValueError, match=message):
                fit(model, data, epochs=1, lr=0.01, sampler=sampler)
        before.check()

    def test_in_replicas(self, patches: LabelledImages) -> None:
        def build(seed: int) -> nn.Module:
            return linear(3, inputs=36, seed=seed)

        options: dict[str, Any] = {"seeds": [0], "lrs": 0.1, "epochs": 1, "progress": False}
        with pytest.raises(ValueError, match="made for 3 images and draws from 60"):
            fit_replicas(
                build, patches, sampler=lambda seed: WeightedRandomSampler([1.0] * 3, 60), **options
            )

    def test_positions_that_are_meant_are_trained_on(self, patches: LabelledImages) -> None:
        drawn = list(WeightedRandomSampler([1.0] * 3, 60))
        fitted(patches, sampler=drawn)
        fitted(DataLoader(patches, 20, sampler=drawn))
        # Weights of nothing for the rest say the same, and draw anew in each epoch.
        fitted(patches, sampler=WeightedRandomSampler([1.0] * 3 + [0.0] * 57, 60))


class Named(TensorDataset):
    """A set that says what its classes are called."""

    def __init__(self, data: LabelledImages, classes: list[str]) -> None:
        super().__init__(data.images, data.labels)
        self.classes = classes


class TestJoinedSets:
    ONE, OTHER = ["a", "b", "c"], ["d", "e", "f"]

    def joined(self, data: LabelledImages) -> Dataset[Any]:
        return ConcatDataset([Named(data, self.ONE), Named(data, self.OTHER)])

    def test_that_number_other_classes_alike_are_refused(
        self, patches: LabelledImages, snapshot: type[Any]
    ) -> None:
        model = network()
        before = snapshot(model, patches)
        message = r"number the same classes alike; received .*'a'.*'d'.*meant.*labels=1 in fit"
        with pytest.raises(ValueError, match=message):
            fit(model, DataLoader(self.joined(patches), 20), epochs=1, lr=0.01)
        before.check()

    def test_whoever_means_the_numbers_says_so(self, patches: LabelledImages) -> None:
        joined = self.joined(patches)
        found = fitted(DataLoader(joined, 20), labels=1)
        bare = ConcatDataset([TensorDataset(patches.images, patches.labels)] * 2)
        assert same(found, fitted(DataLoader(bare, 20)))
        fitted(patches, validation=DataLoader(joined, 20), labels=1, monitor="balanced_accuracy")

    def test_a_part_without_names_may_be_joined(self, patches: LabelledImages) -> None:
        parts = [Named(patches, self.ONE), TensorDataset(patches.images, patches.labels)]
        fitted(DataLoader(ConcatDataset(parts), 20), validation=patches)


def trained_on(model: nn.Module, data: Any) -> None:
    fit(model, data, epochs=1, lr=0.01)


def validated_on(model: nn.Module, data: Any) -> None:
    fit(model, (torch.zeros(2, 36), torch.tensor([0, 1])), validation=data, epochs=1, lr=0.01)


def ranged_over(model: nn.Module, data: Any) -> None:
    range_test(model, data, steps=10, seeds=[0])


EVERYWHERE = [trained_on, validated_on, evaluate, predict, features, ranged_over, sharpness]


class Unequal(Dataset[Any]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.zeros(1, 6, 6 + index), 0


@pytest.mark.parametrize("use", EVERYWHERE)
class TestEverywhere:
    def test_pictures_of_unequal_size(self, snapshot: type[Any], use: Any) -> None:
        model = network()
        before = snapshot(model)
        with pytest.raises(ValueError, match=r"could not stack them .*Resize\(\(224"):
            use(model, DataLoader(Unequal(), 4))
        before.check()

    @pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
    @pytest.mark.parametrize("shape", [(1, 6, 6), (36,)], ids=["pictures", "rows"])
    def test_pictures_of_whole_numbers(
        self, snapshot: type[Any], use: Any, dtype: torch.dtype, shape: tuple[int, ...]
    ) -> None:
        model = network()
        before = snapshot(model)
        with pytest.raises(TypeError, match=rf"floating point, .* received {dtype} and failed"):
            use(model, (torch.ones(4, *shape, dtype=dtype), torch.tensor([0, 1, 2, 0])))
        before.check()

    def test_whole_numbers_that_a_model_looks_up(self, use: Any) -> None:
        words = torch.randint(0, 9, (6, 36), generator=torch.Generator().manual_seed(0))
        if use is validated_on:  # the training data there are no words
            return
        model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(144, 3))
        use(model, (words, torch.tensor([0, 1, 2, 0, 1, 2])))

    def test_labels_without_values(self, snapshot: type[Any], use: Any) -> None:
        if use in (predict, features):  # they read none
            return
        model, labels = network(), torch.zeros(4, dtype=torch.int64, device="meta")
        before = snapshot(model)
        images = torch.zeros(4, 1, 6, 6)
        for data in ((images, labels), [(images, labels)]):
            with pytest.raises(TypeError, match=r"labels must have values; .* meta device"):
                use(model, data)
        before.check()

    def test_what_has_no_end(self, use: Any) -> None:
        batch = (torch.zeros(2, 1, 6, 6), torch.tensor([0, 1]))
        with pytest.raises(TypeError, match=r"come to an end; received itertools\.cycle"):
            use(network(), itertools.cycle([batch]))


SHORT: dict[str, Any] = {"lrs": 0.1, "epochs": 1, "progress": False}


class TestReplicas:
    def test_of_lazy_networks(self, patches: LabelledImages) -> None:
        def build(seed: int) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))

        for seeds in ([0], [0, 1]):
            with pytest.raises(TypeError, match=r"'1\.weight' is lazy .*Run a batch through"):
                fit_replicas(build, patches, seeds=seeds, **SHORT)

    def test_a_last_batch_of_one_in_batch_norm_is_found_before_the_first_step(
        self, patches: LabelledImages
    ) -> None:
        rows: list[int] = []

        class Noted(nn.Flatten):
            def forward(self, images: torch.Tensor) -> torch.Tensor:
                rows.append(len(images))
                return super().forward(images)

        def build(seed: int) -> nn.Module:
            return nn.Sequential(Noted(), nn.BatchNorm1d(36), nn.Linear(36, 3))

        with pytest.raises(ValueError, match="two images where BatchNorm computes a mean"):
            fit_replicas(build, patches.at(range(21)), seeds=[0], batch_size=10, **SHORT)
        assert rows == [1]

    def test_a_last_batch_of_one_changes_nothing_else(self, patches: LabelledImages) -> None:
        def build(seed: int) -> nn.Module:
            torch.manual_seed(seed)
            first = nn.BatchNorm2d(1)  # of one image of 6×6 there is a mean
            return nn.Sequential(first, nn.Flatten(), nn.Linear(36, 3))

        part = patches.at(range(21))
        found = fit_replicas(build, part, seeds=[0], batch_size=10, **SHORT)
        alone = build(0)
        fit(alone, part, epochs=1, lr=0.1, seed=0, batch_size=10)
        for name, values in found.model(0.1, 0).state_dict().items():
            assert torch.allclose(values.float(), alone.state_dict()[name].float(), atol=1e-5)


def test_a_range_test_leaves_a_loaders_last_batch_of_one_out(patches: LabelledImages) -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(36), nn.Linear(36, 3))
    options: dict[str, Any] = {"steps": 10, "seeds": [0], "progress": False}
    loader, fewer = (DataLoader(patches.at(range(n)), 10) for n in (21, 20))
    found, expected = (range_test(model, data, **options) for data in (loader, fewer))
    assert torch.equal(found.losses, expected.losses)
    with pytest.raises(ValueError, match="two images where BatchNorm"):
        range_test(model, DataLoader(patches, 1), **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestLabelsOnAnotherDevice:
    @pytest.mark.parametrize("where", ["cpu", "cuda"])
    @pytest.mark.parametrize("swapped", [False, True], ids=["labels there", "images there"])
    @pytest.mark.parametrize("form", ["pair", "batches"])
    def test_they_are_moved(
        self, patches: LabelledImages, where: str, swapped: bool, form: str
    ) -> None:
        images, labels = patches.images, patches.labels
        there = (images.cuda(), labels) if swapped else (images, labels.cuda())
        data: Any = there if form == "pair" else [there]
        here: Any = (images, labels) if form == "pair" else [(images, labels)]
        model = network()
        options: dict[str, Any] = {"device": where, "epochs": 2, "lr": 0.01}
        assert same(fitted(data, **options).cpu(), fitted(here, **options).cpu())
        fitted(here, validation=data, **options)
        model.to(where)
        assert evaluate(model, data).accuracy == evaluate(model, here).accuracy
        ranges = [
            range_test(model, each, steps=10, seeds=[0], device=where) for each in (data, here)
        ]
        assert torch.allclose(ranges[0].losses, ranges[1].losses, equal_nan=True)
        assert sharpness(model, data) == pytest.approx(sharpness(model, here), rel=1e-3)
        logits = predict(model, here)
        assert report(logits, labels.cuda()).accuracy == report(logits.cuda(), labels).accuracy
        held = LabelledImages(*there, patches.classes)
        assert held.labels.device == held.images.device
