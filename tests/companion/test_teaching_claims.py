from __future__ import annotations

import math
from typing import Any

import myst_nb.ext.glue as myst_glue
import pytest
from IPython.core.formatters import DisplayFormatter

from companion import Interval
from companion.teaching import BrokenClaimError, claim, glue_interval, glue_number
from companion.teaching.claims import margin

HALF = Interval(0.5, 0.4, 0.6, 5)

KEPT = [
    pytest.param(0.5, {"at_least": 0.5}, "0.5000, at least 0.5", 0.0, id="at least, just"),
    pytest.param(0.7, {"at_least": 0.5}, "0.7000, at least 0.5", 0.2, id="at least"),
    pytest.param(0.1, {"at_most": 0.25}, "0.1000, at most 0.25", 0.15, id="at most"),
    pytest.param(-0.5, {"at_most": -0.25}, "-0.5000, at most -0.25", 0.25, id="negative"),
    pytest.param(
        0.3, {"at_least": 0.2, "at_most": 0.6}, "0.3000, between 0.2 and 0.6", 0.1, id="band"
    ),
    pytest.param(-0.25, {"within": 0.5}, "-0.2500, within ±0.5", 0.25, id="within"),
    pytest.param(0.0, {"within": 1e-6}, "0.0000, within ±1e-06", 1e-6, id="within little"),
    pytest.param(2e7, {"at_least": 1e7}, "20000000.0000, at least 1e+07", 1e7, id="large"),
    pytest.param(math.inf, {"at_least": 1}, "inf, at least 1", math.inf, id="infinite"),
    pytest.param(HALF, {"at_least": 0.3}, "0.5000 [0.4000, 0.6000], at least 0.3", 0.1, id="low"),
    pytest.param(HALF, {"at_most": 0.9}, "0.5000 [0.4000, 0.6000], at most 0.9", 0.3, id="high"),
    pytest.param(
        HALF,
        {"at_least": 0.35, "at_most": 0.9},
        "0.5000 [0.4000, 0.6000], between 0.35 and 0.9",
        0.05,
        id="interval in a band",
    ),
    pytest.param(
        Interval(0.0, -0.1, 0.2, 5),
        {"within": 0.25},
        "0.0000 [-0.1000, 0.2000], within ±0.25",
        0.05,
        id="interval within",
    ),
]

BROKEN = [
    pytest.param(0.4999, {"at_least": 0.5}, id="too low"),
    pytest.param(0.5001, {"at_most": 0.5}, id="too high"),
    pytest.param(0.1, {"at_least": 0.2, "at_most": 0.6}, id="below the band"),
    pytest.param(0.7, {"at_least": 0.2, "at_most": 0.6}, id="above the band"),
    pytest.param(-0.6, {"within": 0.5}, id="too far below"),
    pytest.param(0.6, {"within": 0.5}, id="too far above"),
    pytest.param(math.nan, {"at_least": 0}, id="nan"),
    # The mean keeps each of these bounds; an end of the interval does not.
    pytest.param(HALF, {"at_least": 0.45}, id="interval reaches below"),
    pytest.param(HALF, {"at_most": 0.55}, id="interval reaches above"),
    pytest.param(HALF, {"at_least": 0.3, "at_most": 0.55}, id="interval leaves the band"),
    pytest.param(Interval(0.0, -0.4, 0.1, 5), {"within": 0.3}, id="interval too far below"),
]


@pytest.mark.parametrize(("measured", "bounds", "shown", "room"), KEPT)
class TestKept:
    def test_one_line_is_printed(
        self,
        measured: float | Interval,
        bounds: dict[str, float],
        shown: str,
        room: float,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        claim("It is so", measured, **bounds)
        assert capsys.readouterr() == (f"holds  It is so: {shown}\n", "")

    def test_own_data_change_nothing(
        self,
        measured: float | Interval,
        bounds: dict[str, float],
        shown: str,
        room: float,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("COMPANION_DATA", "digits")
        claim("It is so", measured, **bounds)
        assert capsys.readouterr().out == f"holds  It is so: {shown}\n"

    def test_the_margin_is_read_from_the_line(
        self, measured: float | Interval, bounds: dict[str, float], shown: str, room: float
    ) -> None:
        assert margin(f"holds  A ratio: so, it is: {shown}") == pytest.approx(room)


@pytest.mark.parametrize(("measured", "bounds"), BROKEN)
class TestBroken:
    def test_it_raises_and_prints_nothing(
        self,
        measured: float | Interval,
        bounds: dict[str, float],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        with pytest.raises(BrokenClaimError, match=r"^fails  It is so: \S+"):
            claim("It is so", measured, **bounds)
        assert capsys.readouterr().out == ""

    def test_on_own_data_it_differs_and_is_told(
        self,
        measured: float | Interval,
        bounds: dict[str, float],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("COMPANION_DATA", "digits")
        claim("It is so", measured, **bounds)
        line = capsys.readouterr().out.rstrip("\n")
        assert line.startswith("differs  It is so: ")
        room = margin(line)
        assert room is not None
        assert math.isnan(room) or room < 0


@pytest.mark.parametrize(
    "line",
    ["", "accuracy 0.84", "holds  no colon 0.5, at least 0.1", "holds  A: 0.5, about 0.4"],
)
def test_other_lines_have_no_margin(line: str) -> None:
    assert margin(line) is None


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({}, r"needs a bound; received none\. Pass at_least, at_most or within"),
        ({"within": 0.1, "at_least": 0.0}, "within stands alone.*; drop the other bound"),
        ({"within": 0.1, "at_most": 0.0}, "within stands alone.*; drop the other bound"),
    ],
    ids=["none", "within and at least", "within and at most"],
)
def test_bounds_must_be_one_kind(bounds: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        claim("It is so", 0.0, **bounds)


class TestGlue:
    @pytest.fixture
    def shown(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """What myst_nb hands to the notebook, without a running one."""
        outputs: list[tuple[dict[str, str], dict[str, Any]]] = []

        def display(data: dict[str, str], *, raw: bool, metadata: dict[str, Any]) -> None:
            outputs.append((data, metadata))

        core = myst_glue.IPython.core.formatters
        monkeypatch.setattr(core, "format_display_data", DisplayFormatter().format)
        monkeypatch.setattr(myst_glue, "ipy_display", display)
        return outputs

    def check(self, shown: list[tuple[dict[str, str], dict[str, Any]]], expected: str) -> None:
        [(data, metadata)] = shown
        # The prefix hides the output from the page; only the prose shows it.
        assert data == {"application/papermill.record/text/plain": repr(expected)}
        assert metadata["scrapbook"]["name"] == "gain"

    @pytest.mark.parametrize(
        ("value", "options", "expected"),
        [(0.8371, {}, "0.84"), (0.8371, {"places": 3}, "0.837"), (12, {"places": 0}, "12")],
        ids=["two places", "three places", "whole"],
    )
    def test_a_number_is_rounded(
        self,
        shown: list[tuple[dict[str, str], dict[str, Any]]],
        value: float,
        options: dict[str, int],
        expected: str,
    ) -> None:
        glue_number("gain", value, **options)
        self.check(shown, expected)

    @pytest.mark.parametrize(
        ("mean", "half", "options", "expected"),
        [
            (0.8371, 0.0214, {}, "0.84 ± 0.02"),
            (0.8371, 0.0214, {"places": 3}, "0.837 ± 0.021"),
            (0.8371, 0.0051, {}, "0.84 ± 0.01"),
            (0.8371, 0.0042, {}, "0.837 ± 0.004"),
            (0.83714, 0.00042, {}, "0.8371 ± 0.0004"),
            (0.5, 0.0, {}, "0.50 ± 0.00"),
            (0.5, 1e-9, {}, "0.500000 ± 0.000000"),
            (0.83048, 1e-16, {}, "0.83 ± 0.00"),
        ],
        ids=[
            *("two", "three", "just two", "grows", "grows twice", "no width", "six at most"),
            "rounding",
        ],
    )
    def test_an_interval_has_places_enough_for_its_half_width(
        self,
        shown: list[tuple[dict[str, str], dict[str, Any]]],
        mean: float,
        half: float,
        options: dict[str, int],
        expected: str,
    ) -> None:
        glue_interval("gain", Interval(mean, mean - half, mean + half, 5), **options)
        self.check(shown, expected)
