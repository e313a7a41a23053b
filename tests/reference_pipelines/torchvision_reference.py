"""torchvision's reference script for classification, at its settings for several networks."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR, StepLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler, Sampler
from torchvision import transforms as T
from torchvision.transforms import v2

from reference_pipelines.registered import (
    CLASSES,
    judged_as_imagenet,
    loaders,
    mobilenet,
    normalised,
    resnet,
    script,
)

REFERENCE = "https://github.com/pytorch/vision/blob/main/references/classification"


def cropped() -> Any:
    """Return the reference's transforms of training pictures at its defaults."""
    return normalised(T.RandomResizedCrop(32), T.RandomHorizontalFlip())


def by_decay(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return two groups of parameters: those of layers that normalise are not made smaller."""
    layers = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d | nn.LayerNorm)]
    norms = [parameter for layer in layers for parameter in layer.parameters()]
    rest = [p for p in model.parameters() if all(p is not norm for norm in norms)]
    return [{"params": norms, "weight_decay": 0.0}, {"params": rest, "weight_decay": decay}]


def warmed_up(optimizer: Any, epochs: int, warm_up: int, **options: Any) -> SequentialLR:
    """Return the reference's schedule: a linear warm-up, then half a cosine."""
    first = LinearLR(optimizer, total_iters=warm_up, **options)
    then = CosineAnnealingLR(optimizer, T_max=epochs - warm_up)
    return SequentialLR(optimizer, [first, then], milestones=[warm_up])


def mixing(mixup: float, cutmix: float) -> Any:
    """Return a collate function that mixes the pictures and labels of a batch."""
    ways = [
        v2.MixUp(alpha=mixup, num_classes=CLASSES),
        v2.CutMix(alpha=cutmix, num_classes=CLASSES),
    ]
    choice = v2.RandomChoice(ways)
    return lambda items: choice(*torch.utils.data.default_collate(items))


class Repeated(Sampler):
    """Repeated augmentation: an image is drawn several times in a row, an epoch is as long."""

    def __init__(self, data: Any, times: int, batch: int) -> None:
        self.data, self.times, self.epoch = data, times, 0
        self.drawn = len(data) // batch * batch

    def __len__(self) -> int:
        return self.drawn

    def __iter__(self) -> Any:
        generator = torch.Generator().manual_seed(self.epoch)
        rows = torch.randperm(len(self.data), generator=generator).repeat_interleave(self.times)
        return iter(rows[: self.drawn].tolist())

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


@script(f"{REFERENCE}/train.py")
def reference_at_its_defaults() -> dict[str, Any]:
    """SGD at 0.1 with momentum, a tenth of the rate after each third of the run."""
    model, parts = resnet(), loaders(cropped(), judged_as_imagenet())
    drawn = parts["train"].dataset
    parts["train"] = DataLoader(drawn, 32, sampler=RandomSampler(drawn))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    return parts | {
        "model": model,
        "loss": nn.CrossEntropyLoss(label_smoothing=0.0),
        "optimizer": optimizer,
        "scheduler": StepLR(optimizer, step_size=30, gamma=0.1),
        "total_steps": 90,
    }


def new_recipe() -> dict[str, Any]:
    augment = T.Compose(
        [
            *(T.RandomResizedCrop(32), T.RandomHorizontalFlip(), T.TrivialAugmentWide()),
            *(normalised(), T.RandomErasing(0.1)),
        ]
    )
    parts = loaders(augment, judged_as_imagenet())
    data, model = parts["train"].dataset, resnet()
    parts["train"] = DataLoader(
        data, 32, sampler=Repeated(data, 4, 32), collate_fn=mixing(0.2, 1.0)
    )
    optimizer = torch.optim.SGD(by_decay(model, 2e-5), 0.5, momentum=0.9)
    return parts | {
        "model": model,
        "loss": nn.CrossEntropyLoss(label_smoothing=0.1),
        "optimizer": optimizer,
        "scheduler": warmed_up(optimizer, 600, 5, start_factor=0.01),
        "total_steps": 600,
    }


@script(f"{REFERENCE}/README.md")
def reference_with_the_new_recipe() -> dict[str, Any]:
    """SGD at 0.5, warm-up and cosine, mixed and smoothed labels, repeated augmentation."""
    return new_recipe()


@script(f"{REFERENCE}/train.py")
def reference_watched_as_it_steps() -> dict[str, Any]:
    """The same recipe with a loop that clips gradients and keeps an average of the weights."""
    given = new_recipe()
    model, optimizer, loss = given["model"], given["optimizer"], given["loss"]
    average, batches = AveragedModel(model), iter([])

    def step() -> None:
        nonlocal batches
        try:
            images, labels = next(batches)
        except StopIteration:
            batches = iter(given["train"])
            images, labels = next(batches)
        model.train()
        value = loss(model(images), labels)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(model)

    return given | {"step": step}


@script(f"{REFERENCE}/utils.py")
def reference_s_average_of_the_weights() -> dict[str, Any]:
    """The moving average of the weights is what is judged, and no optimiser holds it."""
    given = new_recipe()
    average = AveragedModel(
        given["model"], avg_fn=lambda old, new, _: 0.9 * old + 0.1 * new, use_buffers=True
    )
    average.update_parameters(given["model"])
    return {part: given[part] for part in ("train", "test", "loss")} | {"model": average}


@script(f"{REFERENCE}/train.py")
def reference_on_the_first_of_two_processes() -> dict[str, Any]:
    """Each process draws its share, of the judged pictures too."""
    given = reference_at_its_defaults()
    for part in ("train", "test"):
        data = given[part].dataset
        sampler = DistributedSampler(data, num_replicas=2, rank=0, shuffle=part == "train")
        given[part] = DataLoader(data, 32, sampler=sampler)
    model = nn.SyncBatchNorm.convert_sync_batchnorm(given["model"])
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    schedule = StepLR(optimizer, step_size=30, gamma=0.1)
    return given | {"model": model, "optimizer": optimizer, "scheduler": schedule}


@script(f"{REFERENCE}/README.md")
def reference_for_mobilenet() -> dict[str, Any]:
    """RMSprop with an epsilon of its own, a rate that falls by 2.7 % every second epoch.

    The script's rate of 0.064 is for 1,024 pictures at a time; here it is for 32.
    """
    steps = T.RandomResizedCrop(32), T.RandomHorizontalFlip(), T.AutoAugment()
    augment = T.Compose([normalised(*steps), T.RandomErasing(0.2)])
    model = mobilenet()
    optimizer = torch.optim.RMSprop(
        model.parameters(), 0.064 / 32, momentum=0.9, weight_decay=1e-5, eps=0.0316, alpha=0.9
    )
    return loaders(augment, judged_as_imagenet(), batch=32) | {
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": optimizer,
        "scheduler": StepLR(optimizer, step_size=2, gamma=0.973),
        "total_steps": 600,
    }


class Patches(nn.Module):
    """A vision transformer as torchvision's are: a class token, positions, a head of zeros."""

    def __init__(self, classes: int = CLASSES, *, width: int = 32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv_proj = nn.Conv2d(3, width, 8, stride=8)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 17, width))
        layer = nn.TransformerEncoderLayer(
            width, 2, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), False)
        self.heads = nn.Sequential()
        self.heads.head = nn.Linear(width, classes)
        nn.init.zeros_(self.heads.head.weight)
        nn.init.zeros_(self.heads.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        found = self.conv_proj(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(found), -1, -1), found], 1)
        return self.heads(self.encoder(tokens + self.positions)[:, 0])


@script(f"{REFERENCE}/README.md")
def reference_for_a_vision_transformer() -> dict[str, Any]:
    """AdamW at 0.003 with a decay of 0.3, a warm-up of 30 epochs, RandAugment, a head of zeros."""
    augment = normalised(T.RandomResizedCrop(32), T.RandomHorizontalFlip(), T.RandAugment())
    parts, model = loaders(augment, judged_as_imagenet()), Patches()
    parts["train"] = DataLoader(
        parts["train"].dataset, 32, shuffle=True, collate_fn=mixing(0.2, 1.0)
    )
    optimizer = torch.optim.AdamW(by_decay(model, 0.3), 0.003)
    return parts | {
        "model": model,
        "loss": nn.CrossEntropyLoss(label_smoothing=0.11),
        "optimizer": optimizer,
        "scheduler": warmed_up(optimizer, 300, 30, start_factor=0.033),
        "total_steps": 300,
    }


@script(f"{REFERENCE}/train.py")
def reference_resumed_in_the_middle() -> dict[str, Any]:
    """A run that goes on from a checkpoint: model, optimiser and scheduler are put back."""
    given = reference_at_its_defaults()
    model, optimizer, scheduler = given["model"], given["optimizer"], given["scheduler"]
    images, labels = next(iter(given["train"]))
    nn.functional.cross_entropy(model.train()(images), labels).backward()
    for _ in range(45):
        optimizer.step()
        scheduler.step()
    kept = copy.deepcopy([each.state_dict() for each in (model, optimizer, scheduler)])
    again = reference_at_its_defaults()
    for each, state in zip(("model", "optimizer", "scheduler"), kept, strict=True):
        again[each].load_state_dict(state)
    return again | {"checkpoint": {"model": kept[0], "optimizer": kept[1], "epoch": 45}}
