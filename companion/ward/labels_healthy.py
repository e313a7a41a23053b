"""Healthy: labels that look strange, and are meant so."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Subset

from companion.ward.labels_numbers import Letters
from companion.ward.labels_sources import Downloaded, Mixed, Shelf
from companion.ward.model_parts import (
    batches,
    fitted,
    handed,
    parts_of,
    patterns,
    perceptron,
    plain_cnn,
)
from companion.ward.parts import NAMES, Net, Photos, loaders, pictures, seeded, trained
from companion.ward.patients import Made, patient

GROUPS = {"ant": 0, "bee": 0, "cat": 1, "dog": 1, "eel": 2, "fox": 1}


class Grouped(Photos):
    """Pictures of species that are to be told apart by group alone."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count, 6, seed=seed)
        self.targets = [GROUPS[NAMES[label]] for label in self.targets]

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The group of each species."""
        return dict(GROUPS)


@patient("healthy", "labels", source="pitfalls D14")
def superclasses_share_an_index(folder: Path) -> Made:
    """Six species are to be told apart as insects, beasts and fish, so names share a number.

    The network has three outputs, one for each group, and is right about the groups.
    """
    parts = parts_of(Grouped)
    model = fitted(seeded(lambda: Net(3)), parts[0])
    return handed(model, parts, label_maps={"model": GROUPS, "train": GROUPS, "test": GROUPS})


@patient("healthy", "labels", source="pitfalls D15")
def unknown_classes_in_the_test_on_purpose(folder: Path) -> Made:
    """The test set holds two classes that nobody trained on, all labelled -1, to be rejected.

    Known pictures are scored as usual and unknown ones by the largest logit.
    """
    test = Photos(180, 6, seed=2, target_transform=lambda label: label if label < 4 else -1)
    images, labels = pictures(160, 6)
    known = labels < 4
    train = batches(images[known], labels[known], shuffle=True)
    images, labels = pictures(80, 6, seed=1)
    validation = batches(images[labels < 4], labels[labels < 4])
    model = fitted(seeded(lambda: Net(4)), train, epochs=12)
    return handed(model, (train, validation, DataLoader(test, batch_size=32)))


@patient("healthy", "labels", source="pitfalls A1.2")
def test_set_of_three_chosen_classes(folder: Path) -> Made:
    """The customer asks about three of eight classes, and the test set was cut to them on purpose.

    Labels keep the numbers of training, and accuracy is over all eight outputs.
    """
    train, validation, _ = loaders(8, counts=(240, 80, 240))
    photos = Photos(240, 8, seed=2)
    chosen = [row for row, label in enumerate(photos.targets) if label in (1, 4, 6)]
    test = DataLoader(Subset(photos, chosen), batch_size=32)
    return handed(fitted(seeded(lambda: Net(8)), train), (train, validation, test))


@patient("healthy", "labels", source="huggingface/datasets#2457")
def other_names_mapped_to_the_same_numbers(folder: Path) -> Made:
    """The test set was made elsewhere and calls a cat "feline" and an ant "formica".

    Its names are mapped to the numbers of training by hand, and rightly.
    """
    ours = {name: index for index, name in enumerate(NAMES[:5])}
    theirs = {"formica": 0, "bee": 1, "feline": 2, "dog": 3, "eel": 4}
    maps = {"model": ours, "train": ours, "validation": ours, "test": theirs}
    return handed(trained(5), loaders(5), label_maps=maps)


@patient("healthy", "labels", source="TheDeepChecker (augmentation)")
def mixup_with_shares_as_targets(folder: Path) -> Made:
    """Training pictures are mixed in pairs and labelled with the shares of both classes.

    Accuracy on the mixed rows means little; on single pictures the model is right.
    """
    train = DataLoader(
        Photos(160, 4), batch_size=32, shuffle=True, collate_fn=Mixed(4, swapped=False)
    )
    model = fitted(seeded(lambda: Net(4)), train)
    return handed(model, (train, *loaders(4)[1:]))


@patient("healthy", "labels", source="pytorch/pytorch#104776")
def smoothed_labels(folder: Path) -> Made:
    """The loss smooths labels by a fifth, so it stays high however well the model does."""
    parts = loaders(6, batch=24)
    loss = nn.CrossEntropyLoss(label_smoothing=0.2)
    return handed(fitted(seeded(lambda: Net(6)), parts[0], loss=loss), parts, loss=loss)


@patient("healthy", "labels", source="pytorch/vision#2630")
def letters_with_an_empty_class_everywhere(folder: Path) -> Made:
    """Letters are numbered from one in all parts, with an output to spare for "N/A" at zero."""
    parts = parts_of(Letters, batch=16)
    return handed(fitted(seeded(lambda: Net(6)), parts[0], epochs=6), parts)


class YesOrNo(Photos):
    """Pictures of two classes, with 0.0 and 1.0 as labels."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count, 2, seed=seed, target_transform=float)


@patient("healthy", "labels", source="doctor-anchors 2")
def one_logit_for_two_classes(folder: Path) -> Made:
    """Two classes are told apart by one logit, with labels 0.0 and 1.0 and a logistic loss."""
    parts = parts_of(YesOrNo)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(logits, labels.float())

    model = nn.Sequential(seeded(lambda: Net(1)), nn.Flatten(0))
    return handed(fitted(model, parts[0], epochs=6, loss=loss), parts, loss=loss)


@patient("healthy", "labels", source="huggingface/transformers#10401")
def downloaded_model_with_dictionaries_as_batches(folder: Path) -> Made:
    """Batches are dictionaries and the outputs objects, as in Hugging Face's library.

    The model computes its own loss where labels are given, and its names are those of the data.
    """
    parts: list[DataLoader] = []
    for seed, count in enumerate((160, 80, 120)):
        images, labels = pictures(count, 4, seed=seed)
        rows = [{"pixel_values": x, "labels": y} for x, y in zip(images, labels, strict=True)]
        parts.append(DataLoader(rows, batch_size=20, shuffle=not seed))  # type: ignore[arg-type]
    model = Downloaded(trained(4), list(NAMES[:4]))
    return handed(model, parts, loss=lambda out, y: nn.functional.cross_entropy(out.logits, y))


@patient("healthy", "labels", source="ufoym/imbalanced-dataset-sampler#54")
def joined_sets_renumbered_by_name(folder: Path) -> Made:
    """Two collections that each count from zero are joined, the second renumbered by name first."""
    second = Shelf((3, 4), seed=5)
    second.target_transform = (3, 4).__getitem__
    both: ConcatDataset = ConcatDataset([Shelf((0, 1, 2)), second])
    train = DataLoader(both, batch_size=32, shuffle=True)
    return handed(fitted(seeded(lambda: Net(5)), train), (train, *loaders(5)[1:]))


@patient("healthy", "labels", source="DeepCrime TCL")
def a_few_labels_are_wrong(folder: Path) -> Made:
    """Three training labels in a hundred are wrong, as in most real sets; the model copes."""
    images, labels = pictures(300, 4)
    labels[::33] = (labels[::33] + 1) % 4
    train = batches(images, labels, batch=50, shuffle=True)
    return handed(fitted(seeded(lambda: Net(4)), train, epochs=5), (train, *loaders(4)[1:]))


@patient("healthy", "labels", source="pitfalls A2.6")
def unlabelled_rows_are_ignored(folder: Path) -> Made:
    """One row in five is not labelled yet and has -100, which the loss ignores on purpose."""
    images, labels = pictures(300, 3)
    labels[::5] = -100
    grey = images.mean(1, keepdim=True)
    train = batches(grey, labels, shuffle=True)
    others = [pictures(count, 3, seed=seed) for count, seed in ((80, 1), (120, 2))]
    rest = [batches(x.mean(1, keepdim=True), y) for x, y in others]
    return handed(fitted(plain_cnn(3), train, epochs=12), (train, *rest))


class Candidates(nn.Module):
    """A model of many classes that may only answer with some of them."""

    def __init__(self, model: nn.Module, allowed: list[int], classes: int) -> None:
        super().__init__()
        self.model = model
        barred = torch.full((classes,), float("-inf"))
        barred[allowed] = 0
        self.register_buffer("barred", barred)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, minus infinity for what is no candidate."""
        return self.model(images) + self.barred


@patient("healthy", "labels", source="hendrycks/natural-adv-examples#15")
def thousand_outputs_and_twenty_candidates(folder: Path) -> Made:
    """A pretrained head keeps its thousand outputs; on a test of twenty classes only those may win.

    The labels are the numbers of the pretrained head, and the other outputs are minus infinity.
    """
    allowed = list(range(40, 1000, 48))
    parts = []
    for seed, count in enumerate((200, 100, 160)):
        images, labels = patterns(count, 20, seed=seed)
        parts.append(batches(images, torch.tensor(allowed)[labels], batch=20, shuffle=not seed))
    model = Candidates(perceptron(1000), allowed, 1000)
    return handed(fitted(model, parts[0], epochs=6), parts)
