"""What the figures of this room share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def logarithmic_axes(ax: Axes | None, ylabel: str) -> tuple[Axes, Any]:
    """Return axes over learning rates, new ones where none are given, and seaborn's palette."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    if ax is None:
        ax = plt.subplots(figsize=(5.2, 3.3), layout="constrained")[1]
    ax.set(xscale="log", xlabel="learning rate", ylabel=ylabel)
    return ax, sns.color_palette("colorblind")


def mark(ax: Axes, lr: float, name: str) -> None:
    """Draw a vertical line at a rate, with its name along it."""
    ax.axvline(lr, color="black", linewidth=1, linestyle=":")
    ax.annotate(
        f"{name}, {lr:.2g}",
        (lr, 0.98),
        xycoords=ax.get_xaxis_transform(),
        xytext=(-2, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="top",
        fontsize=9,
    )
