"""PyTorch's tutorials about what was trained before: heads replaced, a teacher, a student."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

from companion.ward.parts import seeded, taught
from reference_pipelines.registered import (
    CLASSES,
    Pictures,
    judged_as_imagenet,
    loaders,
    normalised,
    resnet,
    script,
)

TUTORIALS = "https://github.com/pytorch/tutorials/blob/main"


def birds(batch: int = 4, *, classes: int = 2) -> dict[str, Any]:
    """Return loaders of two classes as the tutorial has them, with its transforms."""
    train = normalised(T.RandomResizedCrop(32), T.RandomHorizontalFlip())
    found = loaders(train, judged_as_imagenet(), batch=batch, test_batch=4, classes=classes)
    return {"train": found["train"], "validation": found["test"]}


def pretrained(classes: int = 10) -> Any:
    """Return a ResNet that was taught many classes for a moment, as weights to begin with."""
    return taught(resnet(classes), birds(64, classes=classes)["train"], epochs=2)


@script(f"{TUTORIALS}/beginner_source/transfer_learning_tutorial.py", warnings=("MOD006",))
def a_fixed_feature_extractor() -> dict[str, Any]:
    """Everything but a new head is frozen; BatchNorm's statistics do move, and that is said."""
    model = pretrained()
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.fc = seeded(lambda: nn.Linear(model.fc.in_features, 2))
    optimizer = torch.optim.SGD(model.fc.parameters(), lr=0.001, momentum=0.9)
    return birds() | {
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": optimizer,
        "scheduler": StepLR(optimizer, step_size=7, gamma=0.1),
        "total_steps": 25,
    }


@script(f"{TUTORIALS}/beginner_source/transfer_learning_tutorial.py")
def the_whole_network_fine_tuned() -> dict[str, Any]:
    """All parameters at 0.001, from pretrained weights and a new head."""
    model = pretrained()
    model.fc = seeded(lambda: nn.Linear(model.fc.in_features, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    return birds() | {
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": optimizer,
        "scheduler": StepLR(optimizer, step_size=7, gamma=0.1),
        "total_steps": 25,
    }


@script(f"{TUTORIALS}/beginner_source/transfer_learning_tutorial.py")
def a_higher_rate_for_the_new_head() -> dict[str, Any]:
    """Two groups: the new head learns ten times as fast as the body."""
    given = the_whole_network_fine_tuned()
    named = dict(given["model"].named_parameters())
    groups = [
        {"params": [p for name, p in named.items() if "fc" in name], "lr": 1e-2},
        {"params": [p for name, p in named.items() if "fc" not in name], "lr": 1e-3},
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    schedule = StepLR(optimizer, step_size=7, gamma=0.1)
    return given | {"optimizer": optimizer, "scheduler": schedule}


@script(f"{TUTORIALS}/beginner_source/finetuning_torchvision_models_tutorial.py")
def a_head_that_is_a_convolution() -> dict[str, Any]:
    """SqueezeNet, frozen but for its last convolution, batches of eight."""
    torch.manual_seed(0)
    model = torchvision.models.squeezenet1_1(num_classes=10)
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.classifier[1] = nn.Conv2d(512, 2, kernel_size=1)
    model.num_classes = 2
    learning = [p for p in model.parameters() if p.requires_grad]
    return birds(8) | {
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.SGD(learning, lr=0.001, momentum=0.9),
    }


class Light(nn.Module):
    """The student of the tutorial."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.classifier = nn.Sequential(
            *(nn.Linear(16 * width, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, CLASSES))
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).flatten(1))


@script(f"{TUTORIALS}/beginner_source/knowledge_distillation_tutorial.py")
def a_student_and_its_teacher() -> dict[str, Any]:
    """The loop adds the teacher's soft targets to the loss; the student alone is in Adam."""
    found = loaders(normalised(), normalised(), batch=64)
    teacher = taught(seeded(lambda: Light(16)), found["train"], epochs=8).eval()
    student, loss = seeded(Light), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(student.parameters(), lr=0.001)

    def step() -> None:
        images, labels = next(iter(found["train"]))
        optimizer.zero_grad()
        with torch.no_grad():
            soft = F.softmax(teacher(images) / 2, 1)
        logits = student.train()(images)
        told = -(soft * F.log_softmax(logits / 2, 1)).sum(1).mean() * 4
        (0.25 * told + 0.75 * loss(logits, labels)).backward()
        optimizer.step()

    return found | {"model": student, "loss": loss, "optimizer": optimizer, "step": step}


class Answered(Dataset):
    """Pictures with a teacher's probabilities in the place of labels."""

    def __init__(self, pictures: Pictures, teacher: nn.Module) -> None:
        self.pictures = pictures
        images = torch.stack([image for image, _ in pictures])
        with torch.no_grad():
            self.rows = teacher.eval()(images).softmax(1)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Any, Tensor]:
        return self.pictures[index][0], self.rows[index]


@script(f"{TUTORIALS}/beginner_source/knowledge_distillation_tutorial.py")
def a_student_of_stored_answers() -> dict[str, Any]:
    """The teacher's probabilities are stored, and the student is held against them."""
    found = loaders(normalised(), normalised(), batch=64)
    teacher = taught(seeded(lambda: Light(16)), found["train"], epochs=8)
    train = DataLoader(Answered(found["train"].dataset, teacher), 64, shuffle=True)
    student = seeded(Light)

    def loss(logits: Tensor, soft: Tensor) -> Tensor:
        return F.kl_div(logits.log_softmax(1), soft, reduction="batchmean")

    optimizer = torch.optim.Adam(student.parameters(), lr=0.001)
    return found | {"train": train, "model": student, "loss": loss, "optimizer": optimizer}
