"""Tables of shares as heat maps: the confusion of a report, and whatever has rows like it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from companion.inputs import ClassName

if TYPE_CHECKING:  # Matplotlib takes a second to import, and few tables are drawn
    from matplotlib.axes import Axes

MOST_NAMES, MOST_NOTES = 20, 12  # rows or columns; more could not be read
WIDEST = 4.8  # inches, as the book's other figures


def draw_confusion(
    confusion: Tensor,
    classes: Sequence[ClassName],
    head_classes: Sequence[ClassName],
    ax: Axes | None = None,
) -> Axes:
    """Draw counts (classes, classes of the head) as shares of their rows; return the axes.

    >>> import torch
    >>> draw_confusion(torch.eye(2).long(), ["cat", "dog"], ["cat", "dog"]).get_ylabel()
    'true class'
    """
    counts = confusion.cpu().numpy()
    total = counts.sum(1, keepdims=True)
    # Of a class without images there are no shares: its row stays empty.
    shares = np.where(total, counts / np.maximum(total, 1), np.nan)
    few = max(counts.shape) <= MOST_NOTES
    ax = draw_shares(shares, classes, head_classes, notes=counts if few else None, ax=ax)
    ax.set(xlabel="predicted class", ylabel="true class")
    return ax


def draw_shares(
    shares: Any,
    rows: Sequence[object],
    columns: Sequence[object],
    *,
    notes: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a table of shares (rows, columns) as a heat map from 0 to 1; return the axes.

    Names stand beside up to twenty rows and columns, `notes` (a table of text or whole numbers)
    in the cells. Cells that are NaN stay empty. Nothing is shown.

    Raises `ValueError` for a table of another shape than (rows, columns).

    >>> ax = draw_shares([[0.9, 0.1]], ["cat"], ["cat", "dog"])
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['cat', 'dog']
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    table = np.asarray(shares, dtype=float)
    if table.shape != (len(rows), len(columns)):
        raise ValueError(
            f"shares must be ({len(rows)}, {len(columns)}), rows by columns; received "
            f"{table.shape}. Transpose them, or name every row and column."
        )
    if ax is None:
        ax = plt.subplots(figsize=_size(table.shape))[1]
    most = max(table.shape)
    ax = sns.heatmap(
        table,
        vmin=0,
        vmax=1,
        cmap="Blues",
        annot=None if notes is None else np.asarray(notes),
        fmt="",
        annot_kws={"size": 10 if most <= 8 else 8.5},
        linewidths=0.5 if most <= MOST_NAMES else 0,
        square=table.shape[0] == table.shape[1],
        xticklabels=_names(columns),
        yticklabels=_names(rows),
        cbar_kws={"label": "share of the row"},
        ax=ax,
    )
    ax.grid(visible=False)
    ax.tick_params(length=0, labelsize=10 if most <= MOST_NOTES else 8)
    # Names that stand side by side collide sooner than those above each other.
    crowded = sum(len(str(name)) + 1 for name in columns) > MOST_NOTES * 2
    ax.tick_params(axis="x", rotation=90 if crowded else 0)
    ax.tick_params(axis="y", rotation=0)
    return ax


def _size(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return inches that give each cell room for its count, and no more than a page has."""
    height = min(1.2 + 0.32 * shape[0], WIDEST - 0.6)
    return WIDEST, max(height, 1.8)


def _names(names: Sequence[object]) -> list[str] | bool:
    return [str(name) for name in names] if len(names) <= MOST_NAMES else False
