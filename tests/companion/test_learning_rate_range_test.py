from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.utils.data import DataLoader, TensorDataset

from companion import (
    LabelledImages,
    NonFiniteLossError,
    RangeTest,
    balanced_sampler,
    freeze,
    mlp,
    parameter_groups,
    range_test,
    small_cnn,
)

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": lambda parameters, lr: AdamW(parameters, lr),
    "adam": lambda parameters, lr: Adam(parameters, lr),
    "sgd": lambda parameters, lr: SGD(
        parameters, lr, momentum=0.9, nesterov=True, weight_decay=5e-4
    ),
}
LRS = torch.logspace(-7, 0, 141, dtype=torch.float64)  # twenty to a decade
MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: mlp(3, inputs=36, hidden=(8,), seed=0),
    "dropout": lambda: mlp(3, inputs=36, hidden=(8,), dropout=0.5, seed=0),
    "BatchNorm": lambda: small_cnn(3, widths=(4,), seed=0),
}
FALLING = [2 - step / 20 for step in range(20)]
each_model = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)


class Scripted:
    """A loss that has the values written down for it, whatever the logits are."""

    def __init__(self, values: list[float]) -> None:
        self.values = values
        self.calls = 0

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        self.calls += 1
        return 0 * logits.sum() + self.values[self.calls - 1]


def scripted(
    values: list[float], data: LabelledImages, *, model: nn.Module | None = None, **options: Any
) -> RangeTest:
    model = model or nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    return range_test(model, data, steps=len(values), seeds=[0], loss=Scripted(values), **options)


def found(*curves: Any, lrs: Tensor = LRS) -> RangeTest:
    table = torch.stack([torch.as_tensor(curve, dtype=torch.float64) for curve in curves])
    return RangeTest(lrs, table, table, tuple(range(len(curves))))


def falling_at(lr: float) -> np.ndarray:
    """A loss that falls from 2.5 to 0.5, fastest at this rate on a logarithmic scale."""
    return 1.5 - np.tanh(2 * np.log10(LRS.numpy() / lr))


def by_hand(
    model: nn.Module,
    optimiser: Optimizer,
    batches: Iterable[tuple[Tensor, Tensor]],
    lrs: Tensor,
    seed: int,
) -> list[float]:
    losses = []
    torch.manual_seed(seed)
    model.train()
    for lr, (images, labels) in zip(lrs.tolist(), batches, strict=False):
        for group in optimiser.param_groups:
            group["lr"] = lr
        loss = F.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def batches_of(data: LabelledImages, size: int, seed: int) -> Iterable[tuple[Tensor, Tensor]]:
    order = torch.Generator().manual_seed(seed)
    while True:
        for rows in torch.randperm(len(data), generator=order).split(size):
            yield data.images[rows], data.labels[rows]


class TestTheRun:
    def test_rates_are_evenly_spaced_on_a_logarithmic_scale(self, patches: LabelledImages) -> None:
        lrs = range_test(MODELS["mlp"](), patches, low=1e-4, high=2, steps=17, seeds=[0]).lrs
        assert lrs.dtype == torch.float64
        assert lrs.shape == (17,)
        assert (lrs[0].item(), lrs[-1].item()) == pytest.approx((1e-4, 2), rel=1e-12)
        assert (lrs[1:] / lrs[:-1]).tolist() == pytest.approx([20000 ** (1 / 16)] * 16, rel=1e-12)

    @each_model
    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_losses_are_those_of_a_loop_by_hand(
        self, patches: LabelledImages, build: Callable[[], nn.Module], name: str
    ) -> None:
        test = range_test(
            build(),
            patches,
            low=1e-3,
            high=0.5,
            steps=20,
            seeds=[3, 1],
            optimizer=name,
            batch_size=16,
            smoothing=0.5,
        )
        assert test.seeds == (3, 1)
        assert test.losses.dtype == test.smoothed.dtype == torch.float64
        for seed, losses in zip(test.seeds, test.losses.tolist(), strict=True):
            model = build()
            optimiser = OPTIMIZERS[name](model.parameters(), 1.0)
            batches = batches_of(patches, 16, seed)
            expected = by_hand(model, optimiser, batches, test.lrs, seed)
            assert losses == pytest.approx(expected, rel=1e-6)

    def test_an_optimiser_goes_on_with_the_state_it_has(self, patches: LabelledImages) -> None:
        runs = []
        for tested in (True, False):
            model = MODELS["mlp"]()
            optimiser = SGD(model.parameters(), lr=0.1, momentum=0.9)
            by_hand(model, optimiser, batches_of(patches, 60, 0), torch.full((3,), 0.1), 0)
            if tested:
                test = range_test(
                    model, patches, optimizer=optimiser, low=1e-3, steps=20, seeds=[5]
                )
                runs.append(test.losses[0].tolist())
            else:
                runs.append(by_hand(model, optimiser, batches_of(patches, 64, 5), test.lrs, 5))
        until = len([loss for loss in runs[0] if not math.isnan(loss)])
        assert until > 10
        assert runs[0][:until] == pytest.approx(runs[1][:until], rel=1e-5)

    def test_a_loader_decides_on_batches_and_begins_again(self, patches: LabelledImages) -> None:
        loader = DataLoader(patches, 25, shuffle=True)
        test = range_test(MODELS["mlp"](), loader, low=1e-3, high=1, steps=20, seeds=[2])

        def again() -> Iterable[tuple[Tensor, Tensor]]:
            while True:
                yield from loader

        model = MODELS["mlp"]()
        expected = by_hand(model, AdamW(model.parameters()), again(), test.lrs, 2)
        assert test.losses[0].tolist() == pytest.approx(expected, rel=1e-6)

    def test_seeds_start_from_the_same_weights_in_another_order(
        self, patches: LabelledImages
    ) -> None:
        whole, parts = (
            range_test(MODELS["mlp"](), patches, steps=20, seeds=range(3), batch_size=size).losses
            for size in (60, 6)
        )
        assert whole[:, 0].tolist() == pytest.approx([whole[0, 0].item()] * 3, rel=1e-6)
        assert len(set(parts[:, 0].tolist())) == 3

    def test_a_seed_does_not_depend_on_the_others(self, patches: LabelledImages) -> None:
        model = MODELS["dropout"]()
        loader = DataLoader(patches, 8, sampler=balanced_sampler(patches, seed=0))
        options: dict[str, Any] = {"steps": 20, "low": 1e-3, "high": 1, "smoothing": 0.5}
        three = range_test(model, loader, seeds=[0, 1, 2], **options).losses
        assert torch.equal(three[2:], range_test(model, loader, seeds=[2], **options).losses)
        assert not torch.equal(three[0], three[1])

    @pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
    def test_modules_are_in_training_mode(self, patches: LabelledImages, mode: bool) -> None:
        model = MODELS["BatchNorm"]().train(mode)
        seen: list[bool] = []
        model.register_forward_pre_hook(
            lambda *_: seen.append(all(m.training for m in model.modules()))
        )
        range_test(model, patches, steps=12, low=1e-3, seeds=[0])
        assert seen == [True] * len(seen) != []
        assert model.training == mode

    def test_the_size_of_a_batch_is_as_asked_for(self, patches: LabelledImages) -> None:
        sizes: list[int] = []

        def loss(logits: Tensor, labels: Tensor) -> Tensor:
            sizes.append(len(labels))
            return F.cross_entropy(logits, labels)

        for size in (25, None):
            options = {} if size is None else {"batch_size": size}
            range_test(
                MODELS["mlp"](),
                patches,
                low=1e-3,
                high=1,
                steps=10,
                seeds=[0],
                loss=loss,
                **options,
            )
        assert sizes == [25, 25, 10] * 3 + [25] + [60] * 10

    def test_no_batch_is_drawn_that_is_not_used(self, patches: LabelledImages) -> None:
        read: list[int] = []

        class Counted(TensorDataset):
            def __getitem__(self, index: int) -> tuple[Tensor, ...]:
                read.append(index)
                return super().__getitem__(index)

        loader = DataLoader(Counted(patches.images, patches.labels), 5)
        range_test(MODELS["mlp"](), loader, low=1e-3, high=1, steps=16, smoothing=0.5, seeds=[0])
        assert len(read) == 16 * 5

    def test_frozen_parameters_take_no_part(self, patches: LabelledImages) -> None:
        model = freeze(small_cnn(3, widths=(4,), seed=0), keep=["head"])
        given: list[int] = []
        seen: list[Tensor] = []
        model.register_forward_pre_hook(
            lambda *_: seen.append(model.get_parameter("features.0.weight").detach().clone())
        )

        def build(parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
            listed = list(parameters)
            given.append(len(listed))
            return SGD(listed, lr, momentum=0.9)

        range_test(model, patches, optimizer=build, low=1e-2, high=1, seeds=[0])
        assert given == [2]
        assert all(torch.equal(weights, seen[0]) for weights in seen)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_a_gpu_gives_nearly_the_same(self, patches: LabelledImages) -> None:
        here, there = (
            range_test(
                MODELS["mlp"](), patches, low=1e-3, high=0.1, steps=20, seeds=[0], device=device
            )
            for device in ("cpu", "cuda")
        )
        assert there.losses[0].tolist() == pytest.approx(here.losses[0].tolist(), rel=0.05)


class TestGroups:
    @staticmethod
    def rates_while(optimiser: Optimizer, model: nn.Module, data: LabelledImages) -> Tensor:
        seen: list[list[float]] = []
        kinds = [type(group["lr"]) for group in optimiser.param_groups]

        def note(*_: object) -> None:
            rates = [group["lr"] for group in optimiser.param_groups]
            assert [type(rate) for rate in rates] == kinds
            seen.append([float(rate) for rate in rates])

        optimiser.register_step_pre_hook(note)
        test = scripted(FALLING, data, model=model, optimizer=optimiser)
        rates = torch.tensor(seen, dtype=torch.float64)
        assert rates.max(1).values.tolist() == pytest.approx(test.lrs.tolist(), rel=1e-6)
        return rates

    @pytest.mark.parametrize("kind", [float, torch.tensor], ids=["numbers", "tensors"])
    def test_they_keep_the_ratios_of_their_rates(
        self, patches: LabelledImages, kind: Callable[[float], Any]
    ) -> None:
        model = small_cnn(3, widths=(4,), seed=0)
        groups = [
            {"params": list(model.features.parameters()), "lr": kind(0.02)},
            {"params": list(model.head.parameters()), "lr": kind(0.1)},
        ]
        rates = self.rates_while(AdamW(groups, lr=1), model, patches)
        assert (rates[:, 1] / rates[:, 0]).tolist() == pytest.approx([5] * 20, rel=1e-6)

    def test_a_group_at_rest_stays_there(self, patches: LabelledImages) -> None:
        model = small_cnn(3, widths=(4,), seed=0)
        groups = [
            {"params": list(model.features.parameters()), "lr": 0.0},
            {"params": list(model.head.parameters()), "lr": 0.1},
        ]
        assert self.rates_while(AdamW(groups), model, patches)[:, 0].tolist() == [0] * 20

    def test_before_a_warm_up_all_rates_rise(self, patches: LabelledImages) -> None:
        model = MODELS["mlp"]()
        optimiser = AdamW(model.parameters(), lr=0.1)
        torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1, step / 5))
        self.rates_while(optimiser, model, patches)
        assert optimiser.param_groups[0]["lr"] == 0

    def test_a_factory_may_ignore_the_rate_or_split_it(self, patches: LabelledImages) -> None:
        seen: list[list[float]] = []
        model = small_cnn(3, widths=(4,), seed=0)

        def build(parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
            optimiser = AdamW(parameter_groups(model, 0.3, rates={"features": 0.1}))
            optimiser.register_step_pre_hook(
                lambda *_: seen.append([group["lr"] for group in optimiser.param_groups])
            )
            return optimiser

        test = scripted(FALLING, patches, model=model, optimizer=build)
        assert [rest for _, rest in seen] == pytest.approx(test.lrs.tolist())
        assert [rest / body for body, rest in seen] == pytest.approx([3] * 20)


class TestTheCurve:
    def test_smoothing_does_not_shift(self, patches: LabelledImages) -> None:
        valley = [1 + abs(step - 40) / 20 for step in range(81)]
        test = scripted(valley, patches)
        assert test.losses[0].tolist() == pytest.approx(valley)
        assert int(test.smoothed[0].argmin()) == 40
        assert test.smoothed[0].tolist() == pytest.approx(test.smoothed[0].flip(0).tolist())
        assert test.smoothed[0, 12:28].tolist() == pytest.approx(valley[12:28], abs=2e-3)
        assert test.smoothed[0, 40] > 1.05

    def test_smoothing_is_as_wide_as_asked_for(self, patches: LabelledImages) -> None:
        values = [2 - step / 80 + 0.3 * (step % 2) for step in range(80)]
        rough, fine = (
            scripted(values, patches, smoothing=width).smoothed[0].diff().std()
            for width in (0.5, 4)
        )
        assert rough > 10 * fine
        assert torch.equal(
            scripted(values, patches, smoothing=2.0).smoothed[0],
            torch.from_numpy(
                gaussian_filter1d(np.float32(values).astype(float), 2, mode="nearest")
            ),
        )

    @pytest.mark.parametrize(("stop_at", "measured"), [(2.0, 26), (1.5, 24), (100.0, 30)])
    def test_a_run_stops_when_its_loss_has_grown_far(
        self, patches: LabelledImages, stop_at: float, measured: int
    ) -> None:
        # The highest of the first tenth is 2; a later one does not count.
        values = [1.8, 1.9, 2.0, 2.99, 1.9, 1.8, *[1.0] * 15]
        values += [2.0, 2.9, 3.1, 3.9, 4.1, 1.0, 1.0, 1.0, 1.0]
        loss, model = Scripted(values), MODELS["mlp"]()
        steps: list[None] = []
        optimiser = SGD(model.parameters(), lr=1)
        optimiser.register_step_post_hook(lambda *_: steps.append(None))
        test = range_test(
            model, patches, optimizer=optimiser, steps=30, seeds=[0], loss=loss, stop_at=stop_at
        )
        assert loss.calls == measured
        assert len(steps) == (measured if measured == 30 else measured - 1)
        for curve in (test.losses[0], test.smoothed[0]):
            assert curve.isnan().tolist() == [False] * measured + [True] * (30 - measured)
        assert test.losses[0, :measured].tolist() == pytest.approx(values[:measured])

    def test_it_stops_at_twice_what_the_loss_was_early(self, patches: LabelledImages) -> None:
        test = scripted([2.0, 2.0, 1.0, 1.0, 3.9, 4.1, *[1.0] * 14], patches, smoothing=0.5)
        assert test.losses[0].isnan().tolist() == [False] * 6 + [True] * 14

    def test_a_multiple_of_a_low_loss_does_not_stop_it(self, patches: LabelledImages) -> None:
        values = [2.0] * 20 + [0.01, 1.0] * 10
        assert scripted(values, patches).losses[0].tolist() == pytest.approx(values)

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_a_loss_that_is_no_number_ends_a_run_and_is_left_out(
        self, patches: LabelledImages, bad: float
    ) -> None:
        loss = Scripted([2.0, 1.9, 1.0, 1.0, 1.0, bad, 1.0, 1.0, 1.0, 1.0])
        test = range_test(MODELS["mlp"](), patches, steps=10, seeds=[0], loss=loss, smoothing=0.5)
        assert loss.calls == 6
        assert test.losses[0].isnan().tolist() == [False] * 5 + [True] * 5
        assert test.smoothed[0].isnan().tolist() == [False] * 5 + [True] * 5

    def test_one_at_the_last_step_is_left_out_too(self, patches: LabelledImages) -> None:
        test = scripted([2.0] * 5 + [1.0] * 4 + [math.nan], patches)
        assert test.losses[0].isnan().tolist() == [False] * 9 + [True]

    def test_a_loss_near_zero_may_grow_to_a_small_one(self, patches: LabelledImages) -> None:
        values = [1e-5, 0.0019, *[1e-6] * 6, 0.0021, 1e-6]
        test = scripted(values, patches, smoothing=0.3)
        assert test.losses[0].isnan().tolist() == [False] * 9 + [True]

    def test_an_explosion_does_not_move_the_lowest_point(self, patches: LabelledImages) -> None:
        valley = [2.0, *(1 + abs(step - 50) / 20 for step in range(1, 70))]
        calm, burst = (scripted([*valley, last], patches) for last in (2.0, 1e20))
        cut = np.minimum(burst.losses[0].numpy(), 2 * burst.losses[0, 1].item())
        expected = gaussian_filter1d(cut, 3.0, mode="nearest")
        assert burst.smoothed[0].tolist() == pytest.approx(expected.tolist())
        assert burst.losses[0, -1] == pytest.approx(1e20)
        assert burst.smoothed[0].argmin() == 50
        assert burst.smoothed[0, :58].tolist() == pytest.approx(calm.smoothed[0, :58].tolist())
        assert burst.suggestion("tenth") == calm.suggestion("tenth")

    @pytest.mark.parametrize(
        ("values", "text"),
        [
            ([1.5] * 20, "it went from 1.500 to 1.500 at best"),
            ([1.5] * 10 + [1.48] * 10, "it went from 1.500 to 1.480 at best"),
            (list(np.linspace(1, 2, 20)), r"it went from 1\.\d+ to 1\.\d+ at best"),
            ([0.0] * 20, "it went from 0.000 to 0.000 at best"),
            ([-1.0] * 20, "it went from -1.000 to -1.000 at best"),
        ],
        ids=["constant", "hardly", "rising", "zero", "negative"],
    )
    def test_a_loss_that_never_falls_suggests_nothing(
        self, patches: LabelledImages, values: list[float], text: str
    ) -> None:
        test = scripted(values, patches)
        assert test.losses[0].tolist() == pytest.approx(values)  # the measurement stays
        (finding,) = test.findings
        assert (finding.code, finding.severity) == ("OPT201", "error")
        for rule in ("steepest", "tenth"):
            assert test.suggestions(rule) == pytest.approx([math.nan], nan_ok=True)
            message = rf"between the rates 1e-05 and 10; {text}\. Widen"
            with pytest.raises(ValueError, match=message):
                test.suggestion(rule)

    @pytest.mark.parametrize("first", [1.5, -1.5])
    def test_one_that_falls_a_little_is_not(self, patches: LabelledImages, first: float) -> None:
        lower = first - 0.1
        assert scripted([first] * 20 + [lower] * 20, patches).smoothed.min() == pytest.approx(lower)

    def test_one_run_that_falls_is_enough(self, patches: LabelledImages) -> None:
        values = [1.5] * 20 + [1.5] * 20 + [1.5] * 10 + [1.0] * 10 + [1.5] * 20
        loss, model = Scripted(values), MODELS["mlp"]()
        test = range_test(model, patches, steps=20, seeds=range(4), loss=loss)
        assert [math.isnan(rate) for rate in test.suggestions()] == [True, True, False, True]
        assert test.suggestion() == pytest.approx(test.suggestions()[2])
        finding = test.findings[0]
        assert str(finding) == "OPT202 warning: the loss never fell in 3 of 4 runs"
        loss = Scripted([1.5] * 60 + [1.5] * 10 + [1.49] * 10)
        test = range_test(model, patches, steps=20, seeds=range(4), loss=loss)
        with pytest.raises(ValueError, match=r"it went from 1\.500 to 1\.490 at best"):
            test.suggestion()

    def test_a_network_is_stopped_where_its_steps_are_too_long(
        self, patches: LabelledImages
    ) -> None:
        test = range_test(MODELS["mlp"](), patches, high=1e4, seeds=range(2), optimizer="sgd")
        assert bool(test.losses[:, -1].isnan().all())
        for rule in ("steepest", "tenth"):
            assert 1e-3 < test.suggestion(rule) < 1


class TestSuggestions:
    @pytest.mark.parametrize("lr", [1e-5, 1e-3, 1e-1])
    def test_the_steepest_point_is_found_on_the_logarithmic_scale(self, lr: float) -> None:
        assert found(falling_at(lr)).suggestion() == pytest.approx(lr)

    @pytest.mark.parametrize("seed", range(6))
    def test_noise_at_the_lowest_rates_is_not_taken_for_a_fall(
        self, patches: LabelledImages, seed: int
    ) -> None:
        noise = 0.01 * np.random.default_rng(seed).standard_normal(len(LRS))
        values = falling_at(1e-3) + noise
        naive = LRS[int(np.gradient(values, LRS.numpy()).argmin())]
        assert naive < 1e-6  # what a slope along the rate itself would suggest
        test = scripted(values, patches, low=1e-7, high=1.0)
        assert 3e-4 < test.suggestion() < 3e-3

    def test_a_steep_fall_beyond_the_lowest_point_is_none(self) -> None:
        curve = falling_at(1e-4)
        curve[120:] += 20
        curve[130:] -= 10
        assert found(curve).suggestion() == pytest.approx(1e-4)

    def test_a_fall_that_ends_at_the_lowest_point_counts(self) -> None:
        curve = np.linspace(2, 1.9, len(LRS))
        curve[100:] = 1.9 - 0.1 * np.arange(len(LRS) - 100)
        assert found(curve).suggestion() >= LRS[100]

    def test_a_tenth_of_where_the_loss_is_lowest(self) -> None:
        curve = (LRS.log10() + 2) ** 2
        assert found(curve).suggestion("tenth") == pytest.approx(1e-3)

    @pytest.mark.parametrize(("rule", "expected"), [("steepest", 1e-3), ("tenth", 1e-2)])
    def test_where_a_run_was_stopped_nothing_is_looked_for(
        self, rule: str, expected: float
    ) -> None:
        curve = falling_at(1e-3)
        curve[121:] = math.nan  # above 1e-1
        assert found(curve).suggestion(rule) == pytest.approx(expected)

    @pytest.mark.parametrize("rule", ["steepest", "tenth"])
    def test_a_run_of_one_step_suggests_nothing(self, rule: str) -> None:
        curve = np.full(len(LRS), math.nan)
        curve[0] = 1.0
        assert math.isnan(found(curve).suggestions(rule)[0])
        assert found(curve, falling_at(1e-3)).suggestion() == pytest.approx(1e-3)

    def test_runs_are_joined_by_the_geometric_mean(self) -> None:
        test = found(falling_at(1e-4), falling_at(1e-2), falling_at(1e-3))
        assert test.suggestions() == pytest.approx([1e-4, 1e-2, 1e-3])
        assert test.suggestion() == pytest.approx(1e-3)
        assert found(falling_at(1e-5), falling_at(1e-2)).suggestion() == pytest.approx(10**-3.5)

    def test_it_is_the_smoothed_curve_that_is_looked_at(self) -> None:
        test = RangeTest(
            LRS,
            torch.zeros(1, len(LRS), dtype=torch.float64),
            torch.from_numpy(falling_at(1e-3))[None],
            (0,),
        )
        assert test.suggestion() == pytest.approx(1e-3)

    def test_another_rule_is_refused(self) -> None:
        with pytest.raises(ValueError, match="one of steepest, tenth; received 'valley'"):
            found(falling_at(1e-3)).suggestion("valley")


class TestRefusals:
    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_a_loss_that_is_no_number_before_the_first_step(
        self, patches: LabelledImages, snapshot: type[Any], bad: float
    ) -> None:
        model = MODELS["BatchNorm"]()
        before = snapshot(model, patches)
        with pytest.raises(NonFiniteLossError, match=rf"at the first step; it is {bad} before"):
            range_test(model, patches, loss=lambda logits, labels: logits.mean() * bad)
        before.check()

    def test_a_loss_that_is_detached(self, patches: LabelledImages, snapshot: type[Any]) -> None:
        model = MODELS["mlp"]()
        before = snapshot(model, patches)
        with pytest.raises(RuntimeError, match="does not require grad"):
            range_test(model, patches, loss=lambda logits, labels: logits.detach().square().mean())
        before.check()

    def test_a_model_that_is_all_frozen(self, patches: LabelledImages) -> None:
        model = MODELS["mlp"]().requires_grad_(False)
        with pytest.raises(ValueError, match=r"every one is frozen.*unfreeze\(model\.head\)"):
            range_test(model, patches)

    @pytest.mark.parametrize("whose", ["another", "frozen"])
    def test_an_optimiser_of_nothing_that_may_change_here(
        self, patches: LabelledImages, whose: str
    ) -> None:
        model = freeze(small_cnn(3, widths=(4,), seed=0), keep=["head"])
        holder = model.features if whose == "frozen" else MODELS["mlp"]()
        with pytest.raises(
            ValueError,
            match=r"must hold every parameter that may change; it lacks '.*head\.weight'",
        ):
            range_test(model, patches, optimizer=SGD(holder.parameters(), lr=0.1))

    @pytest.mark.parametrize("data", [[], torch.zeros(0, 1, 6, 6)], ids=["list", "tensors"])
    def test_a_loader_without_batches(self, data: Any, snapshot: type[Any]) -> None:
        model = MODELS["BatchNorm"]()
        before = snapshot(model)
        empty = DataLoader(
            TensorDataset(data, torch.zeros(0)) if isinstance(data, Tensor) else data
        )
        with pytest.raises(ValueError, match="training data must yield a batch; received none"):
            range_test(model, empty)
        before.check()

    @pytest.mark.parametrize(
        ("low", "high"),
        [(0, 1), (-1e-3, 1), (math.nan, 1), (1e-3, math.nan), (1e-3, math.inf), (1, 1e-3), (1, 1)],
    )
    def test_rates_that_are_no_range(
        self, patches: LabelledImages, low: float, high: float
    ) -> None:
        with pytest.raises(ValueError, match="positive, finite and ascending"):
            range_test(MODELS["mlp"](), patches, low=low, high=high)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"steps": 9}, "steps must be a whole number of at least 10; received 9"),
            ({"smoothing": 0}, "smoothing must be positive and stop_at above 1; received 0 and 2"),
            ({"stop_at": 1}, r"stop_at above 1; received 3\.0 and 1"),
            ({"seeds": []}, "at least one seed is needed"),
            ({"seeds": [1, 1]}, "each seed may occur once"),
            ({"optimizer": "lamb"}, "optimizer must be one of adamw, adam, sgd"),
            ({"device": "nowhere"}, "the device must exist on this machine"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_options_that_are_none(
        self, patches: LabelledImages, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            range_test(MODELS["mlp"](), patches, **options)

    def test_an_optimiser_that_is_none(self, patches: LabelledImages) -> None:
        with pytest.raises(TypeError, match=r"optimizer must be one of .*; received int"):
            range_test(MODELS["mlp"](), patches, optimizer=3)  # type: ignore[arg-type]
