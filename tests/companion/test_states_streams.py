from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from companion.states import RandomStream, own_randomness


def draws() -> list[float]:
    return [torch.rand(1).item(), float(np.random.rand()), random.random()]


def drawn_from(stream: RandomStream) -> list[float]:
    with stream.drawing():
        return draws()


@pytest.mark.parametrize("seed", [0, -3, 2**40 + 5])
def test_it_begins_with_what_the_seed_gives_and_goes_on(seed: int) -> None:
    stream = RandomStream(seed)
    with own_randomness(seed):
        expected = [draws(), draws()]
    assert [drawn_from(stream), drawn_from(stream)] == expected


def test_the_global_states_are_as_before() -> None:
    with own_randomness(5):
        expected = draws()
    with own_randomness(5):
        stream = RandomStream(0)
        drawn_from(stream), stream.state_dict(), drawn_from(stream)
        assert draws() == expected


@pytest.mark.parametrize("before", [0, 1])
def test_it_is_stored_and_taken_up_whether_it_was_drawn_from_or_not(before: int) -> None:
    stream, other = RandomStream(3), RandomStream(4)
    for _ in range(before):
        drawn_from(stream)
    other.load_state_dict(stream.state_dict())
    assert drawn_from(other) == drawn_from(stream)


def test_an_error_inside_keeps_what_was_drawn() -> None:
    stream, found = RandomStream(0), []

    def interrupted() -> None:
        with stream.drawing():
            found.append(draws())
            raise KeyboardInterrupt("now")

    with pytest.raises(KeyboardInterrupt, match="now"):
        interrupted()
    assert drawn_from(stream) != found[0]


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        pytest.param(0.5, TypeError, "a seed must be a whole number; received 0.5", id="half"),
        pytest.param(2**70, ValueError, "Overflow", id="too large"),
    ],
)
def test_what_is_no_seed_is_found_before_anything_is_drawn(
    seed: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        RandomStream(seed)
