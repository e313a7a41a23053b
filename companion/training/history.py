"""What a training run leaves behind: its curves and the epoch it kept."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """One epoch: averages over its images, and the learning rate of its last step.

    Training figures are taken as the weights change, on augmented images where there are any;
    validation figures after the epoch, and None where there is no validation set. `monitored` is
    the number that decides which epoch is best.
    """

    train_loss: float
    train_accuracy: float
    lr: float
    validation_loss: float | None
    validation_accuracy: float | None
    monitored: float | None = None


@dataclass
class History:
    """The epochs of one run and the position of the one whose weights the model now has.

    >>> History([Epoch(1.2, 0.5, 0.1, None, None)], best=0).curve("train_loss")
    [1.2]
    """

    epochs: list[Epoch] = field(default_factory=list)
    best: int = 0
    stopped_early: bool = False
    monitor: str = "accuracy"

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def best_epoch(self) -> Epoch:
        """The epoch that was restored: best by `monitor`, the last without validation."""
        return self.epochs[self.best]

    def curve(self, name: str) -> list[float]:
        """Return one figure for every epoch, by its name in `Epoch`.

        Raises `ValueError` for a name that `Epoch` does not have, and for validation figures of
        a run without validation.
        """
        known = [item.name for item in fields(Epoch)]
        if name not in known:
            raise ValueError(f"a curve is one of {', '.join(known)}; received {name!r}.")
        values = [getattr(epoch, name) for epoch in self.epochs]
        if any(value is None for value in values):
            raise ValueError(f"{name} was not recorded; pass validation= to fit.")
        return values

    def plot(self, figure: str = "accuracy", *, ax: Any = None) -> Any:
        """Draw training and validation by epoch, mark the epoch that was kept, return the axes.

        `figure` is "accuracy" or "loss"; `ax` are Matplotlib axes, new ones by default. Raises
        `ValueError` for another figure and for a history without an epoch.

        >>> history = History([Epoch(1.2, 0.5, 0.1, 1.3, 0.4), Epoch(0.9, 0.7, 0.1, 1.0, 0.6)], 1)
        >>> [line.get_label() for line in history.plot().get_lines()]
        ['training', 'validation', 'kept: epoch 2']
        """
        import matplotlib.pyplot as plt  # only who draws needs it
        import seaborn as sns
        from matplotlib.ticker import MaxNLocator

        if figure not in ("accuracy", "loss") or not self.epochs:
            received = repr(figure) if self.epochs else "a history without an epoch"
            raise ValueError(f"plot draws 'accuracy' or 'loss' of a run; received {received}.")
        axes = plt.subplots(figsize=(4.8, 3.1))[1] if ax is None else ax
        numbers = list(range(1, len(self.epochs) + 1))
        curves = {"training": (f"train_{figure}", "#6E6E6E")}
        if self.epochs[0].validation_loss is not None:
            curves["validation"] = (f"validation_{figure}", "#0072B2")
        for label, (name, colour) in curves.items():
            sns.lineplot(
                x=numbers, y=self.curve(name), label=label, color=colour, marker="o", ax=axes
            )
        kept = f"kept: epoch {self.best + 1}"
        axes.axvline(self.best + 1, color="black", linewidth=1, linestyle=":", label=kept)
        axes.set_xlabel("epoch")
        axes.set_ylabel(figure)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
        return axes
