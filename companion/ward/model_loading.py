"""Broken: weights that are not those that were loaded, and pictures that they never saw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms import Normalize

from companion.ward.model_parts import adam, fitted, handed
from companion.ward.parts import Net, Photos, loaders, seeded, trained
from companion.ward.patients import Made, patient


@patient("broken", "model and head", source="pytorch/examples#1029")
def checkpoint_with_a_module_prefix(folder: Path) -> Made:
    """The weights were stored by several GPUs, under names that begin with "module.".

    Loaded with `strict=False` none of them fits, and the model is as it was drawn.
    """
    file = folder / "checkpoint.pth"
    torch.save({f"module.{name}": value for name, value in trained(4).state_dict().items()}, file)
    model = seeded(lambda: Net(4), 9)
    model.load_state_dict(torch.load(file, weights_only=True), strict=False)
    return handed(model.eval(), loaders(4, batch=60), checkpoint=file)


def _drawn(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight)


@patient("broken", "model and head", source="DeepCrime WCI, several inits (ICSE 2020)")
def weights_loaded_and_then_drawn_again(folder: Path) -> Made:
    """The weights are loaded, and then the function that draws the first weights is applied.

    Of what was learnt only the statistics of BatchNorm are left.
    """
    file = folder / "best.pth"
    torch.save({"state_dict": trained(6).state_dict(), "epoch": 16}, file)
    model = seeded(lambda: Net(6))
    model.load_state_dict(torch.load(file, weights_only=True)["state_dict"])
    seeded(lambda: model.apply(_drawn), 5)
    return handed(model, loaders(6), checkpoint=file)


def _parts(
    before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor], classes: int = 4
) -> list:
    """Return training pictures through one transform, and the others through another."""
    return [
        DataLoader(
            Photos(count, classes, seed=seed, transform=after if seed else before),
            batch_size=32,
            shuffle=not seed,
        )
        for seed, count in enumerate((160, 80, 120))
    ]


class Configured(Net):
    """A network with the configuration of its training, as in timm."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.pretrained_cfg = {
            "input_size": (3, 16, 16),
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "num_classes": classes,
            "classifier": "fc",
        }


@patient("broken", "model and head", source="mr-eggplant/FOA#2")
def normalised_for_another_network(folder: Path) -> Made:
    """The pictures are normalised with ImageNet's mean and standard deviation, as always.

    These weights were trained with 0.5 and 0.5, which is in their configuration.
    """
    half = Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    model = fitted(seeded(lambda: Configured(10)), _parts(half, half, 10)[0], epochs=8)
    usual = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return handed(model.eval(), _parts(usual, usual, 10), optimizer=adam(model, 0.0001))


@patient("broken", "model and head", source="preprocessing, wrong pixel code (ICSE 2020)")
def colours_swapped_at_test_time(folder: Path) -> Made:
    """Training reads pictures with PIL and testing with OpenCV, which gives blue first.

    The network relies on colours, and takes the classes for each other.
    """
    parts = _parts(lambda image: image, lambda image: image.flip(0))
    return handed(fitted(seeded(lambda: Net(4)), parts[0], epochs=5), parts)


@patient("broken", "model and head", source="preprocessing, wrong scaling (ICSE 2020)")
def pixels_divided_by_255_twice_at_test_time(folder: Path) -> Made:
    """The reader of the test pictures divides by 255, and the transform after it does so again.

    The network sees pictures that are nearly black, and answers alike for all of them.
    """
    parts = _parts(lambda image: image, lambda image: image / 255, 6)
    return handed(fitted(seeded(lambda: Net(6)), parts[0], epochs=7), parts)
