"""Checks of what training draws: by several processes, in which order, of how many classes."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader

from companion.doctor.label_checks import ignored_index
from companion.doctor.maps import name_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.sampler_checks import all_labels, draw_of
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning
from companion.states import loader_randomness_kept, loader_samplers

DRAWS = 200


@check("SMP108", chapter="sampler-mistakes", needs=["train"])
def processes_draw_alike(pipeline: Pipeline) -> Result:
    """Several processes draw the same images.

    Fault: Each process shuffles with the same seed and takes all, or the sampler forgets its rank.
    Evidence: Two copies of the sampler, of the first and the second process, draw by draw.
    Consequence: Four processes do the work of one, and the rest of the data is never seen.
    Remedy: Draw once from the seed and the epoch, then give each process its share:
    DistributedSampler, or balanced_sampler(data, seed=0, num_replicas=4, rank=rank).
    False alarms: None is known. Only samplers that say their rank are looked at.

    In code:
        indices[rank::num_replicas]  # a share for each process
    """
    for each in loader_samplers(pipeline["train"]):
        if getattr(each, "num_replicas", 1) > 1 and hasattr(each, "rank"):
            first, second = copy.copy(each), copy.copy(each)
            first.rank, second.rank = 0, 1
            with loader_randomness_kept(pipeline["train"]):
                one = [int(x) for x in first]
            with loader_randomness_kept(pipeline["train"]):
                other = [int(x) for x in second]
            if one == other and len({*one}) > 1:
                return error(
                    f"of {each.num_replicas} processes the first two draw the same "
                    f"{len(one)} images in the same order"
                )
            shared = len({*one} & {*other})
            return f"the first two of {each.num_replicas} processes share {shared} images"
    raise NotRunError("no sampler of the training loader says its rank")


@check("SMP109", chapter="protocol", needs=["train"], explains=["MOD009"])
def not_shuffled(pipeline: Pipeline) -> Result:
    """Training batches follow the order of the classes.

    Fault: `shuffle=True` is missing, and the data set is sorted by class, as folders are.
    Evidence: How often two images of a batch have one label, against the same labels in 200
    random orders.
    Consequence: The network swings from one class to the next, and BatchNorm sees one class at a
    time.
    Remedy: DataLoader(train_data, shuffle=True).
    False alarms: A warning, found where they agree at least twice as often as in any of the 200
    orders. The order within a batch does not matter. Batches of few classes that a batch sampler
    of one's own puts together are meant, as for metric learning: a note.

    In code:
        DataLoader(ImageFolder("train"), batch_size=64)  # one class after the other
    """
    try:
        draw = draw_of(pipeline)
        labels = all_labels(pipeline)
        positions = draw.positions[: len(draw.positions) // 2]
        order = labels[positions[(positions >= 0) & (positions < len(labels))]]
    except NotRunError:
        loader = pipeline["train"]
        if not isinstance(loader, DataLoader) and hasattr(loader, "batch"):
            raise
        order = pipeline.labels("train")
    if len(order) < 30 or len(order.unique()) < 2:
        raise NotRunError(f"{len(order)} images of {len(order.unique())} classes are too few")
    order = order.unique(return_inverse=True)[1]
    size = max(2, max(pipeline.read("train").sizes))
    own = _alike(order, size)
    generator = torch.Generator().manual_seed(pipeline.seed)
    most = max(
        _alike(order[torch.randperm(len(order), generator=generator)], size) for _ in range(DRAWS)
    )
    told = (
        f"{own:.3f} of pairs in a batch of {size} have one label, at most {most:.3f} in "
        f"{DRAWS} random orders of {len(order):,} draws"
    )
    if own <= most or own <= min(2 * most, (1 + most) / 2):
        return told
    batches = getattr(pipeline["train"], "batch_sampler", None)
    return (warning if batches is None or type(batches) is BatchSampler else note)(told)


def _alike(order: Tensor, size: int) -> float:
    """Return which share of the pairs of a batch have one label, in batches of a size."""
    width = int(order.max()) + 1
    counts = torch.stack([torch.bincount(each, minlength=width) for each in order.split(size)])
    pairs, all_of_it = counts * (counts - 1), counts.sum(1) * (counts.sum(1) - 1)
    return float(pairs.sum() / all_of_it.sum().clamp(min=1))


@check("SMP120", chapter="accuracy-hides", needs=["train"])
def census(pipeline: Pipeline) -> Result:
    """Classes are unequally many, or have next to no images.

    Fault: None: most data are like that.
    Evidence: The number of images of each class, all of them where the data set stores labels.
    Consequence: Accuracy hides the rare classes, and their recall is known within wide limits.
    Remedy: Report balanced accuracy and recall by class, evaluate(model, test).recall; correct by
    a sampler, by weights or by logit adjustment, one of them.
    False alarms: A note, from a ratio of 10 upwards or for fewer than 5 images.

    In code:
        class_counts(train_data)
    """
    found: list[Seen] = []
    said = []
    for part in pipeline.parts:
        labels, whole = pipeline.known_labels(part)
        labels = labels[labels != ignored_index(pipeline)]
        present, counts = labels.unique(return_counts=True)
        if not len(present):
            continue
        rare, common = int(counts.argmin()), int(counts.argmax())
        names = pipeline.maps.get(part)
        told = (
            f"{part}{'' if whole else ' (sample)'}: {len(present)} classes, "
            f"{int(counts[rare])} images of {name_of(int(present[rare]), names)} to "
            f"{int(counts[common])} of {name_of(int(present[common]), names)}"
        )
        said.append(told)
        if whole and (int(counts[common]) >= 10 * int(counts[rare]) or int(counts[rare]) < 5):
            found.append(note(told))
    return found or "; ".join(said)
