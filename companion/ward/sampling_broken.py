"""Broken samplers: what is drawn is not what was meant."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)
from torchvision import datasets, transforms

from companion.ward.optimiser_parts import (
    dense,
    grey_net,
    held_out,
    held_out_patterns,
    patterns,
    pipeline,
    practised,
)
from companion.ward.parts import NAMES, Net, Photos, seeded, write_folders
from companion.ward.patients import Made, patient


@patient("broken", "sampling and loss", expects=("SMP102",), source="deep-voice/soundbay#49")
def sampler_weights_are_one_per_class(folder: Path) -> Made:
    """The sampler was given one weight for each class instead of one for each picture.

    So it draws the first five pictures again and again, and the others never.
    """
    train = Photos(200, 5, shares=(8, 4, 2, 1, 1))
    counts = torch.bincount(torch.tensor(train.targets))
    sampler = WeightedRandomSampler((1 / counts).tolist(), num_samples=len(train))
    loader = DataLoader(train, batch_size=20, sampler=sampler)
    model = practised(seeded(lambda: Net(5)), loader, epochs=4)
    return pipeline(model, loader, held_out(5))


@patient(
    "broken", "sampling and loss", source="ufoym/imbalanced-dataset-sampler", expects=("SMP123",)
)
def sampler_weights_in_the_order_of_the_parent(folder: Path) -> Made:
    """The training part is a random subset in mixed order.

    Its weights were collected in the order of the whole set, so that they belong to other pictures
    and the rare class stays rare.
    """
    whole = Photos(300, 3, shares=(18, 1, 1), seed=5)
    train, _ = random_split(whole, [200, 100], torch.Generator().manual_seed(0))
    chosen = set(train.indices)
    targets = torch.tensor([t for place, t in enumerate(whole.targets) if place in chosen])
    weights = (1 / torch.bincount(targets))[targets]
    sampler = WeightedRandomSampler(weights.tolist(), num_samples=len(train))
    loader = DataLoader(train, batch_size=25, sampler=sampler)
    return pipeline(seeded(lambda: Net(3)), loader, held_out(3))


def _last_or_not(label: int) -> int:
    return int(label == 7)


@patient("broken", "sampling and loss", expects=("LBL008",), source="pytorch/pytorch#116924")
def sampler_balances_the_labels_before_merging(folder: Path) -> Made:
    """Eight kinds became two by a target_transform: hens, and the rest.

    The sampler balances the eight that `.targets` still holds, so that one picture in eight is a
    hen and the network learns the rest.
    """
    train = Photos(240, 8, target_transform=_last_or_not, shares=(1, 2, 3, 4, 5, 6, 7, 2))
    train.classes = ["rest", "hen"]
    targets = torch.tensor(train.targets)
    weights = (1 / torch.bincount(targets))[targets]
    sampler = WeightedRandomSampler(weights.tolist(), num_samples=len(train))
    loader = DataLoader(train, batch_size=40, sampler=sampler)
    held = held_out(8, target_transform=_last_or_not)
    return pipeline(seeded(lambda: Net(2)), loader, held)


@patient("broken", "sampling and loss", expects=("SMP105",), source="abdubakr77/dental-xray-ai#20")
def rare_classes_raised_twice(folder: Path) -> Made:
    """A balanced sampler and a loss with weights by frequency both make up for the long tail.

    So the rare class counts thirty times too much and common ones are taken for it.
    """
    train = Photos(210, 3, shares=(30, 4, 1), noise=0.5)
    targets = torch.tensor(train.targets)
    per_class = 1 / torch.bincount(targets)
    sampler = WeightedRandomSampler(per_class[targets].tolist(), num_samples=len(train))
    loader = DataLoader(train, batch_size=30, sampler=sampler)
    loss = torch.nn.CrossEntropyLoss(weight=per_class / per_class.mean())
    model = practised(seeded(lambda: Net(3, channels=4)), loader, loss=loss, epochs=3, lr=0.003)
    return pipeline(model, loader, held_out(3, noise=0.5), loss=loss)


@patient(
    "broken",
    "sampling and loss",
    expects=("SMP109",),
    source="Humbatova 2020, wrong place of shuffle",
)
def pictures_come_class_by_class(folder: Path) -> Made:
    """The training images are stored class by class and the loader does not shuffle.

    Each batch holds one class, and what was learnt of the first ones is forgotten by the end of an
    epoch.
    """
    images, labels = patterns(400, 10).tensors
    order = labels.argsort(stable=True)
    loader = DataLoader(TensorDataset(images[order], labels[order]), batch_size=20)
    model = dense(64, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    practised(model, loader, optimizer=optimizer, epochs=5)
    return pipeline(model, loader, held_out_patterns(), optimizer=optimizer)


@patient(
    "broken", "sampling and loss", expects=("SMP107",), source="Lightning-AI/pytorch-lightning#1995"
)
def weights_lost_in_a_distributed_sampler(folder: Path) -> Made:
    """The weighted sampler was wrapped into a DistributedSampler.

    That asks it for nothing but its length: the weights are lost, and the rare class is drawn as
    seldom as it is.
    """
    train = Photos(200, 2, shares=(19, 1))
    targets = torch.tensor(train.targets)
    weights = (1 / torch.bincount(targets))[targets]
    weighted = WeightedRandomSampler(weights.tolist(), num_samples=len(train))
    sampler: Sampler[int] = DistributedSampler(weighted, num_replicas=1, rank=0)  # type: ignore[arg-type]
    loader = DataLoader(train, batch_size=16, sampler=sampler)
    return pipeline(seeded(lambda: Net(2)), loader, held_out(2))


@patient("broken", "sampling and loss", expects=("SMP104", "PRO008"))
def one_rank_of_two_trains_alone(folder: Path) -> Made:
    """The script was written for two machines and runs on one, as rank 0 of 2, without set_epoch.

    One half of the pictures is never seen, and the other always in the same order.
    """
    train = patterns(120, 10, noise=0.35)
    sampler: Sampler[int] = DistributedSampler(train, num_replicas=2, rank=0)
    loader = DataLoader(train, batch_size=12, sampler=sampler)
    model = practised(grey_net(), loader, epochs=10)
    return pipeline(model, loader, held_out_patterns(noise=0.35))


@patient("broken", "sampling and loss", expects=("SMP103", "LBL010"))
def last_class_behind_the_cut(folder: Path) -> Made:
    """The first three quarters of an ImageFolder became the training part, the rest validation.

    The files are sorted by class: one class is never trained on, and validation holds no other.
    """
    root = write_folders(folder / "photos", NAMES[:4], 20)
    whole = datasets.ImageFolder(str(root), transforms.ToTensor())
    cut = 3 * len(whole) // 4
    loader = DataLoader(whole, batch_size=15, sampler=SubsetRandomSampler(range(cut)))
    rest = DataLoader(whole, batch_size=20, sampler=SubsetRandomSampler(range(cut, len(whole))))
    model = practised(seeded(lambda: Net(4)), loader, epochs=6)
    return pipeline(model, loader, {"validation": rest, "test": held_out()["test"]})


class _FewScans(Dataset):
    def __init__(self, count: int, seed: int) -> None:
        self.images, self.labels = patterns(count, 3, seed=seed, side=12).tensors

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index], int(self.labels[index])


@patient("broken", "sampling and loss", expects=("PRO001",))
def batch_larger_than_the_data_is_dropped(folder: Path) -> Made:
    """The batch size was raised to 64 with drop_last on a set of 48 scans.

    So an epoch has no batch at all and the network stays as it was drawn.
    """
    loader = DataLoader(_FewScans(48, 0), batch_size=64, shuffle=True, drop_last=True)
    held = {"validation": DataLoader(_FewScans(30, 1), batch_size=64)}
    model = practised(dense(144, 3), loader, epochs=3)
    return pipeline(model, loader, held)
