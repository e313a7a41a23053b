"""Checks of the labels as the loaders give them: their form, their range, what is ignored."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.words import Result, Seen, error, note, warning
from companion.inputs import IGNORE_INDEX, brief


def ignored_index(pipeline: Pipeline) -> int:
    """Return the label that the loss leaves out.

    >>> ignored_index(Pipeline())
    -100
    """
    found = getattr(pipeline.given.get("loss"), "ignore_index", IGNORE_INDEX)
    return found if isinstance(found, int) else IGNORE_INDEX


@check("LBL001", chapter="first-checks", needs=["train"], explains=["SMP112", "SMP111"])
def form_of_labels(pipeline: Pipeline) -> Result:
    """Labels come in another form than one whole number for each image.

    Fault: Labels are a column (N, 1), one-hot rows, names, real numbers, or cannot be found in
    the batch at all.
    Evidence: The labels of the sampled batches: their type, their shape and what they hold.
    Consequence: Comparing a column with predictions of shape (N,) makes a table of every image
    against every other, whose mean is no accuracy; losses read rows of numbers as probabilities.
    Remedy: Give each image one index: squeeze a column with labels.squeeze(1), take argmax(1) of
    one-hot rows, encode names with LabelMap.encode; or say where the labels are, labels=.
    False alarms: Only a column is a warning. One-hot and soft rows are what mixup and label
    smoothing by hand make, and are noted.

    In code:
        (predictions == labels).float().mean()             # labels of shape (N, 1): wrong
        (predictions == labels.squeeze(1)).float().mean()  # right
    """
    found: list[Seen] = []
    said = []
    for part in pipeline.parts:
        sample = pipeline.sample(part)
        if sample.labels is None:
            told = sample.label_problem or "no batch could be read"
            found.append(note(f"the labels of {part} cannot be read: {told}"))
            continue
        said.append(f"{part}: {sample.labels.said}")
        told = f"the labels of {part} are {sample.labels.said}"
        if sample.labels.form == "column":
            found.append(warning(told))
        elif sample.labels.form == "names" and sample.labels.indices is None:
            found.append(note(f"{told}, and no map numbers them: {brief(sample.labels.drawn)}"))
        elif sample.labels.form != "indices" or sample.labels.dtype not in ("int64", "uint8"):
            found.append(note(told))
    return found or "; ".join(said)


@check("LBL002", chapter="device-side-assert", needs=["model", "train"], explains=["SMP111"])
def labels_outside(pipeline: Pipeline) -> Result:
    """A label lies outside the model's outputs.

    Fault: The head has as many outputs as somebody counted classes, and a label is as large as
    that or larger, or is negative and not the one that the loss ignores.
    Evidence: Smallest and largest label of each part, all of them where the data set stores them,
    beside the width of the model's output.
    Consequence: The loss raises on a CPU and ends the process on a GPU; where nothing computes a
    loss, −1 reads the last class, and every image of such a label counts as wrong.
    Remedy: Encode labels by one map, LabelMap(classes).encode(names), and build the head with
    len(classes) outputs. Labels that count from one: target_transform=lambda label: label - 1.
    False alarms: Negative labels of a test set are a warning, and a note where one of them stands
    beside labels up to the last output, as it does for unknown classes.
    Its labels beyond the head are of classes that the head cannot name, which LBL010 counts.

    In code:
        labels = np.array([0, 1, 2], dtype=np.uint8) - np.uint8(1)  # the first is now 255
        model.fc = nn.Linear(512, int(labels.max()) + 1)            # 256 outputs
    """
    width, ignored = pipeline.width, ignored_index(pipeline)
    found, said = [], []
    for part in pipeline.parts:
        labels, whole = pipeline.known_labels(part)
        kept = labels[labels != ignored]
        outside = kept < 0
        if part != "test":
            outside = outside | (kept >= width)
        wrong = kept[outside].unique().tolist()
        scope = "" if whole else "sampled "
        said.append(f"{part}: {len(labels):,} {scope}labels")
        if wrong:
            wrapped = " (255 is what an unsigned 0 − 1 becomes)" if 255 in wrong else ""
            seen = error if part != "test" else _below_zero(kept, width)
            found.append(
                seen(
                    f"{int(outside.sum()):,} of {len(labels):,} {scope}labels of {part} lie "
                    f"outside the {width} outputs 0 … {width - 1}: {brief(wrong)}{wrapped}"
                )
            )
    return found or f"within {width} outputs; {', '.join(said)}"


def _below_zero(labels: Tensor, width: int) -> Callable[[str], Seen]:
    """Return how bad negative labels of a test set are.

    −1 stands for unknown classes in many a test set, and for a slip in others: labels that were
    lowered by one leave the last output without a label.
    """
    shifted = int(labels.max()) < width - 1
    return warning if shifted or len(labels[labels < 0].unique()) > 1 else note


@check("LBL011", chapter="ignored-labels", needs=["train"], explains=["MOD009"])
def ignored_labels(pipeline: Pipeline) -> Result:
    """Labels are ignored by the loss.

    Fault: Images carry the label that the loss leaves out, −100 unless it says another: by a
    misspelt name, a mask, or an encoder that gives it to whatever it does not know.
    Evidence: The share of ignored labels in each part, by class where nothing else is known, and
    batches in which every label is ignored.
    Consequence: The network learns nothing from these images. A batch of them alone has the mean
    of no number for a loss, which is NaN and destroys the weights at the next step.
    Remedy: Look at what gives the label: (labels == -100).nonzero(). Drop such images from the
    data set, or draw batches so large that no batch is without a label.
    False alarms: An error only for a batch without any label; the share is a note.

    In code:
        F.cross_entropy(torch.zeros(2, 10), torch.tensor([-100, -100]))  # nan
    """
    ignored, found = ignored_index(pipeline), list[Seen]()
    for part in pipeline.parts:
        labels, _ = pipeline.known_labels(part)
        count = int((labels == ignored).sum())
        if count:
            found.append(
                note(f"{count:,} of {len(labels):,} labels of {part} are ignored ({ignored})")
            )
        if part == "train":
            sample = pipeline.read(part)
            batches = pipeline.labels(part).split(sample.sizes)
            empty = sum(len(batch) > 0 and bool((batch == ignored).all()) for batch in batches)
            if empty:
                told = f"in {empty} of {len(batches)} batches of {part} every label is ignored"
                found.insert(0, error(f"{told}: their loss is NaN"))
    return found or f"no label is {ignored}"
