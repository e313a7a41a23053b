"""What the steps of an epoch leave behind, and the averages that come of it."""

from __future__ import annotations

import torch
from torch import Tensor

from companion.inputs import IGNORE_INDEX
from companion.training.errors import NonFiniteLossError

WAITING = 2**18
"""How many logits may wait to be looked at: a megabyte."""


class Tally:
    """Losses, answers and labels of an epoch's batches, and the rates of its steps.

    They are read once, at the end: a number read back at every step would make a GPU wait.

    >>> tally = Tally()
    >>> tally.add(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([1, 0]), torch.tensor(0.5))
    >>> tally.rates.append(0.1)
    >>> tally.averages(0)
    (0.5, 0.5, 0.1)
    """

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.answers: list[Tensor] = []
        self.truths: list[Tensor] = []
        self.rates: list[float] = []
        self._logits: list[Tensor] = []
        self._waiting = 0

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Note a batch."""
        if self._logits and logits.shape[1] != self._logits[0].shape[1]:
            self._answer()
        self.losses.append(loss.detach())
        self.truths.append(labels)
        self._logits.append(logits.detach())
        self._waiting += logits.numel()
        # Between two steps an argmax takes a CPU several times as long as one of many rows.
        if self._waiting > WAITING or logits.device.type != "cpu":
            self._answer()

    def _answer(self) -> None:
        if self._logits:
            together = torch.cat(self._logits) if len(self._logits) > 1 else self._logits[0]
            self.answers.append(answers_in(together))
        self._logits.clear()
        self._waiting = 0

    def averages(self, epoch: int, *, accumulate: int = 1) -> tuple[float, float, float]:
        """Return loss and accuracy, each labelled image weighted alike, and the last rate.

        Raises `NonFiniteLossError`, and `ValueError` for an epoch without a labelled image.
        """
        if not self.losses:
            raise ValueError(
                f"training data must yield a batch in each epoch; received none in epoch "
                f"{epoch + 1}. Look at the length of the loader or sampler; an iterator ends "
                "after one epoch."
            )
        values = torch.stack(self.losses).double().cpu()
        labels = torch.cat(self.truths).cpu()
        counted = labels != IGNORE_INDEX
        sizes = torch.tensor([each.shape[0] for each in self.truths])
        if not bool(counted.all()):
            sizes = torch.stack([part.sum() for part in counted.split(sizes.tolist())])
        broken = ~torch.isfinite(values) & ((sizes > 0) | (accumulate == 1))
        if bool(broken.any()):
            step = int(broken.nonzero()[0])
            rate = self.rates[min(step // accumulate, len(self.rates) - 1)]
            raise NonFiniteLossError(
                f"the loss must stay finite; it became {values[step].item()} in epoch {epoch + 1}, "
                f"step {step + 1}, at learning rate {rate:.3g}. Lower lr, or look for NaN in "
                f"images and for batches with no label but {IGNORE_INDEX}, which means none."
            )
        total = int(sizes.sum())
        if not total:
            raise ValueError(
                f"training data must yield a labelled image in each epoch; all labels of epoch "
                f"{epoch + 1} are {IGNORE_INDEX}, which means none. Look at how they were encoded."
            )
        self._answer()
        right = int((torch.cat(self.answers).cpu() == labels).sum())
        loss = (values.where(sizes > 0, 0.0) * sizes).sum().item() / total
        return loss, right / total, self.rates[-1]


def answers_in(logits: Tensor) -> Tensor:
    """Return the class of the highest logit in each row, the first of several.

    >>> answers_in(torch.tensor([[0.0, 2.0, 2.0]]))
    tensor([1])
    """
    if logits.device.type == "cpu" and logits.dtype in (torch.float32, torch.float64):
        # NumPy finds the same three to ten times as fast, and a small network would notice.
        return torch.from_numpy(logits.numpy(force=True).argmax(1))
    return logits.argmax(1)
