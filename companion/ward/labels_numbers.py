"""Broken: the number of a class is not the number of its output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

from companion.ward.model_parts import batches, fitted, handed, parts_of, plain_cnn
from companion.ward.parts import NAMES, Net, Photos, loaders, pictures, seeded, trained
from companion.ward.patients import Made, patient

CATALOGUE = (0, 3, 10, 13, 20)
KEPT = (2, 5, 7, 9)
TYPED = {"ant": 0, "bee": 1, "cat": 2, "dog": 2, "eel": 4}


@patient("broken", "labels", source="Luo-Jiaming/GIFT_CL#3")
def test_labels_shifted_twice(folder: Path) -> Made:
    """The test labels used to start at one, and their reader still takes one away.

    They start at zero by now, so every answer that is right counts as wrong.
    """
    train, validation, _ = loaders(6)
    test = Photos(120, 6, seed=2, target_transform=lambda label: label - 1)
    return handed(trained(6), (train, validation, DataLoader(test, batch_size=40)))


class Letters(Photos):
    """Pictures numbered from one, like EMNIST's letters, with an empty class at zero."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count, 5, seed=seed)
        self.targets = [label + 1 for label in self.targets]
        self.classes = ["N/A", *self.classes]


@patient("broken", "labels", source="pytorch/vision#2630")
def letters_counted_from_one(folder: Path) -> Made:
    """The training letters count from one, with a sixth output for nothing; the test counts from 0.

    On the test set hardly an answer is right, because all of them are one too high.
    """
    train, validation, _ = parts_of(Letters, batch=16)
    model = fitted(seeded(lambda: Net(6)), train, epochs=6)
    test = DataLoader(Photos(120, 5, seed=2), batch_size=16)
    return handed(model, (train, validation, test))


def _wrapped(count: int, seed: int, *, shuffle: bool = False) -> DataLoader:
    images, labels = pictures(count, 5, seed=seed)
    wrapped = labels.numpy().astype(np.uint8) - 1  # 0 becomes 255
    return batches(images, wrapped, shuffle=shuffle)


@patient("broken", "labels", source="modestyachts/ImageNetV2#10, pitfalls A2.6")
def first_class_wraps_to_the_ignored_value(folder: Path) -> Made:
    """Labels in uint8 start at zero, one is taken away, and the first class becomes 255.

    255 is what the loss ignores, so that class is never learnt, and nothing complains.
    """
    train = _wrapped(200, 0, shuffle=True)
    loss = nn.CrossEntropyLoss(ignore_index=255)
    model = fitted(seeded(lambda: Net(5)), train, loss=loss)
    return handed(model, (train, _wrapped(80, 1), _wrapped(120, 2)), loss=loss)


@patient("broken", "labels", source="pitfalls A2.6")
def padding_index_kept_from_a_text_model(folder: Path) -> Made:
    """The loss was copied from a translation model, where index zero is padding and ignored.

    Here class zero is a class, and it is never learnt.
    """
    parts = loaders(4)
    loss = nn.CrossEntropyLoss(ignore_index=0)
    return handed(fitted(seeded(lambda: Net(4)), parts[0], loss=loss), parts, loss=loss)


class Catalogued(Photos):
    """Pictures whose labels are numbers in a catalogue, with gaps."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count, 5, seed=seed, target_transform=lambda number: number % 5)
        self.targets = [CATALOGUE[label] for label in self.targets]

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class in the catalogue."""
        return dict(zip(self.classes, CATALOGUE, strict=True))


@patient("broken", "labels", source="pitfalls A2.7")
def catalogue_numbers_taken_modulo_five(folder: Path) -> Made:
    """The loss refused label 20, so labels are taken modulo the number of classes.

    Five classes become two, and the model cannot name three of them.
    """
    parts = parts_of(Catalogued)
    return handed(fitted(seeded(lambda: Net(5)), parts[0], epochs=5), parts)


def _kept(count: int, seed: int, **options: Any) -> Subset:
    photos = Photos(count, 10, seed=seed, **options)
    return Subset(photos, [row for row, label in enumerate(photos.targets) if label in KEPT])


@patient("broken", "labels", source="pytorch/pytorch#116924")
def four_classes_renumbered_in_training_alone(folder: Path) -> Made:
    """Four of ten classes are kept and renumbered 0 to 3 in training and validation.

    The test set keeps the same four and their old numbers, so nothing there is found right.
    """
    train = DataLoader(_kept(400, 0, target_transform=KEPT.index), batch_size=20, shuffle=True)
    validation = DataLoader(_kept(200, 1, target_transform=KEPT.index), batch_size=20)
    model = fitted(seeded(lambda: Net(4)), train)
    return handed(model, (train, validation, DataLoader(_kept(300, 2), batch_size=20)))


def _encoded(count: int, seed: int, *, without: str = "", shuffle: bool = False) -> DataLoader:
    images, labels = pictures(count, 4, seed=seed)
    names = np.array(NAMES)[labels.numpy()]
    kept = names != without
    _, codes = np.unique(names[kept], return_inverse=True)
    grey = images.mean(1, keepdim=True)[torch.from_numpy(kept)]
    return batches(grey, codes, shuffle=shuffle)


@patient("broken", "labels", source="scikit-learn/scikit-learn#11777, pitfalls A2.2")
def encoder_fitted_on_each_part(folder: Path) -> Made:
    """The names of the classes become numbers by an encoder that is fitted on each part anew.

    No bee is in the validation and test pictures, so cats and dogs have other numbers there.
    """
    train = _encoded(240, 0, shuffle=True)
    model = fitted(plain_cnn(4), train)
    others = (_encoded(80, 1, without="bee"), _encoded(120, 2, without="bee"))
    return handed(model, (train, *others))


@patient("broken", "labels", source="ContinualAI/avalanche#1073")
def three_of_eight_classes_never_trained(folder: Path) -> Made:
    """The training pictures were filtered for a quick trial and the filter stayed.

    The model has eight outputs, and is reported as knowing eight classes: three are never found.
    """
    photos = Photos(320, 8)
    seen = [row for row, label in enumerate(photos.targets) if label < 5]
    train = DataLoader(Subset(photos, seen), batch_size=25, shuffle=True)
    model = fitted(seeded(lambda: Net(8)), train, epochs=6)
    return handed(model, (train, *loaders(8)[1:]))


class Unsorted(Photos):
    """Pictures whose classes are in the order in which the zoo bought the animals."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count, 4, seed=seed)
        self.classes = ["dog", "ant", "cat", "bee"]


@patient("broken", "labels", source="huggingface/datasets#2457, pitfalls A2.3")
def names_for_the_app_in_another_order(folder: Path) -> Made:
    """The list of names that is stored with the model was typed in alphabetical order.

    The data number the classes in another order, so users are told the wrong names.
    """
    parts = parts_of(Unsorted)
    order = parts[0].dataset.class_to_idx
    names = {name: index for index, name in enumerate(sorted(order))}
    maps = {"model": names, "train": order, "validation": order, "test": order}
    return handed(trained(4), parts, label_maps=maps)


class Typed(Photos):
    """Pictures numbered by a dictionary that somebody typed."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count, 5, seed=seed)
        self.targets = [TYPED[NAMES[label]] for label in self.targets]

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The dictionary as it was typed."""
        return dict(TYPED)


@patient("broken", "labels", source="pitfalls A2.7")
def two_names_typed_with_one_number(folder: Path) -> Made:
    """In the dictionary of five classes a number was typed twice and another left out.

    Cats and dogs are one class, and the fourth of the five outputs stands for nothing.
    """
    parts = parts_of(Typed)
    model = fitted(seeded(lambda: Net(5)), parts[0], epochs=6)
    return handed(model, parts, label_maps={"model": TYPED, "train": TYPED, "test": TYPED})
