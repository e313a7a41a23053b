from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from companion import SimulatedSchedule, simulate_schedule
from companion.training.schedules import one_cycle

# PyTorch 2.6's SequentialLR warns of a call that it makes itself.
pytestmark = pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")

Build = Callable[[Optimizer], LRScheduler]


class Counting:
    """A factor that falls with its calls, and so has a state."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, step: int) -> float:
        self.calls += 1
        return 0.9**self.calls


class Noting(LRScheduler):
    """A scheduler that writes into what it holds, and holds more the longer it runs."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.noted: list[list[int]] = []
        self.counts = {"calls": 0}
        self.total = torch.zeros(())
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        self.noted.append([self.last_epoch])
        self.counts["calls"] += 1
        self.total += 1
        if self.last_epoch > 8:
            self.late = True
        return [rate * 0.9**self.last_epoch for rate in self.base_lrs]


SCHEDULERS: dict[str, Build] = {
    "StepLR": lambda o: StepLR(o, 6, 0.5),
    "MultiStepLR": lambda o: MultiStepLR(o, [3, 9, 14], 0.3),
    "ExponentialLR": lambda o: ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda o: CosineAnnealingLR(o, 12, eta_min=0.001),
    "CosineAnnealingWarmRestarts": lambda o: CosineAnnealingWarmRestarts(o, 5, T_mult=2),
    "OneCycleLR": lambda o: OneCycleLR(o, 0.4, 25),
    "OneCycleLR, three phases": lambda o: OneCycleLR(
        o, 0.4, 25, three_phase=True, anneal_strategy="linear"
    ),
    "CyclicLR": lambda o: CyclicLR(o, 0.01, 0.1, step_size_up=4, mode="triangular2"),
    "CyclicLR, own scale": lambda o: CyclicLR(
        o, 0.01, 0.1, 4, scale_fn=lambda x: 0.9**x, cycle_momentum=False
    ),
    "LambdaLR": lambda o: LambdaLR(o, lambda step: one_cycle(step, 25)),
    "LambdaLR, objects": lambda o: LambdaLR(o, [Counting() for _ in o.param_groups]),
    "MultiplicativeLR": lambda o: MultiplicativeLR(o, lambda step: 0.95),
    "PolynomialLR": lambda o: PolynomialLR(o, 15, power=2),
    "ConstantLR": lambda o: ConstantLR(o, 0.5, 8),
    "LinearLR": lambda o: LinearLR(o, 0.1, total_iters=10),
    "SequentialLR": lambda o: SequentialLR(
        o, [LinearLR(o, 0.1, total_iters=4), CosineAnnealingLR(o, 21)], [4]
    ),
    "ChainedScheduler": lambda o: ChainedScheduler([ConstantLR(o, 0.1, 5), ExponentialLR(o, 0.9)]),
    "chain in a sequence": lambda o: SequentialLR(
        o,
        [ChainedScheduler([ConstantLR(o, 0.1, 3), ExponentialLR(o, 0.9)]), StepLR(o, 4)],
        [12],
    ),
    "sequence in a chain": lambda o: ChainedScheduler(
        [SequentialLR(o, [ConstantLR(o, 0.1, 5), StepLR(o, 6, 0.5)], [5]), ExponentialLR(o, 0.9)]
    ),
    "one's own": Noting,
    "ReduceLROnPlateau": lambda o: ReduceLROnPlateau(o, factor=0.5, patience=2, cooldown=1),
}
# PyTorch warns of the order of steps while it makes the one of these.
each_scheduler = pytest.mark.parametrize(
    "build",
    [
        pytest.param(
            build,
            id=name,
            marks=[pytest.mark.filterwarnings("ignore:Detected call of `lr_sch:UserWarning")]
            if name == "chain in a sequence"
            else [],
        )
        for name, build in SCHEDULERS.items()
    ],
)


def optimiser_of(
    rates: Sequence[Any] = (0.1,), kind: Callable[..., Optimizer] = SGD, **options: Any
) -> Optimizer:
    groups = [{"params": [nn.Parameter(torch.ones(2))], "lr": rate} for rate in rates]
    return kind(groups, **({"lr": 1, "momentum": 0.9} if kind is SGD else {}), **options)


def metric(call: int) -> float:
    """A loss that falls, stalls and falls again."""
    return 2 - min(call, 4) / 4 - max(0, call - 13) / 20


def train(
    scheduler: LRScheduler, steps: int, *, every: int = 1, times: int = 1, called: int = 0
) -> list[list[float]]:
    """Step optimiser and scheduler; return the rates that the steps had."""
    optimiser, rates = scheduler.optimizer, []
    for step in range(steps):
        rates.append([float(group["lr"]) for group in optimiser.param_groups])
        for group in optimiser.param_groups:
            group["params"][0].grad = torch.ones(2)
        optimiser.step()
        for _ in range(times if (step + 1) % every == 0 else 0):
            scheduler.step(*([metric(called)] if isinstance(scheduler, ReduceLROnPlateau) else []))
            called += 1
    return rates


def plain(value: Any) -> Any:
    """The same with lists in place of tensors, which can be compared."""
    if isinstance(value, Tensor):
        return value.dtype, value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def state_of(scheduler: LRScheduler) -> tuple[Any, Any]:
    """What is saved of a scheduler and of its optimiser, momenta and initial rates included."""
    return plain(scheduler.state_dict()), plain(scheduler.optimizer.state_dict())


def simulated(build: Build | LRScheduler, steps: int, **options: Any) -> SimulatedSchedule:
    return simulate_schedule(build, steps=steps, metric=metric, **options)


class TestRates:
    @each_scheduler
    @pytest.mark.parametrize(
        ("every", "times"), [(1, 1), (5, 1), (1, 2), (3, 2)], ids=["1", "1 per 5", "2", "2 per 3"]
    )
    def test_they_are_those_of_a_loop(self, build: Build, every: int, times: int) -> None:
        steps = 24 // times if every == 1 else 24
        found = simulated(build, steps, lr=(0.1, 0.02), every=every, times=times)
        expected = train(build(optimiser_of((0.1, 0.02))), steps, every=every, times=times)
        assert found.rates.tolist() == expected
        assert found.rates.dtype == torch.float64
        assert found.given == (0.1, 0.02)
        assert found.error is None

    @pytest.mark.parametrize("lr", [0.3, 1, [0.3], (0.3, 0.1, 0.2)])
    def test_a_group_for_each_rate(self, lr: Any) -> None:
        found = simulate_schedule(lambda o: ExponentialLR(o, 0.5), steps=3, lr=lr)
        given = tuple(lr) if isinstance(lr, (list, tuple)) else (lr,)
        assert found.given == given
        assert found.rates.tolist() == [[rate * 0.5**step for rate in given] for step in range(3)]

    def test_without_a_rate_it_is_a_tenth(self) -> None:
        assert simulate_schedule(lambda o: StepLR(o, 5), steps=1).given == (0.1,)

    def test_a_metric_hears_the_number_of_the_call(self) -> None:
        heard: list[int] = []

        def listening(call: int) -> float:
            heard.append(call)
            return 0.0

        simulate_schedule(ReduceLROnPlateau, steps=9, every=2, times=2, metric=listening)
        assert heard == list(range(8))


def writes_into_its_base_rates(scheduler: LRScheduler) -> bool:
    """Whether a rate that schedules start from is the very tensor that they change."""
    everything, rates = [scheduler], [group["lr"] for group in scheduler.optimizer.param_groups]
    for each in everything:
        everything += getattr(each, "_schedulers", [])
    bases = [base for each in everything for base in getattr(each, "base_lrs", [])]
    return any(base is rate for base in bases for rate in rates)


class TestInUse:
    @each_scheduler
    @pytest.mark.parametrize("kind", [float, torch.tensor], ids=["numbers", "tensors"])
    @pytest.mark.parametrize("before", [0, 1, 7])
    def test_it_is_put_back(self, build: Build, kind: Callable[[float], Any], before: int) -> None:
        used, untouched = (build(optimiser_of([kind(0.1), kind(0.02)])) for _ in range(2))
        if kind is torch.tensor and writes_into_its_base_rates(used):
            pytest.skip("the SequentialLR of this PyTorch writes into the rates it starts from")
        for scheduler in (used, untouched):
            train(scheduler, before)
        state, held = state_of(used), [g["lr"] for g in used.optimizer.param_groups]
        found = simulate_schedule(used, steps=15, metric=lambda call: metric(call + before))
        assert state_of(used) == state
        for group, rate in zip(used.optimizer.param_groups, held, strict=True):
            assert group["lr"] is rate or not isinstance(rate, Tensor)
        expected = train(untouched, 15, called=before)
        assert found.given is None
        assert found.rates.tolist() == expected
        assert train(used, 15, called=before) == expected
        assert state_of(used) == state_of(untouched)

    def test_a_momentum_that_is_cycled_is_put_back_in_adam_too(self) -> None:
        scheduler = OneCycleLR(optimiser_of(kind=AdamW), 0.1, 20)
        train(scheduler, 4)
        state = state_of(scheduler)
        simulate_schedule(scheduler, steps=10)
        assert state_of(scheduler) == state
        assert simulate_schedule(scheduler, steps=17).error is not None
        assert state_of(scheduler) == state

    @pytest.mark.parametrize("error", [KeyboardInterrupt, TypeError])
    def test_it_is_put_back_after_an_error_that_comes_through(
        self, error: type[BaseException]
    ) -> None:
        def factor(step: int) -> float:
            if step == 9:
                raise error("stop")
            return 0.9**step

        def broken(o: Optimizer) -> LRScheduler:
            return ChainedScheduler([StepLR(o, 3), LambdaLR(o, factor)])

        def failing(call: int) -> float:
            if call == 4:
                raise error("stop")
            return 1.0

        for scheduler in (broken(optimiser_of()), ReduceLROnPlateau(optimiser_of(), patience=0)):
            state = state_of(scheduler)
            with pytest.raises(error, match="stop"):
                simulate_schedule(scheduler, steps=20, metric=failing)
            assert state_of(scheduler) == state

    def test_weights_and_gradients_are_not_touched(self) -> None:
        scheduler = StepLR(optimiser_of(), 2)
        train(scheduler, 3)
        parameter = scheduler.optimizer.param_groups[0]["params"][0]
        gradient, values = parameter.grad, parameter.detach().clone()
        simulate_schedule(scheduler, steps=9)
        assert torch.equal(parameter, values)
        assert parameter.grad is gradient

    def test_it_begins_where_training_is(self) -> None:
        scheduler = CosineAnnealingLR(optimiser_of(), 20)
        train(scheduler, 8)
        assert simulate_schedule(scheduler, steps=12).findings == ()
        (finding,) = simulate_schedule(scheduler, steps=14).problems
        assert "the rate falls to 0 and rises again after step 12" in finding


HEALTHY: dict[str, tuple[Build, dict[str, Any]]] = {
    "cosine": (lambda o: CosineAnnealingLR(o, 100), {}),
    "cosine by epochs": (lambda o: CosineAnnealingLR(o, 10), {"every": 10}),
    "cosine in four processes": (lambda o: CosineAnnealingLR(o, 400), {"times": 4}),
    "cosine of two groups": (lambda o: CosineAnnealingLR(o, 100), {"lr": (0.1, 0.01)}),
    "cosine with a floor": (lambda o: CosineAnnealingLR(o, 100, eta_min=0.01), {}),
    "one-cycle": (lambda o: OneCycleLR(o, 0.1, 100), {}),
    "one-cycle of two groups": (lambda o: OneCycleLR(o, [0.1, 0.01], 100), {"lr": (0.1, 0.01)}),
    "one-cycle of near rates": (lambda o: OneCycleLR(o, 0.1, 100), {"lr": (0.1, 0.1001)}),
    "the companion's one-cycle": (lambda o: LambdaLR(o, lambda e: one_cycle(e, 100)), {}),
    "warm-up and cosine": (
        lambda o: SequentialLR(
            o, [LinearLR(o, 0.01, total_iters=10), CosineAnnealingLR(o, 90)], [10]
        ),
        {},
    ),
    "warm-up from zero": (lambda o: LambdaLR(o, lambda e: min(1, e / 30) * (e < 90)), {}),
    "long pause before": (lambda o: LambdaLR(o, lambda e: (e > 50) * 0.1 ** (e > 90)), {}),
    "steps": (lambda o: MultiStepLR(o, [30, 60, 90]), {}),
    "steps by epochs": (lambda o: StepLR(o, 3), {"every": 10}),
    "exponential": (lambda o: ExponentialLR(o, 0.9), {}),
    "exponential, far down": (lambda o: ExponentialLR(o, 0.87), {}),
    "linear": (lambda o: LinearLR(o, 1, 0.01, 100), {}),
    "polynomial": (lambda o: PolynomialLR(o, 100), {}),
    "polynomial, ends a little early": (lambda o: PolynomialLR(o, 92), {}),
    "constant": (lambda o: LambdaLR(o, lambda e: 1.0), {}),
    "constant by epochs": (lambda o: ConstantLR(o, 1), {"every": 10}),
    "linear warm-up": (lambda o: LinearLR(o, 0.1, total_iters=20), {}),
    "constant warm-up": (lambda o: ConstantLR(o, 0.1, 20), {}),
    "a single step": (lambda o: StepLR(o, 20), {"steps": 1}),
    "plateau, falling loss": (ReduceLROnPlateau, {"metric": lambda call: -call}),
    "plateau, rising accuracy": (
        lambda o: ReduceLROnPlateau(o, "max"),
        {"metric": lambda call: call},
    ),
    "plateau that is reached": (
        lambda o: ReduceLROnPlateau(o, factor=0.5, patience=30),
        {"metric": lambda call: 1 / (1 + min(call, 40))},
    ),
    "plateau, patient": (
        lambda o: ReduceLROnPlateau(o, patience=200),
        {"metric": lambda call: call},
    ),
    "plateau by epochs": (ReduceLROnPlateau, {"metric": lambda call: -call, "every": 10}),
}


@pytest.mark.parametrize(("build", "options"), HEALTHY.values(), ids=HEALTHY)
def test_a_healthy_schedule_has_no_findings(build: Build, options: dict[str, Any]) -> None:
    assert simulate_schedule(build, **{"steps": 100, **options}).findings == ()


RISES = "the rate falls to {} and rises again after step {}, as restarts do and a schedule that was"
ENDS = "the rate ends at {} of its peak: it was made for more steps, or is stepped too seldom"
SPENT = "the rate is next to nothing after step {} of {}: it was made for fewer steps, or is stepp"
RAISES = "it raises after step {} of {}: it was made for fewer steps, or is stepped too often"
UNUSED = "the rates given, {}, are not used: they rise to {}"
STILL = "the rate still rises at the end: it was made for more steps"
IDLE = "the rate does not change; it would after call {} of the scheduler, which is called {} times"
WRONG = "the rate is lowered while the metric goes from {} to {}, as mode={!r} takes that for worse"
CODES = {
    "OPT101": "it raises",
    "OPT102": "the rates given",
    "OPT103": "groups that were given different rates",
    "OPT104": "the rate is lowered while",
    "OPT105": "the rate does not change",
    "OPT106": "the rate falls to",
    "OPT107": "the rate is next to nothing",
    "OPT108": "the rate ends at",
    "OPT109": "the rate still rises",
}
ODD: dict[str, tuple[Build, dict[str, Any], list[str]]] = {
    "cosine past its end": (
        lambda o: CosineAnnealingLR(o, 50),
        {},
        [RISES.format("0", 50)],
    ),
    "cosine with a floor past its end": (
        lambda o: CosineAnnealingLR(o, 99, eta_min=0.005),
        {"steps": 101},
        [RISES.format("0.005", 99)],
    ),
    "warm-up and cosine past its end": (
        lambda o: SequentialLR(
            o, [LinearLR(o, 0.1, total_iters=10), CosineAnnealingLR(o, 45)], [10]
        ),
        {},
        [RISES.format("0", 55)],
    ),
    "restarts": (lambda o: CosineAnnealingWarmRestarts(o, 25), {}, [RISES.format("0.000394", 24)]),
    "cosine for steps, by epochs": (
        lambda o: CosineAnnealingLR(o, 100),
        {"every": 10},
        [ENDS.format("98%")],
    ),
    "steps for steps, by epochs": (lambda o: StepLR(o, 40), {"every": 10}, [IDLE.format(40, 10)]),
    "steps for steps, by long epochs": (
        lambda o: MultiStepLR(o, [30, 60]),
        {"every": 200},
        [IDLE.format(30, 0)],
    ),
    "steps cut short": (lambda o: StepLR(o, 150), {}, [IDLE.format(150, 100)]),
    "steps at the very end": (
        lambda o: StepLR(o, 50),
        {"every": 4, "times": 2},
        [IDLE.format(50, 50)],
    ),
    "steps for epochs, by steps": (lambda o: StepLR(o, 5), {}, [SPENT.format(35, 100)]),
    "cosine for epochs, by steps": (
        lambda o: CosineAnnealingLR(o, 20),
        {},
        [RISES.format("0", 20)],
    ),
    "cosine in four processes": (
        lambda o: CosineAnnealingLR(o, 100),
        {"times": 4},
        [RISES.format("0", 25)],
    ),
    "linear in four processes": (
        lambda o: LinearLR(o, 1, 0, 100),
        {"times": 4},
        [SPENT.format(25, 100)],
    ),
    "polynomial that ends early": (lambda o: PolynomialLR(o, 80), {}, [SPENT.format(80, 100)]),
    "one-cycle in four processes": (
        lambda o: OneCycleLR(o, 0.1, 100),
        {"times": 4},
        [RAISES.format(26, 100)],
    ),
    "one-cycle with one peak for two groups": (
        lambda o: OneCycleLR(o, 0.1, 100),
        {"lr": (0.1, 0.001)},
        ["groups that were given different rates, 0.1, 0.001, all rise to 0.1"],
    ),
    "one-cycle with its own peak": (
        lambda o: OneCycleLR(o, 1.0, 100),
        {},
        [UNUSED.format("0.1", "1")],
    ),
    "cyclic with its own peak": (
        lambda o: CyclicLR(o, 0.001, 0.5, 100),
        {"lr": (0.1, 0.1)},
        [UNUSED.format("0.1, 0.1", "0.495, 0.495"), STILL],
    ),
    "a floor above the rate": (
        lambda o: CosineAnnealingLR(o, 100, eta_min=0.01),
        {"lr": (0.1, 0.001)},
        [UNUSED.format("0.1, 0.001", "0.1, 0.01"), STILL],
    ),
    "a floor above the only rate": (
        lambda o: CosineAnnealingLR(o, 100, eta_min=0.2),
        {},
        [UNUSED.format("0.1", "0.2"), STILL],
    ),
    "cut short": (lambda o: CosineAnnealingLR(o, 200), {}, [ENDS.format("51%")]),
    "the second group alone": (
        lambda o: LambdaLR(o, [lambda e: 1.0, lambda e: 1 - e / 200]),
        {"lr": (0.1, 0.1)},
        [ENDS.format("50%")],
    ),
    "still warming up": (
        lambda o: LinearLR(o, 0.1, total_iters=101),
        {},
        [UNUSED.format("0.1", "0.0982"), STILL],
    ),
    "a table that ends": (
        lambda o: LambdaLR(o, lambda e: [1, 0.5, 0.1][e]),
        {},
        [RAISES.format(3, 100)],
    ),
    "plateau, rising accuracy": (
        ReduceLROnPlateau,
        {"metric": lambda call: call / 100},
        [WRONG.format("0", "0.99", "min")],
    ),
    "plateau, falling loss": (
        lambda o: ReduceLROnPlateau(o, "max"),
        {"metric": lambda call: 2 - call / 100},
        [WRONG.format("2", "1.01", "max")],
    ),
}


class TestFindings:
    @pytest.mark.parametrize(("build", "options", "expected"), ODD.values(), ids=ODD)
    def test_each_mistake_is_named(
        self, build: Build, options: dict[str, Any], expected: list[str]
    ) -> None:
        found = simulate_schedule(build, **{"steps": 100, **options})
        assert len(found.problems) == len(expected)
        for finding, problem, beginning in zip(
            found.findings, found.problems, expected, strict=True
        ):
            assert problem.startswith(beginning)
            assert problem.startswith(CODES[finding.code])
            assert str(finding) == f"{finding.code} {finding.severity}: {problem}"
            assert finding.why
            assert finding.remedy.endswith(".")

    @pytest.mark.parametrize(("total", "raises"), [(99, True), (100, False)])
    def test_what_a_scheduler_raises_is_the_error(self, total: int, raises: bool) -> None:
        found = simulate_schedule(lambda o: OneCycleLR(o, 0.1, total), steps=100)
        text = "Tried to step 100 times. The specified number of total steps is 99"
        assert found.error == (text if raises else None)
        assert found.rates.shape == (100, 1)
        assert [RAISES.format(100, 100) in found.problems] == [raises]
        shorter = simulate_schedule(lambda o: OneCycleLR(o, 0.1, 5), steps=100)
        assert shorter.rates[:-1].tolist() == train(OneCycleLR(optimiser_of(), 0.1, 5), 5)

    def test_a_scheduler_in_use_has_given_no_rates(self) -> None:
        scheduler = OneCycleLR(optimiser_of((0.1, 0.001)), 0.5, 40)
        found = simulate_schedule(scheduler, steps=40)
        assert (found.given, found.findings) == (None, ())

    def test_one_that_is_in_use_and_called_too_seldom_is_put_back(self) -> None:
        scheduler = StepLR(optimiser_of(), 30)
        state = state_of(scheduler)
        (finding,) = simulate_schedule(scheduler, steps=60, every=10).problems
        assert finding.startswith(IDLE.format(30, 6))
        assert state_of(scheduler) == state

    def test_one_that_has_done_its_part_need_not_change_again(self) -> None:
        scheduler = StepLR(optimiser_of(), 30)
        train(scheduler, 70)
        assert simulate_schedule(scheduler, steps=20).findings == ()

    def test_plateau_of_a_metric_that_stays_is_not_the_wrong_way(self) -> None:
        found = simulate_schedule(ReduceLROnPlateau, steps=30, metric=lambda call: 1.0)
        assert found.rates[-1, 0] < found.rates[0, 0]
        assert found.findings == ()


class TestWhatFitTakes:
    @pytest.mark.parametrize(
        ("name", "factor"),
        [
            ("one-cycle", one_cycle),
            ("cosine", lambda step, total: (1 + math.cos(math.pi * step / total)) / 2),
            ("constant", lambda step, total: 1.0),
        ],
    )
    def test_names_and_functions_of_the_step(
        self, name: str, factor: Callable[[int, int], float]
    ) -> None:
        expected = [[rate * factor(step, 40) for rate in (0.1, 0.02)] for step in range(40)]
        for given in (name, factor):
            found = simulate_schedule(given, steps=40, lr=(0.1, 0.02))
            assert found.rates.tolist() == [pytest.approx(row) for row in expected]
            assert (found.given, found.findings) == ((0.1, 0.02), ())

    def test_a_function_of_the_step_that_is_stepped_once_an_epoch(self) -> None:
        (finding,) = simulate_schedule("cosine", steps=100, every=10).findings
        assert finding.code == "OPT108"

    def test_a_partial_scheduler(self) -> None:
        found = simulate_schedule(partial(StepLR, step_size=3, gamma=0.5), steps=6)
        assert found.rates.flatten().tolist() == [0.1] * 3 + [0.05] * 3

    def test_a_factor_below_zero_is_refused(self) -> None:
        with pytest.raises(ValueError, match="a schedule's factor must be finite and at least 0"):
            simulate_schedule(lambda step, total: -1.0, steps=10)


class TestEquality:
    def test_the_same_rates_are_the_same_result(self) -> None:
        assert simulate_schedule("cosine", steps=9) == simulate_schedule("cosine", steps=9)
        assert simulate_schedule("cosine", steps=9) != simulate_schedule("cosine", steps=8)
        assert simulate_schedule("cosine", steps=9) != simulate_schedule("constant", steps=9)

    def test_so_are_the_same_findings(self) -> None:
        first, second = (simulate_schedule("cosine", steps=100, every=10) for _ in range(2))
        assert first == second
        assert first.problems != ()


class TestRefusals:
    def test_numbers_may_be_numpys_and_torchs(self) -> None:
        expected = simulate_schedule("cosine", steps=10, lr=[0.5, 0.25], every=2, times=3)
        counts = {"steps": np.int64(10), "every": np.int32(2), "times": torch.tensor(3)}
        for lr in (np.array([0.5, 0.25]), torch.tensor([0.5, 0.25])):
            assert simulate_schedule("cosine", lr=lr, **counts) == expected
        assert simulate_schedule("cosine", steps=3, lr=np.float32(0.5)).given == (0.5,)

    @pytest.mark.parametrize("name", ["steps", "every", "times"])
    @pytest.mark.parametrize("bad", [0, -1, 2.0, None])
    def test_numbers_below_one(self, name: str, bad: Any) -> None:
        options = {"steps": 10, name: bad}
        error = ValueError if isinstance(bad, int) else TypeError
        with pytest.raises(error, match=rf"{name} must be a whole number of at least 1; rec"):
            simulate_schedule(lambda o: StepLR(o, 5), **options)

    @pytest.mark.parametrize(
        "lr", [0, -0.1, math.nan, math.inf, [], [0.1, 0], [math.nan, 0.1]], ids=str
    )
    def test_rates_that_are_none(self, lr: Any) -> None:
        with pytest.raises(ValueError, match="lr must be positive and finite; received"):
            simulate_schedule(lambda o: StepLR(o, 5), steps=10, lr=lr)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (3, "or of the optimiser to a scheduler; received int"),
            (None, "or of the optimiser to a scheduler; received NoneType"),
            (lambda optimiser: None, "torch's schedulers; it returned NoneType"),
            (StepLR, "received 'StepLR', which needs 2 arguments"),
        ],
        ids=["number", "none", "nothing made", "class"],
    )
    def test_what_is_no_scheduler(self, given: Any, message: str) -> None:
        with pytest.raises(TypeError, match=message):
            simulate_schedule(given, steps=10)

    def test_a_name_that_is_none(self) -> None:
        with pytest.raises(ValueError, match=r"one of one-cycle, cosine, .*received 'linear'"):
            simulate_schedule("linear", steps=10)

    def test_a_scheduler_made_for_another_optimiser(self) -> None:
        other = optimiser_of()
        with pytest.raises(ValueError, match="for the optimiser that it is called with"):
            simulate_schedule(lambda optimiser: StepLR(other, 5), steps=10)

    @pytest.mark.parametrize("used", [True, False], ids=["in use", "to be made"])
    def test_plateau_without_a_metric(self, used: bool) -> None:
        scheduler = ReduceLROnPlateau(optimiser_of()) if used else ReduceLROnPlateau
        with pytest.raises(ValueError, match="looks at a metric; pass metric="):
            simulate_schedule(scheduler, steps=10)
