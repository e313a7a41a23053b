"""Figures of the book: one look, colours with fixed meanings, intervals as bands.

Every function draws on `ax`, on a new figure's axes where none is given, and returns the axes.
Seaborn sets the look and draws histograms and heat maps. Means and their intervals over seeds are
Student's and computed here: seaborn's own would be a bootstrap, and on logarithmic axes the
interval of another mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from companion.evaluation import Interval, draw_shares, mean_interval
from companion.teaching.decisions import decisions
from companion.teaching.style import COLOURS, HEIGHT, WIDTH, use_style

__all__ = [
    "COLOURS",
    "HEIGHT",
    "WIDTH",
    "band",
    "decisions",
    "distributions",
    "dots",
    "heat_map",
    "images",
    "intervals",
    "lines",
    "use_style",
]


def band(
    x: Sequence[float],
    runs: Sequence[Sequence[float]],
    *,
    label: str | None = None,
    colour: str = "plain",
    label_at: int = -1,
    shift: tuple[float, float] = (5, 0),
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean over runs as a line and its 95 % interval as a band, with a direct label.

    `runs` has a row for each seed and a column for each x. The label stands at the position
    `label_at`, moved by `shift` points: where lines meet at their ends, label them elsewhere.

    >>> band([1, 2], [[1, 2], [3, 4]], label="test").get_lines()[0].get_ydata().tolist()
    [2.0, 3.0]
    """
    ax = _axes(ax)
    table = np.asarray(runs, dtype=float)
    if table.ndim != 2 or table.shape[1] != len(x):
        raise ValueError(
            f"runs must be (seeds, {len(x)}), a column for each x; received {table.shape}. "
            "Transpose it."
        )
    intervals = [mean_interval(column) for column in table.T.tolist()]
    shade = COLOURS.get(colour, colour)
    means = [interval.mean for interval in intervals]
    lows, highs = [i.low for i in intervals], [i.high for i in intervals]
    ax.fill_between(x, lows, highs, color=shade, alpha=0.25, linewidth=0)
    ax.plot(x, means, color=shade, marker="o", markersize=4)
    if label:
        _label(ax, (x[label_at], means[label_at]), label, shade, shift)
    return ax


def lines(
    x: Sequence[float],
    runs: Sequence[Sequence[float]],
    *,
    label: str | None = None,
    colour: str = "plain",
    ax: Axes | None = None,
) -> Axes:
    """Draw each run as a thin line of its own, for where the runs are few and differ in kind.

    >>> len(lines([1, 2], [[0.1, 0.2], [0.3, 0.4]]).get_lines())
    2
    """
    ax = _axes(ax)
    shade = COLOURS.get(colour, colour)
    for run in runs:
        ax.plot(x, run, color=shade, linewidth=0.8, alpha=0.8)
    if label:
        end = float(np.mean([run[-1] for run in runs]))
        _label(ax, (x[-1], end), label, shade, (5, 0))
    return ax


def intervals(
    measured: Mapping[str, Interval],
    *,
    colours: Mapping[str, str] | None = None,
    reference: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw each interval as a dot with whiskers on a row of its own, the first on top.

    `reference` draws a vertical line: zero for differences, chance for accuracies.

    >>> ax = intervals({"head": mean_interval([0.2, 0.3]), "tail": mean_interval([0.1, 0.3])})
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['head', 'tail']
    """
    ax = _axes(ax, height=0.9 + 0.34 * len(measured))
    for row, (name, interval) in enumerate(measured.items()):
        colour = (colours or {}).get(name, "plain")
        shade = COLOURS.get(colour, colour)
        ax.plot([interval.low, interval.high], [row, row], color=shade, linewidth=2.2)
        ax.plot(interval.mean, row, "o", color=shade, markersize=6)
    if reference is not None:
        ax.axvline(reference, color=COLOURS["bound"], linewidth=1, linestyle=":")
    ax.set_yticks(range(len(measured)), list(measured))
    ax.set_ylim(len(measured) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    return ax


def dots(values: Sequence[float], heights: Sequence[float], *, ax: Axes | None = None) -> Axes:
    """Draw one dot for each run, stacked by `heights` where runs are equal.

    >>> dots([0.5, 0.5, 0.6], [0, 1, 0]).get_lines()[0].get_ydata().tolist()
    [0, 1, 0]
    """
    ax = _axes(ax, height=1.6)
    ax.plot(values, heights, "o", color=COLOURS["plain"], markersize=6)
    ax.set_yticks([])
    ax.set_ylim(-1, max(heights) + 1)
    ax.spines["left"].set_visible(False)
    return ax


def distributions(
    groups: Mapping[str, Sequence[float] | Tensor],
    *,
    bins: int = 30,
    span: tuple[float, float] = (0.0, 1.0),
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of each group's values in each bin, in the colours that bear their names.

    >>> ax = distributions({"seen": [0.9, 0.95], "unseen": [0.2, 0.9]}, bins=2)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['seen', 'unseen']
    """
    import seaborn as sns

    ax = _axes(ax)
    for name, values in groups.items():
        numbers = np.asarray(values, dtype=float)
        if not len(numbers):  # seaborn would leave out its name too
            ax.plot([], color=COLOURS.get(name, COLOURS["plain"]), label=name)
        sns.histplot(
            x=numbers,
            bins=bins,
            binrange=span,
            # Shares of the whole group, those beyond the span included.
            weights=np.full(len(numbers), 1 / max(1, len(numbers))),
            element="step",
            color=COLOURS.get(name, COLOURS["plain"]),
            alpha=0.3,
            linewidth=1.6,
            label=name,
            ax=ax,
        )
    ax.legend()
    ax.set_ylabel("share of images")
    return ax


def heat_map(
    shares: Sequence[Sequence[float]] | np.ndarray | Tensor,
    rows: Sequence[object],
    columns: Sequence[object],
    *,
    notes: Sequence[Sequence[object]] | np.ndarray | Tensor | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a table of shares from 0 to 1 as a heat map, with `notes` in its cells.

    Cells that are NaN stay empty; up to twenty rows and columns bear their names. Raises
    `ValueError` for a table of another shape than (rows, columns).

    >>> ax = heat_map([[0.9, 0.1]], ["cat"], ["cat", "dog"], notes=[["9 of 10", "1"]])
    >>> ax.texts[0].get_text()
    '9 of 10'
    """
    return draw_shares(shares, rows, columns, notes=notes, ax=ax)


def images(
    pictures: Tensor, *, titles: Sequence[str] | None = None, columns: int = 8, scale: float = 0.6
) -> Figure:
    """Draw pictures (N, channels, height, width) in a grid with titles; return the figure.

    >>> import torch
    >>> figure = images(torch.zeros(2, 1, 8, 8), titles=["a", "b"], columns=2)
    >>> [ax.get_title() for ax in figure.axes]
    ['a', 'b']
    """
    rows = -(-len(pictures) // columns)
    extra = 0.22 if titles else 0.0
    figure, grid = plt.subplots(
        rows, columns, figsize=(columns * scale, rows * (scale + extra)), squeeze=False
    )
    for position, ax in enumerate(grid.flat):
        ax.set_axis_off()
        if position < len(pictures):
            picture = pictures[position].detach().cpu().clamp(0, 1)
            ax.imshow(picture.permute(1, 2, 0).squeeze(-1).numpy(), vmin=0, vmax=1)
            if titles:
                ax.set_title(titles[position], fontsize=9, loc="center", pad=2)
    return figure


def _axes(ax: Axes | None, *, height: float = HEIGHT) -> Axes:
    return ax if ax is not None else plt.subplots(figsize=(WIDTH, height))[1]


def _label(
    ax: Axes, point: tuple[float, float], label: str, shade: str, shift: tuple[float, float]
) -> None:
    ax.annotate(
        label,
        point,
        xytext=shift,
        textcoords="offset points",
        color=shade,
        va="center",
        annotation_clip=False,
    )
