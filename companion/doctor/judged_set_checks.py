"""A check of whether what is judged is judged whole: its samplers, and the rows it takes."""

from __future__ import annotations

from typing import Any

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    Subset,
    WeightedRandomSampler,
)

from companion.doctor.maps import dataset_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.words import NotRunError, Result, Seen, note, warning
from companion.inputs import brief
from companion.sampling import stored_labels_of
from companion.states import loader_samplers


@check("PRO009", chapter="protocol", needs=["train"])
def evaluation_sampled(pipeline: Pipeline) -> Result:
    """The set that is judged is not judged whole, image by image.

    Fault: Its loader draws with weights or with replacement, drops the last batch, or, over
    several processes, pads with repeated images; or it is the first part of sorted data.
    Evidence: The samplers of the validation and test loaders, and their numbers; the rows of a
    subset, and the labels of what it is taken from.
    Consequence: The score is that of another set: a balanced draw gives balanced accuracy, with
    noise; repeated images count twice; classes that were cut off are not judged.
    Remedy: DataLoader(test_data, batch_size=256, shuffle=False), without a sampler.
    False alarms: Weighted and repeated draws are a warning. Images that are dropped or padded are
    a note; shuffling changes nothing and passes. A subset without classes that its data set and
    the training have is a warning where it is a run of rows at an end of sorted data, given as a
    range or cut within a class; whole classes in a list of rows may be chosen and are a note.

    In code:
        DataLoader(test_data, sampler=balanced_sampler(test_data, seed=0))
    """
    found: list[Seen] = []
    said = []
    for part in pipeline.held_out:
        loader = pipeline.given[part]
        if not isinstance(loader, DataLoader):
            continue
        said.append(f"{part}: {type(loader.sampler).__name__}")
        samplers = loader_samplers(loader)
        drawn = [each for each in samplers if _replaces(each)]
        found += cut_off(pipeline, part)
        if drawn:
            found.append(
                warning(f"{part} is drawn by a {type(drawn[0]).__name__}, with replacement")
            )
        padded = [each for each in samplers if isinstance(each, DistributedSampler)]
        for each in padded:
            count = len(each.dataset)  # type: ignore[arg-type]
            extra = each.total_size - count
            if extra > 0:
                found.append(
                    note(
                        f"over {each.num_replicas} processes {extra} of the {count} "
                        f"images of {part} are judged twice"
                    )
                )
        dropped = _dropped(loader)
        if dropped:
            found.append(note(f"the loader of {part} drops its last {dropped} images (drop_last)"))
    if not said:
        raise NotRunError("no held-out part is a DataLoader")
    return found or "; ".join(said)


def _replaces(sampler: Any) -> bool:
    known = isinstance(sampler, RandomSampler | WeightedRandomSampler)
    own = type(sampler).__name__ == "BalancedSampler"
    return own or (known and bool(getattr(sampler, "replacement", False)))


def _dropped(loader: DataLoader[Any]) -> int:
    sampler: Any = loader.sampler
    known = isinstance(sampler, SequentialSampler | RandomSampler)
    if not known or type(loader.batch_sampler) is not BatchSampler or not loader.drop_last:
        return 0
    return len(sampler) % int(loader.batch_size or 1)


def cut_off(pipeline: Pipeline, part: str) -> list[Seen]:
    """Return the finding that a part is one end of sorted data and lacks classes, if it is."""
    data = dataset_of(pipeline.given[part])
    if type(data) is not Subset:
        return []
    labels = stored_labels_of(data.dataset)
    rows = sorted(int(row) for row in data.indices)
    if labels is None or not rows or rows[-1] >= len(labels):
        return []
    ordered = bool((labels.diff() >= 0).all() or (labels.diff() <= 0).all())
    run = rows == list(range(rows[0], rows[0] + len(rows)))
    at_an_end = rows[0] == 0 or rows[-1] == len(labels) - 1
    if not (ordered and run and at_an_end and len(rows) < len(labels)):
        return []
    try:
        trained = {*pipeline.known_labels("train")[0].tolist()}
    except NotRunError:
        return []
    there = {*labels[rows].tolist()}
    absent = sorted(({*labels.tolist()} - there) & trained)
    if not absent:
        return []
    edge = rows[0] - 1 if rows[0] else rows[-1] + 1
    within = int(labels[edge]) in there
    told = (
        f"{part} is rows {rows[0]} to {rows[-1]} of {len(labels)} that are sorted by class: "
        f"classes {brief(absent, 4)} are in the data set and not in {part}"
    )
    meant = not isinstance(data.indices, range) and not within
    return [(note if meant else warning)(told, remedy="Choose the rows by chance: random_split.")]
