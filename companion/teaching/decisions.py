"""A decision list as a figure: questions one below the other, and where each yes leads."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from companion.teaching.style import COLOURS, WIDTH

ROW, ASKED, FOUND = 0.43, 37, 15  # inches a question; letters in a line of each column


def decisions(
    steps: Sequence[tuple[str, str]], *, end: str, groups: Sequence[tuple[int, str]] = ()
) -> Axes:
    r"""Draw questions from top to bottom, each with the name that a yes leads to; return the axes.

    A no leads on to the next question, and the last no to `end`. `groups` are headings, each with
    the position of the question above which it stands. Raises `ValueError` without a question.

    >>> ax = decisions([("Is it raining?", "take an umbrella")], end="go out")
    >>> [text.get_text() for text in ax.texts if text.get_text()]
    ['Is it raining?', 'yes', 'take an\numbrella', 'go out']
    """
    if not steps:
        raise ValueError("a decision list needs at least one question; received none.")
    headings = dict(groups)
    places, height = [], 0.0
    for position in range(len(steps)):
        height += 0.55 if position in headings else 0.0
        places.append(height)
        height += 1.0
    _, ax = plt.subplots(figsize=(WIDTH, ROW * (height + 0.9)))
    ax.set(xlim=(0, 1), ylim=(height + 0.4, -0.5))
    ax.set_axis_off()
    ax.plot([0.03, 0.03], [places[0], height - 0.1], color=COLOURS["plain"], linewidth=1.2)
    for position, ((question, found), place) in enumerate(zip(steps, places, strict=True)):
        if position in headings:
            ax.text(0.06, place - 0.72, headings[position], fontsize=9.5, fontweight="bold")
        ax.plot(0.03, place, "o", color=COLOURS["plain"], markersize=5)
        ax.text(0.06, place, textwrap.fill(question, ASKED), fontsize=8.5, va="center")
        ax.text(0.675, place - 0.08, "yes", fontsize=7.5, ha="center", color=COLOURS["plain"])
        ax.annotate(
            "",
            (0.715, place),
            (0.635, place),
            arrowprops={"arrowstyle": "->", "color": COLOURS["plain"]},
        )
        leaf = textwrap.fill(found, FOUND)
        ax.text(0.73, place, leaf, fontsize=8.5, va="center", color=COLOURS["unseen"])
    ax.annotate(
        "",
        (0.03, height + 0.05),
        (0.03, height - 0.15),
        arrowprops={"arrowstyle": "->", "color": COLOURS["plain"]},
    )
    ax.text(0.03, height + 0.2, end, fontsize=8.5, va="center", color=COLOURS["balanced"])
    return ax
