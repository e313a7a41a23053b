from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from companion.training.storing import not_finite
from companion.training.tallies import WAITING, Tally, answers_in

NAN, INF = torch.nan, torch.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_answers_are_those_of_argmax(dtype: torch.dtype) -> None:
    logits = torch.randint(4, (50, 7), generator=torch.Generator().manual_seed(0)).to(dtype)
    logits[0] = 0.0
    logits[1, 3:] = NAN
    logits[2, 2] = INF
    for each in (logits, logits.t(), logits.clone().requires_grad_()):
        expected = each.argmax(1)
        assert torch.equal(answers_in(each), expected)
        assert answers_in(each).dtype == expected.dtype


@pytest.mark.parametrize(
    ("values", "dtype", "broken"),
    [
        pytest.param([3e38, 3e38], torch.float32, False, id="a sum that overflows"),
        pytest.param([6e4, 6e4], torch.float16, False, id="one in half precision"),
        pytest.param([1e300, 1e300], torch.float64, False, id="beyond float32"),
        pytest.param([INF, -INF], torch.float32, True, id="infinities of both signs"),
        pytest.param([0.0, NAN], torch.float64, True, id="NaN"),
        pytest.param([], torch.float32, False, id="nothing"),
    ],
)
def test_what_is_not_finite_is_found_and_nothing_else(
    values: list[float], dtype: torch.dtype, broken: bool
) -> None:
    tensors: dict[str, Tensor] = {
        "fine": torch.ones(3),
        "looked at": torch.tensor(values, dtype=dtype),
        "count": torch.tensor(3),
    }
    assert not_finite(tensors) == ({"looked at"} if broken else set())
    assert not_finite({}) == set()


def test_a_dead_logit_is_an_answer_too() -> None:
    head = nn.Linear(2, 3)
    nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
    assert answers_in(head(torch.ones(2, 2))).tolist() == [0, 0]


@pytest.mark.parametrize("rows", [1, WAITING // 4], ids=["few logits", "more than may wait"])
def test_each_batch_is_counted_once_however_many_logits_wait(rows: int) -> None:
    tally, generator = Tally(), torch.Generator().manual_seed(0)
    right = []
    for width in (3, 3, 5):  # a head may grow
        logits = torch.randn(rows, width, generator=generator)
        labels = torch.randint(3, (rows,), generator=generator)
        tally.add(logits, labels, torch.tensor(1.0))
        tally.rates.append(0.1)
        right.append(logits.argmax(1) == labels)
    assert tally.averages(0)[1] == torch.cat(right).sum().item() / (3 * rows)
