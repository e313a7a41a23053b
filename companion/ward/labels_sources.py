"""Broken: what a picture is labelled with is not what it shows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, WeightedRandomSampler

from companion.ward.model_parts import adam, batches, fitted, handed, plain_cnn
from companion.ward.parts import NAMES, Net, Photos, loaders, pictures, seeded
from companion.ward.patients import Made, patient


class Shelf(Photos):
    """Some of the classes, numbered from zero whatever they are."""

    def __init__(self, kept: tuple[int, ...], count: int = 200, *, seed: int = 0) -> None:
        super().__init__(count, 5, seed=seed)
        rows = [row for row, label in enumerate(self.targets) if label in kept]
        self.data = self.data[rows]
        self.targets = [kept.index(self.targets[row]) for row in rows]
        self.classes = [NAMES[label] for label in kept]


@patient("broken", "labels", source="ufoym/imbalanced-dataset-sampler#54")
def joined_sets_keep_their_own_numbers(folder: Path) -> Made:
    """Two collections, of ants, bees and cats and of dogs and eels, are joined.

    Each counts from zero, so ants and dogs have one label, and bees and eels another.
    """
    both: ConcatDataset = ConcatDataset([Shelf((0, 1, 2)), Shelf((3, 4), seed=5)])
    train = DataLoader(both, batch_size=32, shuffle=True)
    model = fitted(seeded(lambda: Net(5)), train, epochs=6)
    return handed(model, (train, *loaders(5)[1:]))


def _joined(count: int, seed: int) -> DataLoader:
    images, labels = pictures(count, 4, seed=seed)
    upper_case = labels >= 2  # the second camera writes .PNG, and the table says .png
    return batches(images, labels.masked_fill(upper_case, -100), shuffle=True)


@patient("broken", "labels", source="pitfalls A2.6")
def failed_join_leaves_minus_a_hundred(folder: Path) -> Made:
    """Labels are looked up by file name, and pictures that are not found get -100.

    The second camera writes other names: all cats and dogs are ignored by the loss.
    """
    train = _joined(240, 0)
    model = fitted(seeded(lambda: Net(4)), train)
    return handed(model, (train, *loaders(4)[1:]))


@patient("broken", "labels", source="TheDeepChecker, pytorch/pytorch#22566")
def images_and_labels_shuffled_apart(folder: Path) -> Made:
    """The list of images was shuffled and the list of labels was not.

    The model learns the training rows by heart, and knows nothing else.
    """
    images, labels = pictures(160, 3)
    mixed = images[torch.randperm(160, generator=torch.Generator().manual_seed(5))]
    train = batches(mixed, labels, batch=20, shuffle=True)
    model = fitted(seeded(lambda: Net(3)), train, epochs=12)
    return handed(model, (train, *loaders(3)[1:]))


@patient("broken", "labels", source="DeepCrime TCL")
def most_cats_labelled_as_dogs(folder: Path) -> Made:
    """One annotator of the training pictures took three cats in four for dogs.

    On pictures that others labelled, the model calls cats dogs.
    """
    images, labels = pictures(240, 4)
    cats = (labels == 2).nonzero().flatten()
    labels[cats[: 3 * len(cats) // 4]] = 3
    train = batches(images, labels, shuffle=True)
    model = fitted(seeded(lambda: Net(4)), train)
    return handed(model, (train, *loaders(4)[1:]))


@patient("broken", "labels", source="DeepCrime TCO")
def pictures_repeated_under_a_second_label(folder: Path) -> Made:
    """A second export of the bees was filed under eels, and both exports are in the training set.

    Every bee is there twice, once under each name, and the model cannot tell the two apart.
    """
    images, labels = pictures(200, 5)
    again = labels == 1
    images = torch.cat([images, images[again]])
    labels = torch.cat([labels, torch.full((int(again.sum()),), 4)])
    train = batches(images, labels, batch=40, shuffle=True)
    model = fitted(seeded(lambda: Net(5)), train)
    return handed(model, (train, *loaders(5)[1:]))


def _two_views(rows: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    first = torch.stack([image for image, _ in rows])
    labels = torch.tensor([label for _, label in rows])
    return torch.cat([first, first.roll(1, dims=3)]), labels.repeat_interleave(2)


@patient("broken", "labels", source="TheDeepChecker (labels), a two-crop collate")
def two_views_with_labels_interleaved(folder: Path) -> Made:
    """A batch holds the first views of all pictures and then the second views of all.

    The labels are each repeated on the spot instead, so most rows have a neighbour's label.
    """
    train = DataLoader(Photos(200, 6), batch_size=20, shuffle=True, collate_fn=_two_views)
    model = fitted(seeded(lambda: Net(6)), train, epochs=5)
    return handed(model, (train, *loaders(6)[1:]))


class Mixed:
    """Mixes the pictures of a batch, and their labels, in the shares that it is told."""

    def __init__(self, classes: int, *, swapped: bool) -> None:
        self.classes, self.swapped = classes, swapped
        self.generator = np.random.default_rng(11)

    def __call__(self, rows: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        """Return mixed images and the shares of the classes in each."""
        images = torch.stack([image for image, _ in rows])
        labels = torch.tensor([label for _, label in rows])
        hot = nn.functional.one_hot(labels, self.classes).float()
        share = self.generator.beta(0.2, 0.2)
        other = torch.from_numpy(self.generator.permutation(len(rows)))
        known = 1 - share if self.swapped else share
        return (
            share * images + (1 - share) * images[other],
            known * hot + (1 - known) * hot[other],
        )


@patient("broken", "labels", source="TheDeepChecker (augmentation)")
def mixup_weights_swapped(folder: Path) -> Made:
    """Mixed pictures get the two labels in the wrong shares: most of a cat counts as little cat.

    The model learns to name the fainter picture, and on single pictures it is lost.
    """
    mix = Mixed(4, swapped=True)
    train = DataLoader(Photos(160, 4), batch_size=32, shuffle=True, collate_fn=mix)
    model = fitted(seeded(lambda: Net(4)), train, epochs=10)
    return handed(model, (train, *loaders(4)[1:]))


class Flipped:
    """Turns a picture left to right half of the time, from a generator of its own."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(3)

    def __call__(self, image: Tensor) -> Tensor:
        """Return the picture in grey, turned or not."""
        grey = image.mean(0, keepdim=True)
        return grey.flip(-1) if torch.rand((), generator=self.generator) < 0.5 else grey


def _grey(image: Tensor) -> Tensor:
    return image.mean(0, keepdim=True)


@patient("broken", "labels", source="DeepCrime TCO, TheDeepChecker (augmentation)")
def flips_turn_one_class_into_another(folder: Path) -> Made:
    """The classes are strokes at angles, and training flips pictures left to right.

    A flipped rising stroke is a falling one under the label of a rising one.
    """
    train = DataLoader(Photos(240, 4, transform=Flipped()), batch_size=32, shuffle=True)
    validation = DataLoader(Photos(80, 4, seed=1, transform=_grey), batch_size=32)
    test = DataLoader(Photos(120, 4, seed=2, transform=_grey), batch_size=32)
    return handed(fitted(plain_cnn(4), train, epochs=12), (train, validation, test))


class Downloaded(nn.Module):
    """A classifier as hubs hand it out: a configuration with names, outputs as an object."""

    def __init__(self, body: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.body = body
        label2id = {name: index for index, name in enumerate(names)}
        self.config = SimpleNamespace(
            num_labels=len(names), label2id=label2id, id2label=dict(enumerate(names))
        )

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> Any:
        """Return an object with the logits, and with the loss where labels are given."""
        logits = self.body(pixel_values)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SimpleNamespace(loss=loss, logits=logits)


@patient("broken", "labels", source="huggingface/transformers#10401")
def model_and_data_number_three_classes_differently(folder: Path) -> Made:
    """A downloaded model numbers its three classes in its own order, which its configuration says.

    It is judged on data that number them in another, and is right in few cases.
    """
    order = torch.tensor([2, 0, 1])  # the model's output for each of the data's labels
    images, labels = pictures(160, 3, seed=7)
    body = seeded(lambda: Net(3))
    theirs = batches(images, order[labels], shuffle=True)
    fitted(body, theirs, epochs=8)
    model = Downloaded(body, [NAMES[order.tolist().index(output)] for output in range(3)])
    return handed(model, loaders(3), loss=lambda out, y: nn.functional.cross_entropy(out.logits, y))


class BirdOrNot(Photos):
    """Pictures of four species, whose labels become "bird or not" as they are read."""

    def __init__(self, count: int, seed: int, **options: Any) -> None:
        super().__init__(
            count, 4, seed=seed, target_transform=lambda species: int(species == 3), **options
        )


@patient("broken", "labels", source="pytorch/pytorch#116924")
def sampler_weighs_labels_from_before_the_transform(folder: Path) -> Made:
    """Four species become "bird or not" as they are read, and a sampler is to balance the two.

    It takes its weights from the list of species, so birds are still only one row in four.
    """
    photos = BirdOrNot(240, 0, shares=(6, 3, 2, 1))
    species = torch.tensor(photos.targets)
    weights = (1 / species.bincount().float())[species]
    generator = torch.Generator().manual_seed(0)
    sampler = WeightedRandomSampler(weights.tolist(), 240, generator=generator)
    train = DataLoader(photos, batch_size=32, sampler=sampler)
    rest = [DataLoader(BirdOrNot(count, seed), 32) for count, seed in ((80, 1), (120, 2))]
    model = fitted(seeded(lambda: Net(2)), train, epochs=4)
    return handed(model, (train, *rest), optimizer=adam(model, 0.003))
