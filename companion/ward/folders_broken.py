"""Broken: folders of pictures, and the numbers that come of their names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional

from companion.ward.model_parts import adam, batches, fitted, handed, patterns, perceptron
from companion.ward.parts import NAMES, Net, pictures, seeded, trained, write_folders
from companion.ward.patients import Made, patient


def read(place: Path, **options: Any) -> ImageFolder:
    """Return the pictures of a folder as tensors."""
    return ImageFolder(str(place), transform=functional.to_tensor, **options)


def in_memory(photos: Dataset) -> TensorDataset:
    """Return the pictures of a set, read once, for a training that would read them often."""
    rows = [photos[row] for row in range(len(photos))]  # type: ignore[arg-type]
    return TensorDataset(
        torch.stack([image for image, _ in rows]), torch.tensor([label for _, label in rows])
    )


def three_folders(folder: Path, names: tuple[str, ...] = NAMES[:4]) -> tuple[Path, Path, Path]:
    """Write training, validation and test pictures, and return their folders."""
    each = {"train": 30, "validation": 10, "test": 15}
    places = [
        write_folders(folder / part, names, count, seed=seed)
        for seed, (part, count) in enumerate(each.items())
    ]
    return places[0], places[1], places[2]


@patient("broken", "labels", source="ultralytics/ultralytics#13936")
def validation_lacks_a_folder(folder: Path) -> Made:
    """No bee was put aside for validation and test, so their folders have three classes.

    Cats and dogs are numbered one lower there, and the model is right about ants alone.
    """
    places = three_folders(folder)
    for place in places[1:]:
        shutil.rmtree(place / "bee")
    train = DataLoader(read(places[0]), batch_size=16, shuffle=True)
    rest = [DataLoader(read(place), batch_size=16) for place in places[1:]]
    return handed(trained(4), (train, *rest))


@patient("broken", "labels", source="weecology/DeepForest#1147", entry="examine_folders")
def training_lost_a_folder(folder: Path) -> Made:
    """One folder of the training pictures was not copied to the new machine.

    Its class is never learnt, and all that come after it are numbered differently.
    """
    places = three_folders(folder, NAMES[:6])
    shutil.rmtree(places[0] / "dog")
    return dict(zip(("train", "validation", "test"), places, strict=True))


@patient("broken", "labels", source="ultralytics/ultralytics#23566", entry="examine_folders")
def some_training_folders_in_upper_case(folder: Path) -> Made:
    """Two of the training folders begin with a capital, and capitals sort first.

    Dogs and cats have the numbers in training that ants and bees have in the test.
    """
    train, validation, test = three_folders(folder)
    for name in ("cat", "dog"):
        (train / name).rename(train / name.capitalize())
    return {"train": train, "validation": validation, "test": test}


@patient("broken", "labels", source="pitfalls A2.2", entry="examine_folders")
def test_folder_misspelt(folder: Path) -> Made:
    """A folder of the test pictures is called "act", and should be called "cat".

    It sorts first, so ants, bees and cats all have another number than in training.
    """
    train, validation, test = three_folders(folder)
    (test / "cat").rename(test / "act")
    return {"train": train, "validation": validation, "test": test}


@patient("broken", "labels", source="open-mmlab/mmpretrain#507")
def notebook_checkpoints_are_a_class(folder: Path) -> Made:
    """A notebook left a folder of copies among the training folders, and it is now class zero.

    The test folders have no such thing, and every class there is numbered one lower.
    """
    places = three_folders(folder)
    hidden = places[0] / ".ipynb_checkpoints"
    hidden.mkdir()
    for number in range(4):
        shutil.copy(places[0] / "cat" / f"{number}.png", hidden / f"{number}-checkpoint.png")
    photos = read(places[0])
    model = seeded(lambda: Net(len(photos.classes)))
    fitted(model, DataLoader(in_memory(photos), batch_size=32, shuffle=True))
    rest = [DataLoader(read(place), batch_size=32) for place in places[1:]]
    return handed(model, (DataLoader(photos, batch_size=32, shuffle=True), *rest))


@patient("broken", "labels", source="fastai/fastai#1552")
def test_folder_lies_among_the_classes(folder: Path) -> Made:
    """The folder of test pictures lies beside those of the classes, and is read as a class.

    The model has learnt to call the test pictures "test".
    """
    root = write_folders(folder / "photos", NAMES[:4], 24)
    test = write_folders(root / "test", NAMES[:4], 12, seed=2)
    photos = read(root)
    model = seeded(lambda: Net(len(photos.classes)))
    fitted(model, DataLoader(in_memory(photos), batch_size=16, shuffle=True), epochs=20)
    validation = write_folders(folder / "validation", NAMES[:4], 10, seed=1)
    rest = [DataLoader(read(place), batch_size=16) for place in (validation, test)]
    return handed(model, (DataLoader(photos, batch_size=16, shuffle=True), *rest))


@patient("broken", "labels", source="modestyachts/ImageNetV2#10")
def numbered_folders_sorted_as_strings(folder: Path) -> Made:
    """Training folders are called 0 to 11 and are sorted as words: 10 comes before 2.

    The test labels are the same numbers, read from a table as numbers.
    """
    train, validation, _ = three_folders(folder, tuple(str(number) for number in range(12)))
    photos = read(train)
    model = seeded(lambda: Net(12))
    in_ram = DataLoader(in_memory(photos), batch_size=36, shuffle=True)
    fitted(model, in_ram, adam(model, 0.003), epochs=7)
    images, labels = pictures(180, 12, seed=2)
    table = batches(images, labels)
    loaded = DataLoader(photos, batch_size=36, shuffle=True)
    return handed(model, (loaded, DataLoader(read(validation), batch_size=36), table))


@patient("broken", "labels", source="huggingface/pytorch-image-models#2456")
def twenty_folders_judged_by_a_hundred_outputs(folder: Path) -> Made:
    """A model of a hundred classes is tested on folders of twenty of them, numbered 0 to 19.

    Nobody mapped the folders to the model's outputs, so hardly anything counts as right.
    """
    images, labels = patterns(1000)
    train = batches(images, labels, batch=50, shuffle=True)
    model = fitted(perceptron(100), train, epochs=5)
    chosen = [*range(7, 100, 5), 99]
    rest = []
    for seed in (1, 2):
        others, theirs = patterns(600, seed=seed)
        rows = torch.tensor([label in chosen for label in theirs.tolist()])
        renumbered = torch.tensor([chosen.index(label) for label in theirs[rows].tolist()])
        rest.append(batches(others[rows], renumbered, batch=50))
    return handed(model, (train, *rest), optimizer=torch.optim.AdamW(model.parameters(), lr=0.003))


def stored(model: nn.Module, file: Path, **more: Any) -> Path:
    """Store a model's weights under the usual name, with whatever is said about it."""
    weights: dict[str, Tensor] = model.state_dict()
    torch.save({"state_dict": weights, **more}, file)
    return file


@patient("broken", "labels", source="facebookresearch/deit#130", entry="examine_checkpoint")
def checkpoint_names_classes_in_another_order(folder: Path) -> Made:
    """The checkpoint says which class each output is, in the order of a spreadsheet.

    The folders that it is used on are numbered by the alphabet, and most answers are wrong.
    """
    classes = ["dog", "bee", "ant", "cat"]
    file = stored(trained(4), folder / "best.pt", epoch=16, classes=classes)
    return {"file": file, "folders": write_folders(folder / "photos", NAMES[:4], 10, seed=2)}


@patient("broken", "labels", source="ultralytics/ultralytics#4514", entry="examine_checkpoint")
def checkpoint_of_four_classes_for_five_folders(folder: Path) -> Made:
    """A fifth class has been photographed since the model was trained.

    The checkpoint has four outputs, so one folder in five can never be right.
    """
    file = stored(trained(4), folder / "best.pt", classes=list(NAMES[:4]))
    return {"file": file, "folders": write_folders(folder / "photos", NAMES[:5], 10, seed=2)}
