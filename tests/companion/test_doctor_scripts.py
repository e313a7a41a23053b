"""Healthy training set-ups as well-known scripts describe them, written anew and small: no error.

PyTorch's tutorials (MNIST, CIFAR-10, transfer learning, quickstart), torchvision's reference for
classification, timm's training script, and a Hugging Face image classifier.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR, StepLR
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms as T

from companion.doctor import examine
from companion.doctor.examining import BROKEN
from untouched import differences, snapshot

SCRIPTS: dict[str, Callable[[], dict[str, Any]]] = {}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def script(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    SCRIPTS[make.__name__] = make
    return make


class Photographs(Dataset):
    """Coloured pictures of a few classes, as torchvision's CIFAR10 holds them."""

    def __init__(
        self, count: int, seed: int, transform: Any, *, classes: int = 10, mode: str = "RGB"
    ):
        generator = torch.Generator().manual_seed(seed)
        self.targets = torch.randint(0, classes, (count,), generator=generator).tolist()
        pixels = 255 * torch.rand(count, 32, 32, 3, generator=generator)
        for row, label in enumerate(self.targets):
            pixels[row, 3 * (label % 10) : 3 * (label % 10) + 3] *= 0.2
        self.data = pixels.byte().numpy()
        self.classes = [f"class {index}" for index in range(classes)]
        self.transform, self.mode = transform, mode

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        picture = Image.fromarray(self.data[index]).convert(self.mode)
        return self.transform(picture), self.targets[index]


def loaders(train: Any, test: Any, *, batch: int = 16, **options: Any) -> dict[str, Any]:
    return {
        "train": DataLoader(Photographs(160, 0, train, **options), batch, shuffle=True),
        "test": DataLoader(Photographs(96, 1, test, **options), 32),
    }


@script
def mnist_tutorial() -> dict[str, Any]:
    """Logarithms of probabilities, the likelihood as the loss, Adadelta with a step schedule."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3)
            self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
            self.fc1, self.fc2 = nn.Linear(3136, 32), nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = nn.functional.relu(self.conv2(nn.functional.relu(self.conv1(x))))
            x = self.dropout1(nn.functional.max_pool2d(x, 2)).flatten(1)
            x = self.fc2(self.dropout2(nn.functional.relu(self.fc1(x))))
            return nn.functional.log_softmax(x, dim=1)

    transform = T.Compose([T.ToTensor(), T.Normalize((0.1307,), (0.3081,))])
    model = Net()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    return loaders(transform, transform, mode="L") | {
        "model": model,
        "loss": nn.functional.nll_loss,
        "optimizer": optimizer,
        "scheduler": StepLR(optimizer, step_size=1, gamma=0.7),
        "total_steps": 14,
    }


@script
def cifar_tutorial() -> dict[str, Any]:
    """Batches of four, a plain network without BatchNorm, pixels in −1 … 1."""
    transform = T.Compose([T.ToTensor(), T.Normalize((0.5,) * 3, (0.5,) * 3)])
    model = nn.Sequential(
        *(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 84), nn.ReLU(), nn.Linear(84, 10)),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    given = {"model": model, "loss": nn.CrossEntropyLoss(), "optimizer": optimizer}
    return loaders(transform, transform, batch=4) | given


@script
def quickstart_tutorial() -> dict[str, Any]:
    """A multilayer perceptron on pixels in 0 … 1, SGD at 0.001, nothing shuffled."""
    layers = (nn.Linear(3072, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    model = nn.Sequential(nn.Flatten(), *layers)
    given = loaders(T.ToTensor(), T.ToTensor())
    given["train"] = DataLoader(given["train"].dataset, 64)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    return given | {"model": model, "loss": nn.CrossEntropyLoss(), "optimizer": optimizer}


@script
def transfer_learning_tutorial() -> dict[str, Any]:
    """A frozen ResNet with a new head for two classes, which alone is in the optimiser."""
    train = T.Compose(
        [T.RandomResizedCrop(32), T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize(*IMAGENET)]
    )
    test = T.Compose([T.Resize(36), T.CenterCrop(32), T.ToTensor(), T.Normalize(*IMAGENET)])
    model = torchvision.models.resnet18(weights=None)
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.fc = nn.Linear(model.fc.in_features, 2)
    optimizer = torch.optim.SGD(model.fc.parameters(), lr=0.001, momentum=0.9)
    return loaders(train, test, classes=2) | {
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": optimizer,
        "scheduler": StepLR(optimizer, step_size=7, gamma=0.1),
        "total_steps": 25,
    }


@script
def torchvision_reference() -> dict[str, Any]:
    """Label smoothing, mixing in the collate function, erasing, groups by decay, a warm-up."""
    augment = T.Compose(
        [
            *(T.RandomResizedCrop(32), T.RandomHorizontalFlip(), T.TrivialAugmentWide()),
            *(T.ToTensor(), T.Normalize(*IMAGENET), T.RandomErasing(0.1)),
        ]
    )
    test = T.Compose([T.Resize(40), T.CenterCrop(32), T.ToTensor(), T.Normalize(*IMAGENET)])
    model = torchvision.models.mobilenet_v3_small(num_classes=10)

    def mixed(items: list[Any]) -> Any:
        images, labels = torch.utils.data.default_collate(items)
        rows = nn.functional.one_hot(labels, 10).float()
        share = float(torch.distributions.Beta(0.2, 0.2).sample())
        return (
            share * images + (1 - share) * images.roll(1, 0),
            share * rows + (1 - share) * rows.roll(1, 0),
        )

    norms = [p for p in model.parameters() if p.dim() < 2]
    rest = [p for p in model.parameters() if p.dim() > 1]
    groups = [{"params": rest, "weight_decay": 2e-5}, {"params": norms, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.5, momentum=0.9, nesterov=True)
    warm_up = LinearLR(optimizer, start_factor=0.01, total_iters=5)
    cosine = CosineAnnealingLR(optimizer, T_max=95)
    given = loaders(augment, test)
    given["train"] = DataLoader(given["train"].dataset, 16, shuffle=True, collate_fn=mixed)
    return given | {
        "model": model,
        "loss": nn.CrossEntropyLoss(label_smoothing=0.1),
        "optimizer": optimizer,
        "scheduler": SequentialLR(optimizer, [warm_up, cosine], milestones=[5]),
        "total_steps": 100,
    }


@script
def inception_with_its_auxiliary_head() -> dict[str, Any]:
    """A network that returns two answers in training."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = torchvision.models.squeezenet1_1(num_classes=10).features
            self.fc, self.aux = nn.Linear(512, 10), nn.Linear(512, 10)

        def forward(self, x: Tensor) -> Any:
            features = self.body(x).mean((2, 3))
            return (self.fc(features), self.aux(features)) if self.training else self.fc(features)

    model = Two()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    transform = T.Compose([T.Resize(64), T.ToTensor()])
    given = {"model": model, "loss": nn.CrossEntropyLoss(), "optimizer": optimizer}
    return loaders(transform, transform) | given


@script
def timm_fine_tuning() -> dict[str, Any]:
    """A vision transformer with constants of its own, layer-wise rates, and a spare average."""
    timm = pytest.importorskip("timm")
    model = timm.create_model(
        "vit_tiny_patch16_224", num_classes=10, img_size=32, patch_size=8, depth=2
    )
    config = model.pretrained_cfg
    transform = T.Compose([T.ToTensor(), T.Normalize(config["mean"], config["std"])])
    blocks = [{"params": list(model.blocks.parameters()), "lr": 1e-4}]
    held = {id(p) for p in blocks[0]["params"]}
    blocks.append({"params": [p for p in model.parameters() if id(p) not in held], "lr": 1e-3})
    optimizer = torch.optim.AdamW(blocks, weight_decay=0.05)
    return loaders(transform, transform) | {
        "model": model,
        "loss": nn.CrossEntropyLoss(label_smoothing=0.1),
        "optimizer": optimizer,
        "scheduler": CosineAnnealingLR(optimizer, T_max=100),
        "total_steps": 100,
    }


@script
def hugging_face_classifier() -> dict[str, Any]:
    """A model whose batches are dictionaries and whose answer is an object with logits."""
    transformers = pytest.importorskip("transformers")
    names = {index: f"class {index}" for index in range(10)}
    config = transformers.ViTConfig(
        **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"intermediate_size": 32, "image_size": 32, "patch_size": 8},
        **{"id2label": names, "label2id": {name: index for index, name in names.items()}},
    )
    model = transformers.ViTForImageClassification(config)

    def collate(items: list[Any]) -> Any:
        images, labels = torch.utils.data.default_collate(items)
        return {"pixel_values": images, "labels": labels}

    class Takes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, pixel_values: Tensor) -> Any:
            return self.inner(pixel_values=pixel_values)

    transform = T.Compose([T.ToTensor(), T.Normalize((0.5,) * 3, (0.5,) * 3)])
    given = loaders(transform, transform)
    for part in given:
        given[part] = DataLoader(given[part].dataset, 16, collate_fn=collate)
    wrapped = Takes()
    optimizer = torch.optim.AdamW(wrapped.parameters(), lr=5e-4)
    return given | {"model": wrapped, "optimizer": optimizer}


@script
def a_split_by_random_split() -> dict[str, Any]:
    """A validation set cut from the training set, with transforms of its own."""
    train = T.Compose([T.RandomCrop(32, 4), T.ToTensor()])
    rows = torch.randperm(200, generator=torch.Generator().manual_seed(0)).tolist()
    augmented, plain = Photographs(200, 0, train), Photographs(200, 0, T.ToTensor())
    model = torchvision.models.resnet18(num_classes=10)
    return {
        "model": model,
        "train": DataLoader(Subset(augmented, rows[:140]), 32, shuffle=True, drop_last=True),
        "validation": DataLoader(Subset(plain, rows[140:]), 32),
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
    }


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_well_known_script_has_no_error_and_stays_as_it_is(name: str) -> None:
    torch.manual_seed(0)
    given = SCRIPTS[name]()
    kept = copy.deepcopy(given["model"].state_dict())
    before = snapshot(given)
    # Two checks that train for a while, and cannot make an error, are tried elsewhere.
    found = examine(**given, progress=False, sample=64, ignore=["SMP116", "OPT007"])
    assert [str(each) for each in found.errors] == []
    assert [str(each) for each in found.findings if each.code == BROKEN] == []
    assert differences(before, snapshot(given)) == []
    assert all(torch.equal(kept[key], now) for key, now in given["model"].state_dict().items())
    warned = [each.code for each in found.findings if each.severity == "warning"]
    assert warned == (["MOD006"] if name == "transfer_learning_tutorial" else [])
