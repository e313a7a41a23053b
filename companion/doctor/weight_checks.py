"""Checks of which classes weights raise, in the loss and in the sampler: the rare, or the wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Subset, WeightedRandomSampler

from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.sampler_checks import all_labels
from companion.doctor.stepping import loss_called
from companion.doctor.words import NotRunError, Result, note, warning
from companion.inputs import IGNORE_INDEX
from companion.sampling import stored_labels_of
from companion.states import loader_samplers

NEAR = 0.1  # of a logarithm: weights of a scheme, of counts that have changed a little since
APART = math.log(1.5)
BETAS = (0.9, 0.99, 0.999, 0.9999)


def schemes_of(counts: Tensor) -> dict[str, Tensor]:
    """Return the logarithms of the usual class weights, float64 (classes,), by their names.

    >>> sorted(schemes_of(torch.tensor([2.0, 8.0])))[-2:]
    ['inverse frequency', 'inverse square root']
    """
    n = counts.double()
    found = {"inverse frequency": -n.log(), "inverse square root": -n.log() / 2}
    for beta in BETAS:
        found[f"effective number ({beta:g})"] = -(1 - beta**n).log()
    return found


def wrong_way(factors: Tensor, counts: Tensor) -> str:
    """Return why factors of classes cannot be meant for their counts, "" for no reason.

    Two facts are looked for: the factors grow as a power of the counts; or they are the weights of
    a usual scheme for these very counts, in the order of other classes.

    >>> wrong_way(torch.tensor([9.0, 1.0]), torch.tensor([90, 10]))
    'they grow with the number of images, as its power 1'
    >>> wrong_way(torch.tensor([1.0, 9.0]), torch.tensor([90, 10]))
    ''
    """
    there = (counts > 0) & (factors > 0)
    f, n = factors[there].double().log(), counts[there].double().log()
    if len(n) < 2 or float(n.max() - n.min()) < APART or float(f.max() - f.min()) < NEAR * 2:
        return ""
    f, n = f - f.mean(), n - n.mean()
    power = float((f * n).sum() / (n * n).sum())
    fits = float((f - power * n).abs().max()) < NEAR / 2
    if len(n) == 2:
        fits = min(abs(power - each) for each in (0.5, 1.0)) < 0.05
    if fits and power > 0.2:
        return f"they grow with the number of images, as its power {power:.2g}"
    for name, row in schemes_of(counts[there]).items():
        row = row - row.mean()
        same = float((row.sort().values - f.sort().values).abs().max()) < NEAR
        off = float((row - f).abs().max())
        if same and off > APART:
            return f"they are those of these classes ({name}) in another order"
    return ""


def factors_of(pipeline: Pipeline, width: int) -> Tensor:
    """Return by how much a loss raises each class against the others, float64 (width,).

    At zero logits, in a batch with one image of each class, an image of class y pushes the logit
    of k down by G[y, k]. For cross-entropy with weights w and logits raised by log q that is
    w[y] · q[k], up to a factor, so that G[y, k] / G[k, y] compares w[y] / q[y] with that of k.
    `NotRunError` for losses that these ratios do not fit.
    """
    form = pipeline.read("train").labels
    rows = form is not None and form.form in ("one-hot", "soft rows")
    logits = torch.zeros(width, width, requires_grad=True)
    labels = torch.arange(width)
    targets = F.one_hot(labels, width).float() if rows else labels
    try:
        (pushed,) = torch.autograd.grad(loss_called(pipeline, logits, targets).sum(), logits)
    except NotRunError:
        raise
    except Exception as raised:
        raise NotRunError(f"the loss cannot be tried on zeros ({raised})") from raised
    off = ~torch.eye(width, dtype=torch.bool)
    if not bool((pushed[off] > 0).all()):
        raise NotRunError("the loss has another form than a cross-entropy")
    log = torch.where(off, pushed.double(), 1.0).log()
    ratio = log - log.T
    found = ratio.mean(1)
    if float((ratio - (found[:, None] - found[None])).abs().max()) > NEAR / 2:
        raise NotRunError("the loss has another form than a cross-entropy")
    return found.exp()


@check("SMP121", chapter="weights-in-the-loss", needs=["model", "loss", "train"])
def loss_raises_others(pipeline: Pipeline) -> Result:
    """The loss raises the common classes, or gives a class the weight of another.

    Fault: Counts in the place of their inverse, a sign in a logit adjustment, or weights in
    another order than the classes', as `Counter.most_common()` returns them.
    Evidence: How much the loss raises each class, read from its gradient where all logits are
    zero, against the number of training images of each: whether it grows as a power of that
    number, or is a usual weight for these very numbers in another order.
    Consequence: What is rare is given up, or classes are raised that need not be.
    Remedy: class_weights(train_data), indexed by class, or LogitAdjustedLoss of class_counts.
    False alarms: A warning. Costs that are meant would have to follow the counts by chance. Other
    losses, and counts that only reading every image would tell, are passed over.

    In code:
        torch.tensor([1 / n for _, n in Counter(labels).most_common()])  # by frequency, not class
    """
    width = pipeline.width
    labels, whole = pipeline.known_labels("train")
    labels = labels[(labels >= 0) & (labels < width)]
    if not whole:
        raise NotRunError("the training data do not store their labels")
    counts = torch.bincount(labels, minlength=width)
    factors = factors_of(pipeline, width)
    factors = factors / factors.mean()
    reason = wrong_way(factors, counts)
    told = (
        f"of {_listed(counts.tolist())} images, classes are raised by {_listed(factors.tolist())}"
    )
    return warning(f"{told}: {reason}") if reason else told


def _listed(values: Sequence[float]) -> str:
    more = ", …" if len(values) > 6 else ""
    return ", ".join(f"{value:.3g}" for value in values[:6]) + more


@check("SMP123", chapter="sampler-mistakes", needs=["train"])
def weights_of_others(pipeline: Pipeline) -> Result:
    """A sampler's weights are those of the classes, and stand beside other images.

    Fault: The weights were collected in the order of another list: of the whole set and not of
    the subset, or of files before they were shuffled. Or they are counts and not their inverse.
    Evidence: The weights, one for each image: as many different ones as classes, whose groups are
    as large as the classes and the heavier the smaller; or usual weights for the classes, or for
    those of the subset's parent. And whether images of one class have one weight.
    Consequence: Other images are raised than the rare ones: rare classes stay rare.
    Remedy: Make it from the very data set that the loader reads: balanced_sampler(data, seed=0).
    False alarms: A warning: groups of another kind, as cameras, would have to be exactly as large
    as the classes.

    In code:
        weights = [1 / counts[label] for label in full_data.targets if row in chosen]
    """
    found = [
        each
        for each in loader_samplers(pipeline["train"])
        if isinstance(each, WeightedRandomSampler)
    ]
    if not found:
        raise NotRunError("the training loader has no WeightedRandomSampler")
    weights, labels = torch.as_tensor(found[0].weights).double().cpu(), all_labels(pipeline)
    if len(weights) != len(labels):
        raise NotRunError("it has another number of weights than there are images (SMP106)")
    inside = (labels != IGNORE_INDEX) & (weights > 0)
    weights, labels = weights[inside], labels[inside]
    classes, index, counts = labels.unique(return_inverse=True, return_counts=True)
    values, groups, sizes = (weights.float()).unique(return_inverse=True, return_counts=True)
    told = f"{len(values)} different weights for {len(labels)} images of {len(classes)} classes"
    if not 1 < len(values) <= len(classes):
        return told
    table = torch.zeros(len(classes), len(values)).index_put_(
        (index, groups), torch.ones(1), accumulate=True
    )
    mixed = int((table > 0).sum(1).max()) > 1
    if not mixed:
        reason = wrong_way(values[table.argmax(1)], counts)
        return warning(f"{told}: {reason}") if reason else told
    astray = int(len(labels) - table.max(1).values.sum())
    told += f"; in one class there are up to {int((table > 0).sum(1).max())}"
    alike = sorted(sizes.tolist()) == sorted(counts.tolist())
    alike = alike or _usual(weights, counts[index]) or _of_the_parent(pipeline, values)
    ordered = bool((sizes[values.argsort()].diff() <= 0).all())  # the heavier, the smaller
    if alike and ordered:
        return warning(f"{told}, and {astray} images have the weight of another class at least")
    return note(told) if len(values) == len(classes) else told


def _of_the_parent(pipeline: Pipeline, values: Tensor) -> bool:
    """Return whether weights are usual ones for the classes of a subset's parent."""
    data = pipeline["train"].dataset
    while type(data) is Subset:
        data = data.dataset
    labels = stored_labels_of(data)
    if labels is None:
        return False
    counts = labels[labels != IGNORE_INDEX].unique(return_counts=True)[1].unique()
    return _usual(values, counts)


def _usual(weights: Tensor, counts: Tensor) -> bool:
    """Return whether weights are usual ones for these counts, in any order and up to a factor."""
    row = weights.double().log().sort().values
    return len(row) == len(counts) and any(
        float((each.sort().values - each.mean() - row + row.mean()).abs().max()) < NEAR / 10
        for each in schemes_of(counts).values()
    )
