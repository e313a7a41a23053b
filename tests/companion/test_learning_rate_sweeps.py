from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from companion import LabelledImages, Sweep, evaluate, fit, mlp, predict, sweep

RATES = (1e-3, 1e-2, 1e-1)


def build(seed: int) -> nn.Module:
    return mlp(3, inputs=36, hidden=(4,), seed=seed)


def table(*rows: tuple[float, ...]) -> Sweep:
    """A sweep with this accuracy for each rate, 1, 2, 4, … and seed."""
    accuracy = torch.tensor(rows, dtype=torch.float64)
    rates = tuple(2.0**power for power in range(len(rows)))
    return Sweep(
        rates, tuple(range(len(rows[0]))), accuracy, torch.zeros_like(accuracy), accuracy < 0
    )


def test_it_is_fit_called_for_each_rate_and_seed(
    patches: LabelledImages, more_patches: LabelledImages
) -> None:
    options: dict[str, Any] = {"epochs": 3, "batch_size": 16, "optimizer": "adam"}
    found = sweep(build, patches, more_patches, lrs=iter(RATES), seeds=iter([4, 2]), **options)
    assert (found.lrs, found.seeds) == (RATES, (4, 2))
    assert found.accuracy.shape == found.train_loss.shape == found.diverged.shape == (3, 2)
    assert found.accuracy.dtype == found.train_loss.dtype == torch.float64
    assert not bool(found.diverged.any())
    for row, lr in enumerate(RATES):
        for column, seed in enumerate((4, 2)):
            model = build(seed)
            history = fit(model, patches, lr=lr, seed=seed, **options)
            right = predict(model, more_patches).argmax(1) == more_patches.labels
            assert found.accuracy[row, column].item() == pytest.approx(right.double().mean().item())
            assert found.train_loss[row, column].item() == pytest.approx(
                history.curve("train_loss")[-1], rel=1e-4
            )


@pytest.mark.parametrize("lr", [1e30, 1e300], ids=["in training", "at the last step"])
def test_a_network_that_diverged_counts_as_guessing(patches: LabelledImages, lr: float) -> None:
    epochs = 5 if lr < 1e40 else 1
    found = sweep(
        build,
        patches,
        patches,
        lrs=[0.1, lr],
        seeds=range(2),
        epochs=epochs,
        batch_size=60,
        optimizer="sgd",
        schedule="constant",
        loss=lambda logits, labels: (logits - nn.functional.one_hot(labels, 3)).square().mean(),
    )
    assert found.diverged.tolist() == [[False, False], [True, True]]
    assert found.accuracy[1].tolist() == pytest.approx([1 / 3] * 2)
    assert found.train_loss.isnan().tolist() == found.diverged.tolist()
    assert found.best == 0.1


def test_options_are_those_of_fit_replicas(patches: LabelledImages) -> None:
    def losses(**options: Any) -> Tensor:
        return sweep(build, patches, patches, lrs=[1e-2], seeds=[0], **options).train_loss

    seen = {losses(epochs=2).item()}
    for options in ({"schedule": "constant"}, {"optimizer": "sgd"}, {"batch_size": 10}):
        seen.add(losses(epochs=2, **options).item())
    seen.add(losses(epochs=3).item())
    assert len(seen) == 5
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        losses(epoch=3)
    with pytest.raises(ValueError, match="epochs must be a whole number of at least 1"):
        losses(epochs=0)
    with pytest.raises(ValueError, match="optimizer must be one of"):
        losses(epochs=1, optimizer="lamb")


@pytest.mark.parametrize(
    "lrs",
    [[], [0.0], [-1e-3, 1e-2], [1e-3, math.nan], [1e-3, math.inf], [1e-2, 1e-3], [1e-2, 1e-2]],
    ids=str,
)
def test_rates_that_are_no_axis_are_refused(patches: LabelledImages, lrs: list[float]) -> None:
    with pytest.raises(ValueError, match=r"positive, finite and ascending.*torch\.logspace"):
        sweep(build, patches, patches, lrs=lrs, seeds=[0], epochs=1)


@pytest.mark.parametrize("seeds", [[], [1, 1]], ids=["none", "twice"])
def test_seeds_that_are_none_or_occur_twice_are_refused(
    patches: LabelledImages, seeds: list[int]
) -> None:
    with pytest.raises(ValueError, match="seed"):
        sweep(build, patches, patches, lrs=RATES, seeds=seeds, epochs=1)


def test_validation_with_other_classes_is_refused(patches: LabelledImages) -> None:
    other = patches.only(["left", "right"])
    with pytest.raises(ValueError, match="must have the label map of the training data"):
        sweep(build, patches, other, lrs=RATES, seeds=[0], epochs=1)


def test_nothing_is_mutated(patches: LabelledImages, snapshot: type[Any]) -> None:
    before = snapshot(build(0), patches)
    sweep(build, patches, patches, lrs=RATES, seeds=range(2), epochs=1)
    before.check()


class TestBest:
    def test_it_has_the_best_mean(self) -> None:
        assert table((0.9, 0.1), (0.6, 0.6), (0.1, 0.9)).best == 2

    def test_of_two_as_good_it_is_the_lower(self) -> None:
        assert table((0.5, 0.5), (0.8, 0.6), (0.6, 0.8)).best == 2

    def test_each_seed_has_its_own(self) -> None:
        found = table((0.9, 0.1, 0.1), (0.6, 0.6, 0.1), (0.1, 0.9, 0.2))
        assert found.best_of_each_seed == [1, 4, 4]


class TestPlateau:
    @pytest.mark.parametrize(
        ("means", "expected"),
        [
            ([0.1, 0.895, 0.9, 0.892, 0.1], (2, 8)),
            ([0.895, 0.1, 0.9, 0.1, 0.895], (4, 4)),
            ([0.895, 0.899, 0.9], (1, 4)),
            ([0.9, 0.895, 0.1], (1, 2)),
            ([0.1, 0.895, 0.9], (2, 4)),
            ([0.9, 0.88, 0.895], (1, 1)),
            ([0.7], (1, 1)),
        ],
        ids=["inside", "gaps", "everywhere", "low end", "high end", "gap beside", "one rate"],
    )
    def test_it_reaches_as_far_as_means_are_near(
        self, means: list[float], expected: tuple[float, float]
    ) -> None:
        assert table(*((mean - 0.05, mean + 0.05) for mean in means)).plateau() == expected

    def test_it_is_as_wide_as_the_margin(self) -> None:
        found = table((0.5,), (0.75,), (1.0,), (0.875,))
        assert found.plateau(0.0) == (4, 4)
        assert found.plateau(0.125) == (4, 8)  # a mean just at the margin belongs to it
        assert found.plateau(0.25) == (2, 8)
        assert found.plateau(0.5) == (1, 8)


@pytest.mark.parametrize("form", ["pair", "loader", "dictionaries"])
def test_other_peoples_data_are_swept_one_network_after_the_other(
    patches: LabelledImages, form: str
) -> None:
    rows = [patches.batch(torch.arange(60)[at : at + 20]) for at in (0, 20, 40)]
    data: Any = {
        "pair": (patches.images, patches.labels),
        "loader": torch.utils.data.DataLoader(patches, 20),
        "dictionaries": [{"image": x, "label": y} for x, y in rows],
    }[form]

    def build(seed: int) -> torch.nn.Module:
        return mlp(3, inputs=36, hidden=(8,), seed=seed)

    options: dict[str, Any] = {"epochs": 3, "optimizer": "sgd"}
    options |= {"batch_size": 20} if form == "pair" else {}
    found = sweep(build, data, data, lrs=[1e-6, 0.02, 1e30], seeds=[3, 4], **options)
    for column, seed in enumerate([3, 4]):
        model = build(seed)
        fit(model, data, lr=0.02, seed=seed, **options)
        accuracy = evaluate(model, patches).accuracy
        assert found.accuracy[1, column].item() == pytest.approx(accuracy)
    assert found.diverged.tolist() == [[False, False], [False, False], [True, True]]
    assert found.accuracy[2].tolist() == pytest.approx([1 / 3, 1 / 3])
