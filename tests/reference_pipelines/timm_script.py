"""timm's training script, which many other scripts were made from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler
from torchvision import transforms as T

from reference_pipelines.registered import CLASSES, Pictures, script

TRAIN = "https://github.com/huggingface/pytorch-image-models/blob/main/train.py"
SIZE = 32


def vit(**options: Any) -> Any:
    """Return a small vision transformer of timm's, new; the test is left out without timm."""
    made = pytest.importorskip("timm.models.vision_transformer").VisionTransformer
    torch.manual_seed(0)
    small = {"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": CLASSES}
    return made(img_size=SIZE, patch_size=8, **small, **options)


def resnet() -> Any:
    """Return a small ResNet of timm's."""
    resnets = pytest.importorskip("timm.models.resnet")
    torch.manual_seed(0)
    thin = {"channels": (8, 16, 24, 32), "stem_width": 8, "num_classes": CLASSES}
    return resnets.ResNet(resnets.BasicBlock, [1, 1, 1, 1], **thin)


def transforms_of(**options: Any) -> tuple[Any, Any]:
    """Return timm's transforms: of training pictures, and of judged ones."""
    from timm.data import create_transform, resolve_data_config

    config = resolve_data_config({"input_size": (3, SIZE, SIZE)})
    return (
        create_transform(**config, is_training=True, **options),
        create_transform(**config),
    )


def parts(*, collate: Any = None, **options: Any) -> dict[str, Any]:
    """Return timm's loaders of training pictures, the last batch dropped, and of judged ones."""
    train, test = transforms_of(**options)
    data = Pictures(256, 0, train)
    return {
        "train": DataLoader(data, 32, shuffle=True, drop_last=True, collate_fn=collate),
        "validation": DataLoader(Pictures(160, 1, test), 32),
    }


def cosine(optimizer: Any, epochs: int = 300, warm_up: int = 5) -> Any:
    """Return timm's own schedule by epochs, with a warm-up, which is no scheduler of PyTorch's."""
    from timm.scheduler import CosineLRScheduler

    return CosineLRScheduler(
        optimizer, t_initial=epochs, lr_min=1e-6, warmup_t=warm_up, warmup_lr_init=1e-5
    )


@script(TRAIN)
def timm_at_its_defaults() -> dict[str, Any]:
    """SGD with Nesterov's momentum at 0.05, cosine with warm-up, smoothed labels, colours moved."""
    model = resnet()
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2

    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.05, weight_decay=2e-5, momentum=0.9)
    return parts(color_jitter=0.4) | {
        "model": model,
        "loss": LabelSmoothingCrossEntropy(smoothing=0.1),
        "optimizer": optimizer,
        "scheduler": cosine(optimizer),
        "total_steps": 300,
    }


def mixed_in_the_collate_function() -> Any:
    from timm.data import Mixup

    mix = Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1, num_classes=CLASSES)
    return lambda items: mix(*torch.utils.data.default_collate(items))


@script(TRAIN)
def timm_for_a_vision_transformer() -> dict[str, Any]:
    """AdamW, mixup and cutmix with soft targets, RandAugment, erasing, layers dropped by chance."""
    model = vit(drop_path_rate=0.1)
    from timm.loss import SoftTargetCrossEntropy
    from timm.optim import create_optimizer_v2

    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
    augment = {"auto_augment": "rand-m5-mstd0.5-inc1", "re_prob": 0.25, "re_mode": "pixel"}
    return parts(collate=mixed_in_the_collate_function(), **augment) | {
        "model": model,
        "loss": SoftTargetCrossEntropy(),
        "optimizer": optimizer,
        "scheduler": cosine(optimizer),
        "total_steps": 310,
    }


@script(TRAIN)
def timm_mixing_in_its_loop() -> dict[str, Any]:
    """The loader gives plain labels, and the loop mixes them before the loss sees them."""
    model = vit()
    from timm.data import Mixup
    from timm.loss import SoftTargetCrossEntropy
    from timm.utils import ModelEmaV3

    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05)
    loss, given = SoftTargetCrossEntropy(), parts()
    mix = Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, num_classes=CLASSES)
    average = ModelEmaV3(model, decay=0.9998)

    def step() -> None:
        images, labels = mix(*next(iter(given["train"])))
        model.train()
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)

    return given | {"model": model, "loss": loss, "optimizer": optimizer, "step": step}


@script(TRAIN)
def timm_with_a_binary_loss_and_lamb() -> dict[str, Any]:
    """LAMB at 0.005, a yes or no for each class on mixed labels, as in "ResNet strikes back"."""
    model = resnet()
    from timm.loss import BinaryCrossEntropy
    from timm.optim import create_optimizer_v2

    optimizer = create_optimizer_v2(model, opt="lamb", lr=5e-3, weight_decay=0.02)
    mixed = mixed_in_the_collate_function()
    return parts(collate=mixed, auto_augment="rand-m5-mstd0.5-inc1") | {
        "model": model,
        "loss": BinaryCrossEntropy(smoothing=0.0, target_threshold=0.2),
        "optimizer": optimizer,
        "scheduler": cosine(optimizer),
        "total_steps": 300,
    }


@script(TRAIN)
def timm_fine_tuning_with_rates_by_layer() -> dict[str, Any]:
    """The rate falls from the head to the first layer; an average of the weights is kept."""
    model = vit()
    from timm.optim import create_optimizer_v2

    optimizer = create_optimizer_v2(
        model, opt="adamw", lr=5e-4, weight_decay=0.05, layer_decay=0.75
    )
    return parts(re_prob=0.1) | {
        "model": model,
        "loss": nn.CrossEntropyLoss(label_smoothing=0.1),
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50 * 8),
        "total_steps": 50 * 8,
    }


@script(TRAIN)
def timm_on_the_first_of_two_processes() -> dict[str, Any]:
    """Each process draws its share; the judged pictures are shared out in their order."""
    model = resnet()
    from timm.data.distributed_sampler import OrderedDistributedSampler

    given = parts()
    train, judged = given["train"].dataset, given["validation"].dataset
    sampler = DistributedSampler(train, num_replicas=2, rank=0)
    shared = OrderedDistributedSampler(judged, num_replicas=2, rank=0)
    optimizer = torch.optim.RMSprop(model.parameters(), 0.048, momentum=0.9, eps=1e-3, alpha=0.9)
    return {
        "train": DataLoader(train, 32, sampler=sampler, drop_last=True),
        "validation": DataLoader(judged, 32, sampler=shared),
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.97),
        "total_steps": 450,
    }


@script(TRAIN)
def timm_normalising_after_the_loader() -> dict[str, Any]:
    """The loader gives whole numbers, which are normalised after it, as a prefetcher does."""

    class Prefetched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = resnet()
            self.register_buffer("mean", torch.full((1, 3, 1, 1), 127.5))

        def forward(self, images: Tensor) -> Tensor:
            return self.model((images.float() - self.mean) / self.mean)

    whole = T.Compose([T.Resize((SIZE, SIZE)), T.PILToTensor()])
    model = Prefetched()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, nesterov=True)
    return {
        "train": DataLoader(Pictures(256, 0, whole), 32, shuffle=True, drop_last=True),
        "validation": DataLoader(Pictures(160, 1, whole), 32),
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": optimizer,
    }
