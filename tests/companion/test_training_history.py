from __future__ import annotations

import dataclasses

import pytest

from companion import History
from companion.training import Epoch

FIRST = Epoch(1.5, 0.4, 0.1, 1.6, 0.3)
SECOND = Epoch(0.5, 0.8, 0.05, 0.7, 0.7)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train_loss", [1.5, 0.5]),
        ("train_accuracy", [0.4, 0.8]),
        ("lr", [0.1, 0.05]),
        ("validation_loss", [1.6, 0.7]),
        ("validation_accuracy", [0.3, 0.7]),
    ],
)
def test_a_curve_has_one_figure_for_each_epoch(name: str, expected: list[float]) -> None:
    assert History([FIRST, SECOND]).curve(name) == expected


def test_the_best_epoch_is_the_one_it_points_to() -> None:
    history = History([FIRST, SECOND], best=1)
    assert history.best_epoch is SECOND
    assert len(history) == 2


def test_an_unknown_curve_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"one of train_loss, .*monitored; received 'loss'"):
        History([FIRST]).curve("loss")


def test_validation_that_was_not_recorded_is_not_made_up() -> None:
    without = dataclasses.replace(FIRST, validation_loss=None, validation_accuracy=None)
    with pytest.raises(ValueError, match="validation_loss was not recorded; pass validation= to"):
        History([without]).curve("validation_loss")


def test_an_epoch_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FIRST.lr = 1.0  # type: ignore[misc]
