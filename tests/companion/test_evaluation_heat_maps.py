"""The confusion of a report as a heat map."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from companion import LabelMap, Report, report
from companion.evaluation import draw_shares

HEAD = ["owl", "cat"]


def told() -> Report:
    """Three cats, of which one is taken for an owl; no dog; one owl, which is."""
    logits = torch.eye(2)[[1, 1, 0, 0]]
    return report(logits, [0, 0, 0, 2], classes=["cat", "dog", "owl"], label_map=LabelMap(HEAD))


class TestPlot:
    def test_rows_are_shares_of_the_true_class(self) -> None:
        ax = told().plot()
        shown = np.ma.filled(ax.collections[0].get_array(), np.nan)
        expected = [[1 / 3, 2 / 3], [np.nan, np.nan], [1, 0]]
        assert shown == pytest.approx(np.array(expected), nan_ok=True)
        assert ax.collections[0].get_clim() == (0, 1)

    def test_names_and_axes_say_what_is_what(self) -> None:
        ax = told().plot()
        assert [text.get_text() for text in ax.get_xticklabels()] == HEAD
        assert [text.get_text() for text in ax.get_yticklabels()] == ["cat", "dog", "owl"]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")

    def test_few_classes_bear_their_counts(self) -> None:
        # The row of the class without images is empty.
        assert [text.get_text() for text in told().plot().texts] == ["1", "2", "1", "0"]

    @pytest.mark.parametrize(
        ("classes", "notes", "names"), [(12, 144, 12), (13, 0, 13), (21, 0, 0)], ids=str
    )
    def test_what_could_not_be_read_is_left_out(self, classes: int, notes: int, names: int) -> None:
        ax = report(torch.eye(classes), range(classes)).plot()
        assert len(ax.texts) == notes
        assert len([text for text in ax.get_yticklabels() if text.get_text()]) == names

    def test_the_axes_given_are_drawn_on_and_returned(self) -> None:
        figure, ax = plt.subplots()
        assert told().plot(ax) is ax
        assert told().plot(ax=ax) is ax
        assert plt.get_fignums() == [figure.number]

    def test_without_axes_a_new_figure_is_made_and_not_shown(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown: list[int] = []
        monkeypatch.setattr(plt, "show", lambda *args, **options: shown.append(1))
        _, other = plt.subplots()
        assert told().plot() is not other
        assert (shown, other.has_data()) == ([], False)

    def test_letters_do_not_fall_below_what_a_phone_shows(self) -> None:
        ax = report(torch.eye(8), range(8)).plot()
        sizes = [text.get_fontsize() for text in (*ax.texts, *ax.get_xticklabels())]
        assert min(sizes) >= 10
        figure = ax.get_figure()
        assert figure is not None
        assert max(figure.get_size_inches()) <= 4.8  # type: ignore[union-attr]


@pytest.mark.parametrize("shares", [[[0.5, 0.5]], [0.5, 0.5], [[0.5], [0.5], [1]]], ids=str)
def test_a_table_of_another_shape_is_refused(shares: Any) -> None:
    with pytest.raises(ValueError, match=r"shares must be \(2, 1\), rows by columns; received"):
        draw_shares(shares, [*"ab"], ["c"])
