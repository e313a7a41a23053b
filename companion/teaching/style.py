"""The look of the book's figures: sizes, letters, and colours with fixed meanings."""

from __future__ import annotations

COLOURS = {
    "seen": "#0072B2",  # blue
    "unseen": "#D55E00",  # vermilion
    "balanced": "#009E73",  # green
    "plain": "#6E6E6E",  # grey: plain training, or the reference
    "other": "#CC79A7",  # purple: a third thing to compare
    "bound": "#000000",  # what a theorem says
}
"""The Okabe-Ito palette (safe for colour-blind readers), each colour with one meaning."""

WIDTH, HEIGHT = 4.8, 3.1  # inches; narrow, so that text stays legible on a phone


def use_style() -> None:
    """Set Matplotlib's defaults to the book's look, and sharp pictures in a notebook.

    Seaborn's theme of that look: white, a light grid, no frame, the palette as the colours of
    what is drawn without one. Mutates `matplotlib.rcParams`.

    >>> import matplotlib as mpl
    >>> with mpl.rc_context():
    ...     use_style()
    ...     mpl.rcParams["axes.spines.top"]
    False
    """
    import seaborn as sns  # brings pandas, which takes a second to import

    letters = dict.fromkeys(
        ["font.size", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"], 10
    )
    sizes = {"major.size": 3.5, "minor.size": 2, "major.width": 0.8, "minor.width": 0.6}
    ticks = {f"{axis}tick.{name}": size for axis in "xy" for name, size in sizes.items()}
    sns.set_theme(
        context="notebook",
        style="ticks",
        palette=[COLOURS[name] for name in ("seen", "unseen", "balanced", "other", "plain")],
        font="DejaVu Sans",  # it comes with Matplotlib, and has the letters of the glyphs
        rc=letters
        | ticks
        | {
            "figure.figsize": (WIDTH, HEIGHT),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.edgecolor": "black",
            "axes.linewidth": 0.8,
            "grid.color": "#E6E6E6",
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.8,
            "legend.frameon": False,
            "image.cmap": "gray",
        },
    )
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        set_matplotlib_formats("retina")
