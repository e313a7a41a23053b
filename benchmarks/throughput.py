"""Measure `fit` against the loops that people would otherwise write.

Lightning and skorch take part where they are installed (the extra `benchmarks`).
Prints every comparison and ends with status 1 when one misses its target.
"""

from __future__ import annotations

import copy
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
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


def loader_loop(model: nn.Module, data: LabelledImages, size: int, device: torch.device) -> None:
    """The same, from a DataLoader over the same tensors."""
    pairs = TensorDataset(data.images, data.labels)
    bare_loop(model, lambda: DataLoader(pairs, size, shuffle=True), device)


def by_lightning(model: nn.Module, data: LabelledImages, size: int, device: torch.device) -> None:
    """The same, by Lightning's Trainer with everything beside training switched off."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            return F.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    pairs = TensorDataset(data.images, data.labels)
    trainer.fit(Module(), DataLoader(pairs, size, shuffle=True))


def by_skorch(model: nn.Module, data: LabelledImages, size: int, device: torch.device) -> None:
    """The same, by skorch without validation and printing."""
    from skorch import NeuralNetClassifier

    net = NeuralNetClassifier(
        model,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=1e-3,
        max_epochs=EPOCHS,
        batch_size=size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        device=device,
    )
    net.fit(data.images, data.labels)


OTHERS = {"a DataLoader loop": loader_loop, "Lightning": by_lightning, "skorch": by_skorch}
PACKAGES = {"Lightning": "lightning", "skorch": "skorch"}


def quietly() -> None:
    """Keep what other libraries say of themselves out of the table."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)


def main() -> int:
    """Run every comparison; 0 when those with a target meet it."""
    quietly()
    device = default_device()
    data = glyphs(per_class=60).to(device)
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads")
    print(f"{len(data)} images of {tuple(data.images.shape[1:])}, {EPOCHS} epochs a run")
    networks = {
        "small_cnn": small_cnn(len(data.classes), seed=0).to(device),
        "mlp": mlp(len(data.classes), inputs=data.images[0].numel(), seed=0).to(device),
    }
    missing = [name for name, package in PACKAGES.items() if find_spec(package) is None]
    for name in missing:
        print(f"{name} is left out: pip install 'the-missing-class[benchmarks]' brings it.")

    def train(model: nn.Module, size: int) -> None:
        fit(
            copy.deepcopy(model), data, batch_size=size, epochs=EPOCHS, lr=1e-3,
            schedule="constant", progress=False,
        )  # fmt: skip

    def against_bare(
        title: str, run: Callable[[], None], model: nn.Module, size: int, target: float | None
    ) -> bool:
        return compare(
            f"{title}, batches of {size}",
            run,
            lambda: bare_loop(copy.deepcopy(model), lambda: sliced(data, size), device),
            names=(title, "the bare loop on the same tensors"),
            amount=EPOCHS * len(data),
            unit="images",
            target=target,
            device=device,
        )

    results = []
    for kind, model in networks.items():
        for size in (BATCH, SMALL_BATCH):
            results.append(
                against_bare(
                    f"fit, {kind}", lambda m=model, s=size: train(m, s), model, size,  # type: ignore[misc]
                    AT_LEAST_BARE,
                )
            )  # fmt: skip
            for other, loop in OTHERS.items():
                if other not in missing:
                    run = partial(loop_copy, loop, model, data, size, device)
                    against_bare(f"{other}, {kind}", run, model, size, None)
    items = DataLoader(Pictures(data.to("cpu")), batch_size=SMALL_BATCH, shuffle=True)
    perceptron = networks["mlp"]
    results.append(
        compare(
            f"mlp, batches of {SMALL_BATCH}, against one picture at a time",
            lambda: train(perceptron, SMALL_BATCH),
            lambda: bare_loop(copy.deepcopy(perceptron), lambda: items, device),
            names=("fit", "the other loop"),
            amount=EPOCHS * len(data),
            unit="images",
            target=AT_LEAST_ITEMS,
            device=device,
        )
    )
    return 0 if all(results) else 1


def loop_copy(
    loop: Callable[..., None],
    model: nn.Module,
    data: LabelledImages,
    size: int,
    device: torch.device,
) -> None:
    """Run a loop on a copy of the network."""
    loop(copy.deepcopy(model), data, size, device)


if __name__ == "__main__":
    sys.exit(main())
