from __future__ import annotations

from typing import Any

import myst_nb.ext.glue as myst_glue
import pytest
from IPython.core.formatters import DisplayFormatter

from companion import Interval
from companion.teaching import glue_interval, glue_number, glue_percent, glue_points


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

    @pytest.mark.parametrize(
        ("share", "options", "expected"),
        [
            (0.8371, {}, "84 %"),
            (0.8371, {"places": 1}, "83.7 %"),
            (-0.004, {}, "0 %"),
            (Interval(0.8371, 0.8071, 0.8671, 5), {}, "84 ± 3 %"),
            (Interval(0.8371, 0.8341, 0.8401, 5), {}, "83.7 ± 0.3 %"),
            (Interval(0.5, 0.5, 0.5, 5), {}, "50 ± 0 %"),
        ],
    )
    def test_a_share_is_said_in_per_cent(
        self,
        shown: list[tuple[dict[str, str], dict[str, Any]]],
        share: float | Interval,
        options: dict[str, int],
        expected: str,
    ) -> None:
        glue_percent("gain", share, **options)
        self.check(shown, expected)

    @pytest.mark.parametrize(
        ("difference", "expected"),
        [
            (-0.071, "−7 points"),
            (Interval(-0.071, -0.091, -0.051, 5), "−7 ± 2 points"),
            (Interval(-0.0001, -0.0201, 0.0199, 5), "0 ± 2 points"),
        ],
    )
    def test_a_difference_is_said_in_points(
        self,
        shown: list[tuple[dict[str, str], dict[str, Any]]],
        difference: float | Interval,
        expected: str,
    ) -> None:
        glue_points("gain", difference)
        self.check(shown, expected)
