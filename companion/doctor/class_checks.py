"""Checks of which classes have images: declared and absent, judged and never trained, merged."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset

from companion.doctor.label_checks import ignored_index
from companion.doctor.maps import Map, dataset_of, map_kept_by, name_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning
from companion.inputs import brief

FEWEST = 10  # images
UNSTORED = "the training data do not store their labels, so the sample may miss some"


@check("LBL009", chapter="wide-head", needs=["train"])
def declared_and_absent(pipeline: Pipeline) -> Result:
    """A class is declared and has no image in training.

    Fault: A map names a class that no training label belongs to: an empty folder, a misspelt
    name, labels that count from one, a spare place.
    Evidence: The training labels, all of them where the data set stores them, against the map.
    Consequence: The network learns never to answer with the class, so its recall is exactly 0.
    Remedy: Look for the images that are missing; leave the class out of the map, or keep it as a
    spare place and say so.
    False alarms: A note, as spare places and gaps may be meant.

    In code:
        set(range(len(classes))) - set(train_data.targets)  # indices without an image
    """
    labels, whole = pipeline.known_labels("train")
    if not whole:
        raise NotRunError(
            "the training data do not store their labels, so the sample may miss some"
        )
    present = {*labels.unique().tolist()} - {ignored_index(pipeline)}
    if "train" not in pipeline.maps:
        if present and min(present) == 1 and present == {*range(1, len(present) + 1)}:
            return note(f"training labels run from 1 to {len(present)}: index 0 never occurs")
        raise NotRunError("the training data have no label map: label_maps=")
    known = pipeline.maps["train"]
    absent = [name for name, index in known.items() if index not in present]
    if absent:
        return note(
            f"{len(absent)} of {len(known)} classes have no training image: {brief(absent)}"
        )
    return f"each of {len(known)} classes has training images"


@check("LBL010", chapter="the-ceiling", needs=["train"], explains=["LBL020", "PRO032"])
def never_trained(pipeline: Pipeline) -> Result:
    """Images are judged whose class was never trained on.

    Fault: The training set has some of the classes, and the set that is judged has others.
    Evidence: The labels of both, by name where both have maps, all of them where the data sets
    store them; the ceiling is the share of images whose class was trained on.
    Consequence: However good the network, its accuracy there cannot exceed the ceiling.
    Remedy: Report seen and unseen classes apart: evaluate(model, test, seen=train_classes). Train
    on the missing classes, or reject what is unknown.
    False alarms: Open-set evaluation is this by design, so it is a warning only where the model
    has an output for the class, in training for which it gets no image; else a note. Names that
    mean one class are a note too, where the model answers them as rightly as the others.

    In code:
        set(test_data.classes) - set(train_data.classes)
    """
    trained, whole = pipeline.known_labels("train")
    if not whole:
        raise NotRunError(
            "the training data do not store their labels, so the sample may miss some"
        )
    parts = pipeline.held_out
    if not parts:
        raise NotRunError("validation= and test= were not given")
    found, said = [], []
    width = _width(pipeline)
    for part in parts:
        labels, _ = pipeline.known_labels(part)
        labels = labels[labels != ignored_index(pipeline)]
        names = pipeline.maps.get(part)
        by_name = names is not None and "train" in pipeline.maps
        seen = _keys(trained, pipeline.maps["train"] if by_name else None)
        own = _keys(labels, names if by_name else None)
        unseen = [index for index, key in own.items() if key not in seen.values()]
        count = int(torch.isin(labels, torch.tensor(unseen)).sum()) if unseen else 0
        said.append(f"{part}: {len(own)} classes, all trained on")
        if not count:
            continue
        ceiling = 1 - count / len(labels)
        told = (
            f"{count:,} of {len(labels):,} images of {part} are of {len(unseen)} classes without a "
            f"training image ({brief([name_of(i, names) for i in unseen], 4, quote=False)}): "
            f"accuracy there is at most {ceiling:.3f}"
        )
        inside = width is not None and all(0 <= index < width for index in unseen)
        renumbered = by_name and {*unseen} <= {*trained.tolist()}
        if inside and renumbered and answered_alike(pipeline, part, unseen):
            told += "; the model answers them as rightly as others, so that the names may mean one"
            inside = False
        found.append(warning(told) if inside else note(told))
    return found or "; ".join(said)


def answered_alike(pipeline: Pipeline, part: str, unseen: list[int]) -> bool:
    """Return whether a model is as right on some labels as on a part's others, within luck.

    The luck is Hoeffding's, 1 in 1,000 for each of the two shares.
    """
    try:
        logits, labels = pipeline.judged(part)
    except NotRunError:
        return False
    right = (logits.argmax(1) == labels).float()
    here = torch.isin(labels, torch.tensor(unseen))
    if int(here.sum()) < FEWEST or int((~here).sum()) < FEWEST:
        return False
    among, others = right[here], right[~here]
    luck = sum(math.sqrt(math.log(1000) / (2 * len(each))) for each in (among, others))
    return float(among.mean()) > 0.5 and float(among.mean()) > float(others.mean()) - luck


def _width(pipeline: Pipeline) -> int | None:
    try:
        return pipeline.width
    except NotRunError:
        return None


def _keys(labels: Tensor, names: Map | None) -> dict[int, object]:
    """Return what each label is known by: its name, or its index where names do not tell."""
    present = labels.unique().tolist()
    return {index: index if names is None else name_of(index, names) for index in present}


@check("LBL017", chapter="merged-numbers", explains=["LBL020"])
def merged_sets(pipeline: Pipeline) -> Result:
    """Data sets are joined that number different classes alike.

    Fault: ConcatDataset joins data sets, each of which counts its classes from zero, and merges
    the classes that happen to have one number.
    Evidence: The maps of the parts that are joined, name by name.
    Consequence: Two classes are trained and judged as one, in silence.
    Remedy: Give both one map: target_transform=LabelMap(all_classes).encoder(part.class_to_idx).
    False alarms: Parts without maps of their own, and parts whose labels are transformed, pass.

    In code:
        ConcatDataset([ImageFolder("cats-and-dogs"), ImageFolder("owls-and-mice")])
    """
    found, joined = list[Seen](), 0
    for part in pipeline.parts:
        data = dataset_of(pipeline.given[part])
        if not isinstance(data, ConcatDataset):
            continue
        joined += 1
        maps = [each for each in map(map_kept_by, data.datasets) if each]
        moved = {
            index: sorted({name_of(index, each) for each in maps if index in each.values()})
            for index in {index for each in maps for index in each.values()}
        }
        shared = {index: names for index, names in moved.items() if len(names) > 1}
        if shared:
            index, names = next(iter(sorted(shared.items())))
            found.append(
                error(
                    f"{part} joins data sets that number {len(shared)} different classes alike: "
                    f"{index} is {' and '.join(names)}"
                )
            )
    if not joined and not found:
        raise NotRunError("no part of the data is a ConcatDataset")
    return found or f"{joined} joined data sets number their classes alike"
