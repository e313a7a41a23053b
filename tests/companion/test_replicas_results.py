from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from companion import (
    LabelledImages,
    NonFiniteLossError,
    Replicas,
    evaluate,
    fit_replicas,
    mlp,
    predict,
    small_cnn,
)
from replica_runs import SHORT, assert_same_weights, perceptron

LRS, SEEDS = (0.01, 0.05, 1e30), (3, 1)


@pytest.fixture
def replicas(patches: LabelledImages, more_patches: LabelledImages) -> Replicas:
    """Networks of three rates and two seeds, of which the last rate ruins both."""
    options: dict[str, Any] = SHORT | {"optimizer": "sgd", "validation": more_patches}
    return fit_replicas(perceptron, patches, seeds=SEEDS, lrs=LRS, **options)


class TestTables:
    def test_they_have_a_row_for_each_rate_and_a_column_for_each_seed(
        self, replicas: Replicas
    ) -> None:
        for table in (replicas.train_loss, replicas.train_accuracy, replicas.validation_accuracy):
            assert table is not None
            assert (table.shape, table.dtype, table.device.type) == (
                (3, 2, 3),
                torch.float64,
                "cpu",
            )
        assert (replicas.lrs, replicas.seeds) == (LRS, SEEDS)
        assert replicas.diverged.tolist() == [[False, False], [False, False], [True, True]]
        assert torch.equal(replicas.diverged, replicas.diverged_at >= 0)

    def test_without_validation_there_is_no_such_table(self, patches: LabelledImages) -> None:
        replicas = fit_replicas(perceptron, patches, seeds=(0,), lrs=0.1, **SHORT)
        assert replicas.validation_accuracy is None

    def test_they_do_not_fill_the_screen(self, replicas: Replicas) -> None:
        assert repr(replicas) == f"Replicas(lrs={LRS}, seeds={SEEDS})"


class TestModel:
    def test_it_computes_what_the_replicas_compute(
        self, more_patches: LabelledImages, replicas: Replicas
    ) -> None:
        logits = replicas.logits(more_patches.images)
        for row, lr in enumerate(LRS[:2]):
            for column, seed in enumerate(SEEDS):
                expected = predict(replicas.model(lr, seed), more_patches)
                torch.testing.assert_close(logits[row, column], expected, rtol=1e-5, atol=1e-5)

    def test_it_evaluates(self, replicas: Replicas) -> None:
        replicas.stack.template.train()
        model = replicas.model(0.05, 1)
        assert not any(module.training for module in model.modules())

    def test_it_is_a_copy(self, more_patches: LabelledImages, replicas: Replicas) -> None:
        before = replicas.logits(more_patches.images)
        model = replicas.model(0.05, 1)
        for values in model.parameters():
            nn.init.zeros_(values)
        after = replicas.logits(more_patches.images)
        torch.testing.assert_close(before, after, rtol=0, atol=0, equal_nan=True)
        with pytest.raises(AssertionError):
            assert_same_weights(model, replicas.model(0.05, 1))

    @pytest.mark.parametrize(("lr", "seed"), [(0.02, 3), (0.01, 2)])
    def test_one_that_was_not_trained_is_refused(
        self, replicas: Replicas, lr: float, seed: int
    ) -> None:
        message = rf"one of the rates \[0\.01, .*seeds \[3, 1\]; received {lr} and {seed}"
        with pytest.raises(ValueError, match=message):
            replicas.model(lr, seed)

    def test_one_that_diverged_is_refused_with_advice(self, replicas: Replicas) -> None:
        step = int(replicas.diverged_at[2, 1])
        message = rf"of seed 1 diverged at learning rate 1e\+30, step {step}, .*Lower lr"
        with pytest.raises(NonFiniteLossError, match=message):
            replicas.model(1e30, 1)


class TestLogits:
    def test_they_are_nothing_where_a_network_diverged(
        self, more_patches: LabelledImages, replicas: Replicas
    ) -> None:
        logits = replicas.logits(more_patches.images)
        assert (logits.shape, logits.device.type) == ((3, 2, 30, 3), "cpu")
        assert not logits.requires_grad
        assert bool(logits[2].isnan().all())
        assert bool(logits[:2].isfinite().all())

    def test_they_are_nothing_even_where_a_network_hides_it(self, patches: LabelledImages) -> None:
        class Hiding(nn.Module):
            """A network that says 0 for what is no number."""

            def __init__(self, seed: int) -> None:
                super().__init__()
                self.inner = perceptron(seed)

            def forward(self, images: torch.Tensor) -> torch.Tensor:
                logits = self.inner(images)
                return logits if self.training else logits.nan_to_num()

        replicas = fit_replicas(
            Hiding, patches, seeds=(0,), lrs=(1e30, 0.01), optimizer="sgd", **SHORT
        )
        logits = replicas.logits(patches.images)
        assert logits.isnan().flatten(1).all(1).tolist() == [True, False]

    @pytest.mark.parametrize("batch_size", [1, 7, 30, 512])
    def test_batches_change_nothing(
        self, more_patches: LabelledImages, replicas: Replicas, batch_size: int
    ) -> None:
        whole = replicas.logits(more_patches.images)
        parts = replicas.logits(more_patches.images, batch_size=batch_size)
        torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6, equal_nan=True)

    def test_they_are_computed_in_evaluation_mode(self, patches: LabelledImages) -> None:
        replicas = fit_replicas(
            lambda seed: small_cnn(3, widths=(4,), seed=seed), patches, seeds=(0,), lrs=0.1, **SHORT
        )
        replicas.stack.template.train()
        before = replicas.stack.snapshot()
        one_by_one = replicas.logits(patches.images[:4], batch_size=1)
        together = replicas.logits(patches.images[:4])
        torch.testing.assert_close(one_by_one, together, rtol=1e-5, atol=1e-6)
        assert all(map(torch.equal, replicas.stack.snapshot(), before))


class TestAccuracy:
    def test_it_is_that_of_evaluate(self, more_patches: LabelledImages, replicas: Replicas) -> None:
        accuracy = replicas.accuracy(more_patches)
        assert (accuracy.shape, accuracy.dtype) == ((3, 2), torch.float64)
        for row, lr in enumerate(LRS[:2]):
            for column, seed in enumerate(SEEDS):
                expected = evaluate(replicas.model(lr, seed), more_patches).accuracy
                assert accuracy[row, column].item() == pytest.approx(expected)
        assert accuracy[2].isnan().tolist() == [True, True]

    def test_it_is_that_of_the_best_epoch(
        self, more_patches: LabelledImages, replicas: Replicas
    ) -> None:
        assert replicas.validation_accuracy is not None
        best = replicas.validation_accuracy.max(-1).values
        torch.testing.assert_close(replicas.accuracy(more_patches), best, equal_nan=True)

    def test_data_with_other_classes_are_refused(
        self, patches: LabelledImages, replicas: Replicas
    ) -> None:
        turned = LabelledImages(patches.images, patches.labels, reversed(patches.classes))
        with pytest.raises(ValueError, match=r"must have the label map of the training data.*rec"):
            replicas.accuracy(turned)

    def test_labels_of_no_class_do_not_count(
        self, more_patches: LabelledImages, replicas: Replicas
    ) -> None:
        labelled = replicas.accuracy(more_patches.at(range(20)))
        more_patches.labels[20:] = -100
        torch.testing.assert_close(replicas.accuracy(more_patches), labelled, equal_nan=True)


def test_a_network_of_more_outputs_than_classes_keeps_them(patches: LabelledImages) -> None:
    replicas = fit_replicas(
        lambda seed: mlp(5, inputs=36, seed=seed), patches, seeds=(0,), lrs=0.1, **SHORT
    )
    assert replicas.logits(patches.images).shape == (1, 1, 60, 5)
