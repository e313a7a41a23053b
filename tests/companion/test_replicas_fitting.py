from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, WeightedRandomSampler

from companion import (
    LabelledImages,
    NonFiniteLossError,
    Replicas,
    WeightedLoss,
    fit,
    fit_replicas,
    mlp,
    small_cnn,
)
from replica_runs import (
    SHORT,
    Drawn,
    Sampler,
    Tied,
    agreeing,
    assert_same_weights,
    perceptron,
    step_of_failure,
)

CLASS_WEIGHTS = torch.tensor([1.0, 3.0, 0.5])


def convolutions(seed: int) -> nn.Sequential:
    return small_cnn(3, widths=(4, 4), seed=seed)


def half_frozen(seed: int) -> nn.Sequential:
    model = perceptron(seed)
    model.get_submodule("features").requires_grad_(False)
    return model


def unseeded(seed: int) -> nn.Sequential:
    """A network whose weights come from the global random state."""
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 3))


def without_labels(data: LabelledImages, step: int) -> LabelledImages:
    """The same set with every so many labels gone."""
    data.labels[::step] = -100
    return data


class TestAgainstFit:
    @pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
    @pytest.mark.parametrize("build", [perceptron, convolutions], ids=["mlp", "small_cnn"])
    def test_each_network_is_the_same(
        self,
        patches: LabelledImages,
        more_patches: LabelledImages,
        build: Callable[[int], nn.Module],
        optimizer: str,
    ) -> None:
        replicas = agreeing(
            build,
            patches,
            seeds=(5, 2, 3),
            lrs=(0.05, 0.01),
            optimizer=optimizer,
            validation=more_patches,
        )
        assert (replicas.stack.chain is not None) == (build is perceptron)

    @pytest.mark.parametrize(
        "optimizer",
        [
            lambda parameters, lr: torch.optim.SGD(parameters, lr),
            lambda parameters, lr: torch.optim.SGD(parameters, lr, momentum=0.8),
            lambda parameters, lr: torch.optim.SGD(parameters, lr, weight_decay=0.3),
            lambda parameters, lr: torch.optim.SGD(
                parameters, lr, momentum=0.8, nesterov=True, weight_decay=0.3
            ),
            lambda parameters, lr: torch.optim.Adam(parameters, lr, weight_decay=0.3),
            lambda parameters, lr: torch.optim.Adam(parameters, lr, betas=(0.5, 0.7), eps=0.01),
            lambda parameters, lr: torch.optim.AdamW(parameters, lr, weight_decay=0.3),
        ],
        ids=[
            "plain sgd",
            "heavy ball",
            "sgd with decay",
            "nesterov with decay",
            "adam with decay",
            "adam with other betas",
            "adamw with more decay",
        ],
    )
    def test_the_optimizer_may_be_a_function(
        self, patches: LabelledImages, optimizer: Callable[..., torch.optim.Optimizer]
    ) -> None:
        agreeing(perceptron, patches, lrs=(0.05, 0.01), optimizer=optimizer)

    @pytest.mark.skipif(
        "decoupled_weight_decay" not in torch.optim.Adam([torch.zeros(1)]).defaults,
        reason="this version of PyTorch has the decoupled decay in AdamW alone",
    )
    def test_adam_may_decouple_its_decay(self, patches: LabelledImages) -> None:
        def optimizer(parameters: Iterable[Any], lr: float) -> torch.optim.Optimizer:
            options: dict[str, Any] = {"decoupled_weight_decay": True, "weight_decay": 0.3}
            return torch.optim.Adam(parameters, lr, **options)

        agreeing(perceptron, patches, lrs=(0.05,), optimizer=optimizer)

    def test_the_optimizer_may_choose_its_own_rate(self, patches: LabelledImages) -> None:
        def tenfold(parameters: Iterable[Any], lr: float) -> torch.optim.Optimizer:
            return torch.optim.SGD(parameters, 10 * lr)

        agreeing(perceptron, patches, lrs=(0.005, 0.001), optimizer=tenfold)

    @pytest.mark.parametrize(
        "schedule",
        ["one-cycle", "cosine", "constant", lambda step, total: (step + 1) / total],
        ids=["one-cycle", "cosine", "constant", "own"],
    )
    def test_schedules(self, patches: LabelledImages, schedule: Any) -> None:
        agreeing(perceptron, patches, schedule=schedule)

    @pytest.mark.parametrize("batch_size", [7, 20, 60, 100])
    @pytest.mark.parametrize("build", [perceptron, convolutions], ids=["mlp", "small_cnn"])
    def test_batch_sizes(
        self, patches: LabelledImages, build: Callable[[int], nn.Module], batch_size: int
    ) -> None:
        agreeing(build, patches, batch_size=batch_size)

    def test_the_default_batch_holds_128(self) -> None:
        images = torch.rand(300, 1, 2, 2, generator=torch.Generator().manual_seed(0))
        data = LabelledImages(images, torch.arange(300) % 2, [*"ab"])
        options: dict[str, Any] = {"seeds": (0,), "lrs": 0.1, "epochs": 1, "device": "cpu"}
        given = fit_replicas(lambda seed: mlp(2, inputs=4, seed=seed), data, **options)
        by_name = fit_replicas(
            lambda seed: mlp(2, inputs=4, seed=seed), data, batch_size=128, **options
        )
        assert_same_weights(given.model(0.1, 0), by_name.model(0.1, 0), 0)

    @pytest.mark.parametrize("build", [Tied, half_frozen, unseeded])
    def test_networks(self, patches: LabelledImages, build: Callable[[int], nn.Module]) -> None:
        agreeing(build, patches, validation=patches, optimizer="sgd", lrs=(0.05, 0.02))

    def test_a_head_may_be_wider_than_the_classes(self, patches: LabelledImages) -> None:
        agreeing(lambda seed: mlp(5, inputs=36, seed=seed), patches)

    def test_one_network_alone(self, patches: LabelledImages) -> None:
        assert len(agreeing(convolutions, patches, seeds=(4,)).stack) == 1

    def test_rates_and_seeds_may_be_iterators_and_a_rate_a_number(
        self, patches: LabelledImages
    ) -> None:
        one = fit_replicas(perceptron, patches, seeds=iter([1, 0]), lrs=0.01, **SHORT)
        two = fit_replicas(perceptron, patches, seeds=(1, 0), lrs=iter([0.01]), **SHORT)
        assert (one.lrs, one.seeds) == (two.lrs, two.seeds) == ((0.01,), (1, 0))
        assert torch.equal(one.train_loss, two.train_loss)

    def test_labels_of_no_class_teach_and_count_nothing(
        self, patches: LabelledImages, more_patches: LabelledImages
    ) -> None:
        # Two batches of 16 differ in how many labels they have, and so do the images' weights.
        agreeing(
            perceptron,
            without_labels(patches, 3),
            validation=without_labels(more_patches, 4),
            optimizer="sgd",
        )

    @pytest.mark.parametrize(
        "loss",
        [
            lambda logits, labels: 2 * F.cross_entropy(logits, labels),
            lambda logits, labels: F.cross_entropy(logits, labels, weight=CLASS_WEIGHTS),
            lambda logits, labels: F.cross_entropy(logits, labels, label_smoothing=0.2),
            nn.CrossEntropyLoss(),
            WeightedLoss(CLASS_WEIGHTS, label_smoothing=0.2),
        ],
        ids=["doubled", "class weights", "label smoothing", "module", "weights of images"],
    )
    def test_losses(self, patches: LabelledImages, loss: Any) -> None:
        agreeing(perceptron, without_labels(patches, 7), loss=loss, optimizer="sgd")

    def test_the_loss_is_a_mean_over_each_networks_own_batch(self, patches: LabelledImages) -> None:
        shapes: list[tuple[int, ...]] = []

        def loss(logits: Tensor, labels: Tensor) -> Tensor:
            shapes.append((*logits.shape, *labels.shape))
            return F.cross_entropy(logits, labels)

        fit_replicas(perceptron, patches, seeds=(0, 1), lrs=0.01, loss=loss, **SHORT)
        assert set(shapes) == {(16, 3, 16), (12, 3, 12)}


class TestSamplers:
    @pytest.mark.parametrize(
        "sampler",
        [
            Drawn,
            lambda seed: [0, 59, 30, 30, seed],
            lambda seed: torch.arange(seed, seed + 20),
            lambda seed: RandomSampler(range(60), num_samples=40),
            lambda seed: WeightedRandomSampler([1.0, 9.0] * 30, 70),
        ],
        ids=["own", "list", "tensor", "from the global state", "weighted, from the global state"],
    )
    def test_each_seed_has_its_own(self, patches: LabelledImages, sampler: Any) -> None:
        agreeing(perceptron, patches, sampler=sampler, lrs=(0.01, 0.02), seeds=(3, 1))

    def test_the_schedule_without_a_samplers_length_is_that_of_fit(
        self, patches: LabelledImages
    ) -> None:
        class Endless:
            """Draws twenty positions, and nobody knows how many beforehand."""

            def __iter__(self) -> Iterator[int]:
                return iter(range(20))

        with pytest.warns(UserWarning, match="for 6 batches .* drew 2, so the rate") as told:
            agreeing(perceptron, patches, sampler=lambda seed: Endless(), batch_size=10)
        assert len(told) == 3  # once for all replicas, once for each of the two by `fit`

    def test_a_constant_rate_needs_no_length(self, patches: LabelledImages) -> None:
        def drawn(seed: int) -> Iterator[int]:
            return iter(range(20))

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit_replicas(
                perceptron, patches, seeds=(0,), lrs=(0.1,), epochs=1, sampler=drawn,
                schedule="constant",
            )  # fmt: skip

    def test_epochs_may_be_of_different_length(self, patches: LabelledImages) -> None:
        class Growing:
            """Draws ten positions more in each epoch."""

            drawn = 0

            def __iter__(self) -> Iterator[int]:
                self.drawn += 10
                return iter(range(self.drawn))

            def __len__(self) -> int:
                return 20

        agreeing(perceptron, patches, sampler=lambda seed: Growing(), batch_size=4)

    def test_each_seed_asks_once(self, patches: LabelledImages) -> None:
        asked: list[int] = []

        def sampler(seed: int) -> Drawn:
            asked.append(seed)
            return Drawn(seed)

        fit_replicas(perceptron, patches, seeds=(4, 2), lrs=(0.1, 0.2), sampler=sampler, **SHORT)
        assert asked == [4, 2]

    def test_a_sampler_is_made_with_the_random_state_of_its_seed(
        self, patches: LabelledImages
    ) -> None:
        def drawn(global_seed: int) -> Replicas:
            torch.manual_seed(global_seed)
            return fit_replicas(
                perceptron,
                patches,
                seeds=(0, 1),
                lrs=0.01,
                sampler=lambda seed: torch.randperm(60)[:20],
                **SHORT,
            )

        first, second = drawn(1), drawn(2)
        assert torch.equal(first.train_loss, second.train_loss)
        assert not torch.equal(first.train_loss[0, 0], first.train_loss[0, 1])


class TestBestEpoch:
    @staticmethod
    def wild_after_three_epochs(step: int, total: int) -> float:
        """A schedule that learns for 3 epochs of 4 steps and then leaps about."""
        return 1.0 if step < 12 else 20.0

    @pytest.mark.parametrize("build", [perceptron, convolutions], ids=["mlp", "small_cnn"])
    def test_it_is_restored_for_each_network(
        self,
        patches: LabelledImages,
        more_patches: LabelledImages,
        build: Callable[[int], nn.Module],
    ) -> None:
        replicas = agreeing(
            build,
            patches,
            seeds=(0, 1, 2),
            lrs=(0.01, 1e-5),
            epochs=6,
            validation=more_patches,
            schedule=self.wild_after_three_epochs,
        )
        scores = replicas.validation_accuracy
        assert scores is not None
        best, where = scores.max(-1)
        assert torch.allclose(replicas.accuracy(more_patches), best)
        assert len(where.unique()) > 1
        assert bool((scores[..., -1] < best).any())

    def test_ties_stay_with_the_earlier_epoch(self) -> None:
        # One class, so that accuracy is 1 from some epoch on while the weights go on changing.
        data = LabelledImages(torch.ones(8, 1, 6, 6), torch.zeros(8, dtype=torch.int64), [*"abc"])
        replicas = agreeing(
            perceptron, data, validation=data, epochs=5, lrs=(0.05,), schedule="constant"
        )
        assert replicas.validation_accuracy is not None
        assert replicas.validation_accuracy[..., -2:].tolist() == [[[1.0, 1.0], [1.0, 1.0]]]

    def test_a_first_epoch_in_which_nothing_is_right_counts(
        self, patches: LabelledImages, more_patches: LabelledImages
    ) -> None:
        def wrong(logits: Tensor, labels: Tensor) -> Tensor:
            return -F.cross_entropy(logits, labels).clamp(max=20)

        replicas = agreeing(
            perceptron, patches, validation=patches, loss=wrong, epochs=2, lrs=(0.5,)
        )
        assert replicas.validation_accuracy is not None
        assert replicas.validation_accuracy.max() == 0


class TestDivergence:
    """With sgd, and a schedule that jumps after five steps, in the second epoch of four."""

    LRS = (1e-32, 1.0, 1e-33)
    OPTIONS: dict[str, Any] = SHORT | {
        "optimizer": "sgd",
        "schedule": lambda step, total: 1.0 if step < 5 else 1e30,
    }

    @pytest.fixture(params=[perceptron, convolutions], ids=["mlp", "small_cnn"])
    def build(self, request: pytest.FixtureRequest) -> Callable[[int], nn.Module]:
        build: Callable[[int], nn.Module] = request.param
        return build

    @pytest.fixture
    def replicas(
        self,
        patches: LabelledImages,
        more_patches: LabelledImages,
        build: Callable[[int], nn.Module],
    ) -> Replicas:
        return fit_replicas(
            build,
            patches,
            seeds=(0, 1),
            lrs=self.LRS,
            validation=more_patches,
            **self.OPTIONS,
        )

    def test_it_happens_at_the_step_at_which_fit_gives_up(
        self, patches: LabelledImages, build: Callable[[int], nn.Module]
    ) -> None:
        # Rates that leave the floating-point numbers one after the other.
        lrs = (1e6, 1e-32, 1.0, 1e20)
        replicas = fit_replicas(build, patches, seeds=(0, 1), lrs=lrs, **self.OPTIONS)
        for row, lr in enumerate(lrs):
            for seed in (0, 1):
                expected = (
                    step_of_failure(build, patches, 4, lr=lr, seed=seed, **self.OPTIONS)
                    if lr > 0.1
                    else -1
                )
                assert replicas.diverged_at[row, seed] == expected
        assert len(replicas.diverged_at.unique()) > 2

    def test_the_others_stay_exactly_as_they_are(
        self,
        patches: LabelledImages,
        more_patches: LabelledImages,
        build: Callable[[int], nn.Module],
        replicas: Replicas,
    ) -> None:
        alone = fit_replicas(
            build,
            patches,
            seeds=(0, 1),
            lrs=(1e-32, 1e-34, 1e-33),  # as many, so that sums are taken in the same order
            validation=more_patches,
            **self.OPTIONS,
        )
        assert replicas.diverged.tolist() == [[False, False], [True, True], [False, False]]
        assert not alone.diverged.any()
        for table in ("train_loss", "train_accuracy", "validation_accuracy"):
            assert torch.equal(getattr(replicas, table)[::2], getattr(alone, table)[::2])
        for lr in (1e-32, 1e-33):
            for seed in (0, 1):
                assert_same_weights(replicas.model(lr, seed), alone.model(lr, seed), 0)
        agreeing(build, patches, lrs=(1e-32,), validation=more_patches, **self.OPTIONS)

    def test_tables_have_nothing_from_that_epoch_on(self, replicas: Replicas) -> None:
        for table in (replicas.train_loss, replicas.train_accuracy, replicas.validation_accuracy):
            assert table is not None
            assert table[1].isnan().tolist() == [[False, True, True]] * 2
            assert not table[::2].isnan().any()

    def test_it_may_happen_at_the_first_step(self, patches: LabelledImages) -> None:
        def build(seed: int) -> nn.Module:
            model = perceptron(seed)
            if seed == 1:
                model.get_parameter("head.bias").data[0] = torch.inf
            return model

        options = {"lr": 0.01, "seed": 1} | SHORT
        assert step_of_failure(build, patches, 4, **options) == 0
        replicas = fit_replicas(build, patches, seeds=(0, 1), lrs=0.01, **SHORT)
        assert replicas.diverged_at.tolist() == [[-1, 0]]
        assert replicas.train_loss.isnan().tolist() == [[[False] * 3, [True] * 3]]
        assert replicas.accuracy(patches).isnan().tolist() == [[False, True]]

    def test_it_leaves_no_weights_that_look_like_trained_ones(
        self, patches: LabelledImages, replicas: Replicas
    ) -> None:
        ruined = replicas.stack.weights.isnan()
        assert ruined.all(1).tolist() == [False, False, True, True, False, False]
        assert ruined.any(1).tolist() == ruined.all(1).tolist()

        def loss(logits: Tensor, labels: Tensor) -> Tensor:
            return F.cross_entropy(logits, labels) + torch.nan  # and gradients that are finite

        other = fit_replicas(perceptron, patches, seeds=(0,), lrs=0.01, loss=loss, **SHORT)
        assert other.diverged_at.tolist() == [[0]]
        assert bool(other.stack.weights.isnan().all())

    def test_epochs_of_different_length_are_told_apart(self, patches: LabelledImages) -> None:
        class Shrinking:
            """Draws 40, then 4, then 4 positions."""

            drawn = iter(())

            def __init__(self) -> None:
                self.lengths = iter([40, 4, 4])

            def __iter__(self) -> Iterator[int]:
                return iter(range(next(self.lengths)))

        options = SHORT | {"batch_size": 4, "schedule": "constant", "optimizer": "sgd"}
        replicas = fit_replicas(
            perceptron,
            patches,
            seeds=(0,),
            lrs=(1e15,),
            sampler=lambda seed: Shrinking(),
            **options,
        )
        assert 0 < replicas.diverged_at < 10
        assert replicas.train_loss.isnan().all()

    def test_a_network_that_only_the_last_step_ruins(self, patches: LabelledImages) -> None:
        def explode(step: int, total: int) -> float:
            return 1e-8 if step < total - 1 else 3e38

        bright = LabelledImages(patches.images * 100, patches.labels, patches.classes)
        options = SHORT | {"optimizer": "sgd", "schedule": explode}
        with pytest.raises(NonFiniteLossError, match="weights must stay finite; after the last"):
            fit(perceptron(0), bright, lr=1.0, **options)
        replicas = fit_replicas(perceptron, bright, seeds=(0, 1), lrs=(1.0, 1e-37), **options)
        assert replicas.diverged_at.tolist() == [[12, 12], [-1, -1]]
        assert bool(replicas.train_loss.isfinite().all())
        assert replicas.accuracy(bright).isnan().tolist() == [[True, True], [False, False]]

    def test_a_ruin_after_the_best_epoch_harms_nothing(
        self, patches: LabelledImages, more_patches: LabelledImages
    ) -> None:
        def explode(step: int, total: int) -> float:
            return 1e-3 if step < total - 1 else 3e38

        bright = LabelledImages(patches.images * 10, patches.labels, patches.classes)
        agreeing(
            perceptron,
            bright,
            validation=bright,
            lrs=(1.0,),
            optimizer="sgd",
            schedule=explode,
        )


class TestRefusals:
    @staticmethod
    def dropping(seed: int) -> nn.Sequential:
        return mlp(3, inputs=36, dropout=0.5, seed=seed)

    @staticmethod
    def other(seed: int) -> nn.Sequential:
        return mlp(3, inputs=36, hidden=(8 + seed,), seed=seed)

    @pytest.mark.filterwarnings("ignore:the schedule was made for")  # by an iterator
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"lrs": []}, "at least one learning rate is needed; received none"),
            ({"lrs": [0.1, 0.1]}, r"each learning rate may occur once; received \[0\.1, 0\.1\]"),
            ({"lrs": [0.1, 0.0]}, r"lr must be positive and finite; received 0\.0"),
            ({"lrs": -0.1}, r"lr must be positive and finite; received -0\.1"),
            ({"lrs": [0.1, float("nan")]}, "lr must be positive and finite; received nan"),
            ({"lrs": float("inf")}, "lr must be positive and finite; received inf"),
            ({"seeds": []}, "at least one seed is needed; received none"),
            ({"seeds": [1, 0, 1]}, r"each seed may occur once; received \[1, 0, 1\]"),
            ({"epochs": 0}, "epochs must be a whole number of at least 1; received 0"),
            ({"batch_size": 0}, "batch_size must be a whole number of at least 1; received 0"),
            ({"optimizer": "lion"}, "optimizer must be one of .*received 'lion'"),
            ({"schedule": "step"}, "schedule must be one of .*received 'step'"),
            ({"device": "abacus"}, "device must exist on this machine; received 'abacus'"),
            ({"build": dropping}, "dropout draws in another order.*received dropout in features.3"),
            ({"build": other}, "replicas need networks of one structure"),
            (
                {"build": lambda seed: perceptron(seed).requires_grad_(False)},
                "training needs a parameter that may change; every one is frozen. Thaw",
            ),
            (
                {"build": lambda seed: mlp(2, inputs=36, seed=seed)},
                r"each network must return logits \(images, 3\) or wider.*received \(16, 2\)",
            ),
            (
                {"build": lambda seed: nn.Conv2d(1, 3, 1)},
                r"a classifier returns logits of shape \(N, classes\); received \(16, 3, 6, 6\)",
            ),
            (
                {"sampler": lambda seed: range(10 + seed)},
                r"the samplers must draw equally many positions; received \[10, 11\]",
            ),
            ({"sampler": lambda seed: [0, 60]}, "must be made for the 60 .*received position 60"),
            ({"sampler": lambda seed: [-1]}, "must be made for the 60 .*received position -1"),
            ({"sampler": lambda seed: []}, "samplers must draw positions in each epoch"),
            ({"sampler": lambda seed: iter([1, 2])}, "received none. An iterator ends after one"),
        ],
    )
    def test_refused_and_nothing_changed(
        self, patches: LabelledImages, snapshot: type[Any], options: dict[str, Any], message: str
    ) -> None:
        self.check(patches, snapshot, options, ValueError, message)

    @staticmethod
    def check(
        patches: LabelledImages,
        snapshot: type[Any],
        options: dict[str, Any],
        error: type[Exception],
        message: str,
    ) -> None:
        networks = [perceptron(seed) for seed in range(3)]
        given: dict[str, Any] = {
            "build": networks.__getitem__,
            "train": patches,
            "seeds": (0, 1),
            "lrs": 0.1,
        }
        given |= SHORT | {"validation": patches} | options
        before = [snapshot(model, patches) for model in networks]
        with pytest.raises(error, match=message):
            fit_replicas(given.pop("build"), given.pop("train"), **given)
        for each in before:
            each.check()

    def test_a_sampler_made_for_other_data(
        self, patches: LabelledImages, snapshot: type[Any]
    ) -> None:
        class MadeFor(Drawn):
            items = 61

        message = "must be made for the 60 images .*received a sampler for 61"
        self.check(patches, snapshot, {"sampler": MadeFor}, ValueError, message)

    def test_a_validation_set_with_another_label_map(
        self, patches: LabelledImages, snapshot: type[Any]
    ) -> None:
        other = patches.only(["left", "right"])
        message = "must have one label map"
        self.check(patches, snapshot, {"validation": other}, ValueError, message)

    @pytest.mark.parametrize("name", ["train", "validation"])
    def test_a_loader(self, patches: LabelledImages, snapshot: type[Any], name: str) -> None:
        loader = DataLoader(patches, batch_size=16)
        message = "replicas index their data on the device; received DataLoader. Pass Labelled"
        self.check(patches, snapshot, {name: loader}, TypeError, message)

    def test_an_error_of_the_sampler_leaves_the_random_state(
        self, patches: LabelledImages, snapshot: type[Any]
    ) -> None:
        class Broken:
            def __iter__(self) -> Iterator[int]:
                torch.rand(3)
                raise RuntimeError("no positions today")

        def sampler(seed: int) -> Broken:
            torch.rand(3)
            return Broken()

        self.check(patches, snapshot, {"sampler": sampler}, RuntimeError, "no positions today")

    def test_an_error_of_build_leaves_the_random_state(
        self, patches: LabelledImages, snapshot: type[Any]
    ) -> None:
        def build(seed: int) -> nn.Module:
            torch.rand(3)
            raise RuntimeError("no network today")

        self.check(patches, snapshot, {"build": build}, RuntimeError, "no network today")


class TestNothingElseChanges:
    @pytest.mark.parametrize("sampler", [None, Drawn, lambda seed: RandomSampler(range(60))])
    def test_networks_data_and_randomness_stay(
        self,
        patches: LabelledImages,
        more_patches: LabelledImages,
        snapshot: type[Any],
        sampler: Sampler | None,
    ) -> None:
        networks = [small_cnn(3, widths=(4,), seed=seed) for seed in range(2)]
        before = [snapshot(model, patches, more_patches) for model in networks]
        replicas = fit_replicas(
            networks.__getitem__,
            patches,
            seeds=(0, 1),
            lrs=(0.1, 0.2),
            validation=more_patches,
            sampler=sampler,
            **SHORT,
        )
        replicas.accuracy(patches)
        replicas.model(0.1, 1)
        for each in before:
            each.check()

    def test_one_network_stays_as_it_was_given(
        self, patches: LabelledImages, snapshot: type[Any]
    ) -> None:
        model = convolutions(0)
        before = snapshot(model, patches)
        fit_replicas(lambda seed: model, patches, seeds=(0,), lrs=0.1, **SHORT)
        before.check()

    def test_the_global_state_decides_nothing(self, patches: LabelledImages) -> None:
        tables = []
        for global_seed in (1, 2):
            torch.manual_seed(global_seed)
            tables.append(fit_replicas(unseeded, patches, seeds=(0, 1), lrs=0.1, **SHORT))
        assert torch.equal(tables[0].train_loss, tables[1].train_loss)

    def test_progress_is_shown_only_when_asked(
        self, patches: LabelledImages, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fit_replicas(perceptron, patches, seeds=(0,), lrs=0.1, progress=False, **SHORT)
        assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestCuda:
    @pytest.mark.parametrize("build", [perceptron, convolutions], ids=["mlp", "small_cnn"])
    def test_it_agrees_with_the_cpu(
        self,
        patches: LabelledImages,
        more_patches: LabelledImages,
        build: Callable[[int], nn.Module],
    ) -> None:
        options: dict[str, Any] = {"seeds": (0, 1), "lrs": (0.01, 1e30), "optimizer": "sgd"}
        options |= {"validation": more_patches, "epochs": 3, "batch_size": 16}
        here = fit_replicas(build, patches, device="cpu", **options)
        there = fit_replicas(build, patches, device="cuda", **options)
        model = there.model(0.01, 1)
        assert {p.device.type for p in model.parameters()} == {"cuda"}
        assert patches.device.type == "cpu"
        assert_same_weights(here.model(0.01, 1), model.cpu(), 1e-3)
        assert torch.equal(here.diverged, there.diverged)
        torch.testing.assert_close(
            here.train_loss, there.train_loss, atol=1e-3, rtol=0, equal_nan=True
        )
        assert here.logits(patches.images)[0].shape == there.logits(patches.images)[0].shape

    def test_the_random_state_of_the_device_stays(self, patches: LabelledImages) -> None:
        before = torch.cuda.get_rng_state()
        fit_replicas(
            unseeded, patches, seeds=(0, 1), lrs=0.01, epochs=1, sampler=Drawn, device="cuda"
        )
        assert torch.equal(torch.cuda.get_rng_state(), before)


def test_a_mask_that_is_infinite_from_the_start_is_no_divergence(patches: LabelledImages) -> None:
    class Masked(nn.Module):
        """Rules out a fourth class by a persistent mask."""

        def __init__(self, seed: int) -> None:
            super().__init__()
            self.inner = mlp(4, inputs=36, seed=seed)
            self.register_buffer("mask", torch.tensor([0.0, 0.0, 0.0, -torch.inf]))

        def forward(self, images: Tensor) -> Tensor:
            return self.inner(images) + self.mask

    trained = fit_replicas(Masked, patches, seeds=range(2), lrs=0.01, epochs=2)
    assert not trained.diverged.any()
