"""The curves that a range test leaves behind, how to read them, and what is odd about them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from companion.findings import Finding
from companion.inputs import arrays_equal
from companion.learning_rate.figures import logarithmic_axes, mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_FALL = 0.02  # of the first loss: less is noise
RULES = ("steepest", "tenth")


@dataclass(frozen=True, eq=False)
class RangeTest:
    """The loss while the learning rate rose, over several orders of the data.

    `losses` and `smoothed` are (seeds, steps) float64, NaN after a run was stopped because its
    loss had grown far beyond what it was at first. `lrs` (steps,) are the highest group's rates.
    Two are equal that hold the same numbers.
    """

    lrs: Tensor = field(repr=False)
    losses: Tensor = field(repr=False)
    smoothed: Tensor = field(repr=False)
    seeds: tuple[int, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeTest) and arrays_equal(vars(self), vars(other))

    def suggestions(self, rule: str = "steepest") -> list[float]:
        """Return the rate that each run suggests, NaN for a run whose loss never fell.

        "steepest" is where the smoothed loss falls fastest along the logarithm of the rate,
        "tenth" a tenth of the rate at which it is lowest. Both are rules of thumb of fastai's
        documentation, not of Smith's paper. Raises `ValueError` for another rule.
        """
        if rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}; received {rule!r}.")
        return [
            self._read(run, rule) if fell else math.nan
            for run, fell in zip(self._curves(), self._fell(), strict=True)
        ]

    def suggestion(self, rule: str = "steepest") -> float:
        """Return the geometric mean of the suggestions of the runs whose loss fell.

        Raises `ValueError` where none did: a flat curve suggests nothing. The curves stay.
        """
        found = [rate for rate in self.suggestions(rule) if not math.isnan(rate)]
        if not found:
            (flat,) = self.findings
            raise ValueError(f"{flat.seen}. {flat.remedy}")
        return math.exp(float(np.mean(np.log(found))))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is odd about the curves; nothing for runs whose loss falls, and then rises.

        OPT201, the loss never fell; OPT202, it did not in some of the runs; OPT203, it was lowest
        at the highest rate; OPT204, it fell fastest at the lowest.
        """
        curves, fell = self._curves(), self._fell()
        if not any(fell):
            return (self._flat(),)
        found = []
        if not all(fell):
            found.append(
                Finding(
                    "OPT202",
                    "warning",
                    f"the loss never fell in {fell.count(False)} of {len(fell)} runs",
                    why="A suggestion is read from the others alone.",
                    remedy="Take more steps, larger batches or more smoothing.",
                )
            )
        read = [curve for curve, each in zip(curves, fell, strict=True) if each]
        if all(len(c) == len(self.lrs) and int(c.argmin()) == len(c) - 1 for c in read):
            found.append(
                Finding(
                    "OPT203",
                    "warning",
                    f"the loss was lowest at the highest rate, {float(self.lrs[-1]):.3g}",
                    why="Where steps become too long was not reached, so both rules read too low.",
                    remedy="Raise high.",
                )
            )
        if all(self._read(curve, "steepest") == float(self.lrs[0]) for curve in read):
            found.append(
                Finding(
                    "OPT204",
                    "warning",
                    f"the loss fell fastest at the lowest rate, {float(self.lrs[0]):.3g}",
                    why="The range begins where training already goes fast, or not at all.",
                    remedy="Lower low.",
                )
            )
        return tuple(found)

    def plot(self, ax: Axes | None = None, *, rule: str = "steepest") -> Axes:
        """Draw the loss of each run thin, their smoothed mean bold, and mark what `rule` suggests.

        Draws on `ax`, on a new figure's axes where none is given, and returns the axes.

        >>> from companion import digits, mlp, range_test
        >>> found = range_test(mlp(10, inputs=64, seed=0), digits(), steps=20, seeds=range(2))
        >>> found.plot().get_xlabel()
        'learning rate'
        """
        import seaborn as sns

        ax, colours = logarithmic_axes(ax, "training loss")
        rates = self.lrs.numpy()
        for run in self.losses.numpy():
            sns.lineplot(x=rates, y=run, color=colours[7], linewidth=0.8, alpha=0.7, ax=ax)
        mean = self.smoothed.mean(0).numpy()  # as far as every run went
        sns.lineplot(x=rates, y=mean, color=colours[0], linewidth=2, ax=ax)
        early = self.losses[:, : max(1, len(rates) // 10)]
        # An explosion would leave nothing to be seen of the valley before it.
        ax.set_ylim(top=1.5 * max(float(early.nan_to_num(0).max()), 1e-3))
        if any(self._fell()):
            mark(ax, self.suggestion(rule), rule)
        return ax

    def _read(self, curve: Any, rule: str) -> float:
        lowest = int(curve.argmin())
        if rule == "tenth":
            return float(self.lrs[lowest]) / 10
        # Up to the lowest point: beyond it, a noisy climb may have a steep fall in it.
        slope = np.gradient(curve, self.lrs[: len(curve)].log().numpy())
        return float(self.lrs[int(slope[: lowest + 1].argmin())])

    def _curves(self) -> list[Any]:
        return [run[~run.isnan()].numpy() for run in self.smoothed]

    def _fell(self) -> list[bool]:
        """Return for each run whether its loss fell by more than noise."""
        return [
            len(curve) > 1 and float(curve[0] - curve.min()) > LEAST_FALL * abs(float(curve[0]))
            for curve in self._curves()
        ]

    def _flat(self) -> Finding:
        falls = [(float(c[0]), float(c.min())) for c in self._curves()]
        first, lowest = max(falls, key=lambda fall: fall[0] - fall[1])
        return Finding(
            "OPT201",
            "error",
            "the loss must fall somewhere between the rates "
            f"{float(self.lrs[0]):g} and {float(self.lrs[-1]):g}; it went from {first:.3f} to "
            f"{lowest:.3f} at best",
            why="Nothing was learnt at any rate, so no rate can be suggested.",
            remedy="Widen the range, or look for a frozen part, a detached loss or labels that say "
            "nothing.",
        )
