from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from companion import (
    LabelledImages,
    NonFiniteLossError,
    evaluate,
    fit,
    linear,
    mlp,
    predict,
    small_cnn,
)

Loader = DataLoader[Any]
Recorded = list[Tensor]


def bare_loop(
    model: nn.Module,
    data: LabelledImages,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
) -> None:
    """The loop that anybody would write, with fit's order of the images."""
    order = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(data), generator=order).split(batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(data.images[rows]), data.labels[rows]).backward()
            optimizer.step()


def same_weights(first: nn.Module, second: nn.Module, tolerance: float = 0.0) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.allclose(a.float(), b.float(), rtol=0, atol=tolerance) for a, b in pairs)


def trained(model: nn.Module, data: LabelledImages | Loader, **options: Any) -> nn.Module:
    """The model after a short run."""
    fit(model, data, **{"epochs": 2, "lr": 0.01} | options)
    return model


@pytest.fixture
def recorder() -> tuple[Callable[[Tensor], Tensor], Recorded]:
    """An augmentation that changes nothing and keeps what it was given."""
    seen: Recorded = []

    def augment(images: Tensor) -> Tensor:
        seen.append(images.clone())
        return images

    return augment, seen


class TestAgainstTheBareLoop:
    @pytest.mark.parametrize(
        ("name", "build"),
        [
            (
                "sgd",
                lambda parameters: torch.optim.SGD(
                    parameters, 0.05, momentum=0.9, nesterov=True, weight_decay=5e-4
                ),
            ),
            ("adam", lambda parameters: torch.optim.Adam(parameters, 0.05)),
            ("adamw", lambda parameters: torch.optim.AdamW(parameters, 0.05)),
        ],
        ids=["sgd", "adam", "adamw"],
    )
    @pytest.mark.parametrize("kind", ["mlp", "small_cnn"])
    def test_the_weights_are_the_same(
        self, patches: LabelledImages, name: str, build: Callable[..., Any], kind: str
    ) -> None:
        model = (
            small_cnn(3, widths=(4, 4), seed=0)
            if kind == "small_cnn"
            else mlp(3, inputs=36, hidden=(8,), seed=0)
        )
        expected = copy.deepcopy(model)
        bare_loop(expected, patches, build(expected.parameters()), epochs=3, batch_size=16, seed=7)
        trained(
            model,
            patches,
            epochs=3,
            lr=0.05,
            batch_size=16,
            seed=7,
            optimizer=name,
            schedule="constant",
        )
        assert same_weights(model, expected, 1e-6)

    def test_the_default_batch_holds_128(
        self, recorder: tuple[Callable[[Tensor], Tensor], Recorded]
    ) -> None:
        augment, seen = recorder
        data = LabelledImages(torch.rand(300, 1, 2, 2), torch.arange(300) % 2, [*"ab"])
        fit(linear(2, inputs=4, seed=0), data, epochs=1, lr=0.01, augment=augment)
        assert [len(images) for images in seen] == [128, 128, 44]


class TestAverages:
    @pytest.fixture
    def uneven(self) -> LabelledImages:
        """Five images, the last of another class: batches of two leave it alone in the third."""
        return LabelledImages(torch.zeros(5, 1, 1, 1), torch.tensor([0, 0, 0, 0, 1]), [*"ab"])

    @staticmethod
    def label_mean(logits: Tensor, labels: Tensor) -> Tensor:
        """A loss whose value is known beforehand: four times the mean label."""
        return 4 * labels.float().mean() + 0 * logits.sum()

    @pytest.fixture
    def first_class(self) -> nn.Module:
        """A network that always says the first class."""
        model = linear(2, inputs=1, seed=0)
        nn.init.zeros_(model.get_parameter("head.weight"))
        model.get_parameter("head.bias").data = torch.tensor([1.0, 0.0])
        return model

    def test_training_weighs_images_alike(
        self, uneven: LabelledImages, first_class: nn.Module
    ) -> None:
        history = fit(
            first_class, uneven, epochs=1, lr=1e-9, batch_size=2, sampler=range(5),
            loss=self.label_mean,
        )  # fmt: skip
        # Batch means are 0, 0 and 4, accuracies 1, 1 and 0: their plain means are 4/3 and 2/3.
        assert history.curve("train_loss") == pytest.approx([0.8])
        assert history.curve("train_accuracy") == pytest.approx([0.8])

    def test_validation_weighs_images_alike(
        self, uneven: LabelledImages, first_class: nn.Module
    ) -> None:
        history = fit(
            first_class,
            uneven,
            validation=DataLoader(uneven, batch_size=2),
            epochs=1,
            lr=1e-9,
            loss=self.label_mean,
        )
        assert history.curve("validation_loss") == pytest.approx([0.8])
        assert history.curve("validation_accuracy") == pytest.approx([0.8])


class TestIgnoredLabels:
    """Eight images of a pixel, in batches of three, three and two; −100 is no label."""

    IMAGES = torch.tensor([3.0, -1.0, 2.0, -2.0, 1.0, 0.5, -3.0, -0.5]).reshape(8, 1, 1, 1)
    LABELS = torch.tensor([1, -100, 0, -100, 1, -100, 0, 0])

    @pytest.fixture
    def signs(self) -> nn.Module:
        """A network that says the second class of pixels above 0, the surer the brighter."""
        model = linear(2, inputs=1, seed=0)
        model.get_parameter("head.weight").data = torch.tensor([[-1.0], [1.0]])
        model.get_parameter("head.bias").data = torch.zeros(2)
        return model

    @staticmethod
    def loader(images: Tensor, labels: Tensor, batch_size: int = 3) -> Loader:
        return DataLoader(TensorDataset(images, labels), batch_size=batch_size)

    def by_hand(self, model: nn.Module) -> tuple[float, float]:
        """Loss and accuracy over the five labelled images alone, one after the other."""
        losses, right = [], []
        for image, label in zip(self.IMAGES, self.LABELS.tolist(), strict=True):
            if label >= 0:
                chances = torch.softmax(model(image[None]).detach().double(), 1)[0]
                losses.append(-chances[label].log().item())
                right.append(chances.argmax().item() == label)
        assert len(losses) == 5
        return sum(losses) / 5, sum(right) / 5

    def test_training_averages_count_labelled_images_alone(self, signs: nn.Module) -> None:
        loss, accuracy = self.by_hand(signs)
        history = fit(
            signs, self.loader(self.IMAGES, self.LABELS), epochs=1, lr=1e-9, optimizer="sgd"
        )
        assert history.curve("train_loss") == pytest.approx([loss], rel=1e-5)
        assert history.curve("train_accuracy") == pytest.approx([accuracy])

    @pytest.mark.parametrize("batch_size", [1, 3, 8])
    def test_validation_averages_count_labelled_images_alone(
        self, signs: nn.Module, batch_size: int
    ) -> None:
        # A batch of one image without a label has the loss NaN, which must not count.
        loss, accuracy = self.by_hand(signs)
        history = fit(
            signs,
            self.loader(self.IMAGES, self.LABELS.clamp(min=0)),
            validation=self.loader(self.IMAGES, self.LABELS, batch_size),
            epochs=1,
            lr=1e-9,
            optimizer="sgd",
        )
        assert history.curve("validation_loss") == pytest.approx([loss], rel=1e-5)
        assert history.curve("validation_accuracy") == pytest.approx([accuracy])

    @pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.int16], ids=str)
    def test_unlabelled_images_teach_nothing(self, signs: nn.Module, kind: torch.dtype) -> None:
        other = copy.deepcopy(signs)
        labelled = self.LABELS >= 0
        options: dict[str, Any] = {"epochs": 3, "lr": 0.1}
        fit(signs, self.loader(self.IMAGES, self.LABELS.to(kind), 8), **options)
        fit(other, self.loader(self.IMAGES[labelled], self.LABELS[labelled], 8), **options)
        assert same_weights(signs, other, 1e-6)

    def test_a_training_batch_without_a_label_is_an_error(
        self, signs: nn.Module, snapshot: type[Any]
    ) -> None:
        labels = self.LABELS.clone()
        labels[3:6] = -100
        before = snapshot(signs)
        with pytest.raises(
            NonFiniteLossError, match=r"nan in epoch 1, step 2,.*batches with no label but -100"
        ):
            fit(signs, self.loader(self.IMAGES, labels), epochs=1, lr=0.1)
        before.check()

    def test_a_validation_set_without_a_label_is_an_error(
        self, signs: nn.Module, snapshot: type[Any]
    ) -> None:
        train = self.loader(self.IMAGES, self.LABELS)
        before = snapshot(signs)
        with pytest.raises(ValueError, match="validation data must yield a labelled image"):
            fit(
                signs,
                train,
                validation=self.loader(self.IMAGES, torch.full((8,), -100)),
                epochs=1,
                lr=0.1,
            )
        before.check()


class TestReproducibility:
    @pytest.mark.parametrize("dropout", [0.0, 0.5], ids=["plain", "dropout"])
    @pytest.mark.parametrize("kind", ["set", "loader"])
    def test_the_seed_gives_the_weights_whatever_the_global_state(
        self, patches: LabelledImages, dropout: float, kind: str
    ) -> None:
        models = []
        for global_seed, seed in [(1, 5), (2, 5), (1, 6)]:
            torch.manual_seed(global_seed)
            model = mlp(3, inputs=36, dropout=dropout, seed=0)
            if kind == "set":
                models.append(trained(model, patches, seed=seed, batch_size=16))
            else:
                models.append(trained(model, DataLoader(patches, 16, shuffle=True), seed=seed))
        assert same_weights(models[0], models[1])
        assert not same_weights(models[0], models[2], 1e-4)

    def test_random_augmentation_comes_from_the_seed(self, patches: LabelledImages) -> None:
        def shake(images: Tensor) -> Tensor:
            return images + torch.randn_like(images)

        models = []
        for global_seed in (1, 2):
            torch.manual_seed(global_seed)
            models.append(trained(linear(3, inputs=36, seed=0), patches, augment=shake))
        assert same_weights(models[0], models[1])

    def test_everything_but_the_weights_stays(
        self, patches: LabelledImages, more_patches: LabelledImages, snapshot: type[Any]
    ) -> None:
        model = small_cnn(3, widths=(4,), dropout=0.5, seed=0)
        before = snapshot(model, patches, more_patches)
        fit(model, patches, validation=more_patches, epochs=2, lr=0.01)
        before.check(weights=False)
        with pytest.raises(AssertionError, match="changed"):
            before.check()


class TestModes:
    @pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
    def test_they_are_restored_module_by_module(
        self, patches: LabelledImages, training: bool
    ) -> None:
        model = small_cnn(3, widths=(4, 4), dropout=0.5, seed=0).train(training)
        frozen = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
        frozen.train(not training)
        before = [module.training for module in model.modules()]
        fit(model, patches, validation=patches, epochs=2, lr=0.01)
        assert [module.training for module in model.modules()] == before
        assert frozen.training is not training

    def test_training_trains_and_validation_evaluates(self, patches: LabelledImages) -> None:
        modes: list[tuple[bool, bool]] = []

        class Watch(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                modes.append((self.training, torch.is_grad_enabled()))
                return images

        model = nn.Sequential(Watch(), linear(3, inputs=36, seed=0)).eval()
        fit(model, patches, validation=patches, epochs=2, lr=0.01)
        # A batch of validation is tried before the first step.
        assert modes == [(False, False)] + [(True, True), (False, False)] * 2

    def test_frozen_parameters_stay(self, patches: LabelledImages) -> None:
        model = mlp(3, inputs=36, hidden=(8,), seed=0)
        features, head = model.get_submodule("features"), model.get_submodule("head")
        features.requires_grad_(False)
        before = copy.deepcopy(model)
        fit(model, patches, epochs=2, lr=0.1, optimizer="sgd")  # has weight decay and momentum
        assert same_weights(features, before.get_submodule("features"))
        assert not same_weights(head, before.get_submodule("head"), 1e-3)


class TestBestEpoch:
    @staticmethod
    def ruined_after_three_epochs(step: int, total: int) -> float:
        """A schedule that learns for 3 epochs of 4 steps and then jumps about."""
        return 1.0 if step < 12 else 300.0

    def test_it_is_restored(self, patches: LabelledImages, more_patches: LabelledImages) -> None:
        options: dict[str, Any] = {
            "lr": 0.01,
            "batch_size": 16,
            "schedule": self.ruined_after_three_epochs,
            "validation": more_patches,
        }
        model = small_cnn(3, widths=(8,), seed=0)
        history = fit(model, patches, epochs=6, **options)
        curve = history.curve("validation_accuracy")
        assert history.best == curve.index(max(curve)) < 5
        assert curve[-1] < max(curve)
        assert evaluate(model, more_patches).accuracy == pytest.approx(max(curve))
        loss = F.cross_entropy(predict(model, more_patches), more_patches.labels).item()
        assert history.best_epoch.validation_loss == pytest.approx(loss, abs=1e-6)

    def test_the_weights_are_those_of_a_run_that_ends_there(
        self, patches: LabelledImages, more_patches: LabelledImages
    ) -> None:
        options: dict[str, Any] = {"lr": 0.01, "batch_size": 16}
        options["schedule"] = self.ruined_after_three_epochs
        model, shorter = (small_cnn(3, widths=(8,), seed=0) for _ in range(2))
        history = fit(model, patches, validation=more_patches, epochs=6, **options)
        fit(shorter, patches, epochs=history.best + 1, **options)
        assert same_weights(model, shorter, 1e-6)

    def test_without_validation_it_is_the_last(
        self, patches: LabelledImages, network: nn.Module
    ) -> None:
        history = fit(network, patches, epochs=3, lr=0.01)
        assert (history.best, len(history), history.stopped_early) == (2, 3, False)
        assert history.best_epoch is history.epochs[-1]

    def test_ties_stay_with_the_earlier_epoch(self, network: nn.Module) -> None:
        # One class, so that accuracy is 1 from some epoch on while the loss goes on falling.
        data = LabelledImages(torch.ones(8, 1, 6, 6), torch.zeros(8, dtype=torch.int64), [*"abc"])
        history = fit(network, data, validation=data, epochs=5, lr=0.05, schedule="constant")
        curve, losses = history.curve("validation_accuracy"), history.curve("validation_loss")
        assert curve[-3:] == [1.0, 1.0, 1.0]
        assert history.best == curve.index(1.0) < 4
        assert losses == sorted(losses, reverse=True)

    @pytest.mark.parametrize("patience", [1, 3])
    def test_patience_counts_epochs_without_improvement(
        self, patches: LabelledImages, network: nn.Module, patience: int
    ) -> None:
        # The second epoch learns, and all after it are exactly alike.
        history = fit(
            network,
            patches,
            validation=patches,
            epochs=9,
            lr=0.05,
            batch_size=60,
            patience=patience,
            schedule=lambda step, total: 1.0 if step < 2 else 0.0,
        )
        curve = history.curve("validation_accuracy")
        assert curve[0] < curve[1]
        assert set(curve[1:]) == {curve[1]}
        assert (history.best, len(history)) == (1, 2 + patience)
        assert history.stopped_early

    def test_patience_that_is_not_used_up_stops_nothing(
        self, patches: LabelledImages, network: nn.Module
    ) -> None:
        history = fit(network, patches, validation=patches, epochs=3, lr=0.01, patience=3)
        assert (len(history), history.stopped_early) == (3, False)


class TestData:
    @pytest.mark.parametrize("labels", [torch.int64, torch.int32, torch.uint8], ids=str)
    def test_a_loader_and_a_set_with_the_same_batches_agree(
        self, patches: LabelledImages, more_patches: LabelledImages, labels: torch.dtype
    ) -> None:
        pairs = TensorDataset(patches.images, patches.labels.to(labels))
        first, second = (small_cnn(3, widths=(4,), seed=0) for _ in range(2))
        one = fit(
            first, patches, validation=more_patches, epochs=3, lr=0.01, batch_size=16,
            sampler=range(60),
        )  # fmt: skip
        two = fit(
            second,
            DataLoader(pairs, batch_size=16),
            validation=DataLoader(more_patches, batch_size=30),
            epochs=3,
            lr=0.01,
        )
        assert same_weights(first, second, 1e-6)
        for name in ("train_loss", "train_accuracy", "lr", "validation_loss"):
            assert one.curve(name) == pytest.approx(two.curve(name), abs=1e-6)

    def test_an_epoch_holds_every_image_once_in_a_new_order(
        self, network: nn.Module, recorder: tuple[Callable[[Tensor], Tensor], Recorded]
    ) -> None:
        augment, seen = recorder
        numbers = torch.arange(50.0).reshape(50, 1, 1, 1).expand(50, 1, 6, 6)
        data = LabelledImages(numbers / 50, torch.arange(50) % 3, [*"abc"])
        fit(network, data, epochs=2, lr=0.01, batch_size=20, augment=augment)
        order = [int((image * 50).round()) for images in seen for image in images[:, 0, 0, 0]]
        assert [len(images) for images in seen] == [20, 20, 10] * 2
        assert sorted(order[:50]) == sorted(order[50:]) == list(range(50))
        assert order[:50] != order[50:] != list(range(50))

    def test_the_sampler_is_asked_again_in_each_epoch(
        self,
        patches: LabelledImages,
        network: nn.Module,
        recorder: tuple[Callable[[Tensor], Tensor], Recorded],
    ) -> None:
        augment, seen = recorder

        class Turning:
            """Draws six images, others in each epoch."""

            start = 0

            def __iter__(self) -> Iterator[int]:
                self.start += 6
                return iter(range(self.start, self.start + 6))

            def __len__(self) -> int:
                return 6

        fit(network, patches, epochs=2, lr=0.01, batch_size=4, sampler=Turning(), augment=augment)
        assert [len(images) for images in seen] == [4, 2, 4, 2]
        assert torch.equal(torch.cat(seen), patches.images[6:18])

    def test_positions_may_be_a_tensor_and_may_repeat(
        self,
        patches: LabelledImages,
        network: nn.Module,
        recorder: tuple[Callable[[Tensor], Tensor], Recorded],
    ) -> None:
        augment, seen = recorder
        drawn: Any = torch.tensor([3, 3, 1])
        fit(network, patches, epochs=1, lr=0.01, sampler=drawn, augment=augment)
        assert torch.equal(seen[0], patches.images[[3, 3, 1]])

    def test_positions_reach_from_the_first_image_to_the_last(
        self,
        patches: LabelledImages,
        network: nn.Module,
        recorder: tuple[Callable[[Tensor], Tensor], Recorded],
    ) -> None:
        augment, seen = recorder

        class Ends:
            """Draws the first image and the last, and says for how many it was made."""

            items = 60

            def __iter__(self) -> Iterator[int]:
                return iter([59, 0])

        with pytest.warns(UserWarning, match="made for 2 batches an epoch.* drew 1, so"):
            fit(
                network, patches, epochs=1, lr=0.01, batch_size=30, sampler=Ends(), augment=augment
            )  # fmt: skip
        assert torch.equal(seen[0], patches.images[[59, 0]])

    def test_a_sampler_without_a_length_that_keeps_to_the_plan_is_no_warning(
        self, patches: LabelledImages, network: nn.Module
    ) -> None:
        class Unsized:
            def __init__(self, drawn: int) -> None:
                self.drawn = drawn

            def __iter__(self) -> Iterator[int]:
                return (row % 60 for row in range(self.drawn))

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for drawn, most in ((59, None), (90, 2)):
                fit(
                    network, patches, epochs=1, lr=0.01, batch_size=30, sampler=Unsized(drawn),
                    steps_per_epoch=most,
                )  # fmt: skip

    def test_only_training_images_are_augmented(
        self, patches: LabelledImages, network: nn.Module
    ) -> None:
        history = fit(
            network,
            patches,
            validation=patches,
            epochs=1,
            lr=1e-9,
            augment=lambda images: images * 0,
        )
        loss = F.cross_entropy(predict(network, patches), patches.labels).item()
        blank = F.cross_entropy(predict(network, patches.images * 0), patches.labels).item()
        assert history.curve("validation_loss") == pytest.approx([loss], abs=1e-6)
        assert history.curve("train_loss") == pytest.approx([blank], abs=1e-6)

    def test_an_augmentation_in_place_spoils_no_data(
        self, patches: LabelledImages, network: nn.Module, snapshot: type[Any]
    ) -> None:
        before = snapshot(network, patches)
        fit(network, patches, epochs=2, lr=0.01, augment=lambda images: images.mul_(0))
        before.check(weights=False)


class TestRecipe:
    def test_the_history_records_the_rate_of_each_epochs_last_step(
        self, patches: LabelledImages, network: nn.Module
    ) -> None:
        history = fit(
            network,
            patches,
            epochs=3,
            lr=0.5,
            batch_size=15,
            schedule=lambda step, total: (step + 1) / total,
        )
        assert history.curve("lr") == pytest.approx([0.5 * 4 / 12, 0.5 * 8 / 12, 0.5 * 12 / 12])

    def test_the_schedule_ends_with_the_samplers_steps(
        self, patches: LabelledImages, network: nn.Module
    ) -> None:
        totals: list[int] = []

        def schedule(step: int, total: int) -> float:
            totals.append(total)
            return 1.0

        fit(network, patches, epochs=2, lr=0.01, batch_size=4, sampler=range(9), schedule=schedule)
        assert set(totals) == {6}

    def test_optimizer_and_loss_may_be_functions(
        self, patches: LabelledImages, network: nn.Module
    ) -> None:
        expected = copy.deepcopy(network)
        bare_loop(
            expected,
            patches,
            torch.optim.SGD(expected.parameters(), 0.02),
            epochs=2,
            batch_size=20,
            seed=0,
        )
        fit(
            network,
            patches,
            epochs=2,
            lr=0.01,
            batch_size=20,
            schedule="constant",
            optimizer=lambda parameters, lr: torch.optim.SGD(parameters, lr),
            loss=lambda logits, labels: 2 * F.cross_entropy(logits, labels),
        )
        assert same_weights(network, expected, 1e-6)

    def test_bfloat16_computes_in_it_and_keeps_float32_weights(
        self, patches: LabelledImages
    ) -> None:
        kinds: set[torch.dtype] = set()

        def loss(logits: Tensor, labels: Tensor) -> Tensor:
            kinds.add(logits.dtype)
            return F.cross_entropy(logits, labels)

        model, exact = (small_cnn(3, widths=(8,), seed=0) for _ in range(2))
        options: dict[str, Any] = {"epochs": 10, "lr": 0.02, "device": "cpu"}
        history = fit(
            model, patches, validation=patches, loss=loss, precision="bfloat16", **options
        )
        fit(exact, patches, validation=patches, **options)
        assert kinds == {torch.bfloat16}
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        assert history.best_epoch.validation_accuracy == pytest.approx(
            evaluate(exact, patches).accuracy, abs=0.1
        )
        assert not same_weights(model, exact, 1e-6)

    def test_it_learns(self, patches: LabelledImages, network: nn.Module) -> None:
        history = fit(network, patches, validation=patches, epochs=15, lr=0.02)
        assert evaluate(network, patches).accuracy > 0.9
        assert history.curve("train_loss")[-1] < history.curve("train_loss")[0] / 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestCuda:
    @pytest.mark.parametrize("kind", ["set", "loader"])
    def test_it_agrees_with_the_cpu(self, patches: LabelledImages, kind: str) -> None:
        here, there = (mlp(3, inputs=36, hidden=(8,), seed=0) for _ in range(2))
        data = patches if kind == "set" else DataLoader(patches, batch_size=16)
        options: dict[str, Any] = {"epochs": 3, "lr": 0.01, "optimizer": "sgd"}
        one = fit(here, data, validation=patches, device="cpu", **options)
        two = fit(there, data, validation=patches, device="cuda", **options)
        assert {p.device.type for p in there.parameters()} == {"cuda"}
        assert patches.device.type == "cpu"
        assert same_weights(here, there.cpu(), 1e-3)
        assert one.curve("validation_loss") == pytest.approx(two.curve("validation_loss"), abs=1e-3)

    def test_the_random_state_of_the_device_stays(self, patches: LabelledImages) -> None:
        for device in ("cpu", "cuda"):
            before = torch.cuda.get_rng_state()
            trained(mlp(3, inputs=36, dropout=0.5, seed=0), patches, device=device)
            assert torch.equal(torch.cuda.get_rng_state(), before)

    def test_dropout_there_comes_from_the_seed(self, patches: LabelledImages) -> None:
        models = []
        for global_seed in (1, 2):
            torch.manual_seed(global_seed)
            model = mlp(3, inputs=36, dropout=0.5, seed=0)
            models.append(trained(model, patches, device="cuda"))
        assert same_weights(models[0], models[1], 1e-6)

    def test_after_an_error_the_model_is_back(
        self, patches: LabelledImages, network: nn.Module, snapshot: type[Any]
    ) -> None:
        before = snapshot(network)
        with pytest.raises(ArithmeticError):
            fit(
                network,
                patches,
                epochs=1,
                lr=0.1,
                device="cuda",
                loss=lambda logits, labels: logits.sum() * float("nan"),
            )
        before.check()


def test_labels_of_a_loader_are_not_rounded() -> None:
    pairs = TensorDataset(torch.zeros(4, 1, 2, 2), torch.tensor([0.0, 0.9, 1.0, 1.0]))
    with pytest.raises(TypeError, match=r"labels must be integer indices.*float32"):
        fit(linear(2, inputs=4, seed=0), DataLoader(pairs), epochs=1, lr=0.1)


def test_a_last_step_that_diverges_is_noticed() -> None:
    data = LabelledImages(torch.full((2, 1, 2, 2), 10.0), torch.tensor([0, 1]), ["a", "b"])
    model = linear(2, inputs=4, seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    # One step, so that the only loss is computed before the weights overflow.
    recipe = {"optimizer": "sgd", "schedule": "constant", "device": "cpu"}
    with pytest.raises(NonFiniteLossError, match="weights must stay finite; after the last step"):
        fit(model, data.at([0, 0]), epochs=1, lr=3e38, **recipe)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_head_that_is_too_narrow_is_refused_before_the_loss() -> None:
    data = LabelledImages(torch.zeros(3, 1, 2, 2), torch.tensor([0, 1, 2]), ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"each of the 3 classes; it has 2\. Build it with"):
        fit(linear(2, inputs=4, seed=0), data, epochs=1, lr=0.1)
