"""Checks of single items: whether stored labels, items, batches and pictures belong together."""

from __future__ import annotations

import importlib
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from companion.doctor.label_forms import read_labels
from companion.doctor.maps import dataset_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.samples import readable
from companion.doctor.taking import flat_images
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning
from companion.inputs import BatchReader, brief

PROBED = 24  # items that are fetched one by one
LOOKED_AT = 300  # images whose neighbours are looked for
DRAWS = 200


def items_of(pipeline: Pipeline, part: str) -> Any:
    """Return a data set whose items can be fetched; `NotRunError` where there is none."""
    pipeline.read(part)  # a loader that fails is not asked again
    data = dataset_of(pipeline.given[part])
    if isinstance(data, IterableDataset) or not hasattr(data, "__getitem__"):
        raise NotRunError(f"the items of {part} cannot be fetched one by one")
    if isinstance(data, tuple) or not len(data) or hasattr(data, "batch"):
        raise NotRunError(f"{part} is held as tensors: its labels cannot differ from its items")
    return data


def _probes(count: int, most: int = PROBED) -> list[int]:
    return torch.linspace(0, count - 1, min(most, count)).round().long().unique().tolist()


@check("LBL008", chapter="two-lists", needs=["train"], explains=["SMP103"])
def stored_and_items(pipeline: Pipeline) -> Result:
    """The labels that a data set stores are not those that its items have.

    Fault: A `target_transform`, or a wrapper, changes the labels of the items; `.targets` keeps
    the old ones. Nothing keeps the two in step.
    Evidence: `.targets` or `.labels` against the labels of some items, fetched one by one.
    Consequence: Whatever reads the list, a sampler, a stratified split, class weights, works with
    other labels than the network is trained on.
    Remedy: Read the labels with companion's labels_of(data), which believes a list only where the
    items agree; or write the list anew after the transform.
    False alarms: Items whose label is drawn anew each time are a note, and so are held-out labels
    that are translated by a rule: no sampler reads their list.

    In code:
        data = ImageFolder("train", target_transform=lambda label: label // 2)
        data.targets[5], data[5][1]  # 5, 2
    """
    found: list[Seen] = []
    said: list[str] = []
    skipped = ""
    for part in pipeline.parts:
        try:
            data = items_of(pipeline, part)
        except NotRunError as reason:
            skipped = str(reason)
            continue
        stored = getattr(data, "targets", getattr(data, "labels", None))
        if stored is None or len(stored) != len(data):
            skipped = f"{part} stores no list of labels"
            continue
        places = _probes(len(data))
        own = [_item_label(data[place]) for place in places]
        again = [_item_label(data[place]) for place in places]
        if own != again:
            found.append(note(f"the label of an item of {part} is another each time it is read"))
            continue
        listed = [int(stored[place]) for place in places]
        wrong = [(a, b) for a, b in zip(listed, own, strict=True) if b is not None and a != b]
        said.append(f"{part}: {len(places)} items agree with the stored labels")
        if wrong:
            translated = defaultdict[int, set[int | None]](set)
            for one, other in zip(listed, own, strict=True):
                translated[one].add(other)
            by_rule = all(len(each) == 1 for each in translated.values())
            seen = note if by_rule and part != "train" else warning  # nothing draws by that list
            found.append(
                seen(
                    f"{len(wrong)} of {len(places)} items of {part} have another label than the "
                    f"data set stores: {wrong[0][0]} in the list is {wrong[0][1]} in the item"
                )
            )
    if not found and not said:
        raise NotRunError(skipped)
    return found or "; ".join(said)


def _item_label(item: Any) -> int | None:
    if isinstance(item, dict):
        label = item.get("label", item.get("labels"))
    else:
        label = item[1] if isinstance(item, tuple | list) and len(item) == 2 else None
    single: Any = label if np.isscalar(label) or getattr(label, "ndim", 1) == 0 else None
    return None if single is None else int(single)


@check("LBL014", chapter="first-checks", needs=["train"], explains=["LBL015", "PRO032"])
def batches_and_items(pipeline: Pipeline) -> Result:
    """In a batch, images have other images' labels.

    Fault: Images and labels are shuffled, sorted or padded apart from each other, in a
    `collate_fn` or in a data set that draws an order for each.
    Evidence: A batch of a few chosen items, made by the loader's own `collate_fn`, against the
    same items one by one: the same images, and labels that no renaming explains.
    Consequence: Labels are noise. The network learns the share of each class and no more.
    Remedy: Index images and labels by one permutation: images[order], labels[order].
    False alarms: Labels that are mixed (mixup) or translated, and images that are drawn anew, are
    not compared.

    In code:
        def collate(items):
            images, labels = zip(*items)
            return torch.stack(images), torch.tensor(sorted(labels))  # another order
    """
    loader = pipeline["train"]
    data = items_of(pipeline, "train")
    if not isinstance(loader, DataLoader) or loader.batch_sampler is None:
        raise NotRunError("the training data are not collected into batches by a DataLoader")
    places = _probes(len(data))
    chosen = readable(loader)
    vars(chosen)["batch_sampler"] = [places]
    vars(chosen)["num_workers"] = 0
    reader = BatchReader(pipeline.given.get("inputs"), pipeline.given.get("labels"))
    (batch,) = list(chosen)
    together = read_labels([reader.labels_as_given(batch)], None)
    if together.indices is None or together.form in ("soft rows", "multi-label rows"):
        raise NotRunError(f"the labels of a batch are {together.form}")
    vars(chosen)["batch_sampler"] = [[place] for place in places]
    singles = list(chosen)
    alone = [read_labels([reader.labels_as_given(one)], None).indices for one in singles]
    if len(together.indices) != len(places):
        raise NotRunError(f"{len(places)} items make a batch of {len(together.indices)} labels")
    images = reader.inputs_of(batch)
    same = isinstance(images, Tensor) and all(
        torch.equal(images[row], reader.inputs_of(one)[0]) for row, one in enumerate(singles)
    )
    if not same:
        raise NotRunError("the images of an item are drawn anew, or depend on the batch")
    given = [_item_label(data[place]) for place in places]
    if None in given:  # of another form than the batch's: one that the loader makes alone
        given = [None if each is None else int(each[0]) for each in alone]
    if None in given:
        raise NotRunError("an item alone has no label")
    translated: defaultdict[int | None, set[int]] = defaultdict(set)
    for own, shown in zip(given, together.indices.tolist(), strict=True):
        translated[own].add(shown)
    wrong = sum(a != b for a, b in zip(given, together.indices.tolist(), strict=True))
    if any(len(each) > 1 for each in translated.values()):
        return error(
            f"{wrong} of {len(places)} images have another label in a batch than alone, and equal "
            "labels become different ones"
        )
    return f"{len(places)} items have the same label in a batch and alone"


@check("LBL015", chapter="first-checks", needs=["train"])
def no_link(pipeline: Pipeline) -> Result:
    """No link between images and labels was seen.

    Fault: Labels may belong to other images, or say nothing that pixels show.
    Evidence: How often the nearest neighbour among the sampled training images, by pixels, has
    the same label, against the same with shuffled labels, 200 times.
    Consequence: If there is no link, no network can learn one.
    Remedy: Look at a dozen images beside their labels, as the network gets them.
    False alarms: A note, as hard tasks show nothing in raw pixels either; 1 in 20 healthy data
    sets of any kind would be noted.

    In code:
        plt.imshow(images[0].permute(1, 2, 0)); print(classes[labels[0]])
    """
    labels = pipeline.labels("train")[:LOOKED_AT]
    images = flat_images(pipeline.read("train").inputs)[:LOOKED_AT]
    if len(labels) < 30 or len(labels.unique()) < 2:
        raise NotRunError(f"{len(labels)} images of {len(labels.unique())} classes are too few")
    apart = torch.cdist(images, images)
    apart.fill_diagonal_(torch.inf)
    nearest = apart.argmin(1)
    generator = torch.Generator().manual_seed(pipeline.seed)
    hits = float((labels[nearest] == labels).float().mean())
    by_chance = []
    for _ in range(DRAWS):
        dealt = labels[torch.randperm(len(labels), generator=generator)]
        by_chance.append(float((dealt[nearest] == dealt).float().mean()))
    reached = sum(each >= hits for each in by_chance)
    told = (
        f"the nearest of {len(labels)} images has the same label in {hits:.3f} of cases, with "
        f"shuffled labels in {np.mean(by_chance):.3f}"
    )
    return note(f"{told}: no link is seen") if (reached + 1) / (DRAWS + 1) > 0.05 else told


@check("LBL016", chapter="stripe", needs=["model", "train"])
def suspected_labels(pipeline: Pipeline) -> Result:
    """Some held-out labels disagree with a confident model.

    Fault: Single images have a wrong label.
    Evidence: cleanlab's confident learning on the model's probabilities for the validation
    images, which it was not trained on. It is called where it is installed, and not rebuilt.
    Consequence: The score is a few points off, and the best models suffer most.
    Remedy: Look at the images on the list; about half of such suspects are right after all.
    False alarms: A note: it is a list to look at.

    In code:
        from cleanlab.filter import find_label_issues
        find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence")
    """
    part = "validation" if "validation" in pipeline else "test"
    try:
        filters = importlib.import_module("cleanlab.filter")
    except ImportError as reason:
        raise NotRunError("cleanlab is not installed: pip install cleanlab") from reason
    logits, labels = pipeline.judged(part)
    if len(labels) < 50 or len(labels.unique()) < logits.shape[1]:
        raise NotRunError(f"{len(labels)} images of {part} do not show every class")
    suspects = filters.find_label_issues(
        labels.numpy(), logits.softmax(1).numpy(), return_indices_ranked_by="self_confidence"
    )
    if len(suspects):
        return note(
            f"{len(suspects)} of {len(labels)} labels of {part} are suspects: images "
            f"{brief([int(each) for each in suspects], 5)} of the sample"
        )
    return f"no label of {len(labels)} of {part} is suspect"
