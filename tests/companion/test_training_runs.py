from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from companion import (
    LabelledImages,
    LogitAdjustedLoss,
    NonFiniteLossError,
    TrainingRun,
    balanced_sampler,
    class_counts,
    fit,
    freeze,
    linear,
    mlp,
    parameter_groups,
    replace_head,
    small_cnn,
    unfreeze,
)


def network(seed: int = 0, **options: Any) -> nn.Module:
    return mlp(3, inputs=36, hidden=(8,), seed=seed, **options)


def same_weights(first: nn.Module, second: nn.Module, tolerance: float = 0.0) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=tolerance) for a, b in pairs)


class TestTheIterator:
    def test_it_is_what_fit_does(self, patches: LabelledImages) -> None:
        by_hand, by_fit = network(), network()
        with TrainingRun(by_hand, patches, validation=patches, epochs=3, lr=0.01) as run:
            epochs = list(run)
        history = fit(by_fit, patches, validation=patches, epochs=3, lr=0.01)
        assert same_weights(by_hand, by_fit)
        assert epochs == history.epochs
        assert run.history == history

    def test_a_body_draws_its_own_random_numbers(self, patches: LabelledImages) -> None:
        drawing, quiet = network(dropout=0.5), network(dropout=0.5)
        with TrainingRun(drawing, patches, epochs=3, lr=0.01) as run:
            for _ in run:
                torch.rand(7)
        fit(quiet, patches, epochs=3, lr=0.01)
        assert same_weights(drawing, quiet)

    def test_it_can_be_stopped(self, patches: LabelledImages) -> None:
        stopped, short = network(), network()
        options: dict[str, Any] = {"lr": 0.01, "schedule": "constant"}
        with TrainingRun(stopped, patches, epochs=9, **options) as run:
            for _ in run:
                run.stop()
        fit(short, patches, epochs=1, **options)
        assert len(run.history) == 1
        assert same_weights(stopped, short)

    def test_leaving_the_loop_keeps_the_best_epoch(self, patches: LabelledImages) -> None:
        left, short = network(), network()
        options: dict[str, Any] = {"lr": 0.01, "schedule": "constant"}
        with TrainingRun(left, patches, epochs=9, **options) as run:
            for _ in run:
                break
        fit(short, patches, epochs=1, **options)
        assert same_weights(left, short)

    def test_it_has_to_be_entered(self, patches: LabelledImages) -> None:
        run = TrainingRun(network(), patches, epochs=1, lr=0.01)
        with pytest.raises(RuntimeError, match="entered before it is iterated over"):
            next(iter(run))

    def test_a_run_without_an_epoch_changes_nothing(
        self, patches: LabelledImages, snapshot: type[Any]
    ) -> None:
        model = network()
        before = snapshot(model, patches)
        with TrainingRun(model, patches, epochs=1, lr=0.01):
            pass
        before.check()

    def test_a_callback_sees_the_run(self, patches: LabelledImages) -> None:
        seen: list[int] = []
        fit(
            network(),
            patches,
            epochs=3,
            lr=0.01,
            on_epoch=lambda run: seen.append(len(run.history)),
        )
        assert seen == [1, 2, 3]

    def test_an_error_of_the_body_keeps_the_best_epoch(self, patches: LabelledImages) -> None:
        model, short = network(), network()

        def fail(run: TrainingRun) -> None:
            if len(run.history) == 2:
                raise OSError("disk full")

        options: dict[str, Any] = {"lr": 0.01, "schedule": "constant"}
        with pytest.raises(OSError, match="disk full") as caught:
            fit(model, patches, epochs=5, on_epoch=fail, **options)
        fit(short, patches, epochs=2, **options)
        assert same_weights(model, short)
        assert len(caught.value.history) == 2  # type: ignore[attr-defined]


class TestMonitors:
    class Turning(nn.Module):
        """Says "common" always in the first epoch; in the second it knows all that are rare."""

        def __init__(self) -> None:
            super().__init__()
            self.weight, self.scored = nn.Parameter(torch.zeros(2)), 0

        def forward(self, images: Tensor) -> Tensor:
            rare = images.flatten(1)[:, 0] > 0
            if not self.training:
                self.scored += 1  # the first is a batch that is tried
            if self.scored == 3:
                rare[:10] = True
            else:
                rare[:] = False
            return torch.stack([~rare, rare], 1).float() + 0 * self.weight

    @pytest.mark.parametrize(
        ("monitor", "best"),
        [
            ("accuracy", 0),
            ("balanced_accuracy", 1),
            (lambda report: report.recall["rare"], 1),
        ],
        ids=["accuracy", "balanced", "function"],
    )
    def test_another_number_chooses_another_epoch(self, monitor: Any, best: int) -> None:
        labels = torch.tensor([0] * 45 + [1] * 5)
        rare = LabelledImages(labels.float().view(50, 1, 1, 1), labels, ["common", "rare"])
        model = self.Turning()
        history = fit(model, rare, validation=rare, epochs=2, lr=1e-9, monitor=monitor)
        assert history.curve("validation_accuracy") == pytest.approx([0.9, 0.8])
        assert history.best == best

    def test_a_loss_is_better_the_lower(self, patches: LabelledImages) -> None:
        history = fit(
            network(),
            patches,
            validation=patches,
            epochs=6,
            lr=0.01,
            batch_size=20,
            monitor="loss",
            schedule=lambda step, total: 1.0 if step < 9 else 200.0,
        )
        losses = history.curve("validation_loss")
        assert history.best == losses.index(min(losses)) < 5
        assert history.curve("monitored") == losses

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"monitor": "f1"}, r"monitor must be one of loss, accuracy, balanced_.*received 'f1'"),
            ({"monitor": "loss", "validation": None}, "monitor='loss' is a number of the valid"),
        ],
        ids=["unknown", "nothing to look at"],
    )
    def test_refused(self, patches: LabelledImages, options: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            fit(network(), patches, **{"validation": patches, "epochs": 1, "lr": 0.1} | options)


class TestSchedules:
    @pytest.mark.parametrize(
        ("schedule", "expected"),
        [
            (lambda optimizer: StepLR(optimizer, 4, gamma=0.1), [0.1, 0.01, 0.001]),
            (lambda optimizer: OneCycleLR(optimizer, 0.1, total_steps=13), None),
            (lambda step, total: (total - step) / total, [0.1 * 9 / 12, 0.1 * 5 / 12, 0.1 / 12]),
        ],
        ids=["StepLR", "OneCycleLR", "function of the step"],
    )
    def test_torchs_schedulers_and_functions_are_taken(
        self, patches: LabelledImages, schedule: Any, expected: list[float] | None
    ) -> None:
        history = fit(network(), patches, epochs=3, lr=0.1, batch_size=15, schedule=schedule)
        optimizer = SGD([nn.Parameter(torch.zeros(1))], 0.1, momentum=0.9)
        if expected is None:
            made, expected = schedule(optimizer), []
            for step in range(12):
                rate = optimizer.param_groups[0]["lr"]
                expected += [rate] if step % 4 == 3 else []
                optimizer.step()
                made.step()
        assert history.curve("lr") == pytest.approx(expected)

    def test_one_that_counts_epochs_moves_once_an_epoch(self, patches: LabelledImages) -> None:
        history = fit(
            network(), patches, epochs=4, lr=0.1, batch_size=15,
            schedule=lambda optimizer: StepLR(optimizer, 2), schedule_every="epoch",
        )  # fmt: skip
        assert history.curve("lr") == pytest.approx([0.1, 0.1, 0.01, 0.01])

    def test_a_plateau_is_told_what_is_monitored(self, patches: LabelledImages) -> None:
        history = fit(
            network(), patches, validation=patches, epochs=4, lr=1e-9, schedule_every="epoch",
            schedule=lambda optimizer: ReduceLROnPlateau(optimizer, "max", 0.5, 0, eps=0),
        )  # fmt: skip
        assert history.curve("lr") == pytest.approx([1e-9, 1e-9, 5e-10, 2.5e-10])

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"schedule": lambda o: ReduceLROnPlateau(o, "max")}, ValueError, "schedule_every='ep"),
            (
                {"schedule": ReduceLROnPlateau, "schedule_every": "epoch"},
                ValueError,
                "must look for the max .*its mode is 'min', which would lower",
            ),
            ({"schedule": lambda o: None}, TypeError, "it returned NoneType. Pass lambda"),
            ({"schedule": StepLR}, TypeError, "received 'StepLR', which needs 2 arguments"),
            (
                {"schedule": CosineAnnealingLR(SGD([nn.Parameter(torch.zeros(1))], 0.1), 5)},
                TypeError,
                "belongs to the optimiser that it was made for; .*Pass a function",
            ),
            (
                {"schedule": lambda o: StepLR(SGD([nn.Parameter(torch.zeros(1))], 0.1), 5)},
                ValueError,
                "it made one for another",
            ),
            ({"schedule": lambda step, total: -1.0}, ValueError, "at step 0 of 2 it is -1"),
            ({"schedule_every": "batch"}, ValueError, "'step' or 'epoch'; received 'batch'"),
            ({"schedule": lambda a, b, c: 1.0}, TypeError, "needs 3 arguments"),
        ],
        ids=[
            "plateau each step",
            "plateau the wrong way",
            "factory of nothing",
            "class with more arguments",
            "made already",
            "for another optimiser",
            "negative factor",
            "another unit",
            "three arguments",
        ],
    )
    def test_refused_and_nothing_changed(
        self,
        patches: LabelledImages,
        snapshot: type[Any],
        options: Any,
        error: type[Exception],
        message: str,
    ) -> None:
        model = network()
        before = snapshot(model, patches)
        with pytest.raises(error, match=message):
            fit(model, patches, validation=patches, epochs=2, lr=0.1, **options)
        before.check()


class TestSteps:
    def test_accumulated_batches_count_as_one(self, patches: LabelledImages) -> None:
        large, small = network(), network()
        data = LabelledImages(
            patches.images,
            patches.labels.masked_fill(torch.arange(60) % 7 == 0, 0),
            patches.classes,
        )
        options: dict[str, Any] = {"epochs": 3, "lr": 0.05, "sampler": range(60)}
        one = fit(large, data, batch_size=32, **options)
        two = fit(small, data, batch_size=8, accumulate=4, **options)
        assert same_weights(large, small, 1e-6)
        assert one.curve("train_loss") == pytest.approx(two.curve("train_loss"), abs=1e-6)
        assert one.curve("lr") == pytest.approx(two.curve("lr"))

    def test_accumulation_weighs_labelled_images_alike(self) -> None:
        images, labels = (
            torch.randn(12, 4),
            torch.tensor([0, -100, -100, -100, 1, 0, 1, 0] + [1] * 4),
        )
        large, small = (linear(2, inputs=4, seed=0) for _ in range(2))
        pairs = TensorDataset(images, labels)
        fit(large, DataLoader(pairs, 12), epochs=2, lr=0.1)
        fit(small, DataLoader(pairs, 4), epochs=2, lr=0.1, accumulate=3)
        assert same_weights(large, small, 1e-6)

    def test_clipping_is_pytorchs(self, patches: LabelledImages) -> None:
        model, expected = network(), network()
        rows = torch.arange(60)
        optimizer = SGD(expected.parameters(), 0.5)
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(expected(patches.images[rows]), patches.labels[rows]).backward()
            nn.utils.clip_grad_norm_(expected.parameters(), 0.1)
            optimizer.step()
        fit(
            model, patches, epochs=2, lr=0.5, clip_norm=0.1, sampler=range(60),
            optimizer=SGD, schedule="constant",
        )  # fmt: skip
        assert same_weights(model, expected, 1e-6)

    def test_float16_computes_in_it_and_keeps_float32_weights(
        self, patches: LabelledImages
    ) -> None:
        kinds: set[torch.dtype] = set()

        def loss(logits: Tensor, labels: Tensor) -> Tensor:
            kinds.add(logits.dtype)
            return F.cross_entropy(logits.float(), labels)

        model = network()
        history = fit(
            model, patches, epochs=8, lr=0.02, loss=loss, precision="float16", device="cpu"
        )
        assert kinds == {torch.float16}
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        assert history.curve("train_loss")[-1] < 0.8 * history.curve("train_loss")[0]

    def test_a_mask_that_is_infinite_from_the_start_is_no_divergence(
        self, patches: LabelledImages
    ) -> None:
        class Masked(nn.Module):
            """Rules out a fourth class by a persistent mask."""

            def __init__(self) -> None:
                super().__init__()
                self.inner = mlp(4, inputs=36, seed=0)
                self.register_buffer("mask", torch.tensor([0.0, 0.0, 0.0, -torch.inf]))

            def forward(self, images: Tensor) -> Tensor:
                return self.inner(images) + self.mask

        history = fit(Masked(), patches, epochs=2, lr=0.01)
        assert len(history) == 2

    def test_extra_state_is_kept_and_restored(self, patches: LabelledImages) -> None:
        class Counting(nn.Module):
            """Counts its calls in what only `get_extra_state` knows."""

            def __init__(self) -> None:
                super().__init__()
                self.inner, self.calls = network(), 0

            def forward(self, images: Tensor) -> Tensor:
                self.calls += 1
                return self.inner(images)

            def get_extra_state(self) -> int:
                return self.calls

            def set_extra_state(self, state: int) -> None:
                self.calls = state

        model = Counting()
        fit(model, patches, epochs=2, lr=0.01, batch_size=30)
        assert model.calls == 4

    def test_a_last_batch_of_one_is_found_before_the_first_step(
        self, patches: LabelledImages, snapshot: type[Any]
    ) -> None:
        model = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
        before, steps = snapshot(model, patches), []
        for data in (patches.at(range(21)), DataLoader(patches.at(range(21)), 20)):
            options = {"batch_size": 20} if isinstance(data, LabelledImages) else {}
            with pytest.raises(ValueError, match=r"needs two images where BatchNorm.*drop_last"):
                fit(
                    model, data, epochs=1, lr=0.1, **options,  # type: ignore[arg-type]
                    optimizer=lambda p, lr: steps.append(SGD(p, lr)) or steps[-1],  # type: ignore[func-returns-value]
                )  # fmt: skip
            before.check()
            assert not steps[-1].state
        fit(model, DataLoader(patches.at(range(21)), 20, drop_last=True), epochs=1, lr=0.1)

    def test_a_batch_of_one_that_nobody_could_foresee_is_named_too(
        self, patches: LabelledImages
    ) -> None:
        model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(36), nn.Linear(36, 3))
        given = [patches.batch(torch.arange(5)), patches.batch(torch.arange(1))]
        with pytest.raises(ValueError, match="one of the batches has a single image"):
            fit(model, given, epochs=1, lr=0.1)

    def test_batches_of_one_are_fine_where_a_mean_can_be_taken(
        self, patches: LabelledImages
    ) -> None:
        model, twin = (small_cnn(3, widths=(4,), seed=0) for _ in range(2))
        fit(model, patches.at(range(21)), epochs=1, lr=0.1, batch_size=20, sampler=range(21))
        # Trying the last batch first moved no statistics.
        data = [patches.batch(torch.arange(20)), patches.batch(torch.arange(20, 21))]
        fit(twin, data, epochs=1, lr=0.1)
        assert same_weights(model, twin)


class TestOptimizers:
    def test_groups_made_before_surgery_are_refused(
        self, patches: LabelledImages, snapshot: type[Any]
    ) -> None:
        model = network()
        groups = parameter_groups(model, 0.01, rates={"features": 0.001})
        replace_head(model, 3, seed=1)
        before = snapshot(model, patches)
        with pytest.raises(
            ValueError, match=r"must hold every parameter .*lacks 'head.weight', 'h"
        ):
            fit(model, patches, epochs=1, lr=0.01, optimizer=lambda p, lr: AdamW(groups, lr=lr))
        before.check()

    def test_groups_with_rates_of_their_own_keep_them(self, patches: LabelledImages) -> None:
        model = network()
        made: list[Any] = []

        def build(parameters: Any, lr: float) -> Any:
            made.append(AdamW(parameter_groups(model, lr, rates={"features": lr / 10}), lr=lr))
            return made[-1]

        fit(model, patches, epochs=1, lr=0.01, optimizer=build, schedule="constant")
        assert [group["lr"] for group in made[0].param_groups] == pytest.approx([0.001, 0.01])

    @pytest.mark.parametrize("of_the_class", [True, False])
    def test_a_zero_grad_of_its_own_is_called(
        self, patches: LabelledImages, of_the_class: bool
    ) -> None:
        calls: list[bool] = []

        class Counting(SGD):
            def zero_grad(self, set_to_none: bool = True) -> None:
                calls.append(set_to_none)
                super().zero_grad(set_to_none)

        def build(parameters: Any, lr: float) -> Any:
            if of_the_class:
                return Counting(parameters, lr)
            made = SGD(parameters, lr)
            made.zero_grad = lambda set_to_none=True: (  # type: ignore[method-assign]
                calls.append(set_to_none) or SGD.zero_grad(made, set_to_none)  # type: ignore[func-returns-value]
            )
            return made

        own, plain = network(), network()
        steps = -(-len(patches) // 8)
        fit(own, patches, epochs=2, lr=0.1, batch_size=8, optimizer=build)
        fit(plain, patches, epochs=2, lr=0.1, batch_size=8, optimizer=SGD)
        assert calls == [True] * 2 * steps
        assert all(map(torch.equal, own.state_dict().values(), plain.state_dict().values()))

    @pytest.mark.parametrize(
        ("optimizer", "error", "message"),
        [
            (
                SGD([nn.Parameter(torch.zeros(1))], 0.1),
                TypeError,
                "received a SGD that is made already. Pass a function",
            ),
            (lambda parameters, lr: None, TypeError, "it returned NoneType. Pass lambda"),
        ],
        ids=["made already", "nothing"],
    )
    def test_refused(
        self, patches: LabelledImages, optimizer: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            fit(network(), patches, epochs=1, lr=0.1, optimizer=optimizer)


class TestSampling:
    @pytest.fixture
    def uneven(self) -> LabelledImages:
        """Nine of ten are of the first class."""
        labels = torch.tensor([0] * 45 + [1] * 5)
        return LabelledImages(torch.randn(50, 1, 2, 2), labels, ["common", "rare"])

    @pytest.mark.parametrize("kind", ["set", "loader"])
    def test_an_imbalance_corrected_twice_is_warned_of(
        self, uneven: LabelledImages, kind: str
    ) -> None:
        sampler = balanced_sampler(uneven, seed=0)
        loss = LogitAdjustedLoss(class_counts(uneven))
        data: Any = uneven if kind == "set" else DataLoader(uneven, 10, sampler=sampler)
        options: dict[str, Any] = {"sampler": sampler} if kind == "set" else {}
        with pytest.warns(UserWarning, match="sampler and loss both correct: class 1, with 10%"):
            fit(linear(2, inputs=4, seed=0), data, epochs=1, lr=0.1, loss=loss, **options)
        fit(linear(2, inputs=4, seed=0), data, epochs=1, lr=0.1, **options)  # once is right

    def test_a_subsets_sampler_on_its_parents_loader_is_refused(
        self, uneven: LabelledImages
    ) -> None:
        sampler = balanced_sampler(uneven.at(range(30, 50)), seed=0)
        loader: Any = DataLoader(uneven, 10, sampler=sampler)
        with pytest.raises(ValueError, match="made for 20 images and draws from 50"):
            fit(linear(2, inputs=4, seed=0), loader, epochs=1, lr=0.1)


class Endless(IterableDataset[Any]):
    """Gives the same image for ever."""

    def __iter__(self) -> Iterator[Any]:
        return itertools.repeat((torch.ones(1, 6, 6), 1))


class TestOtherPeoplesBatches:
    FORMS: ClassVar[dict[str, Callable[[Tensor, Tensor], Any]]] = {
        "pairs": lambda x, y: (x, y),
        "lists": lambda x, y: [x, y],
        "triples with a mask": lambda x, y: (x, torch.ones(len(x), 2), y),
        "triples with an index of floats": lambda x, y: (x, y, torch.zeros(len(x))),
        "dictionaries": lambda x, y: {"pixel_values": x, "labels": y},
        "arrays": lambda x, y: (x.numpy(), y.numpy()),
        "double images": lambda x, y: (x.double(), y),
        "half images": lambda x, y: (x.half().float().half(), y),
        "small integers": lambda x, y: (x, y.to(torch.uint8)),
    }

    @pytest.mark.parametrize("form", FORMS)
    def test_they_train_what_pairs_train(self, patches: LabelledImages, form: str) -> None:
        images = (patches.images * 16).round() / 16  # exact in half precision
        parts = list(zip(images.split(20), patches.labels.split(20), strict=True))
        pairs, other = network(), network()
        fit(pairs, parts, validation=parts, epochs=2, lr=0.05)
        given = [self.FORMS[form](x, y) for x, y in parts]
        history = fit(other, given, validation=given, epochs=2, lr=0.05)
        assert same_weights(pairs, other)
        assert history.best_epoch.validation_accuracy is not None

    def test_tensors_train_what_a_set_trains(self, patches: LabelledImages) -> None:
        first, second, third = network(), network(), network()
        fit(first, patches, epochs=2, lr=0.05, batch_size=16)
        fit(second, (patches.images, patches.labels), epochs=2, lr=0.05, batch_size=16)
        arrays = (patches.images.numpy(), patches.labels.numpy())
        fit(third, arrays, validation=arrays, epochs=2, lr=0.05, batch_size=16, monitor="loss")
        assert same_weights(first, second)
        assert not same_weights(first, network())

    def test_names_and_functions_say_where(self, patches: LabelledImages) -> None:
        first, second = network(), network()
        parts = list(zip(patches.images.split(20), patches.labels.split(20), strict=True))
        fit(first, parts, epochs=1, lr=0.05)
        given = [{"a": x, "b": {"c": y}} for x, y in parts]
        fit(second, given, epochs=1, lr=0.05, inputs="a", labels=lambda batch: batch["b"]["c"])
        assert same_weights(first, second)

    @pytest.mark.parametrize("form", ["tuple", "dictionary", "object"])
    def test_models_may_return_more_than_logits(self, patches: LabelledImages, form: str) -> None:
        class Answer:
            def __init__(self, logits: Tensor) -> None:
                self.logits = logits

        wrap: dict[str, Callable[[Tensor], Any]] = {
            "tuple": lambda logits: (logits, logits * 0),
            "dictionary": lambda logits: {"logits": logits, "hidden": logits[0]},
            "object": Answer,
        }

        class Wrapped(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = network()

            def forward(self, images: Tensor) -> Any:
                return wrap[form](self.inner(images))

        plain, other = network(), Wrapped()
        fit(plain, patches, epochs=1, lr=0.05)
        fit(other, patches, epochs=1, lr=0.05)
        assert same_weights(plain, other.inner)

    def test_an_endless_loader_needs_an_end(self, patches: LabelledImages) -> None:
        loader: Any = DataLoader(Endless(), batch_size=4)
        with pytest.raises(TypeError, match=r"loader has no length.*pass steps_per_epoch="):
            fit(network(), loader, epochs=2, lr=0.01)
        totals: list[int] = []

        def schedule(step: int, total: int) -> float:
            totals.append(total)
            return 1.0

        history = fit(network(), loader, epochs=2, lr=0.01, steps_per_epoch=3, schedule=schedule)
        assert len(history) == 2
        assert set(totals) == {6}

    @pytest.mark.parametrize(
        ("train", "error", "message"),
        [
            (
                {"labels": None},
                TypeError,
                "must be a LabelledImages or a DataLoader.*received dict",
            ),
            ("mnist", TypeError, "received str"),
            (iter([]), TypeError, "anew in each epoch; .*an iterator, which ends after one"),
            ([{"image": torch.ones(2, 1, 6, 6)}], KeyError, "labels of a batch must be in one pl"),
            (
                [{"image": torch.ones(2, 1, 6, 6), "label": torch.zeros(2), "y": 1}],
                KeyError,
                "sever",
            ),
            (
                [(torch.ones(2, 1, 6, 6), torch.tensor([0, 1]), torch.tensor([1, 0]))],
                ValueError,
                r"positions \[1, 2\] that could be. Say which",
            ),
            ([torch.ones(2, 1, 6, 6)], TypeError, "Say what its labels are"),
            (
                [(torch.ones(2, 1, 6, 6), torch.tensor([0, 3]))],
                ValueError,
                "must lie in 0 … 2.*rec",
            ),
            (
                [(torch.ones(2, 1, 6, 6), torch.tensor([0.0, 1.0]))],
                TypeError,
                "must be integer ind",
            ),
            (
                [(torch.ones(2, 1, 6, 6, dtype=torch.uint8), torch.tensor([0, 1]))],
                TypeError,
                "images in floating point",
            ),
        ],
        ids=[
            "dictionary",
            "string",
            "iterator",
            "no labels",
            "two labels",
            "two label tensors",
            "no tuple",
            "beyond the head",
            "floats",
            "bytes",
        ],
    )
    @pytest.mark.parametrize("role", ["train", "validation"])
    def test_refused_before_the_first_step(
        self,
        patches: LabelledImages,
        snapshot: type[Any],
        train: Any,
        error: type[Exception],
        message: str,
        role: str,
    ) -> None:
        model = network()
        before = snapshot(model, patches)
        given = {"train": patches, "validation": patches} | {role: train}
        with pytest.raises(error, match=message):
            fit(model, given.pop("train"), epochs=1, lr=0.01, **given)
        before.check()

    @pytest.mark.parametrize("mask", [torch.ones(60, dtype=torch.bool), np.ones(60, bool)])
    def test_a_mask_is_no_sampler(self, patches: LabelledImages, mask: Any) -> None:
        with pytest.raises(TypeError, match=r"positions, .*Of a mask take mask\.nonzero"):
            fit(network(), patches, epochs=1, lr=0.01, sampler=mask)

    def test_a_loss_is_made_before_it_is_passed(self, patches: LabelledImages) -> None:
        with pytest.raises(TypeError, match=r"received the class CrossEntropyLoss. Make one"):
            fit(network(), patches, epochs=1, lr=0.01, loss=nn.CrossEntropyLoss)

    @pytest.mark.parametrize(
        ("loss", "error", "message"),
        [
            (lambda logits, labels: logits, TypeError, r"one number, .*received \(60, 3\)"),
            (lambda logits, labels: 1.0, TypeError, "received float"),
            (lambda logits, labels: logits.detach().sum(), ValueError, "has no gradient"),
        ],
        ids=["rows", "float", "detached"],
    )
    def test_a_loss_is_one_number_with_a_gradient(
        self,
        patches: LabelledImages,
        snapshot: type[Any],
        loss: Any,
        error: type[Exception],
        message: str,
    ) -> None:
        model = network()
        before = snapshot(model, patches)
        with pytest.raises(error, match=message):
            fit(model, patches, epochs=1, lr=0.01, loss=loss)
        before.check()

    def test_numpys_numbers_are_numbers(self, patches: LabelledImages) -> None:
        history = fit(network(), patches, epochs=np.int64(2), lr=np.float32(0.01))  # type: ignore[arg-type]
        assert len(history) == 2

    def test_weights_in_float16_are_refused(self, patches: LabelledImages) -> None:
        with pytest.raises(ValueError, match=r"received a model in float16. Call model.float\(\)"):
            fit(network().half(), patches, epochs=1, lr=0.01)

    def test_a_double_model_takes_single_images(self, patches: LabelledImages) -> None:
        history = fit(network().double(), patches, validation=patches, epochs=2, lr=0.01)
        assert len(history) == 2

    def test_lazy_models_are_refused_with_the_rule(self, patches: LabelledImages) -> None:
        model = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
        with pytest.raises(TypeError, match=r"'1.weight' is lazy and has none yet. Run a batch"):
            fit(model, patches, epochs=1, lr=0.01)


class TestWhatStrangersDo:
    """What people tried who had not read the code, each once wrong without a word."""

    def test_loaders_that_number_classes_differently_are_refused(
        self, patches: LabelledImages
    ) -> None:
        class Folder(TensorDataset):
            def __init__(self, classes: list[str]) -> None:
                super().__init__(patches.images, patches.labels.clamp(max=1))
                self.classes = classes
                self.class_to_idx = {name: index for index, name in enumerate(classes)}

        train, shifted = (DataLoader(Folder(names), 20) for names in (["a", "b"], ["b", "c"]))
        with pytest.raises(ValueError, match=r"must have one label map.*target_transform=LabelMap"):
            fit(network(), train, validation=shifted, epochs=1, lr=0.01)
        fit(network(), train, validation=DataLoader(Folder(["a", "b"]), 20), epochs=1, lr=0.01)

    def test_nan_on_validation_is_no_answer(
        self, patches: LabelledImages, snapshot: type[Any]
    ) -> None:
        images = patches.images.clone()
        images[:8] = torch.nan
        model = network()
        before = snapshot(model)
        with pytest.raises(NonFiniteLossError, match="some are NaN while all weights are finite"):
            fit(model, patches, validation=(images, patches.labels), epochs=2, lr=0.01)
        before.check()

    def test_a_sampler_of_other_data_is_refused(self, patches: LabelledImages) -> None:
        sampler: Any = torch.utils.data.RandomSampler(range(12))
        with pytest.raises(ValueError, match="made for 12 images and draws from 60"):
            fit(network(), patches, epochs=1, lr=0.01, sampler=sampler)

    def test_a_part_that_is_thawed_on_the_way_has_to_be_in_the_optimiser(
        self, patches: LabelledImages
    ) -> None:
        model = freeze(network(), keep=["head"])

        def thaw(run: TrainingRun) -> None:
            unfreeze(model)

        with pytest.raises(ValueError, match=r"it lacks 'features\.1\.weight'"):
            fit(model, patches, epochs=3, lr=0.01, on_epoch=thaw)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"loss": nn.CrossEntropyLoss(reduction="sum")}, ValueError, "reduction='sum'"),
            (
                {"loss": nn.CrossEntropyLoss(weight=torch.ones(3)), "accumulate": 2},
                ValueError,
                "own sum of weights. Use WeightedLoss",
            ),
            ({"labels": "y"}, ValueError, "labels would be ignored"),
            ({"checkpoint": "missing/run.pt"}, FileNotFoundError, "Make missing first"),
            ({"checkpoint": "."}, IsADirectoryError, "Name a file in it"),
            ({"on_epoch": 5}, TypeError, "called with the run after each epoch; received 5"),
            ({"seed": None}, TypeError, "a seed must be a whole number; received None"),
            ({"schedule": lambda step, total: None}, TypeError, "at step 0 of 1 it did not"),
            ({"sampler": torch.ones(60, dtype=torch.uint8)}, TypeError, "look like a mask"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_refused_before_the_first_step(
        self,
        patches: LabelledImages,
        snapshot: type[Any],
        options: Any,
        error: type[Exception],
        message: str,
    ) -> None:
        model = network()
        before = snapshot(model, patches)
        with pytest.raises(error, match=message):
            fit(model, patches, epochs=1, lr=0.01, **options)
        before.check()

    def test_a_loss_with_parameters_learns_or_is_refused(self, patches: LabelledImages) -> None:
        class Tempered(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.scale = nn.Parameter(torch.ones(()))

            def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
                return F.cross_entropy(logits * self.scale, labels)

        loss = Tempered()
        with pytest.raises(ValueError, match=r"learns where the optimiser holds them"):
            fit(network(), patches, epochs=1, lr=0.01, loss=loss)
        fit(
            network(), patches, epochs=1, lr=0.01, loss=loss,
            optimizer=lambda p, lr: SGD([*p, *loss.parameters()], lr=lr),
        )  # fmt: skip
        assert loss.scale.item() != 1.0
        assert loss.scale.grad is None

    def test_numpys_seeds_and_batch_sizes_are_numbers(self, patches: LabelledImages) -> None:
        first, second = network(), network()
        fit(first, patches, epochs=1, lr=0.01, seed=np.int64(3), batch_size=np.int64(20))  # type: ignore[arg-type]
        fit(second, patches, epochs=1, lr=0.01, seed=3, batch_size=20)
        assert same_weights(first, second)


def test_a_run_that_diverges_keeps_what_was_good(patches: LabelledImages) -> None:
    model = network()
    options: dict[str, Any] = {"lr": 0.01, "batch_size": 20, "optimizer": "sgd"}

    def exploding(step: int, total: int) -> float:
        return 1.0 if step < 9 else 1e30

    with pytest.raises(NonFiniteLossError, match=r"weights of epoch \d, the best of the") as caught:
        fit(model, patches, validation=patches, epochs=8, schedule=exploding, **options)
    history = caught.value.history  # type: ignore[attr-defined]
    assert len(history) >= 3
    expected = network()
    fit(expected, patches, epochs=history.best + 1, schedule=exploding, **options)
    assert same_weights(model, expected)
    assert copy.deepcopy(history) == history
