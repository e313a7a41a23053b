"""Checks of the loaders: that they give batches, all of them, and anew each epoch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, DistributedSampler

from companion.doctor.keeping import generators_in
from companion.doctor.maps import dataset_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.samples import second_start
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning
from companion.inputs import is_held, is_pair
from companion.states import loader_samplers


@check("PRO001", chapter="first-checks", needs=["train"], explains=["MOD001", "LBL001"])
def loader_gives(pipeline: Pipeline) -> Result:
    """A loader fails, is empty, or ends after one pass.

    Fault: A broken file, a worker that dies, items of several shapes; an iterator in the place of
    a loader; a data set that was used up.
    Evidence: The first batches of each part, and the first of a second pass.
    Consequence: Training stops; or, silently, every epoch after the first has no batches.
    Remedy: Read what it raised, with num_workers=0 for the whole message; pass the loader itself.
    False alarms: An iterator is a warning and is not read, as that would use it up; a stream that
    is read once, in a single epoch, is right.

    In code:
        batches = iter(loader)  # the second epoch over it is empty
    """
    found: list[Seen] = []
    said = []
    for part in pipeline.parts:
        data = pipeline.given[part]
        if isinstance(data, Iterator):
            told = f"{part} is an iterator ({type(data).__name__}), which ends after one pass"
            found.append(warning(f"{told}; it was not read, as that would use it up"))
            continue
        sample = pipeline.sample(part)
        if sample.problem:
            found.append(
                error(f"{part} fails after {len(sample.inputs)} batches: {sample.problem}")
            )
        elif not len(sample):
            found.append(error(f"{part} gives no batch"))
        elif not is_held(data) and not is_pair(data) and not second_start(data):
            found.append(warning(f"{part} gives {len(sample)} images once, and none again"))
        said.append(sample.said)
    return found or "; ".join(said)


@check("PRO005", chapter="shared-transform", needs=["train"], explains=["PRO033"])
def evaluation_augmented(pipeline: Pipeline) -> Result:
    """Images that are judged are drawn anew each time: they are augmented.

    Fault: `random_split` shares one transform, the training one, with the validation set.
    Evidence: Some items of the validation and test data, fetched twice.
    Consequence: The score is lower than it should be and differs from run to run; the epoch that
    is chosen is chosen by luck.
    Remedy: Make two data sets of the same files, one without augmentation, and split the indices.
    False alarms: A warning: random test-time augmentation is this by design. Fixed multiple crops
    pass.

    In code:
        train, validation = random_split(ImageFolder(path, transform=augmenting), [0.8, 0.2])
    """
    found, said = [], []
    for part in pipeline.held_out:
        pipeline.read(part)
        data = dataset_of(pipeline.given[part])
        if isinstance(pipeline.given[part], tuple) or not hasattr(data, "__getitem__"):
            continue
        try:
            count = len(data)
            places = sorted({0, count // 3, count // 2, count - 1})
            pairs = [(_image(data[place]), _image(data[place])) for place in places]
        except Exception:  # an iterable set, items of another form
            continue
        whole = [(a, b) for a, b in pairs if isinstance(a, torch.Tensor)]
        drawn = sum(not torch.equal(a, b) for a, b in whole if a.shape == b.shape)
        drawn += sum(a.shape != b.shape for a, b in whole)
        said.append(f"{part}: {len(whole)} items are the same twice")
        if drawn:
            found.append(
                warning(
                    f"{drawn} of {len(whole)} items of {part} differ when they are fetched twice"
                )
            )
    if not said:
        raise NotRunError("there are no held-out items that can be fetched twice")
    return found or "; ".join(said)


def _image(item: Any) -> Any:
    if isinstance(item, dict):
        return next((value for value in item.values() if hasattr(value, "shape")), None)
    return item[0]


@check("PRO008", chapter="batch-means", needs=["train"])
def length_of_the_whole(pipeline: Pipeline) -> Result:
    """An epoch draws another number of images than the data set has.

    Fault: The loader goes through a part of its data set, by a sampler of indices, and the loop
    divides by `len(loader.dataset)`.
    Evidence: The length of the sampler against that of the data set.
    Consequence: Sums that are divided by the data set's length come out too small, by the share
    that is drawn.
    Remedy: Count the images that were seen: total += len(labels); divide by that once.
    False alarms: A note: the loop that divides cannot be seen from here. Training by one of
    several processes, where no process group and no WORLD_SIZE is there, is a warning.

    In code:
        running_loss / len(loader.dataset)  # 60,000, of which the sampler draws 48,000
    """
    found: list[Seen] = []
    said = []
    for part in pipeline.parts:
        loader = pipeline.given[part]
        if not isinstance(loader, DataLoader):
            continue
        try:
            drawn, held = len(loader.sampler), len(loader.dataset)  # type: ignore[arg-type]
        except TypeError:
            continue
        said.append(f"{part}: {drawn:,} of {held:,} images")
        alone = [each for each in loader_samplers(loader) if _alone(each)]
        if alone and part == "train":
            found.append(
                warning(
                    f"the sampler of {part} draws the share of process {alone[0].rank} of "
                    f"{alone[0].num_replicas}, {drawn:,} of {held:,} images, and there is no "
                    "other process",
                    why="The rest of the images is never seen.",
                    remedy="DataLoader(train_data, shuffle=True), where there is one process.",
                )
            )
        elif drawn != held:
            found.append(
                note(f"an epoch of {part} draws {drawn:,} of the {held:,} images of its data set")
            )
    if not said:
        raise NotRunError("no part is a loader whose sampler has a length")
    return found or "; ".join(said)


def _alone(sampler: Any) -> bool:
    """Return whether a sampler takes one of several shares, in a process that is the only one."""
    several = isinstance(sampler, DistributedSampler) and sampler.num_replicas > 1
    grouped = torch.distributed.is_available() and torch.distributed.is_initialized()
    return several and not grouped and "WORLD_SIZE" not in os.environ


@check("PRO010", chapter="seeding", needs=["train"])
def generator_repeated(pipeline: Pipeline) -> Result:
    """A data set carries a random generator into several workers.

    Fault: A `Generator` stands on the data set or its transform. Each worker gets a copy in the
    same state, and in each epoch again, unless its seed is set anew.
    Evidence: Generators among the attributes of the data set and its transforms, and the number
    of workers.
    Consequence: Workers draw the same augmentations, and every epoch repeats those of the first.
    Remedy: Draw from torch's own global state, which each worker seeds; or seed the generator in
    worker_init_fn from torch.initial_seed().
    False alarms: A warning without a `worker_init_fn`; a note with one.

    In code:
        self.generator = np.random.default_rng(0)  # in the data set's __init__
    """
    loader = pipeline["train"]
    if not isinstance(loader, DataLoader):
        raise NotRunError("the training data are no DataLoader")
    found = generators_in([loader.dataset])
    told = f"{len(found)} generators on the data set and {loader.num_workers} workers"
    if not found or not loader.num_workers:
        return told
    return (note if loader.worker_init_fn else warning)(told)
