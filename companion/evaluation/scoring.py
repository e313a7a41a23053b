"""From a model or its logits to a report: classes are compared by name, never by index."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from companion.evaluation.naming import label_map_of, named
from companion.evaluation.prediction import Data, predict
from companion.evaluation.reports import Report, harmonic_mean, mean
from companion.inputs import (
    IGNORE_INDEX,
    ClassName,
    HeldSet,
    Selector,
    checked_logits,
    integer_labels,
    is_held,
    listed_names,
)
from companion.labels import LabelMap, UnknownLabelError


def evaluate(
    model: nn.Module,
    data: Data,
    *,
    label_map: LabelMap | None = None,
    classes: Iterable[ClassName] | LabelMap | None = None,
    candidates: Iterable[ClassName] | None = None,
    seen: Iterable[ClassName] | None = None,
    batch_size: int = 512,
    inputs: Selector = None,
    labels: Selector = None,
) -> Report:
    """Return the report of a model on a set, comparing classes by name, never by index.

    `data` is whatever `predict` takes that has labels; a loader may shuffle, as labels are read
    in the same pass. `label_map` is the map of the model's head, `classes` names the indices of
    the data's labels, `candidates` are the classes the argmax may choose from (all of the head's
    by default), `seen` those that count as trained on (the head's by default).

    Left out, `classes` are those of the data: the map of a `LabelledImages`, or `class_to_idx`
    and `classes` of a loader's data set, such as an ImageFolder. Data without names have those of
    `label_map`, or are called by their indices 0, 1, … where that is left out too; otherwise a
    head without a map has the data's. An image whose class the head cannot name counts as wrong,
    as it is; one without a label (−100) does not count.

    Raises `ValueError` where the head's width is not that of its map, for NaN in the logits, for
    labels beyond the classes and where no class is shared, `UnknownLabelError` for candidates
    that the head lacks and `seen` names that nobody declares, and the errors of `predict`.

    >>> from companion.datasets import digits
    >>> from companion.networks import small_cnn
    >>> data = digits()
    >>> found = evaluate(small_cnn(3, seed=0), data, label_map=LabelMap(["0", "1", "2"]))
    >>> round(found.seen_share, 3), found.unseen_accuracy
    (0.299, 0.0)
    """
    # A function of the batch may number the classes in its own way.
    names = None if classes is None and callable(labels) else _names_of(data, classes)
    chosen = None if candidates is None else listed_names(candidates, what="candidates")
    trained = None if seen is None else listed_names(seen, what="seen")
    logits, truth = predict(
        model, data, batch_size=batch_size, inputs=inputs, labels=labels, with_labels=True
    )
    return report(
        logits, truth, classes=names, label_map=label_map, candidates=chosen, seen=trained
    )


def report(
    logits: Tensor | np.ndarray,
    labels_or_data: HeldSet | Tensor | np.ndarray | Iterable[int],
    *,
    classes: Iterable[ClassName] | LabelMap | None = None,
    label_map: LabelMap | None = None,
    candidates: Iterable[ClassName] | None = None,
    seen: Iterable[ClassName] | None = None,
) -> Report:
    """Return the report of logits (N, classes of the head) that were computed before.

    Labels are whole numbers (N,), whose names are `classes`, or a `LabelledImages` that has its
    own; the rest is as in `evaluate`. Logits may be −inf, where a class was ruled out.

    Raises the errors of `evaluate`, `ValueError` for another number of rows.

    >>> logits = torch.tensor([[0.0, 1.0], [2.0, 1.0]])  # of a head whose classes are dog, cat
    >>> head = LabelMap(["dog", "cat"])
    >>> report(logits, [0, 1], classes=["cat", "dog"], label_map=head).accuracy
    1.0
    """
    names = _names_of(labels_or_data, classes)
    truth = _labels_in(labels_or_data)
    own, head = _maps(names, label_map, logits)
    values = checked_logits(logits, rows=len(truth), width=len(head), masked=True).cpu()
    own_index = truth.cpu()
    labelled = own_index != IGNORE_INDEX
    if own.ignore is not None:
        labelled &= own_index != own.ignore_index
    _check_labels(own_index[labelled], own, guessed=names is None)
    known = _seen_names(seen, own, head)
    allowed = _allowed(candidates, head)
    answers = _best(values, allowed)
    return _counted(answers, own_index, labelled, own, head, known, allowed)


def _labels_in(given: Any) -> Tensor:
    if is_held(given):
        return given.labels
    if isinstance(given, DataLoader):
        raise TypeError(
            "a report is made of labels, in the order of the logits; received a DataLoader. Call "
            "evaluate(model, loader), or take both from predict(model, loader, with_labels=True)."
        )
    return integer_labels(given)


def _names_of(data: Any, classes: Iterable[ClassName] | LabelMap | None) -> LabelMap | None:
    if classes is None:
        return label_map_of(data)
    if isinstance(getattr(data, "label_map", None), LabelMap):
        raise TypeError(
            "classes= names the indices of labels that have no names; received it with "
            f"{type(data).__name__}, which has its own. Leave it out, or pass the labels alone."
        )
    return named(classes)


def _maps(names: LabelMap | None, head: LabelMap | None, logits: Any) -> tuple[LabelMap, LabelMap]:
    """Return the map of the data and that of the head, where one may stand for the other."""
    if head is not None and not isinstance(head, LabelMap):
        raise TypeError(
            f"label_map must be a LabelMap; received {type(head).__name__}. Make one of the "
            "head's classes, in the order of its outputs: LabelMap(names)."
        )
    if names is None and head is None:
        head = LabelMap(range(checked_logits(logits, masked=True).shape[1]))
    own = names or head
    assert own is not None
    return own, head or own


def _check_labels(labels: Tensor, own: LabelMap, *, guessed: bool) -> None:
    if not len(labels):
        raise ValueError(
            f"a report needs a label; received none but those that stand for none, {IGNORE_INDEX}. "
            "Look at how the labels were encoded."
        )
    if int(labels.max()) >= len(own):
        source = "those of the head, as none were given" if guessed else "those of the data"
        raise ValueError(
            f"labels must lie in 0 … {len(own) - 1}, an index of the classes ({source}); received "
            f"{int(labels.max())}. Name the classes of the data, in the order of their indices: "
            "classes=, and those of the head: label_map=."
        )


def _seen_names(seen: Iterable[ClassName] | None, own: LabelMap, head: LabelMap) -> set[ClassName]:
    names = set(head.classes if seen is None else listed_names(seen, what="seen"))
    unheard = names - set(head.classes) - set(own.classes)
    if unheard:
        raise UnknownLabelError(sorted(unheard, key=str), own.classes, "seen")
    return names


def _allowed(candidates: Iterable[ClassName] | None, head: LabelMap) -> Tensor:
    if candidates is None:
        return torch.arange(len(head))
    listed = listed_names(candidates, what="candidates")
    if not listed:
        raise ValueError("the argmax needs a candidate; received none. Pass None for all classes.")
    return head.indices_of(listed, source="candidates")


def _best(logits: Tensor, allowed: Tensor) -> Tensor:
    asked = logits[:, allowed]
    lost = int((asked == -torch.inf).all(1).sum())
    if lost:
        raise ValueError(
            f"each image needs a candidate that is not ruled out; for {lost} all logits of the "
            "candidates are −inf. Look at what masked them, or name more candidates."
        )
    return allowed[asked.argmax(1)]


def _counted(
    answers: Tensor,
    labels: Tensor,
    labelled: Tensor,
    own: LabelMap,
    head: LabelMap,
    known: set[ClassName],
    allowed: Tensor,
) -> Report:
    truth, chosen = labels[labelled], answers[labelled]
    # −1 marks classes that the head cannot name, so that no prediction can equal them.
    right = (chosen == head.translate(truth, own, missing=-1)).float()
    width = len(head)
    confusion = torch.bincount(truth * width + chosen, minlength=len(own) * width)
    recall = {
        name: right[truth == index].mean().item()
        for index, name in enumerate(own.classes)
        if bool((truth == index).any())
    }
    is_seen = torch.tensor([name in known for name in own.classes])[truth]
    seen_accuracy, unseen_accuracy = mean(right[is_seen]), mean(right[~is_seen])
    return Report(
        accuracy=mean(right),
        balanced_accuracy=sum(recall.values()) / len(recall),
        recall=recall,
        seen_accuracy=seen_accuracy,
        unseen_accuracy=unseen_accuracy,
        harmonic_mean=harmonic_mean(seen_accuracy, unseen_accuracy),
        seen_share=mean(is_seen),
        candidates=tuple(head.decode(allowed)),
        confusion=confusion.reshape(len(own), width),
        predicted=head.decode(answers),
        classes=own.classes,
        head_classes=head.classes,
        correct=right.bool(),
    )
