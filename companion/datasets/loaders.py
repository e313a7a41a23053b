"""Folders of pictures read batch by batch, for those that memory does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from companion.datasets.layout import read_layout
from companion.datasets.survey import plan_reader
from companion.inputs import whole_number
from companion.labels import ClassName


class FolderImages(Dataset):
    """The pictures of `path/CLASS/picture`, each read when it is asked for: (image, label) pairs.

    Classes, order, sizes, colour, warnings and errors are those of `image_folder`. Images are
    (channels, height, width) in 0 … 1, after `transform` where one is given: torchvision's, of a
    tensor, for example `weights.transforms()`. `classes`, `class_to_idx`, `targets` and `samples`
    are what torchvision's `ImageFolder` has, and `label_map` is the map of the classes. Workers
    can be sent it, and samplers take its `targets`.

    Raises, when indexed, `ValueError` for a file that cannot be read, and `TypeError` for a
    transform that returns no floating-point tensor.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        classes: Iterable[ClassName] | None = None,
        size: int | tuple[int, int] | None = None,
        colour: bool | None = None,
        fit: str | None = None,
        white: float | None = None,
        nested: bool = False,
        transform: Callable[[Tensor], Tensor] | None = None,
    ):
        layout = read_layout(Path(path), classes=classes, nested=nested)
        self.reader = plan_reader(layout.files, size=size, colour=colour, fit=fit, white=white)
        self.label_map = layout.label_map
        self.targets: list[int] = layout.labels.tolist()
        files = [str(file) for file in layout.files]
        self.samples = list(zip(files, self.targets, strict=True))
        self.transform = transform

    @property
    def classes(self) -> tuple[ClassName, ...]:
        """The names of the classes; the position of each is its index."""
        return self.label_map.classes

    @property
    def class_to_idx(self) -> dict[ClassName, int]:
        """The index of each class, by its name."""
        return {name: index for index, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        file, label = self.samples[index]
        image = torch.from_numpy(self.reader(file).copy())
        if self.transform is None:
            return image, label
        found: Any = self.transform(image)
        if not isinstance(found, Tensor) or not found.is_floating_point():
            kind = found.dtype if isinstance(found, Tensor) else type(found).__name__
            raise TypeError(
                f"a transform returns an image as a floating-point tensor; received {kind} for "
                f"{file}. It is given a tensor of floats, so leave out ToTensor and ToPILImage."
            )
        return found, label

    def __repr__(self) -> str:
        shape = "×".join(str(side) for side in (3 if self.reader.colour else 1, *self.reader.size))
        return f"FolderImages({len(self)} images of {shape}, {len(self.classes)} classes)"


def folder_loader(
    path: str | Path,
    *,
    classes: Iterable[ClassName] | None = None,
    batch_size: int = 64,
    size: int | tuple[int, int] | None = None,
    colour: bool | None = None,
    fit: str | None = None,
    white: float | None = None,
    nested: bool = False,
    transform: Callable[[Tensor], Tensor] | None = None,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return a loader over `path/CLASS/picture` that reads each picture when its batch is due.

    It is for folders that `image_folder` finds too large for memory, and gives the same classes,
    order and images, in batches (images, labels). Pass `classes=train_loader.dataset.classes` for
    another part. With `shuffle` the order is drawn anew each epoch, from `seed`. `workers`
    processes read at the same time. For a sampler make a `DataLoader` of `FolderImages` yourself.

    Raises the errors of `image_folder` and `FolderImages`, and `ValueError` for a transform that
    gives images of different sizes.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (folder / name).mkdir()
    ...     Image.new("L", (8, 8)).save(folder / name / "one.png")
    >>> [(images.shape, labels) for images, labels in folder_loader(folder)]
    [(torch.Size([2, 1, 8, 8]), tensor([0, 1]))]
    """
    folder = FolderImages(
        path,
        classes=classes,
        size=size,
        colour=colour,
        fit=fit,
        white=white,
        nested=nested,
        transform=transform,
    )
    return DataLoader(
        folder,
        batch_size=whole_number(batch_size, "batch_size"),
        shuffle=shuffle,
        num_workers=whole_number(workers, "workers", least=0),
        generator=torch.Generator().manual_seed(whole_number(seed, "seed", least=0)),
        collate_fn=collate_one_size,
    )


def collate_one_size(batch: list[tuple[Tensor, int]]) -> list[Tensor]:
    """Return a batch (images, labels) of pairs whose images have one shape.

    >>> images, labels = collate_one_size([(torch.zeros(1, 2, 2), 0), (torch.ones(1, 2, 2), 1)])
    >>> images.shape, labels
    (torch.Size([2, 1, 2, 2]), tensor([0, 1]))
    """
    shapes = list(dict.fromkeys(tuple(image.shape) for image, _ in batch))
    if len(shapes) > 1:
        raise ValueError(
            f"the images of a batch must have one shape; received {shapes[0]} and {shapes[1]}. Let "
            "the transform end in one size of both sides: Resize((224, 224)) or CenterCrop(224)."
        )
    return default_collate(batch)
