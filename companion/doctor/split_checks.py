"""Checks of the parts against each other: shared rows, duplicates, parts that are missing."""

from __future__ import annotations

from itertools import combinations

from torch import Tensor

from companion.doctor.fingerprints import Fingerprints, near_pairs, prints_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.rows import rows_of
from companion.doctor.series import in_series
from companion.doctor.taking import flat_images
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning

LEAK = 0.01  # the share of a held-out part from which duplicates decide the score


def pairs_of_parts(pipeline: Pipeline) -> list[tuple[str, str]]:
    """Return the pairs of parts that were given; `NotRunError` for fewer than two parts.

    >>> pairs_of_parts(Pipeline(train=[1], test=[2]))
    [('train', 'test')]
    """
    found = list(combinations(pipeline.parts, 2))
    if not found:
        raise NotRunError("validation= and test= were not given")
    return found


@check("PRO002", chapter="duplicates", needs=["train"], explains=["PRO034", "PRO004"])
def exact_duplicates(pipeline: Pipeline) -> Result:
    """The same images are in training and in a set that is judged.

    Fault: Images were copied, oversampled or augmented on disk before the split, or the sets were
    gathered from one source.
    Evidence: A hash of each image: of the pixels where the data set holds them, of the files where
    it names them, of the sampled batches otherwise. Images of one colour do not count.
    Consequence: The network is judged on what it has learnt by heart.
    Remedy: Take one of each pair out of training; split before oversampling and augmenting.
    False alarms: None of equality itself. An error from 1 % of the held-out images on, else a
    warning: products of one design may be photographed alike.

    In code:
        {hash(x.numpy().tobytes()) for x in train} & {hash(x.numpy().tobytes()) for x in test}
    """
    found, said = [], []
    for one, other in pairs_of_parts(pipeline):
        first, second = prints_of(pipeline, one), prints_of(pipeline, other)
        shared = {*first.hashes} & {*second.hashes}
        count = sum(each in shared for each in second.hashes)
        scope = f"{len(first.hashes):,} and {len(second.hashes):,} {second.what}"
        said.append(f"{one} and {other}: {scope}")
        if count:
            told = (
                f"{count:,} of {len(second.hashes):,} {second.what} of {other} are also in "
                f"{one}{_example(first, second, shared)}"
            )
            leak = one == "train" and count >= LEAK * len(second.hashes)
            found.append(error(told) if leak else warning(told))
    return found or "; ".join(said)


def _example(first: Fingerprints, second: Fingerprints, shared: set[bytes]) -> str:
    if not first.names or not second.names:
        return ""
    one = next(n for n, h in zip(first.names, first.hashes, strict=True) if h in shared)
    key = first.hashes[first.names.index(one)]
    return f", {second.names[second.hashes.index(key)]} as {one}"


@check("PRO003", chapter="protocol", needs=["train"], explains=["PRO002", "PRO034"])
def shared_rows(pipeline: Pipeline) -> Result:
    """Two parts are subsets of one data set and share rows.

    Fault: The split was drawn twice, with other seeds, or its indices were cut wrongly; or one
    loader is passed for both.
    Evidence: The indices of the subsets, and which data set they are of.
    Consequence: The network is judged on images that it was trained on.
    Remedy: Draw the split once, and save its indices to disk.
    False alarms: None of equality itself. Validation and test that are one set are a warning, as
    what is reported was then chosen on.

    In code:
        random_split(data, [0.8, 0.2])[0], random_split(data, [0.8, 0.2])[1]  # drawn twice
    """
    found, said = [], []
    for one, other in pairs_of_parts(pipeline):
        (first, ours), (second, theirs) = (rows_of(pipeline.given[part]) for part in (one, other))
        if first is not second:
            said.append(f"{one} and {other} are of different data sets")
            continue
        if ours is None or theirs is None:
            said.append(f"which rows {one} and {other} take of one data set is not known")
            continue
        shared = len({*ours} & {*theirs})
        said.append(f"{one} and {other} are of one data set and share no row")
        if shared:
            told = (
                f"{one} and {other} share {shared:,} rows of one data set: {len(ours):,} "
                f"and {len(theirs):,} in all"
            )
            found.append((error if one == "train" else warning)(told))
    return found or "; ".join(said)


@check("PRO004", chapter="duplicates", needs=["train"], explains=["PRO034"])
def near_duplicates(pipeline: Pipeline) -> Result:
    """Images of two parts are nearly the same.

    Fault: Frames of one film, the same file saved again, crops of one photograph.
    Evidence: Sampled images, shrunk, of each part against those of the others: pairs whose
    contrast agrees to more than 0.999. And series: held-out images of which a few of the training
    images of their class are at least four times nearer than all others.
    Consequence: The score is a little too good, by as much as such images are easier.
    Remedy: Look at the pairs, and split by what they come from: film, patient, photograph.
    False alarms: A note, a list to look at: drawn signs and scans of one form are alike. A warning
    for series, from a quarter of the held-out images on, if they were rows of one data set: images
    that are drawn one by one have no such gap. Classes of a few fixed pictures have it by nature.

    In code:
        torch.corrcoef(small_images.flatten(1))
    """
    found, said = [], []
    for one, other in pairs_of_parts(pipeline):
        first, second = prints_of(pipeline, one), prints_of(pipeline, other)
        if (
            first.small is None
            or second.small is None
            or (first.small.shape[1] != second.small.shape[1])
        ):
            continue
        count, example = near_pairs(first, second)
        looked = len(second.small)
        said.append(f"{one} and {other}: {len(first.small)} and {looked} images")
        if count:
            found.append(
                note(
                    f"{count} of {looked} sampled images of {other} have a near double "
                    f"in {one}{example}"
                )
            )
        if one == "train":
            found += _series_of(pipeline, other)
    if not said:
        raise NotRunError("no two parts have images that can be compared")
    return found or "; ".join(said)


def _series_of(pipeline: Pipeline, part: str) -> list[Seen]:
    """Return the finding that images of a part belong to series of which training has others."""
    first, second = (rows_of(pipeline.given[each])[0] for each in ("train", part))
    if first is not second:
        return []
    try:
        images = [flat_images(pipeline.read(each).inputs) for each in ("train", part)]
        labels = [pipeline.labels(each) for each in ("train", part)]
    except NotRunError:
        return []
    if images[0].shape[1] != images[1].shape[1] or any(map(differ, images, labels)):
        return []
    count, looked, size = in_series(*images, *labels)
    if looked < 20 or count < looked / 4:
        return []
    return [
        warning(
            f"{count} of {looked} sampled images of {part} belong to series of about {size} "
            "images of train: nearer by a factor of 4 than the next image of their class",
            why="The set says how the model reads the same films again, and not new ones.",
            remedy="Split by what they come from: film, patient, photograph (GroupShuffleSplit).",
        )
    ]


def differ(images: Tensor, labels: Tensor) -> bool:
    """Return whether there are not as many images as labels."""
    return len(images) != len(labels)


@check("PRO006", chapter="choosing-flatters", needs=["train"])
def parts_missing(pipeline: Pipeline) -> Result:
    """There is no validation set, or it is the test set.

    Fault: What chooses the epoch, the rate or the run is also what is reported.
    Evidence: Which parts were given, and whether two of them are the same object.
    Consequence: The best of many looks better than it is; the more are tried, the more so.
    Remedy: Split the training data: validation chooses, test reports, once.
    False alarms: A missing part is a note. One object for two parts is a warning for validation
    and test, an error where it is the training data.

    In code:
        examine(model, train=train, validation=validation, test=test)
    """
    found: list[Seen] = []
    for one, other in combinations(pipeline.parts, 2):
        if pipeline.given[one] is pipeline.given[other]:
            told = f"{one} and {other} are one and the same"
            found.append(error(told) if one == "train" else warning(told))
    if "validation" not in pipeline:
        found.append(note("no validation set was given: nothing but the test set could choose"))
    if "test" not in pipeline and "validation" in pipeline:
        return found or "a validation set was given, and no test set: it stays aside"
    return found or "validation and test were given"


@check("PRO011", chapter="plus-minus", needs=["train"])
def too_few_judged(pipeline: Pipeline) -> Result:
    """A set that is judged is too small, or has a single class.

    Fault: It was cut too small, or sorted before it was cut.
    Evidence: Images and classes of each held-out part; half the width of a 95 % interval of an
    accuracy near one half.
    Consequence: Scores move by points from chance alone; with one class, recall is all there is.
    Remedy: Take a larger part, stratified by class; report the interval.
    False alarms: A note. A test of one class may be meant, a warning only where training has more
    and the part's own map too.

    In code:
        train_test_split(indices, test_size=0.2, stratify=labels)
    """
    found: list[Seen] = []
    said = []
    for part in pipeline.held_out:
        labels, whole = pipeline.known_labels(part)
        count, classes = len(labels), len(labels.unique())
        width = 0.98 / max(count, 1) ** 0.5
        told = f"{part} has {count:,} images of {classes} classes: ± {width:.3f} at best"
        said.append(told)
        trained = len(pipeline.known_labels("train")[0].unique())
        if classes == 1 and trained > 1:
            named = len(pipeline.maps.get(part, {})) > 1
            found.append((warning if named and whole else note)(told))
        elif whole and count < 100:
            found.append(note(told))
    if not said:
        raise NotRunError("validation= and test= were not given")
    return found or "; ".join(said)
