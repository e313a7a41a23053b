"""Checks of the curves of a run against the model that came out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from companion.doctor.checkpoint_checks import read_checkpoint_file
from companion.doctor.curves import curve_like, curves_of
from companion.doctor.maps import dataset_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.rows import rows_of
from companion.doctor.words import NotRunError, Result, error, warning

SAME = 1e-6  # of an accuracy, as it is printed and stored


def accuracies(pipeline: Pipeline) -> list[float]:
    """Return the curve of validation accuracy as shares; `NotRunError` for none."""
    curve = curve_like(curves_of(pipeline), "val", "acc")
    if curve is None:
        raise NotRunError("the history has no validation accuracy")
    return [value / 100 for value in curve] if max(curve) > 1.5 else curve


def hits(pipeline: Pipeline) -> tuple[int, int]:
    """Return how many images of validation are right, and of how many; all of them are read."""
    logits, labels = pipeline.judged("validation")
    sample = pipeline.read("validation")
    if not (sample.ended or sample.items == len(sample)) or len(labels) != len(sample):
        raise NotRunError("validation is larger than its sample")
    return int((logits.argmax(1) == labels).sum()), len(labels)


def numbers_in(stored: Any) -> dict[str, float]:
    """Return the numbers that stand beside the weights in a checkpoint, by their names.

    >>> numbers_in({"best_acc": 0.5, "model": {}})
    {'best_acc': 0.5}
    """
    if not isinstance(stored, Mapping):
        return {}
    return {
        str(name): float(value)
        for name, value in stored.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


@check("PRO041", chapter="choosing-flatters", needs=["history"], explains=["PRO032"])
def worst_is_kept(pipeline: Pipeline) -> Result:
    """What was kept is the worst epoch.

    Fault: The best epoch was looked for with `min`, as for a loss, in a curve of accuracies.
    Evidence: Which epoch of the history the checkpoint names by its accuracy, else which one's
    validation accuracy the model has exactly; whether it is the lowest of all, and not the last.
    Consequence: The run's work is thrown away; the file called best holds the least.
    Remedy: Keep the epoch with the highest accuracy: if accuracy > best: best = accuracy; save.
    False alarms: A warning, where the curve has three epochs or more and the best of them is above
    the kept one by more than chance gives: by 0.1, or two standard errors where validation= tells
    how many images there are.

    In code:
        if accuracy <= min(accuracies): torch.save(model.state_dict(), "best.pt")
    """
    curve = accuracies(pipeline)
    if len(curve) < 3:
        raise NotRunError(f"the history has {len(curve)} epochs")
    kept, source = _kept(pipeline, curve)
    least, most = min(curve), max(curve)
    told = f"{source} has the accuracy {kept:.3f} of epochs from {least:.3f} to {most:.3f}"
    apart = 0.1
    if "validation" in pipeline and pipeline.sample("validation").items:
        apart = min(apart, 2 * (0.5 / int(pipeline.sample("validation").items or 1)) ** 0.5)
    lowest = abs(kept - least) < SAME and sum(abs(each - least) < SAME for each in curve) == 1
    if lowest and abs(curve[-1] - least) > SAME and most - least > apart:
        return warning(f"{told}: it is the worst, epoch {curve.index(least)} of {len(curve)}")
    return told


def _kept(pipeline: Pipeline, curve: list[float]) -> tuple[float, str]:
    """Return the accuracy of the epoch that was kept, and what says so."""
    if "checkpoint" in pipeline:
        for name, value in numbers_in(read_checkpoint_file(pipeline["checkpoint"])).items():
            share = value / 100 if value > 1.5 else value
            named = any(word in name.casefold() for word in ("acc", "score", "metric", "best"))
            if named and any(abs(share - each) < SAME for each in curve):
                return share, f"{name!r} of the checkpoint"
    if "validation" not in pipeline or "model" not in pipeline:
        raise NotRunError("neither checkpoint= nor validation= says which epoch was kept")
    right, count = hits(pipeline)
    own = right / count
    if not any(abs(own - each) < SAME for each in curve):
        raise NotRunError("the model has the accuracy of no epoch of the history")
    return own, "the model"


@check("PRO042", chapter="batch-means", needs=["model", "history", "train", "validation"])
def divided_by_another_length(pipeline: Pipeline) -> Result:
    """The history's accuracy was divided by the length of another set.

    Fault: Right answers are divided by the length of the whole data set, or of training, where
    a subset was judged.
    Evidence: The validation accuracy of the model, counted here, against the last of the history:
    the same number of right answers divided by another length at hand; and whether each value of
    the curve is a whole number of right answers out of that length, no more than there are images.
    Consequence: The curve is too low, or too high, by a fixed share, and compared with others.
    Remedy: Divide by what was judged: right / seen, both counted in the same loop.
    False alarms: None is known: three facts have to agree exactly.

    In code:
        right / len(data)  # of which validation is a fifth
    """
    curve = accuracies(pipeline)
    right, count = hits(pipeline)
    told = (
        f"the model has {right} of {count} right, {right / count:.3f}; the history {curve[-1]:.3f}"
    )
    if right == 0 or abs(curve[-1] - right / count) < SAME:
        return told
    for name, length in _lengths(pipeline).items():
        whole = [value * length for value in curve]
        fits = all(abs(each - round(each)) < 1e-3 and round(each) <= count for each in whole)
        if length != count and fits and abs(curve[-1] - right / length) < SAME:
            return error(f"{told}, which is {right} of {length}, the length of {name}")
    return told


def _lengths(pipeline: Pipeline) -> dict[str, int]:
    """Return the lengths that a loop may divide by, by what they are of."""
    found: dict[str, int] = {}
    for part in pipeline.parts:
        for name, data in (
            (f"the data set of {part}", dataset_of(pipeline.given[part])),
            (f"the whole that {part} is taken from", rows_of(pipeline.given[part])[0]),
        ):
            try:
                found[name] = len(data)
            except TypeError:
                continue
    return found
