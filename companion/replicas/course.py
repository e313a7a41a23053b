"""How far the networks of a stack have come: curves, best epochs, and which ones diverged."""

from __future__ import annotations

import torch
from torch import Tensor

from companion.datasets import LabelledImages
from companion.labels import LabelMap
from companion.replicas.results import Replicas, accuracies
from companion.replicas.stacks import Stack


class Course:
    """The bookkeeping of one call of `fit_replicas`; it follows the rules of `fit`."""

    def __init__(self, stack: Stack, validation: LabelledImages | None) -> None:
        self.stack, self.validation = stack, validation
        self.ends = [0]  # the number of steps before each epoch, and so far
        self.diverged_at = torch.full((len(stack),), -1, device=stack.weights.device)
        self.losses: list[Tensor] = []
        self.accuracies: list[Tensor] = []
        self.scores: list[Tensor] = []
        self.best = stack.snapshot()
        self.highest = torch.full((len(stack),), -1.0, device=stack.weights.device)

    @property
    def steps(self) -> int:
        """The number of steps so far."""
        return self.ends[-1]

    def end_epoch(self, losses: Tensor, sizes: Tensor, right: Tensor) -> None:
        """Note an epoch's losses and labelled images (R, steps) and its right answers (R,).

        Averages weigh each labelled image alike. The networks that improved keep their weights.
        """
        broken = ~torch.isfinite(losses)
        newly = broken.any(1) & (self.diverged_at < 0)
        self.diverged_at[newly] = self.steps + broken.int().argmax(1)[newly]
        self.ends.append(self.steps + losses.shape[1])
        self.losses.append((losses.double() * sizes).sum(1) / sizes.sum(1))
        self.accuracies.append(right.double() / sizes.sum(1))
        if self.validation is not None:
            self.scores.append(accuracies(self.stack, self.validation))
            improved = self.scores[-1] > self.highest
            self.highest = self.highest.where(~improved, self.scores[-1])
            for kept, new in zip(self.best, self.stack.snapshot(), strict=True):
                kept[improved] = new[improved]

    def finish(
        self, lrs: tuple[float, ...], seeds: tuple[int, ...], label_map: LabelMap
    ) -> Replicas:
        """Put the best epochs back and return the results."""
        if self.validation is not None:
            self.stack.restore(self.best)
        ruined = ~self.stack.finite() & (self.diverged_at < 0)  # by a step that no loss follows
        diverged_at = torch.where(ruined, self.steps, self.diverged_at)
        self.stack.weights[diverged_at >= 0] = torch.nan
        grid = (len(lrs), len(seeds))
        ends = torch.tensor(self.ends[1:], device=diverged_at.device)
        gone = (diverged_at[:, None] >= 0) & (diverged_at[:, None] < ends)

        def table(epochs: list[Tensor]) -> Tensor:
            values = torch.stack(epochs, 1).double()
            return values.masked_fill(gone, torch.nan).cpu().unflatten(0, grid)

        return Replicas(
            lrs,
            seeds,
            table(self.losses),
            table(self.accuracies),
            table(self.scores) if self.scores else None,
            diverged_at.cpu().view(grid),
            self.stack,
            label_map,
        )
