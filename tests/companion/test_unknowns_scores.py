from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import special
from torch import Tensor

from companion import confidence, maximum_logit, negative_energy

Score = Callable[[Tensor], Tensor]

SCORES = [confidence, maximum_logit, negative_energy]
TABLES = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.integers(-160, 160).map(lambda step: step / 8),
)
quickly = settings(deadline=None, max_examples=50)


def by_hand(logits: Tensor) -> dict[Score, list[float]]:
    """Each score from its definition, an image and a class at a time."""
    values: dict[Score, list[float]] = {score: [] for score in SCORES}
    for row in logits.tolist():
        weights = [math.exp(value) for value in row]
        values[confidence].append(max(weight / sum(weights) for weight in weights))
        values[maximum_logit].append(sorted(row)[-1])
        values[negative_energy].append(math.log(sum(weights)))
    return values


@pytest.fixture
def logits() -> Tensor:
    """Forty images over seven classes, some surer than others."""
    generator = torch.Generator().manual_seed(0)
    strength = torch.linspace(0.1, 8, 40).unsqueeze(1)
    return strength * torch.randn(40, 7, generator=generator)


class TestAgainstTheDefinition:
    @pytest.mark.parametrize("score", SCORES)
    def test_loops_give_the_same(self, logits: Tensor, score: Score) -> None:
        assert score(logits).tolist() == pytest.approx(by_hand(logits)[score], rel=1e-9)

    @pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0, 100])
    def test_negative_energy_at_a_temperature_is_scipys(
        self, logits: Tensor, temperature: float
    ) -> None:
        table = logits.double().numpy()
        expected = temperature * special.logsumexp(table / temperature, axis=1)
        found = negative_energy(logits, temperature=temperature)
        assert found.numpy() == pytest.approx(expected, rel=1e-9)

    @given(table=TABLES)
    @quickly
    def test_scipy_gives_the_same(self, table: np.ndarray) -> None:
        logits = torch.from_numpy(table)
        assert np.allclose(confidence(logits), special.softmax(table, 1).max(1))
        assert np.array_equal(maximum_logit(logits), np.sort(table, 1)[:, -1])
        assert np.allclose(negative_energy(logits), special.logsumexp(table, 1))

    @pytest.mark.parametrize("score", SCORES)
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
    def test_any_precision_gives_float64(
        self, logits: Tensor, score: Score, dtype: torch.dtype
    ) -> None:
        found = score(logits.to(dtype))
        assert (found.dtype, found.shape) == (torch.float64, (40,))
        assert torch.equal(found, score(logits.to(dtype).double()))

    def test_sure_images_are_not_tied(self) -> None:
        sure, surer = confidence(torch.tensor([[20.0, 0.0], [21.0, 0.0]])).tolist()
        assert sure < surer < 1

    def test_large_logits_do_not_overflow(self) -> None:
        logits = torch.tensor([[1e30, -1e30], [800.0, 800.0]])
        assert confidence(logits).tolist() == [1.0, 0.5]
        energy = negative_energy(logits)
        assert energy.tolist() == pytest.approx([logits[0, 0].item(), 800 + math.log(2)])


class TestProperties:
    @pytest.mark.parametrize("score", SCORES)
    @given(table=TABLES, random=st.randoms(use_true_random=False))
    @quickly
    def test_the_order_of_the_columns_does_not_matter(
        self, score: Score, table: np.ndarray, random: object
    ) -> None:
        columns = list(range(table.shape[1]))
        random.shuffle(columns)  # type: ignore[attr-defined]
        found = score(torch.from_numpy(table[:, columns]))
        assert torch.allclose(found, score(torch.from_numpy(table)), rtol=1e-12, atol=1e-12)

    @given(table=TABLES, shift=st.integers(-50, 50))
    @quickly
    def test_a_constant_moves_all_scores_but_confidence(
        self, table: np.ndarray, shift: int
    ) -> None:
        logits = torch.from_numpy(table)
        assert torch.allclose(confidence(logits + shift), confidence(logits), rtol=1e-9)
        assert torch.allclose(maximum_logit(logits + shift), maximum_logit(logits) + shift)
        assert torch.allclose(negative_energy(logits + shift), negative_energy(logits) + shift)

    @given(table=TABLES, temperature=st.sampled_from([0.1, 0.01, 1e-6]))
    @quickly
    def test_energy_becomes_the_maximum_as_the_temperature_falls(
        self, table: np.ndarray, temperature: float
    ) -> None:
        logits = torch.from_numpy(table)
        gap = negative_energy(logits, temperature=temperature) - maximum_logit(logits)
        assert bool((gap >= -1e-9).all())
        assert bool((gap <= temperature * math.log(table.shape[1]) + 1e-9).all())

    @given(table=TABLES)
    @quickly
    def test_confidence_lies_between_a_guess_and_certainty(self, table: np.ndarray) -> None:
        found = confidence(torch.from_numpy(table))
        assert bool((found >= 1 / table.shape[1] - 1e-12).all())
        assert bool((found <= 1 + 1e-12).all())

    @pytest.mark.parametrize("score", SCORES)
    def test_the_logits_stay(self, logits: Tensor, score: Score) -> None:
        for table in (logits, logits.double()):
            before = table.clone()
            score(table)
            assert torch.equal(table, before)

    @pytest.mark.parametrize("score", SCORES)
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_agrees_with_the_cpu(self, logits: Tensor, score: Score) -> None:
        found = score(logits.cuda())
        assert found.device.type == "cuda"
        assert torch.allclose(found.cpu(), score(logits), rtol=1e-9)


class TestForms:
    @pytest.mark.parametrize("score", SCORES)
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8"], ids=str)
    def test_logits_may_be_an_array(self, logits: Tensor, score: Score, dtype: Any) -> None:
        array = logits.numpy().astype(dtype)
        found = score(array)
        assert found.dtype == torch.float64
        assert torch.equal(found, score(torch.from_numpy(array.astype(np.float64))))

    @pytest.mark.parametrize("score", SCORES)
    def test_half_precision_is_exact(self, logits: Tensor, score: Score) -> None:
        assert torch.equal(score(logits.bfloat16()), score(logits.bfloat16().double()))

    @pytest.mark.parametrize("score", SCORES)
    def test_gradients_go_through(self, logits: Tensor, score: Score) -> None:
        table = logits.clone().requires_grad_()
        score(table).sum().backward()
        assert table.grad is not None
        assert bool(table.grad.any())

    def test_a_temperature_of_numpy_counts(self, logits: Tensor) -> None:
        found = negative_energy(logits, temperature=np.float32(2))
        assert torch.equal(found, negative_energy(logits, temperature=2.0))

    def test_a_temperature_is_a_number(self, logits: Tensor) -> None:
        with pytest.raises(TypeError, match="temperature must be a number; received '1'"):
            negative_energy(logits, temperature="1")


class TestBadInput:
    @pytest.mark.parametrize("score", SCORES)
    @pytest.mark.parametrize(
        ("logits", "error", "message"),
        [
            (
                torch.zeros(2, 3).long(),
                TypeError,
                r"floating point, .*received torch\.int64\. Pass",
            ),
            (torch.zeros(2, 3).bool(), TypeError, r"floating point, .*received torch\.bool"),
            (torch.zeros(3), ValueError, r"shape \(N, classes\); received \(3,\)\. Pass what"),
            (torch.zeros(1, 2, 3), ValueError, r"received \(1, 2, 3\)"),
            (torch.zeros(0, 3), ValueError, r"received \(0, 3\)"),
            (torch.zeros(3, 0), ValueError, r"received \(3, 0\)"),
            (
                torch.tensor([[0.0, math.nan]]),
                ValueError,
                "logits must be finite; those of 1 of 1 images",
            ),
            (torch.tensor([[0.0, math.inf]]), ValueError, "logits must be finite"),
            (torch.tensor([[0.0, -math.inf]]), ValueError, "columns that were masked"),
        ],
        ids=["int", "bool", "1-D", "3-D", "no-image", "no-class", "nan", "inf", "minus-inf"],
    )
    def test_logits_are_checked(
        self, score: Score, logits: Tensor, error: type[Exception], message: str
    ) -> None:
        before = logits.clone()
        with pytest.raises(error, match=message):
            score(logits)
        assert torch.equal(logits.nan_to_num(7), before.nan_to_num(7))

    @pytest.mark.parametrize("temperature", [0, -1, math.nan, math.inf])
    def test_a_temperature_is_positive_and_finite(self, temperature: float) -> None:
        with pytest.raises(
            ValueError, match=rf"positive and finite; received {temperature}\. The paper"
        ):
            negative_energy(torch.zeros(1, 2), temperature=temperature)
