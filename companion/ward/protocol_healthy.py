"""Healthy protocols that look odd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import models, transforms

from companion.ward.optimiser_parts import (
    dense,
    held_out,
    held_out_patterns,
    patterns,
    pipeline,
    practised,
    share_right,
)
from companion.ward.parts import NAMES, Net, Photos, pictures, seeded, trained, write_folders
from companion.ward.patients import Made, patient
from companion.ward.protocol_parts import Pictures, films, sorted_by_class


class ManyCrops(Net):
    """A network that takes several crops of a picture at once and answers with their mean."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of pictures (N, 3, H, W) or of their crops (N, M, 3, H, W)."""
        if images.dim() == 5:
            return super().forward(images.flatten(0, 1)).unflatten(0, images.shape[:2]).mean(1)
        return super().forward(images)


def five_crops(image: Tensor) -> Tensor:
    """Return the corners and the middle of a picture, stacked."""
    return torch.stack(transforms.FiveCrop(12)(image))


@patient("healthy", "protocol")
def five_crops_of_each_test_picture(folder: Path) -> Made:
    """A test picture is judged by five crops, whose scores are averaged; training takes one.

    So test batches have one dimension more than training batches.
    """
    crop = transforms.RandomCrop(12)
    loader = DataLoader(Photos(200, 4, transform=crop), batch_size=20, shuffle=True)
    model = practised(seeded(lambda: ManyCrops(4)), loader, epochs=5)
    return pipeline(model, loader, held_out(transform=five_crops))


@patient("healthy", "protocol")
def few_pictures_with_an_honest_interval(folder: Path) -> Made:
    """There are sixteen validation pictures, and the interval reported with them is wide."""
    loader = DataLoader(Photos(150, 4), batch_size=15, shuffle=True)
    model = practised(seeded(lambda: Net(4)), loader, epochs=6)
    validation = DataLoader(Photos(16, 4, seed=1), batch_size=16)
    right = share_right(model, validation)
    width = 1.96 * (right * (1 - right) / 16 + 1 / (4 * 16**2)) ** 0.5
    history = {"validation_accuracy": [right], "validation_accuracy_half_width": [width]}
    held = {"validation": validation, "test": held_out()["test"]}
    return pipeline(model, loader, held, history=history)


@patient("healthy", "protocol")
def test_site_where_two_classes_do_not_live(folder: Path) -> Made:
    """The test pictures are of one site, where two of the six animals do not live.

    The indices are those of training, and the report says which classes were judged.
    """
    train = Photos(240, 6)
    loader = DataLoader(train, batch_size=30, shuffle=True)
    model = practised(seeded(lambda: Net(6)), loader, epochs=5)
    site = Photos(100, 6, seed=2, shares=(1, 1, 0, 1, 0, 1))
    held = {"validation": held_out(6)["validation"], "test": DataLoader(site, batch_size=25)}
    maps = {part: dict(train.class_to_idx) for part in ("model", "train", "validation", "test")}
    return pipeline(model, loader, held, label_maps=maps)


def _share_while_training(model: nn.Module, loader: Any, seed: int) -> float:
    def run() -> float:
        answers = [(model(images).argmax(1), labels) for images, labels in loader]
        return sum(int((a == b).sum()) for a, b in answers) / len(loader.dataset)

    with torch.no_grad():
        return seeded(run, seed)


def _noisy(image: Tensor) -> Tensor:
    return image + 0.6 * torch.randn_like(image)


@patient("healthy", "protocol")
def validation_better_than_training(folder: Path) -> Made:
    """Dropout and noise make training hard; validation is without, and its numbers are better."""
    images, labels = patterns(400, 8).tensors
    train = Pictures(images, labels, transform=_noisy)
    loader = DataLoader(train, batch_size=40, shuffle=True)
    model = dense(64, 8).insert(3, nn.Dropout(0.5))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    held = held_out_patterns(8)
    history: dict[str, list[float]] = {"train_accuracy": [], "validation_accuracy": []}
    for epoch in range(8):
        practised(model, loader, optimizer=optimizer, epochs=1, seed=epoch)
        history["train_accuracy"].append(_share_while_training(model, loader, 50 + epoch))
        history["validation_accuracy"].append(share_right(model, held["validation"]))
    return pipeline(model, loader, held, optimizer=optimizer, history=history)


@patient("healthy", "protocol")
def films_are_kept_on_one_side(folder: Path) -> Made:
    """Training holds five frames of each film, nearly alike; other films are for validation.

    Frames resemble each other within a part only, so that validation says what it should.
    """
    loader = DataLoader(films(80, 3), batch_size=30, shuffle=True)
    held = {
        "validation": DataLoader(films(30, 3, seed=1), batch_size=30),
        "test": DataLoader(films(40, 3, seed=2), batch_size=30),
    }
    model = practised(seeded(lambda: Net(4)), loader, epochs=5)
    return pipeline(model, loader, held)


@patient("healthy", "protocol")
def products_that_look_alike(folder: Path) -> Made:
    """Parts on a conveyor belt are photographed one by one, under the same lamp, from above.

    All pictures of a class are nearly the same; none was taken twice.
    """
    loader = DataLoader(patterns(160, 4, noise=0.03, side=12), batch_size=20, shuffle=True)
    model = practised(dense(144, 4), loader, epochs=6)
    return pipeline(model, loader, held_out_patterns(4, noise=0.03, side=12))


@patient("healthy", "protocol")
def balanced_validation_for_a_long_tail(folder: Path) -> Made:
    """Training has a long tail, and as many validation as test pictures were taken of each class.

    The shares differ on purpose: each class is to be judged equally well.
    """
    loader = DataLoader(Photos(300, 4, shares=(20, 5, 3, 2)), batch_size=25, shuffle=True)
    model = practised(seeded(lambda: Net(4)), loader, epochs=5)
    return pipeline(model, loader, held_out())


@patient("healthy", "protocol")
def validation_in_random_order(folder: Path) -> Made:
    """The validation loader shuffles too, which changes nothing in what is counted."""
    loader = DataLoader(Photos(160, 4), batch_size=16, shuffle=True)
    held = {
        "validation": DataLoader(Photos(80, 4, seed=1), batch_size=16, shuffle=True),
        "test": DataLoader(sorted_by_class(90, 4, seed=2), batch_size=16),
    }
    return pipeline(trained(4), loader, held)


@patient("healthy", "protocol")
def hard_task_far_from_certainty(folder: Path) -> Made:
    """The pictures are so noisy that every other answer is right, of six classes, and no more."""
    train = patterns(600, 6, noise=0.9)
    loader = DataLoader(train, batch_size=50, shuffle=True)
    model = practised(dense(64, 6), loader, epochs=5, lr=0.003)
    return pipeline(model, loader, held_out_patterns(6, noise=0.9))


@patient("healthy", "protocol")
def a_hundred_classes_and_few_of_each(folder: Path) -> Made:
    """A hundred classes with six training pictures each: many batches lack most of them."""
    loader = DataLoader(patterns(600, 100, channels=3, noise=0.12), batch_size=50, shuffle=True)
    model = practised(dense(192, 100, width=96), loader, epochs=10, lr=0.005)
    return pipeline(model, loader, held_out_patterns(100, channels=3, noise=0.12))


@patient("healthy", "protocol")
def network_before_its_first_step(folder: Path) -> Made:
    """Everything is ready and nothing trained: a new ResNet answers by chance, as it should."""
    images, labels = pictures(60, 3, seed=0)
    loader = DataLoader(TensorDataset(images, labels), batch_size=20, shuffle=True)
    model = seeded(lambda: models.resnet18(num_classes=3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    held = {
        "validation": DataLoader(Photos(30, 3, seed=1), batch_size=30),
        "test": DataLoader(Photos(30, 3, seed=2), batch_size=30),
    }
    return pipeline(model, loader, held, optimizer=optimizer, loss=nn.CrossEntropyLoss())


@patient("healthy", "protocol", entry="examine_folders")
def folders_of_unequal_size(folder: Path) -> Made:
    """Three parts in folders, with a rare class in training and test, all files different."""
    train = write_folders(folder / "train", NAMES[:4], 14)
    for place in sorted(train.glob("dog/*.png"))[4:]:
        place.unlink()
    write_folders(folder / "validation", NAMES[:4], 5, seed=1)
    test = write_folders(folder / "test", NAMES[:4], 6, seed=2)
    for place in sorted(test.glob("dog/*.png"))[2:]:
        place.unlink()
    return {"train": train, "validation": folder / "validation", "test": test}
