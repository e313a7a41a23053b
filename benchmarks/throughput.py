"""Measure `fit` against the loops that people would otherwise write.

Prints every comparison and ends with status 1 when one misses its target.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from companion import LabelledImages, default_device, fit, glyphs, mlp, small_cnn
from timing import compare

BATCH, SMALL_BATCH = 128, 32
EPOCHS = 1
AT_LEAST_BARE, AT_LEAST_ITEMS = 0.9, 2.0

Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]


class Pictures(Dataset[tuple[Tensor, int]]):
    """One picture at a time through the usual transforms."""

    def __init__(self, data: LabelledImages) -> None:
        pixels = (data.images.squeeze(1) * 255).round().byte().numpy()
        self.pictures = [Image.fromarray(picture) for picture in pixels]
        self.labels = data.labels.tolist()
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.2,), (0.3,))]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures[index]), self.labels[index]


def bare_loop(model: nn.Module, batches: Batches, device: torch.device) -> None:
    """Forward, backward, step, and nothing else; the optimiser is that of `fit`."""
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for images, labels in batches():
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(images.to(device)), labels.to(device)).backward()
            optimizer.step()


def sliced(data: LabelledImages, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The same tensors in shuffled batches."""
    for rows in torch.randperm(len(data), device=data.device).split(size):
        yield data.images[rows], data.labels[rows]


def main() -> int:
    """Run every comparison; 0 when those with a target meet it."""
    device = default_device()
    data = glyphs(per_class=60).to(device)
    items = DataLoader(Pictures(data.to("cpu")), batch_size=SMALL_BATCH, shuffle=True)
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads")
    print(f"{len(data)} images of {tuple(data.images.shape[1:])}, {EPOCHS} epochs a run")

    def row(
        title: str, model: nn.Module, size: int, batches: Batches, target: float | None
    ) -> bool:
        options: dict[str, Any] = {"epochs": EPOCHS, "lr": 1e-3, "schedule": "constant"}
        return compare(
            title,
            lambda: fit(copy.deepcopy(model), data, batch_size=size, progress=False, **options),
            lambda: bare_loop(copy.deepcopy(model), batches, device),
            names=("fit", "the other loop"),
            amount=EPOCHS * len(data),
            unit="images",
            target=target,
            device=device,
        )

    cnn = small_cnn(len(data.classes), seed=0).to(device)
    perceptron = mlp(len(data.classes), inputs=data.images[0].numel(), seed=0).to(device)
    results = [
        row(
            f"small_cnn, batches of {BATCH}, against the bare loop on the same tensors",
            cnn,
            BATCH,
            lambda: sliced(data, BATCH),
            AT_LEAST_BARE,
        ),
        row(
            f"mlp, batches of {SMALL_BATCH}, against one picture at a time",
            perceptron,
            SMALL_BATCH,
            lambda: items,
            AT_LEAST_ITEMS,
        ),
        # The more a network computes, the less it matters where its images come from.
        row(
            f"small_cnn, batches of {SMALL_BATCH}, against one picture at a time",
            cnn,
            SMALL_BATCH,
            lambda: items,
            None,
        ),
        row(
            f"small_cnn, batches of {BATCH}, against one picture at a time in {SMALL_BATCH}s",
            cnn,
            BATCH,
            lambda: items,
            None,
        ),
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
