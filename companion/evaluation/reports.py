"""What a classifier got right, by class and by name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from companion.datasets import LabelledImages
from companion.evaluation.prediction import predict
from companion.labels import ClassName, LabelMap, UnknownLabelError


@dataclass(frozen=True)
class Report:
    """What a classifier got right on one set, in all the ways that the book compares.

    Shares lie in 0 … 1 and are NaN where there is nothing to count. `recall` has the classes
    that occur in the data; `confusion` counts images, (classes of the data, classes of the head);
    `candidates` are the classes among which the argmax was taken.
    """

    accuracy: float
    balanced_accuracy: float
    recall: dict[ClassName, float] = field(repr=False)
    seen_accuracy: float
    unseen_accuracy: float
    harmonic_mean: float
    seen_share: float
    candidates: tuple[ClassName, ...] = field(repr=False)
    confusion: Tensor = field(repr=False)
    predicted: list[ClassName] = field(repr=False)


def evaluate(
    model: nn.Module,
    data: LabelledImages,
    *,
    label_map: LabelMap | None = None,
    candidates: Iterable[ClassName] | None = None,
    seen: Iterable[ClassName] | None = None,
    batch_size: int = 512,
) -> Report:
    """Return the report of a model on a set, comparing classes by name, never by index.

    `label_map` is the map of the model's head (the data's own by default), `candidates` the
    classes the argmax may choose from (all of the head's by default), `seen` the classes that
    count as trained on (the head's by default). An image whose class the head cannot name counts
    as wrong, as it is.

    Raises `ValueError` where the head's width is not that of its map or no class is shared,
    `UnknownLabelError` for candidates that the head lacks and `seen` names that nobody declares.

    >>> from companion import digits, small_cnn
    >>> data = digits()
    >>> report = evaluate(small_cnn(3, seed=0), data, label_map=LabelMap(["0", "1", "2"]))
    >>> round(report.seen_share, 3), report.unseen_accuracy
    (0.299, 0.0)
    """
    logits = predict(model, data, batch_size=batch_size)
    return report(
        logits, data, label_map=label_map or data.label_map, candidates=candidates, seen=seen
    )


def report(
    logits: Tensor,
    data: LabelledImages,
    *,
    label_map: LabelMap,
    candidates: Iterable[ClassName] | None = None,
    seen: Iterable[ClassName] | None = None,
) -> Report:
    """Return the report of logits (N, len(label_map)) that were computed before; see `evaluate`.

    >>> data = LabelledImages(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), ["cat", "dog"])
    >>> logits = torch.tensor([[0.0, 1.0], [2.0, 1.0]])  # of a head whose classes are dog, cat
    >>> report(logits, data, label_map=LabelMap(["dog", "cat"])).accuracy
    1.0
    """
    if logits.shape != (len(data), len(label_map)):
        raise ValueError(
            f"logits must have shape ({len(data)}, {len(label_map)}), images by classes of the "
            f"head's map; received {tuple(logits.shape)}. Pass label_map=, the map of the head."
        )
    seen_names = set(label_map.classes if seen is None else seen)
    unheard = seen_names - set(label_map.classes) - set(data.classes)
    if unheard:
        raise UnknownLabelError(sorted(unheard, key=str), data.classes, "seen")
    if candidates is None:
        candidates = label_map.classes
    allowed = label_map.indices_of(candidates, source="candidates")
    if len(allowed) == 0:
        raise ValueError("the argmax needs a candidate; received none. Pass None for all classes.")
    logits = logits.cpu()
    chosen = allowed[logits[:, allowed].argmax(1)]
    # −1 marks classes that the head cannot name, so that no prediction can equal them.
    truth = label_map.translate(data.labels.cpu(), data.label_map, missing=-1)
    right = (chosen == truth).float()

    own = data.labels.cpu()
    width = len(label_map)
    confusion = torch.bincount(own * width + chosen, minlength=len(data.classes) * width)
    recall = {
        name: right[own == index].mean().item()
        for index, name in enumerate(data.classes)
        if bool((own == index).any())
    }
    is_seen = torch.tensor([name in seen_names for name in data.classes])[own]
    seen_accuracy, unseen_accuracy = _mean(right[is_seen]), _mean(right[~is_seen])
    return Report(
        accuracy=_mean(right),
        balanced_accuracy=sum(recall.values()) / len(recall),
        recall=recall,
        seen_accuracy=seen_accuracy,
        unseen_accuracy=unseen_accuracy,
        harmonic_mean=_harmonic_mean(seen_accuracy, unseen_accuracy),
        seen_share=_mean(is_seen.float()),
        candidates=tuple(label_map.decode(allowed)),
        confusion=confusion.reshape(len(data.classes), width),
        predicted=label_map.decode(chosen),
    )


def _mean(values: Tensor) -> float:
    return values.double().mean().item() if len(values) else math.nan


def _harmonic_mean(first: float, second: float) -> float:
    if math.isnan(first) or math.isnan(second):
        return math.nan
    return 2 * first * second / (first + second) if first + second else 0.0
