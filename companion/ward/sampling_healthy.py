"""Healthy samplers and loaders that look odd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    RandomSampler,
    Sampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)
from torchvision import transforms

from companion.ward.optimiser_parts import (
    dense,
    grey_net,
    held_out,
    held_out_patterns,
    patterns,
    pipeline,
    practised,
    share_right,
)
from companion.ward.parts import Net, Photos, pictures, seeded, trained
from companion.ward.patients import Made, patient


@patient("healthy", "sampling and loss")
def long_tail_is_kept_and_reported_by_class(folder: Path) -> Made:
    """The classes are as rare as they are in the field, and training keeps them so.

    Nothing is balanced on purpose; recall is reported class by class, and is good in each.
    """
    loader = DataLoader(Photos(300, 5, shares=(30, 15, 8, 4, 3)), batch_size=30, shuffle=True)
    held = held_out(5)
    model = practised(seeded(lambda: Net(5)), loader, epochs=5)
    recall = [share_right(model, held["validation"], only) for only in range(5)]
    history = {"validation_balanced_accuracy": [sum(recall) / 5]}
    return pipeline(model, loader, held, history=history)


@patient("healthy", "sampling and loss")
def balanced_sampler_alone(folder: Path) -> Made:
    """A long tail is made up for by a weighted sampler, and by nothing else.

    The same rare pictures come many times in an epoch, as they should.
    """
    train = Photos(240, 4, shares=(20, 6, 2, 2))
    targets = torch.tensor(train.targets)
    weights = (1 / torch.bincount(targets))[targets]
    sampler = WeightedRandomSampler(weights.tolist(), num_samples=len(train))
    loader = DataLoader(train, batch_size=24, sampler=sampler)
    model = practised(seeded(lambda: Net(4)), loader, epochs=6)
    return pipeline(model, loader, held_out())


class EasyFirst(Sampler[int]):
    """A sampler whose epochs hold more and more of the data, in order of difficulty."""

    def __init__(self, difficulty: Tensor) -> None:
        self.order, self.epoch = difficulty.argsort(), 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch is next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return int(len(self.order) * min(1.0, 0.4 + 0.2 * self.epoch))

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.epoch)
        return iter(
            self.order[: len(self)][torch.randperm(len(self), generator=generator)].tolist()
        )


@patient("healthy", "sampling and loss")
def curriculum_begins_with_the_easy_pictures(folder: Path) -> Made:
    """A curriculum: the first epoch has the clearest two fifths, and each one more of the rest.

    From the fourth epoch on all pictures come.
    """
    clear, noisy = pictures(100, 4, seed=0, noise=0.1), pictures(100, 4, seed=3, noise=0.3)
    data = TensorDataset(torch.cat([clear[0], noisy[0]]), torch.cat([clear[1], noisy[1]]))
    sampler = EasyFirst(torch.arange(200))
    loader = DataLoader(data, batch_size=20, sampler=sampler)
    model = seeded(lambda: Net(4))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(8):
        sampler.set_epoch(epoch)
        practised(model, loader, optimizer=optimizer, epochs=1, seed=epoch)
    sampler.set_epoch(0)
    return pipeline(model, loader, held_out())


@patient("healthy", "sampling and loss")
def epochs_of_a_given_number_of_steps(folder: Path) -> Made:
    """An epoch is 25 batches drawn with replacement from a large set, by choice.

    Over the whole training every picture is likely to come.
    """
    train = patterns(1500, 10)
    sampler = RandomSampler(train, replacement=True, num_samples=500)
    loader = DataLoader(train, batch_size=20, sampler=sampler)
    return pipeline(practised(dense(64, 10), loader, epochs=5), loader, held_out_patterns())


@patient("healthy", "sampling and loss")
def incomplete_batch_dropped_in_training(folder: Path) -> Made:
    """Training drops the last, smaller batch, which would upset BatchNorm.

    The order is new in each epoch, so that it is never the same pictures that are left out.
    """
    loader = DataLoader(patterns(330), batch_size=32, shuffle=True, drop_last=True)
    return pipeline(practised(grey_net(), loader, epochs=6), loader, held_out_patterns())


@patient("healthy", "sampling and loss")
def distributed_sampler_on_a_single_rank(folder: Path) -> Made:
    """The script is ready for many machines and runs on one: a DistributedSampler of one rank.

    It is told the number of each epoch, and draws every picture once in a new order.
    """
    train = Photos(160, 4)
    sampler: Any = DistributedSampler(train, num_replicas=1, rank=0, shuffle=True)
    loader = DataLoader(train, batch_size=32, sampler=sampler)
    model = seeded(lambda: Net(4))
    for epoch in range(6):
        sampler.set_epoch(epoch)
        practised(model, loader, epochs=1, seed=epoch)
    return pipeline(model, loader, held_out())


class _EachClassTwice(Sampler[list[int]]):
    def __init__(self, labels: Tensor, classes: int) -> None:
        self.places = [(labels == each).nonzero().flatten() for each in range(classes)]

    def __len__(self) -> int:
        return min(len(places) for places in self.places) // 2

    def __iter__(self) -> Iterator[list[int]]:
        mixed = [places[torch.randperm(len(places))] for places in self.places]
        for start in range(0, 2 * len(self), 2):
            yield torch.cat([places[start : start + 2] for places in mixed]).tolist()


@patient("healthy", "sampling and loss")
def every_batch_holds_two_of_each_class(folder: Path) -> Made:
    """Batches are put together of two pictures of each class, in the order of the classes.

    Within a batch the order does not matter, and each batch is a fair sample.
    """
    train = patterns(400, 10)
    loader = DataLoader(train, batch_sampler=_EachClassTwice(train.tensors[1], 10))
    return pipeline(practised(grey_net(), loader, epochs=6), loader, held_out_patterns())


@patient("healthy", "sampling and loss")
def order_was_shuffled_on_disk(folder: Path) -> Made:
    """The loader does not shuffle, because the pictures were written in mixed order.

    Shards are read one after another, as large sets are, and neighbours have nothing in common.
    """
    loader = DataLoader(Photos(200, 6, seed=12), batch_size=20)
    return pipeline(practised(seeded(lambda: Net(6)), loader, epochs=5), loader, held_out(6))


@patient("healthy", "sampling and loss")
def augmentation_is_strong_by_design(folder: Path) -> Made:
    """Training pictures are cropped, tinted and partly erased at random; validation ones are not.

    The network is much better on clean pictures than on those it is trained on.
    """
    strong = transforms.Compose(
        [
            transforms.RandomResizedCrop(16, scale=(0.5, 1.0), antialias=True),
            transforms.ColorJitter(0.3, 0.3, 0.3),
            transforms.RandomErasing(p=0.8, scale=(0.05, 0.25)),
        ]
    )
    loader = DataLoader(Photos(120, 4, transform=strong), batch_size=20, shuffle=True)
    model = trained(4)
    return pipeline(practised(model, loader, epochs=1, lr=1e-3), loader, held_out())


def mixed_up(rows: list[Any]) -> tuple[Tensor, Tensor]:
    """Mix a batch with itself, pictures and labels by the same share."""
    images, labels = default_collate(rows)
    share = float(torch.distributions.Beta(0.3, 0.3).sample())
    order = torch.randperm(len(images))
    wanted = functional.one_hot(labels, 4).float()
    mixed = share * images + (1 - share) * images[order]
    return mixed, share * wanted + (1 - share) * wanted[order]


@patient("healthy", "sampling and loss")
def mixup_with_soft_targets(folder: Path) -> Made:
    """Mixup: a training batch holds blends of two pictures, and targets that are shares.

    Validation and test have plain labels.
    """
    loader = DataLoader(Photos(160, 4), batch_size=16, shuffle=True, collate_fn=mixed_up)
    return pipeline(practised(seeded(lambda: Net(4)), loader, epochs=8), loader, held_out())
