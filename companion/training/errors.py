"""What a run says when it ends in an error."""

from __future__ import annotations

from collections.abc import Iterable

from companion.inputs import brief
from companion.training.history import History


class NonFiniteLossError(ArithmeticError):
    """A loss that became NaN or infinite: when, and at which learning rate."""


def tell(error: BaseException, history: History, *, kept: bool) -> None:
    """Say on an error what the model has now, and give it the history up to there.

    >>> error = NonFiniteLossError("the loss became nan.")
    >>> tell(error, History(), kept=False)
    >>> print(error)
    the loss became nan. The weights are as before the call.
    """
    state = "The weights are as before the call."
    if kept:
        state = (
            f"The model has the weights of epoch {history.best + 1}, the best of the "
            f"{len(history)} that were complete; the error's history has their figures."
        )
    error.history = history  # type: ignore[attr-defined]
    if isinstance(error, NonFiniteLossError) and error.args:
        error.args = (f"{error.args[0]} {state}", *error.args[1:])
    else:
        error.add_note(state)


def ruined(names: Iterable[str], epoch: int) -> NonFiniteLossError:
    """Return the error for weights that the last step of an epoch left without a finite value.

    >>> print(ruined(["weight"], 3))
    weights must stay finite; after the last step of epoch 3 weight are not. Lower lr.
    """
    return NonFiniteLossError(
        f"weights must stay finite; after the last step of epoch {epoch} "
        f"{brief(sorted(names), quote=False)} are not. Lower lr."
    )


def nan_on_validation() -> NonFiniteLossError:
    """Return the error for logits that are NaN though all weights are finite."""
    return NonFiniteLossError(
        "the logits on validation must be finite, and some are NaN while all weights are finite. "
        "Look for NaN in the validation images."
    )
