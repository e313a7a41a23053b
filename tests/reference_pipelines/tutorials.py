"""PyTorch's first tutorials and examples: a network written by hand, trained from nothing."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.optim.swa_utils import SWALR, AveragedModel
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchvision import transforms as T

from companion.ward.parts import pictures
from reference_pipelines.registered import CLASSES, Pictures, loaders, resnet, script

TUTORIALS = "https://github.com/pytorch/tutorials/blob/main"
EXAMPLES = "https://github.com/pytorch/examples/blob/main"
MNIST = T.Compose([T.ToTensor(), T.Normalize((0.1307,), (0.3081,))])
HALVES = T.Compose([T.ToTensor(), T.Normalize((0.5,) * 3, (0.5,) * 3)])


class Digits(nn.Module):
    """The network of the MNIST example: dropout twice, logarithms of probabilities."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(16 * 36, 32), nn.Linear(32, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        found = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(images)))), 2)
        found = F.relu(self.fc1(self.dropout1(found).flatten(1)))
        return F.log_softmax(self.fc2(self.dropout2(found)), dim=1)


@script(f"{EXAMPLES}/mnist/main.py")
def mnist_example() -> dict[str, Any]:
    """Likelihood of logarithms, Adadelta at 1, the rate times 0.7 after each epoch."""
    model = Digits()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    return loaders(MNIST, MNIST, batch=64, test_batch=160, mode="L") | {
        "model": model,
        "loss": F.nll_loss,
        "optimizer": optimizer,
        "scheduler": StepLR(optimizer, step_size=1, gamma=0.7),
        "total_steps": 14,
    }


class LeNet(nn.Module):
    """The network of the CIFAR tutorial: two convolutions, three layers, nothing else."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(channels, 6, 5), nn.Conv2d(6, 16, 5, padding=2)
        self.fc1, self.fc2 = nn.Linear(16 * 9, 120), nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        found = F.max_pool2d(F.relu(self.conv1(images)), 2)
        found = F.max_pool2d(F.relu(self.conv2(found)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(found)))))


@script(f"{TUTORIALS}/beginner_source/blitz/cifar10_tutorial.py")
def cifar_tutorial() -> dict[str, Any]:
    """Batches of four, SGD at 0.001 with momentum, pixels in −1 … 1."""
    model = LeNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    return loaders(HALVES, HALVES, batch=4, test_batch=4) | {
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": optimizer,
    }


@script(f"{TUTORIALS}/beginner_source/introyt/trainingyt.py")
def training_with_pytorch() -> dict[str, Any]:
    """A grey LeNet, batches of four, a validation set under that name."""
    grey = T.Compose([T.ToTensor(), T.Normalize((0.5,), (0.5,))])
    model, found = LeNet(1), loaders(grey, grey, batch=4, test_batch=4, mode="L")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    return {"train": found["train"], "validation": found["test"]} | {
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": optimizer,
    }


@script(f"{TUTORIALS}/beginner_source/basics/quickstart_tutorial.py")
def quickstart() -> dict[str, Any]:
    """A perceptron on pixels in 0 … 1, SGD at 0.001, nothing shuffled."""
    torch.manual_seed(0)
    layers = nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES)
    model = nn.Sequential(nn.Flatten(), nn.Sequential(*layers))
    found = loaders(T.ToTensor(), T.ToTensor(), mode="L")
    return {part: DataLoader(found[part].dataset, 64) for part in found} | {
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.SGD(model.parameters(), lr=1e-3),
    }


@script(f"{TUTORIALS}/beginner_source/nn_tutorial.py")
def what_is_torch_nn() -> dict[str, Any]:
    """One linear layer at a rate of 0.5 on tensors, and validation in batches twice as large."""

    class Logistic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.lin = nn.Linear(256, CLASSES)

        def forward(self, rows: Tensor) -> Tensor:
            return self.lin(rows)

    def rows(count: int, seed: int) -> TensorDataset:
        images, labels = pictures(count, CLASSES, seed=seed)
        return TensorDataset(images.mean(1).flatten(1), labels)

    model = Logistic()
    return {
        "train": DataLoader(rows(256, 0), 64, shuffle=True),
        "validation": DataLoader(rows(160, 1), 128),
        "model": model,
        "loss": F.cross_entropy,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.5),
    }


@script(f"{TUTORIALS}/beginner_source/nn_tutorial.py")
def what_is_torch_nn_with_convolutions() -> dict[str, Any]:
    """Convolutions with strides, an average over positions as the head, SGD at 0.1."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU()),
        *(nn.Conv2d(16, CLASSES, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    found = loaders(T.ToTensor(), T.ToTensor(), batch=64, test_batch=128, mode="L")
    return {"train": found["train"], "validation": found["test"]} | {
        "model": model,
        "loss": F.cross_entropy,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
    }


class Turned(nn.Module):
    """A spatial transformer before the network, which begins as the identity: weights of zero."""

    def __init__(self) -> None:
        super().__init__()
        self.rest = Digits()
        self.localization = nn.Sequential(nn.Conv2d(1, 8, 7), nn.MaxPool2d(2), nn.ReLU(True))
        self.fc_loc = nn.Sequential(nn.Linear(200, 16), nn.ReLU(True), nn.Linear(16, 6))
        nn.init.zeros_(self.fc_loc[2].weight)
        self.fc_loc[2].bias.data = torch.tensor([1.0, 0, 0, 0, 1, 0])

    def forward(self, images: Tensor) -> Tensor:
        theta = self.fc_loc(self.localization(images).flatten(1)).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return self.rest(F.grid_sample(images, grid, align_corners=False))


@script(f"{TUTORIALS}/intermediate_source/spatial_transformer_tutorial.py")
def spatial_transformer() -> dict[str, Any]:
    """A layer of zeros by design, SGD at 0.01; the judged pictures are shuffled too."""
    model = Turned()
    found = loaders(MNIST, MNIST, batch=64, mode="L")
    test = DataLoader(found["test"].dataset, 64, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return found | {"test": test, "model": model, "loss": F.nll_loss, "optimizer": optimizer}


@script(f"{TUTORIALS}/beginner_source/hyperparameter_tuning_tutorial.py")
def a_part_for_validation() -> dict[str, Any]:
    """A fifth of the training set, split off by `random_split`, and a test set besides."""
    data = Pictures(300, 0, HALVES)
    rows = torch.Generator().manual_seed(0)
    train, validation = random_split(data, [0.8, 0.2], rows)
    model = LeNet()
    return {
        "train": DataLoader(train, 16, shuffle=True),
        "validation": DataLoader(validation, 16, shuffle=True),
        "test": DataLoader(Pictures(160, 1, HALVES), 4),
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
    }


@script("https://docs.pytorch.org/docs/stable/optim.html")
def weights_averaged_at_the_end() -> dict[str, Any]:
    """Stochastic weight averaging: towards the end the rate stays high on purpose."""
    model = resnet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    found, average = loaders(HALVES, HALVES), AveragedModel(model)
    average.update_parameters(model)
    return found | {
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": optimizer,
        "scheduler": SWALR(optimizer, swa_lr=0.05, anneal_epochs=5),
        "total_steps": 20,
    }


@script("https://docs.pytorch.org/docs/stable/notes/amp_examples.html")
def mixed_precision_with_steps_gathered() -> dict[str, Any]:
    """Autocast, gradients of two batches gathered and clipped, a scaler."""
    model, found = LeNet(), loaders(HALVES, HALVES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    loss, seen = nn.CrossEntropyLoss(), {"batches": 0}

    def step() -> None:
        images, labels = next(iter(found["train"]))
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(model.train()(images), labels) / 2
        scaler.scale(value).backward()
        seen["batches"] += 1
        if seen["batches"] % 2 == 0:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)

    given = found | {"model": model, "loss": loss, "optimizer": optimizer}
    return given | {"step": step, "accumulate": 2}
