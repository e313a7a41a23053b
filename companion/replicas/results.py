"""What training many networks at once leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from companion.datasets import LabelledImages
from companion.inputs import IGNORE_INDEX, arrays_equal, moved
from companion.labels import LabelMap
from companion.replicas.stacks import Stack
from companion.training import NonFiniteLossError


@dataclass(frozen=True, eq=False)
class Replicas:
    """Trained networks by learning rate and seed, and how their training went.

    Tables are float64 on the CPU, (rates, seeds, epochs), with the meaning that `Epoch` gives
    them; they are NaN from where a network diverged. `diverged_at` (rates, seeds) is the step,
    from 0, whose loss was the first not to be finite, and −1 for the others; a network whose
    last step ruined it has the number of steps there.
    """

    lrs: tuple[float, ...]
    seeds: tuple[int, ...]
    train_loss: Tensor = field(repr=False)
    train_accuracy: Tensor = field(repr=False)
    validation_accuracy: Tensor | None = field(repr=False)
    diverged_at: Tensor = field(repr=False)
    stack: Stack = field(repr=False)
    label_map: LabelMap = field(repr=False)

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same tables and networks, to the last bit."""
        return isinstance(other, Replicas) and arrays_equal(self._contents(), other._contents())

    def _contents(self) -> dict[str, Any]:
        return {**vars(self), "stack": {k: v.cpu() for k, v in self.stack.tensors().items()}}

    @property
    def diverged(self) -> Tensor:
        """Whether each network diverged, (rates, seeds)."""
        return self.diverged_at >= 0

    def model(self, lr: float, seed: int) -> nn.Module:
        """Return one of the networks, on its device, in evaluation mode.

        Raises `ValueError` for a rate or a seed that was not trained, `NonFiniteLossError` for a
        network that diverged.
        """
        if lr not in self.lrs or seed not in self.seeds:
            raise ValueError(
                f"a replica has one of the rates {list(self.lrs)} and one of the seeds "
                f"{list(self.seeds)}; received {lr} and {seed}."
            )
        rate, column = self.lrs.index(lr), self.seeds.index(seed)
        if self.diverged[rate, column]:
            raise NonFiniteLossError(
                f"the network of seed {seed} diverged at learning rate {lr:.3g}, step "
                f"{int(self.diverged_at[rate, column])}, and has no weights. Lower lr."
            )
        return self.stack.network(rate * len(self.seeds) + column).eval()

    def logits(self, images: Tensor, *, batch_size: int = 512) -> Tensor:
        """Return logits (rates, seeds, N, classes) on the CPU; NaN where a network diverged."""
        self.stack.template.eval()
        where = self.stack.weights.device
        with torch.no_grad():
            parts = [
                self.stack.forward(moved(batch, where, self.stack.dtype), shared=True).cpu()
                for batch in images.split(batch_size)
            ]
        logits = torch.cat(parts, 1).unflatten(0, self.diverged.shape)
        return logits.masked_fill(self.diverged[..., None, None], torch.nan)

    def accuracy(self, data: LabelledImages) -> Tensor:
        """Return the accuracy of each network, (rates, seeds) float64; NaN where it diverged.

        Raises `ValueError` for data with another label map than the training data.
        """
        if data.label_map != self.label_map:
            raise ValueError(
                "the data must have the label map of the training data, or indices mean different "
                f"classes; received {data.label_map}, trained on {self.label_map}."
            )
        found = accuracies(self.stack, data.to(self.stack.weights.device))
        return found.cpu().view(self.diverged.shape).where(~self.diverged, torch.nan)


def accuracies(stack: Stack, data: LabelledImages, batch_size: int = 512) -> Tensor:
    """Return the accuracy of each network in evaluation mode, (R,) on their device."""
    stack.template.eval()
    right = torch.zeros(len(stack), device=data.device)
    with torch.no_grad():
        for rows in torch.arange(len(data), device=data.device).split(batch_size):
            images, labels = data.batch(rows)
            logits = stack.forward(moved(images, data.device, stack.dtype), shared=True)
            right += (logits.argmax(-1) == labels).sum(1)
    return right.double() / (data.labels != IGNORE_INDEX).sum()
