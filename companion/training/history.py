"""What a training run leaves behind: its curves and the epoch it kept."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Epoch:
    """One epoch: averages over its images, and the learning rate of its last step.

    Training figures are taken as the weights change, on augmented images where there are any;
    validation figures after the epoch, and None where there is no validation set.
    """

    train_loss: float
    train_accuracy: float
    lr: float
    validation_loss: float | None
    validation_accuracy: float | None


@dataclass
class History:
    """The epochs of one run and the position of the one whose weights the model now has.

    >>> History([Epoch(1.2, 0.5, 0.1, None, None)], best=0).curve("train_loss")
    [1.2]
    """

    epochs: list[Epoch] = field(default_factory=list)
    best: int = 0
    stopped_early: bool = False

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def best_epoch(self) -> Epoch:
        """The epoch that was restored: best validation accuracy, the last without validation."""
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
