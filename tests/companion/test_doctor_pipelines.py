"""Whole pipelines: healthy ones that look suspicious, inputs of every kind, what breaks."""

from __future__ import annotations

import copy
import os
from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, IterableDataset, Sampler, Subset, TensorDataset

from companion import LogitAdjustedLoss, balanced_sampler, digits, freeze, small_cnn
from companion.doctor import CHECKS, examine, false_error_rate
from companion.doctor.examining import BROKEN, run_checks
from companion.doctor.naming_checks import ALARM, by_luck
from companion.doctor.pipeline import Pipeline
from doctor_cases.models import Changed
from doctor_cases.protocol import noisy
from pipelines import Named, Pictures, loader, network, pipeline, sgd, trained
from untouched import differences, snapshot

HEALTHY: dict[str, Callable[[], dict[str, Any]]] = {}


def healthy(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    HEALTHY[make.__name__] = make
    return make


@healthy
def as_it_should_be() -> dict[str, Any]:
    return pipeline()


@healthy
def before_any_training() -> dict[str, Any]:
    return pipeline(network())


@healthy
def superclasses_by_design() -> dict[str, Any]:
    fold = lambda label: label // 2  # noqa: E731
    parts = {
        part: loader(Pictures(120, seed=seed, classes=6, target_transform=fold))
        for seed, part in enumerate(("train", "validation", "test"))
    }
    names = {f"c{i}": i // 2 for i in range(6)}
    return pipeline(network(), **parts, label_maps=dict.fromkeys((*parts, "model"), names))


@healthy
def open_set_evaluation() -> dict[str, Any]:
    parts = six_classes()
    seen = [row for row, label in enumerate(parts[0].targets) if label < 3]
    train = loader(Subset(parts[0], seen), shuffle=True)
    return pipeline(trained(), train=train, validation=None, test=loader(parts[2]))


def six_classes() -> list[Pictures]:
    return [Pictures(120, seed=seed, classes=6) for seed in range(3)]


@healthy
def distillation() -> dict[str, Any]:
    teacher = trained()
    data = Pictures()
    with torch.no_grad():
        soft = teacher.eval()(data.data).softmax(1)
    pairs = torch.utils.data.TensorDataset(data.data, soft)

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return F.kl_div(logits.log_softmax(1), targets, reduction="batchmean")

    return pipeline(network(), train=loader(pairs), loss=loss)


@healthy
def a_frozen_backbone() -> dict[str, Any]:
    model = freeze(Named(), keep=["fc"])
    return pipeline(model, optimizer=torch.optim.SGD(model.fc.parameters(), lr=0.1))


@healthy
def intended_imbalance() -> dict[str, Any]:
    data = Pictures(240)
    rows = [row for row, label in enumerate(data.targets) if label != 2 or row % 12 == 0]
    return pipeline(train=loader(Subset(data, rows), shuffle=True))


@healthy
def balanced_draws() -> dict[str, Any]:
    data = Pictures(240)
    rows = [row for row, label in enumerate(data.targets) if label != 2 or row % 12 == 0]
    part = Subset(data, rows)
    return pipeline(train=loader(part, sampler=balanced_sampler(part, seed=0)))


@healthy
def logit_adjustment() -> dict[str, Any]:
    return pipeline(loss=LogitAdjustedLoss(torch.tensor([80.0, 80.0, 10.0])))


@healthy
def warm_up_from_zero() -> dict[str, Any]:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = LambdaLR(optimizer, lambda step: min(1, step / 10) * (1 - step / 101))
    return pipeline(model, optimizer=optimizer, scheduler=scheduler, total_steps=100)


@healthy
def label_smoothing() -> dict[str, Any]:
    return pipeline(loss=nn.CrossEntropyLoss(label_smoothing=0.2))


@healthy
def a_spare_head() -> dict[str, Any]:
    return pipeline(network(8))


@healthy
def mixup() -> dict[str, Any]:
    def collate(items: list[Any]) -> Any:
        images, labels = zip(*items, strict=True)
        stacked, rows = torch.stack(images), F.one_hot(torch.tensor(labels), 3).float()
        share = float(torch.distributions.Beta(0.4, 0.4).sample())
        order = torch.randperm(len(rows))
        return (
            share * stacked + (1 - share) * stacked[order],
            share * rows + (1 - share) * rows[order],
        )

    return pipeline(network(), train=loader(shuffle=True, collate_fn=collate))


class Curriculum(Sampler):
    """Draws the easy class first."""

    def __init__(self, targets: list[int]) -> None:
        self.targets = targets

    def __iter__(self) -> Any:
        return iter(sorted(range(len(self.targets)), key=lambda row: self.targets[row]))

    def __len__(self) -> int:
        return len(self.targets)


@healthy
def curriculum() -> dict[str, Any]:
    data = Pictures()
    return pipeline(train=loader(data, sampler=Curriculum(data.targets)))


@healthy
def multiple_crops_in_the_test() -> dict[str, Any]:
    class OverCrops(Named):
        def forward(self, images: Tensor) -> Tensor:
            if images.dim() == 5:
                return super().forward(images.flatten(0, 1)).reshape(*images.shape[:2], -1).mean(1)
            return super().forward(images)

    crops = Pictures(60, seed=2, transform=lambda image: torch.stack([image, image.flip(1)]))
    return pipeline(OverCrops(), test=loader(crops))


@healthy
def a_test_of_some_classes() -> dict[str, Any]:
    data = Pictures(120, seed=2)
    rows = [row for row, label in enumerate(data.targets) if label != 1]
    return pipeline(test=loader(Subset(data, rows)))


@healthy
def augmentation() -> dict[str, Any]:
    return pipeline(train=loader(Pictures(transform=noisy), shuffle=True))


@healthy
def an_auxiliary_head() -> dict[str, Any]:
    return pipeline(Changed(lambda logits: (logits, logits.detach())))


@healthy
def a_head_of_zeros() -> dict[str, Any]:
    model = network()
    nn.init.zeros_(model[4].weight)
    nn.init.zeros_(model[4].bias)
    return pipeline(model)


@healthy
def the_companion_s_own_data() -> dict[str, Any]:
    train, test = digits().split([0.8, 0.2], seed=0)
    model = small_cnn(10, seed=0)
    return pipeline(model, train=train, validation=None, test=test)


@healthy
def one_set_split_by_samplers() -> dict[str, Any]:
    data, drawn = Pictures(240), torch.utils.data.SubsetRandomSampler
    return pipeline(
        train=loader(data, sampler=drawn(range(160))),
        validation=loader(data, sampler=drawn(range(160, 240))),
    )


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_practice_has_no_error_and_stays_as_it_is(name: str) -> None:
    given = HEALTHY[name]()
    before = snapshot(given)
    found = examine(**given)
    assert [str(each) for each in found.errors] == []
    assert [str(each) for each in found.findings if each.code == BROKEN] == []
    assert differences(before, snapshot(given)) == []


class TestForms:
    """What a batch, a model and a loader can be."""

    def whole(self, **given: Any) -> Any:
        before = snapshot(given)
        found = examine(**given)
        assert [str(each) for each in found.findings if each.code == BROKEN] == []
        assert differences(before, snapshot(given)) == []
        return found

    def test_batches_that_are_dictionaries(self) -> None:
        class ByName(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = Named()

            def forward(self, pixel_values: Tensor) -> Any:
                return SimpleNamespace(logits=self.inner(pixel_values), hidden_states=None)

        model = ByName()

        def batches(seed: int) -> list[Any]:
            inner = loader(Pictures(96, seed=seed))
            return [{"pixel_values": {"pixel_values": x}, "labels": y} for x, y in inner]

        given = {part: batches(seed) for seed, part in enumerate(("train", "test"))}
        found = self.whole(model=model, optimizer=sgd(model), progress=False, **given)
        assert found.ok
        assert found.outcome("MOD001").word == "fine"
        assert found.outcome("OPT003").word == "fine"

    def test_batches_that_are_named_tuples_and_arrays(self) -> None:
        Batch = namedtuple("Batch", ["image", "label"])
        train = [Batch(x.numpy(), y.numpy().astype(np.int32)) for x, y in loader()]
        found = self.whole(model=network(), train=train, loss=F.cross_entropy, progress=False)
        assert found.ok
        assert found.outcome("SMP111").word == "fine"

    def test_a_pair_of_tensors(self) -> None:
        data = Pictures()
        found = self.whole(model=network(), train=(data.data, torch.tensor(data.targets)))
        assert found.ok
        assert found.looked_at == ("train: 120 images",)

    def test_names_for_labels_that_a_map_numbers(self) -> None:
        train = [(x, [Pictures().classes[i] for i in y]) for x, y in loader()]
        maps = {"train": {"left": 0, "middle": 1, "right": 2}}
        found = self.whole(model=trained(), train=train, label_maps=maps, progress=False)
        assert found.outcome("LBL002").word == "fine"
        assert found.outcome("SMP118").word == "fine"

    def test_where_the_labels_are_can_be_said(self) -> None:
        train = [(x, y, y) for x, y in loader()]
        assert examine(network(), train=train, select=["LBL001"]).outcome("LBL001").word == "note"
        found = examine(network(), train=train, labels=2, select=["LBL001"])
        assert found.outcome("LBL001").word == "fine"

    @pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel], ids=["compiled", "parallel"])
    def test_wrapped_models_are_looked_into(self, wrap: Any) -> None:
        model = trained()
        wrapped: Any = wrap(model)
        found = self.whole(**pipeline(model) | {"model": wrapped})
        assert found.ok
        assert found.outcome("OPT001").word == "fine"
        assert found.outcome("MOD001").word == "fine"

    def test_a_batch_of_one(self) -> None:
        found = self.whole(**pipeline(network(), train=loader(batch=1)))
        assert found.ok

    def test_three_images(self) -> None:
        found = self.whole(**pipeline(network(), train=loader(Pictures(3))))
        assert found.ok
        assert found.looked_at[0] == "train: 3 images"

    def test_a_thousand_classes(self) -> None:
        torch.manual_seed(0)
        labels = torch.randperm(1000).repeat(2)
        train = (torch.randn(2000, 1, 4, 4), labels)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1000))
        assert self.whole(model=model, train=train, loss=nn.CrossEntropyLoss()).ok

    def test_one_number_for_two_classes(self) -> None:
        data = Pictures(classes=2)
        model = nn.Sequential(nn.Flatten(), nn.Linear(36, 1), nn.Flatten(0))
        pairs = torch.utils.data.TensorDataset(data.data, torch.tensor(data.targets).float())
        loss = nn.BCEWithLogitsLoss()
        given = pipeline(model, train=loader(pairs), validation=None, test=None, loss=loss)
        found = self.whole(**given)
        assert found.ok
        assert "two classes by one number" in found.outcome("MOD002").findings[0].seen
        assert found.outcome("SMP112").word == "fine"
        assert found.outcome("OPT003").word == "fine"

    def test_a_segmentation_says_that_it_is_one_and_checks_the_rest(self) -> None:
        class Segments(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.classifier = nn.Conv2d(1, 3, 1)

            def forward(self, images: Tensor) -> Any:
                return {"out": self.classifier(images)}

        model = Segments()
        images, masks = torch.randn(24, 1, 6, 6), torch.randint(0, 3, (24, 6, 6))
        train = loader(torch.utils.data.TensorDataset(images, masks), batch=8)
        loss = nn.CrossEntropyLoss()
        found = self.whole(model=model, train=train, loss=loss, optimizer=sgd(model))
        assert found.ok
        assert "segmentation" in found.outcome("MOD002").findings[0].seen
        assert found.outcome("LBL020").word == "not run"
        assert found.outcome("OPT003").word == "fine"
        assert found.outcome("MOD009").word == "fine"


class Dying(Pictures):
    """Pictures whose worker ends in the middle."""

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if index == 60 and torch.utils.data.get_worker_info() is not None:
            os._exit(3)
        return super().__getitem__(index)


class Endless(IterableDataset):
    """Pictures without an end, of which a generator is a part."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def __iter__(self) -> Any:
        data = Pictures()
        while True:
            yield data[int(self.generator.integers(len(data)))]


class TestLoaders:
    def test_a_worker_that_dies_is_a_finding(self) -> None:
        given = pipeline(train=loader(Dying(), num_workers=1))
        found = examine(**given)
        assert [each.code for each in found.errors] == ["PRO001"]
        assert found.errors[0].seen.startswith("train fails after 1 batches: ")
        assert BROKEN not in {each.code for each in found.findings}

    def test_persistent_workers_are_not_started_for_good(self) -> None:
        given = pipeline(train=loader(num_workers=1, persistent_workers=True))
        assert examine(**given, select=["PRO001", "LBL"]).ok
        assert given["train"]._iterator is None
        assert given["train"].persistent_workers

    def test_what_never_ends_is_read_as_far_as_it_is_asked(self) -> None:
        train = loader(Endless())
        before = repr(train.dataset.generator.bit_generator.state)
        found = examine(**pipeline(train=train), sample=100)
        assert found.ok
        assert found.looked_at[0] == "train: 120 images"
        assert repr(train.dataset.generator.bit_generator.state) == before

    def test_an_iterator_is_left_as_it_is(self) -> None:
        batches = iter(list(loader()))
        found = examine(**pipeline(train=batches))
        assert found.ok
        assert len(list(batches)) == 5
        assert "which reading would use up" in found.outcome("LBL002").said

    def test_the_generator_of_a_loader_is_put_back(self) -> None:
        generator = torch.Generator().manual_seed(5)
        train = loader(shuffle=True, generator=generator)
        first = [labels.tolist() for _, labels in copy.deepcopy(train)]
        assert examine(**pipeline(train=train)).ok
        assert [labels.tolist() for _, labels in train] == first

    def test_the_rest_of_a_run_is_the_same_with_and_without(self) -> None:
        def run(*, examined: bool) -> Tensor:
            torch.manual_seed(0)
            model = network()
            given = pipeline(model, optimizer=torch.optim.Adam(model.parameters(), lr=0.01))
            for epoch in range(2):
                if examined and epoch:
                    examine(**given)
                for images, labels in given["train"]:
                    given["optimizer"].zero_grad()
                    given["loss"](model(images), labels).backward()
                    given["optimizer"].step()
            return model[4].weight.detach()

        assert torch.equal(run(examined=True), run(examined=False))


class TestModels:
    def test_lazy_and_meta_models_are_not_run(self) -> None:
        for model in (nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), network().to("meta")):
            found = examine(model, train=loader(), progress=False)
            assert found.ok
            assert found.outcome("MOD001").word == "not run"
            assert found.outcome("LBL003").word == "not run"
            assert found.outcome("PRO001").word == "fine"

    def test_a_model_that_is_too_large_to_copy_is_not_copied(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for place in ("copies", "keeping", "loop_checks"):
            monkeypatch.setattr(f"companion.doctor.{place}.LARGE", 100)
        monkeypatch.setattr(nn.Module, "__deepcopy__", None, raising=False)
        given = pipeline()
        before = snapshot(given)
        found = examine(**given)
        assert found.ok
        assert differences(before, snapshot(given)) == []
        assert "are not copied" in found.outcome("OPT003").said
        assert found.outcome("LBL020").word == "fine"

    def test_a_model_that_cannot_be_copied_is_looked_at_all_the_same(self) -> None:
        model = trained()
        model.kept = model[4].weight * 2  # no leaf, and not to be copied
        found = examine(**pipeline(model))
        assert found.ok
        assert "cannot be copied" in found.outcome("OPT003").said
        assert found.outcome("LBL020").word == "fine"

    def test_a_model_that_raises_is_one_error_and_not_many(self) -> None:
        found = examine(**pipeline(nn.Sequential(nn.Linear(7, 3))))
        assert [each.code for each in found.errors] == ["MOD001"]

    def test_a_loss_with_a_state_of_its_own_keeps_it(self) -> None:
        class Averaging(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.centre = nn.Parameter(torch.zeros(3))
                self.register_buffer("calls", torch.zeros(()))

            def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
                self.calls += 1
                return F.cross_entropy(logits + self.centre, labels)

        given = pipeline(network(), loss=Averaging())
        before = snapshot(given)
        found = examine(**given)
        assert differences(before, snapshot(given)) == []
        assert given["loss"].centre.grad is None
        assert found.ok
        assert "the loss has parameters" in found.outcome("OPT001").findings[0].seen

    def test_a_loss_that_raises_is_one_error_and_not_many(self) -> None:
        found = examine(**pipeline(loss=lambda logits, labels: logits.nonsense))
        assert [each.code for each in found.errors] == ["SMP111"]


class TestOnlyCopiesAreTrained:
    def test_nothing_moves_even_where_nothing_is_put_back(self) -> None:
        """The checks themselves, without the net under them."""
        model = Named()
        model.body.requires_grad_(False)
        given = pipeline(model, optimizer=sgd(model))
        before = snapshot(given)
        parts = {name: value for name, value in given.items() if name not in ("model", "progress")}
        found = run_checks(Pipeline(model, **parts), CHECKS.values(), progress=False)
        assert found.outcome("OPT003").word == "fine"
        moved = differences(before, snapshot(given))
        assert [each for each in moved if each.split("/")[1] not in ("torch", "numpy")] == []


class TestFalseAlarms:
    def test_the_sum_over_all_checks_is_below_one_in_a_thousand(self) -> None:
        assert 0 < false_error_rate() <= 1 / 1000
        found = examine(**pipeline())
        assert found.false_errors == false_error_rate()
        assert examine(**pipeline(), select=["MOD"]).false_errors == 0

    def test_the_bound_holds_where_the_map_is_right(self) -> None:
        """Networks of every quality, under their own map: how often luck reaches the bound."""
        generator = np.random.default_rng(0)
        images, classes, alarms, most = 120, 4, 0, 0.0
        from companion.evaluation import permutation_rescue

        for draw in range(300):
            labels = generator.integers(0, classes, images)
            right = generator.random(images) < generator.uniform(1 / classes, 1)
            answers = np.where(right, labels, generator.integers(0, classes, images))
            found = permutation_rescue(
                answers, labels, outputs=classes, classes=classes, seed=draw, draws=1
            )
            gain = found.rescued - found.raw
            most = max(most, gain)
            alarms += gain > by_luck(images, 3, halves=True)
        assert alarms == 0
        assert most < by_luck(images, 3, halves=True)

    def test_the_bound_is_hoeffding_s(self) -> None:
        size, tries = 200, 15
        bound = by_luck(size, tries, halves=False)
        assert tries * np.exp(-size * bound**2 / 2) == pytest.approx(ALARM)

    def test_new_networks_are_never_called_permuted(self) -> None:
        for seed in range(20):
            data = Pictures(120, seed=seed, classes=6)
            found = examine(
                network(6, seed=seed), train=loader(data), select=["LBL019", "LBL020", "MOD013"]
            )
            assert found.ok


def test_labels_of_bytes_with_another_loss_break_no_check() -> None:
    data = Pictures()
    wrapped = torch.tensor(data.targets, dtype=torch.uint8) - 1
    train = DataLoader(TensorDataset(data.data, wrapped), batch_size=24)
    loss = nn.CrossEntropyLoss(ignore_index=255)
    found = examine(**pipeline(train=train, loss=loss))
    assert BROKEN not in {each.code for each in found.findings}


def test_a_loader_that_drops_all_it_has_breaks_no_check() -> None:
    found = examine(**pipeline(train=loader(batch=500, drop_last=True)))
    assert BROKEN not in {each.code for each in found.findings}
    assert found.outcome("SMP101").said == "the loader draws nothing (PRO001)"


def test_items_that_become_several_pictures_break_no_check() -> None:
    def two_views(items: list[Any]) -> tuple[Any, Any]:
        images = torch.stack([image for image, _ in items])
        labels = torch.tensor([label for _, label in items])
        return torch.cat([images, images.flip(-1)]), labels.repeat(2)

    found = examine(**pipeline(train=loader(collate_fn=two_views)))
    assert BROKEN not in {each.code for each in found.findings}
    assert found.outcome("LBL014").word == "not run"
