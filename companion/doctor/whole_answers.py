"""Losses that read the whole answer of a model, a dictionary or a tuple with the logits in it."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor

from companion.doctor.taking import tensor_in


class WholeAnswer:
    """A loss of whole answers that is called with logits: they stand in the answer's place.

    >>> import torch
    >>> inner = lambda answer, labels: (answer["logits"][:, 0] - labels).abs().mean()
    >>> WholeAnswer(inner, {"logits": torch.zeros(2, 1)})(torch.ones(2, 1), torch.zeros(2))
    tensor(1.)
    """

    def __init__(self, loss: Any, answer: Any) -> None:
        self.loss, self.answer = loss, answer

    def __call__(self, outputs: Any, labels: Any) -> Any:
        """Return the loss of logits, or of an answer that is whole already."""
        whole = replaced(self.answer, outputs) if isinstance(outputs, Tensor) else outputs
        return self.loss(whole, labels)


def replaced(answer: Any, outputs: Tensor) -> Any:
    """Return an answer with other logits in it; what else it holds stays.

    >>> import torch
    >>> replaced((torch.zeros(2, 3), "more"), torch.ones(2, 3))[0].sum()
    tensor(6.)
    """
    found = tensor_in(answer)
    if isinstance(answer, tuple | list):
        rows = [outputs if each is found else each for each in answer]
        return type(answer)(*rows) if hasattr(answer, "_fields") else type(answer)(rows)
    made = copy.copy(answer)
    if isinstance(answer, dict):
        for name, value in answer.items():
            if value is found:
                made[name] = outputs
        return made
    for name, value in vars(answer).items():
        if value is found:
            setattr(made, name, outputs)
    return made
