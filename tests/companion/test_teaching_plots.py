from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba
from matplotlib.text import Text

from companion import Interval, mean_interval
from companion.teaching import plots

RUNS = [[0.1, 0.3, 0.5], [0.2, 0.3, 0.7], [0.3, 0.3, 0.9]]
MEASURED = {"head": Interval(0.5, 0.4, 0.6, 5), "tail": Interval(-0.2, -0.3, -0.1, 5)}
GROUPS = {"seen": [0.95, 0.9, 0.85, 0.2], "unseen": [0.1, 0.3]}


def shares_in(ax: Axes, group: str, bins: int, span: tuple[float, float] = (0, 1)) -> list[float]:
    """The height of a group's area in the middle of each bin."""
    [area] = [each for each in ax.collections if each.get_label() == group]
    corners = np.asarray(area.get_paths()[0].vertices)
    edges = np.linspace(*span, bins + 1)
    # The outline goes along the top of each bin, from edge to edge, and back along zero.
    tops = [corners[np.isclose(corners[:, 0], edge)][:, 1] for edge in edges]
    return [
        float(max(np.intersect1d(left.round(9), right.round(9)))) for left, right in pairwise(tops)
    ]


DRAW: dict[str, Callable[..., Axes]] = {
    "band": lambda **options: plots.band([1, 2, 3], RUNS, **options),
    "lines": lambda **options: plots.lines([1, 2, 3], RUNS, **options),
    "dots": lambda **options: plots.dots([0.5, 0.5, 0.6], [0, 1, 0], **options),
    "intervals": lambda **options: plots.intervals(MEASURED, **options),
    "distributions": lambda **options: plots.distributions(GROUPS, **options),
    "heat_map": lambda **options: plots.heat_map([[0.1, 0.9]], ["a"], ["b", "c"], **options),
}
each_plot = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)


@each_plot
def test_the_axes_given_are_drawn_on_and_returned(draw: Callable[..., Axes]) -> None:
    figure, ax = plt.subplots()
    assert draw(ax=ax) is ax
    assert ax.has_data()
    assert plt.get_fignums() == [figure.number]


@each_plot
def test_without_axes_a_new_figure_is_made(draw: Callable[..., Axes]) -> None:
    _, other = plt.subplots()
    ax = draw()
    assert ax is not other
    assert not other.has_data()
    assert len(plt.get_fignums()) == 2


@pytest.mark.parametrize(
    "draw", [*DRAW.values(), lambda: plots.images(torch.zeros(1, 1, 2, 2))], ids=[*DRAW, "images"]
)
def test_nothing_is_shown(draw: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []
    monkeypatch.setattr(plt, "show", lambda *args, **options: shown.append(1))
    draw()
    assert shown == []


class TestBand:
    def test_the_line_is_the_mean_over_runs(self) -> None:
        [line] = plots.band([1, 2, 3], RUNS).get_lines()
        assert line.get_xdata() == pytest.approx([1, 2, 3])
        assert line.get_ydata() == pytest.approx(np.mean(RUNS, axis=0))

    def test_the_shade_is_the_interval(self) -> None:
        [shade] = plots.band([1, 2, 3], RUNS).collections
        corners = shade.get_paths()[0].vertices
        for x, column in zip([1, 2, 3], zip(*RUNS, strict=True), strict=True):
            heights = np.asarray(corners)[np.asarray(corners)[:, 0] == x][:, 1]
            interval = mean_interval(column)
            assert (heights.min(), heights.max()) == pytest.approx((interval.low, interval.high))

    def test_the_label_stands_at_the_end_in_the_colour(self) -> None:
        ax = plots.band([1, 2, 3], RUNS, label="seen classes", colour="seen")
        [text] = ax.texts
        assert text.get_text() == "seen classes"
        assert text.xy == pytest.approx((3, 0.7))  # type: ignore[attr-defined]
        assert to_hex(text.get_color()).upper() == plots.COLOURS["seen"]
        assert to_hex(ax.get_lines()[0].get_color()).upper() == plots.COLOURS["seen"]

    def test_any_colour_of_matplotlib_will_do(self) -> None:
        assert plots.band([1, 2, 3], RUNS, colour="#123456").get_lines()[0].get_color() == "#123456"

    @pytest.mark.parametrize(
        ("runs", "received"),
        [([[1.0], [2.0], [3.0]], r"\(3, 1\)"), ([1.0, 2.0, 3.0], r"\(3,\)")],
        ids=["transposed", "one run"],
    )
    def test_a_table_of_another_shape_is_refused(self, runs: Any, received: str) -> None:
        with pytest.raises(ValueError, match=rf"\(seeds, 3\).*received {received}\. Transpose"):
            plots.band([1, 2, 3], runs)


def test_lines_draws_each_run() -> None:
    ax = plots.lines([1, 2, 3], RUNS, label="runs", colour="unseen")
    drawn = [np.asarray(line.get_ydata()).tolist() for line in ax.get_lines()]
    assert drawn == RUNS
    assert ax.texts[0].xy == pytest.approx((3, 0.7))  # type: ignore[attr-defined]
    assert {to_hex(line.get_color()).upper() for line in ax.get_lines()} == {"#D55E00"}


def test_dots_stand_where_they_are_put() -> None:
    ax = plots.dots([0.5, 0.5, 0.6], [0, 1, 0])
    [line] = ax.get_lines()
    assert np.asarray(line.get_xydata()).tolist() == [[0.5, 0], [0.5, 1], [0.6, 0]]
    assert ax.get_ylim() == (-1, 2)


class TestIntervals:
    def test_each_has_a_row_with_whiskers_and_a_dot(self) -> None:
        whisker, dot, second, other = plots.intervals(MEASURED).get_lines()
        assert np.asarray(whisker.get_xdata()).tolist() == [0.4, 0.6]
        assert np.asarray(dot.get_xdata()).tolist() == [0.5]
        assert np.asarray(second.get_xdata()).tolist() == [-0.3, -0.1]
        assert np.asarray(other.get_ydata()).tolist() == [1]

    def test_the_first_is_on_top(self) -> None:
        ax = plots.intervals(MEASURED)
        assert [label.get_text() for label in ax.get_yticklabels()] == ["head", "tail"]
        low, high = ax.get_ylim()
        assert low > high

    def test_the_reference_is_a_vertical_line(self) -> None:
        line = plots.intervals(MEASURED, reference=0.25).get_lines()[-1]
        assert np.asarray(line.get_xdata()).tolist() == [0.25, 0.25]

    def test_colours_are_meanings_or_colours(self) -> None:
        ax = plots.intervals(MEASURED, colours={"head": "seen", "tail": "#123456"})
        assert [line.get_color() for line in ax.get_lines()[::2]] == ["#0072B2", "#123456"]


class TestDistributions:
    def test_bins_hold_shares_of_their_group(self) -> None:
        ax = plots.distributions(GROUPS, bins=4)
        assert shares_in(ax, "seen", 4) == pytest.approx([0.25, 0, 0, 0.75])
        assert shares_in(ax, "unseen", 4) == pytest.approx([0.5, 0.5, 0, 0])

    def test_values_beyond_the_span_are_part_of_their_group(self) -> None:
        ax = plots.distributions({"seen": [0.25, 0.75, -3, 9]}, bins=2)
        assert shares_in(ax, "seen", 2) == pytest.approx([0.25, 0.25])
        wide = plots.distributions({"seen": [0.25, 9]}, bins=2, span=(0, 10))
        assert shares_in(wide, "seen", 2, (0, 10)) == pytest.approx([0.5, 0.5])

    def test_a_group_without_values_keeps_its_name(self) -> None:
        legend = plots.distributions({"seen": [], "unseen": [0.2]}).get_legend()
        assert legend is not None
        assert {text.get_text() for text in legend.get_texts()} == {"seen", "unseen"}

    def test_the_axes_say_what_is_counted(self) -> None:
        ax = plots.distributions(GROUPS)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("", "share of images")

    def test_groups_have_the_colours_that_bear_their_names(self) -> None:
        ax = plots.distributions(GROUPS | {"else": torch.tensor([0.5])})
        edges = {str(area.get_label()): area.get_edgecolor()[0] for area in ax.collections}  # type: ignore[index]
        assert to_hex(edges["seen"]).upper() == plots.COLOURS["seen"]
        assert to_hex(edges["else"]).upper() == plots.COLOURS["plain"]


class TestHeatMap:
    def test_cells_have_their_shares_and_notes(self) -> None:
        shares = torch.tensor([[0.9, 0.1], [torch.nan, 0.5]])
        ax = plots.heat_map(shares, ["a", "b"], [1, 2], notes=[["x", "y"], ["z", ""]])
        shown = np.ma.filled(ax.collections[0].get_array(), np.nan)
        assert shown == pytest.approx(shares.numpy(), nan_ok=True)
        assert [text.get_text() for text in ax.texts] == ["x", "y", ""]
        assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2"]

    def test_a_table_of_another_shape_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"must be \(1, 2\), rows by columns; rec.*\(2, 1\)"):
            plots.heat_map([[0.1], [0.2]], ["a"], ["b", "c"])


class TestImages:
    def test_pictures_stand_in_rows_with_their_titles(self) -> None:
        pictures = torch.rand(5, 1, 4, 4)
        figure = plots.images(pictures, titles=[*"abcde"], columns=3)
        assert len(figure.axes) == 6
        for ax, picture, title in zip(figure.axes, pictures, [*"abcde"], strict=False):
            assert np.allclose(np.asarray(ax.get_images()[0].get_array()), picture[0])
            assert ax.get_title() == title
        assert not figure.axes[5].has_data()

    def test_one_scale_for_all(self) -> None:
        figure = plots.images(torch.full((1, 1, 2, 2), 0.5))
        assert figure.axes[0].get_images()[0].get_clim() == (0, 1)

    def test_colour_channels_come_last_for_drawing(self) -> None:
        picture = torch.zeros(1, 3, 2, 2)
        picture[0, 1, 0, 1] = 2.0  # beyond white, as augmented images may be
        drawn = np.asarray(plots.images(picture).axes[0].get_images()[0].get_array())
        assert drawn.shape == (2, 2, 3)
        assert drawn[0, 1].tolist() == [0, 1, 0]


def test_the_palette_has_fixed_meanings() -> None:
    assert plots.COLOURS["seen"] == "#0072B2"
    assert plots.COLOURS["unseen"] == "#D55E00"
    assert plots.COLOURS["balanced"] == "#009E73"
    assert len({to_rgba(colour) for colour in plots.COLOURS.values()}) == len(plots.COLOURS)


def test_the_style_sets_the_defaults() -> None:
    with mpl.rc_context():
        plots.use_style()
        assert mpl.rcParams["figure.figsize"] == [plots.WIDTH, plots.HEIGHT]
        assert mpl.rcParams["axes.spines.right"] is False
        cycle = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
        assert {to_hex(colour).upper() for colour in cycle} <= set(plots.COLOURS.values())


def test_no_letter_of_the_style_is_too_small_for_a_phone() -> None:
    with mpl.rc_context():
        plots.use_style()
        ax = plots.band([1, 2, 3], RUNS, label="runs")
        ax.legend(["a"])
        ax.set(xlabel="x", ylabel="y", title="t")
        ax.figure.canvas.draw()
        sizes = [text.get_fontsize() for text in ax.figure.findobj(Text) if text.get_text()]  # type: ignore[attr-defined]
        assert min(sizes) >= 10
