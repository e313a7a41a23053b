"""Hugging Face's examples of image classification: batches and answers have names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

from companion.ward.parts import NAMES
from reference_pipelines.registered import CLASSES, Pictures, script

EXAMPLES = (
    "https://github.com/huggingface/transformers/blob/main/examples/pytorch/image-classification"
)


def transformer(names: Any = NAMES[:CLASSES], *, as_text: bool = False) -> Any:
    """Return a small ViT whose configuration names the classes."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    numbers = {name: str(index) if as_text else index for index, name in enumerate(names)}
    config = transformers.ViTConfig(
        **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"intermediate_size": 64, "image_size": 32, "patch_size": 8},
        id2label=dict(enumerate(names)),
        label2id=numbers,
    )
    return transformers.ViTForImageClassification(config)


class Rows(Dataset):
    """Rows with names, as the library `datasets` gives them."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, label = self.pictures[index]
        return {"pixel_values": image, "labels": label}


def collated(rows: list[Any]) -> dict[str, Tensor]:
    """Return a batch of named rows."""
    return {
        "pixel_values": torch.stack([row["pixel_values"] for row in rows]),
        "labels": torch.tensor([row["labels"] for row in rows]),
    }


def parts(batch: int = 8) -> dict[str, Any]:
    """Return loaders of named batches."""
    normal = T.Normalize((0.5,) * 3, (0.5,) * 3)
    steps = T.RandomResizedCrop(32), T.RandomHorizontalFlip(), T.ToTensor(), normal
    train = T.Compose(list(steps))
    judged = T.Compose([T.Resize(32), T.CenterCrop(32), T.ToTensor(), normal])
    return {
        "train": DataLoader(
            Rows(Pictures(256, 0, train)), batch, shuffle=True, collate_fn=collated
        ),
        "validation": DataLoader(Rows(Pictures(160, 1, judged)), batch, collate_fn=collated),
    }


def by_decay(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return groups with and without decay."""
    named = dict(model.named_parameters())
    spared = [name for name in named if name.endswith("bias") or "layernorm" in name.lower()]
    return [
        {"params": [p for name, p in named.items() if name not in spared], "weight_decay": decay},
        {"params": [named[name] for name in spared], "weight_decay": 0.0},
    ]


@script(f"{EXAMPLES}/run_image_classification_no_trainer.py")
def hugging_face_without_a_trainer() -> dict[str, Any]:
    """AdamW at 5e-5, a rate that falls in a line, numbers of the classes that are texts."""
    from transformers import get_scheduler

    model, given = transformer(as_text=True), parts()
    optimizer = torch.optim.AdamW(by_decay(model, 0.0), 5e-5)
    steps = 3 * len(given["train"])
    return given | {
        "model": model,
        "optimizer": optimizer,
        "scheduler": get_scheduler("linear", optimizer, 0, steps),
        "total_steps": steps,
    }


@script(f"{EXAMPLES}/run_image_classification.py")
def hugging_face_with_a_trainer() -> dict[str, Any]:
    """The trainer's loop: the model computes the loss, four batches are gathered for a step."""
    from transformers import get_cosine_schedule_with_warmup

    model, given = transformer(), parts(16)
    optimizer = torch.optim.AdamW(by_decay(model, 0.01), 2e-4)
    steps = 5 * len(given["train"]) // 4
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 10, steps)
    seen = {"batches": 0}

    def step() -> None:
        model.train()
        (model(**next(iter(given["train"]))).loss / 4).backward()
        seen["batches"] += 1
        if seen["batches"] % 4 == 0:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()

    given |= {"model": model, "optimizer": optimizer, "scheduler": schedule}
    return given | {"total_steps": steps, "step": step, "accumulate": 4}


@script(f"{EXAMPLES}/README.md")
def hugging_face_with_a_head_for_fewer_classes() -> dict[str, Any]:
    """The frozen body is pretrained, and the head alone learns."""
    model, given = transformer(), parts(16)
    for parameter in model.vit.parameters():
        parameter.requires_grad = False
    optimizer = torch.optim.AdamW(model.classifier.parameters(), 1e-3)
    loss = nn.CrossEntropyLoss()
    return given | {"model": model, "loss": loss, "optimizer": optimizer}
