"""What a script is here, the table of them, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
from torchvision.models.resnet import BasicBlock, ResNet

from companion.ward.parts import NAMES, pictures

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLASSES = 5


@dataclass(frozen=True)
class Script:
    """A healthy script: how it is made, after which script, and the warnings it may be given."""

    name: str
    make: Callable[[], dict[str, Any]]
    address: str
    warnings: tuple[str, ...] = ()


SCRIPTS: dict[str, Script] = {}


def script(address: str, *, warnings: tuple[str, ...] = ()) -> Callable[..., Any]:
    """Register a function that makes a pipeline after the script at an address.

    `warnings` are the codes of warnings that are right: the script could be better, and says so,
    or the small picture of it has a fault that the script has not.
    """

    def registered(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
        assert make.__doc__, make
        assert make.__name__ not in SCRIPTS
        SCRIPTS[make.__name__] = Script(make.__name__, make, address, warnings)
        return make

    return registered


class Pictures(Dataset):
    """Small coloured pictures, held and transformed as torchvision's CIFAR10 does."""

    def __init__(
        self, count: int, seed: int, transform: Any, *, classes: int = CLASSES, mode: str = "RGB"
    ) -> None:
        found, labels = pictures(count, classes, seed=seed)
        self.data = (255 * found).round().byte().permute(0, 2, 3, 1).numpy()
        self.targets: list[int] = labels.tolist()
        self.classes = list(NAMES[:classes])
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.transform, self.mode = transform, mode

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        picture = Image.fromarray(np.ascontiguousarray(self.data[index])).convert(self.mode)
        return self.transform(picture), self.targets[index]


def loaders(
    train: Any, test: Any, *, batch: int = 16, test_batch: int = 32, **options: Any
) -> dict[str, Any]:
    """Return a shuffled loader of training pictures, and one of pictures to be judged."""
    return {
        "train": DataLoader(Pictures(256, 0, train, **options), batch, shuffle=True),
        "test": DataLoader(Pictures(160, 1, test, **options), test_batch),
    }


def normalised(*steps: Any, mean: Any = IMAGENET[0], std: Any = IMAGENET[1]) -> Any:
    """Return transforms that end in a tensor of normalised pixels."""
    return T.Compose([*steps, T.ToTensor(), T.Normalize(mean, std)])


def resnet(classes: int = CLASSES, *, width: int = 8) -> ResNet:
    """Return a ResNet of torchvision's with a block in each stage, and few channels."""
    torch.manual_seed(0)
    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=classes)
    for module in list(model.modules()):
        for part, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d):
                made = max(3, child.in_channels * width // 64), child.out_channels * width // 64
                shape = child.kernel_size, child.stride, child.padding
                setattr(module, part, nn.Conv2d(*made, *shape, bias=False))  # type: ignore[arg-type]
            elif isinstance(child, nn.BatchNorm2d):
                setattr(module, part, nn.BatchNorm2d(child.num_features * width // 64))
    model.fc = nn.Linear(8 * width, classes)
    return model


def judged_as_imagenet(size: int = 32) -> Any:
    """Return what torchvision's references do with pictures that are judged."""
    return normalised(T.Resize(size + 4), T.CenterCrop(size))


def mobilenet(classes: int = CLASSES) -> nn.Module:
    """Return a MobileNet of torchvision's with three blocks."""
    torch.manual_seed(0)
    rows = [(8, 3, 16, 16, True, "RE", 2, 1), (16, 3, 32, 16, False, "RE", 1, 1)]
    rows.append((16, 3, 48, 24, True, "HS", 2, 1))
    blocks = [InvertedResidualConfig(*row, 1.0) for row in rows]
    return MobileNetV3(blocks, last_channel=64, num_classes=classes)
