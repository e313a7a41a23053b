"""Schedules that end before the run, and monitors that are no number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
)

from companion import LabelledImages, fit, fit_replicas, linear, mlp, simulate_schedule


def network() -> nn.Sequential:
    return mlp(3, inputs=36, hidden=(8,), seed=0)


def one_cycle(optimizer: Any, steps: int) -> LRScheduler:
    return OneCycleLR(optimizer, 0.1, total_steps=steps)


def chained(optimizer: Any, steps: int) -> LRScheduler:
    return ChainedScheduler([ConstantLR(optimizer, 1.0), one_cycle(optimizer, steps)])


def last(optimizer: Any, steps: int) -> LRScheduler:
    parts = [ConstantLR(optimizer, 1.0), one_cycle(optimizer, steps - 4)]
    return SequentialLR(optimizer, parts, [4])


def first(optimizer: Any, steps: int) -> LRScheduler:
    parts = [one_cycle(optimizer, steps - 4), ConstantLR(optimizer, 1.0)]
    return SequentialLR(optimizer, parts, [steps - 3])


FORMS = [one_cycle, chained, last, first]
RUN: dict[str, Any] = {"epochs": 3, "batch_size": 20, "progress": False}  # nine steps


class TestSchedulesOfFewerSteps:
    @pytest.mark.parametrize("form", FORMS)
    def test_found_before_the_first_step(
        self, patches: LabelledImages, snapshot: type[Any], form: Callable[..., LRScheduler]
    ) -> None:
        model = network()
        before = snapshot(model, patches)
        if form is not first:
            with pytest.raises(
                ValueError, match=r"OneCycleLR is made for \d .* on \d times\. Pass"
            ):
                fit(model, patches, lr=0.1, schedule=lambda o: form(o, 8), **RUN)
            before.check()
        fit(model, patches, lr=0.1, schedule=lambda o: form(o, 9), **RUN)

    def test_the_first_of_a_sequence_has_to_reach_its_milestone(
        self, patches: LabelledImages
    ) -> None:
        def short(optimizer: Any) -> LRScheduler:
            parts = [one_cycle(optimizer, 3), ConstantLR(optimizer, 1.0)]
            return SequentialLR(optimizer, parts, [5])

        with pytest.raises(ValueError, match="made for 3 and would be moved on 4 times"):
            fit(network(), patches, lr=0.1, schedule=short, **RUN)

    def test_epochs_are_counted_where_it_moves_on_with_them(self, patches: LabelledImages) -> None:
        options = {**RUN, "lr": 0.1, "schedule_every": "epoch"}
        fit(network(), patches, schedule=lambda o: one_cycle(o, 3), **options)
        with pytest.raises(ValueError, match="made for 2 and would be moved on 3 times"):
            fit(network(), patches, schedule=lambda o: one_cycle(o, 2), **options)

    def test_in_replicas(self, patches: LabelledImages) -> None:
        def train(steps: int) -> None:
            fit_replicas(
                lambda seed: linear(3, inputs=36, seed=seed), patches, seeds=[0], lrs=0.1,
                optimizer=lambda p, lr: SGD(p, lr, 0.9), schedule=lambda o: one_cycle(o, steps),
                **RUN,
            )  # fmt: skip

        train(9)
        with pytest.raises(ValueError, match="made for 8 and would be moved on 9 times"):
            train(8)

    def test_a_simulation_still_reports_it(self) -> None:
        assert simulate_schedule(lambda o: one_cycle(o, 5), steps=9).error is not None

    def test_any_other_that_ends_in_mid_run_keeps_the_best_epoch(
        self, patches: LabelledImages
    ) -> None:
        class Short(LRScheduler):
            def get_lr(self) -> list[float]:
                if self.last_epoch > 7:
                    raise ValueError("no rate for this step")
                return list(self.base_lrs)

        model, expected = network(), network()
        with pytest.raises(ValueError, match="no rate for this step") as caught:
            fit(model, patches, validation=patches, lr=0.01, schedule=Short, **RUN)
        history = caught.value.history  # type: ignore[attr-defined]
        assert len(history) == 2
        assert (
            f"weights of epoch {history.best + 1}, the best of the 2" in caught.value.__notes__[0]
        )
        options = {**RUN, "epochs": history.best + 1}
        fit(expected, patches, validation=patches, lr=0.01, schedule="constant", **options)
        for name, values in model.state_dict().items():
            assert torch.equal(values, expected.state_dict()[name])


def says_nothing(report: Any) -> Any:
    return None


class TestMonitorsThatAreNoNumber:
    @pytest.mark.parametrize(
        ("monitor", "error", "message"),
        [
            (
                lambda report: "good",
                TypeError,
                r"monitor='.*<lambda>' \(.*\.py, line \d+\) returned 'g",
            ),
            (says_nothing, TypeError, "monitor='says_nothing' .* returned None. Return one, such"),
            (lambda report: torch.ones(2), TypeError, "returned tensor"),
            (lambda report: report.recall["owl"], KeyError, "looks for 'owl', .* are 'left', 'mid"),
            ("unseen_accuracy", ValueError, "monitor='unseen_accuracy' is nan"),
            ("harmonic_mean", ValueError, "monitor='harmonic_mean' is nan"),
        ],
        ids=["text", "none", "several", "another class", "unseen", "mean"],
    )
    def test_found_before_the_first_epoch(
        self,
        patches: LabelledImages,
        snapshot: type[Any],
        monitor: Any,
        error: type[Exception],
        message: str,
    ) -> None:
        model, drawn = network(), []
        before = snapshot(model, patches)
        with pytest.raises(error, match=message):
            fit(
                model, patches, validation=patches, lr=0.1, monitor=monitor,
                augment=lambda images: drawn.append(images) or images, **RUN,
            )  # fmt: skip
        assert drawn == []
        before.check()

    @pytest.mark.parametrize("number", [torch.tensor(0.5), torch.tensor([0.5]), 1, True])
    def test_what_is_a_number_is_one(self, patches: LabelledImages, number: Any) -> None:
        history = fit(
            network(), patches, validation=patches, lr=0.1, monitor=lambda report: number, **RUN
        )
        assert history.epochs[0].monitored == float(number)

    def test_a_class_that_the_first_batch_lacks_is_there(self, patches: LabelledImages) -> None:
        batches = [(patches.images[row::3], patches.labels[row::3]) for row in range(3)]
        fit(
            network(), patches, validation=batches, lr=0.1,
            monitor=lambda report: report.recall[2], **RUN,
        )  # fmt: skip

    def test_what_an_untrained_network_has_not_may_come(self, patches: LabelledImages) -> None:
        def values() -> Iterator[float]:
            yield math.nan  # of the untrained network
            yield from (0.1, 0.2, 0.3)

        each = values()
        history = fit(
            network(), patches, validation=patches, lr=0.1, monitor=lambda r: next(each), **RUN
        )
        assert history.curve("monitored") == [0.1, 0.2, 0.3]

    def test_a_later_nan_keeps_the_best_epoch_and_names_the_monitor(
        self, patches: LabelledImages
    ) -> None:
        each = iter([0.5, 0.1, math.nan])

        def share(report: Any) -> float:
            return next(each)

        with pytest.raises(ValueError, match=r"share' \(.*line \d+\) is nan") as caught:
            fit(network(), patches, validation=patches, lr=0.1, monitor=share, **RUN)
        assert len(caught.value.history) == 1  # type: ignore[attr-defined]
        assert "weights of epoch 1" in caught.value.__notes__[0]
