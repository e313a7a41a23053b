"""Broken reports: what is judged, and how it is counted."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Subset,
    WeightedRandomSampler,
    random_split,
)

from companion.ward.optimiser_parts import (
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
from companion.ward.protocol_parts import Pictures, sorted_by_class


@patient("broken", "protocol", expects=("PRO009",))
def first_forty_of_a_sorted_test(folder: Path) -> Made:
    """To save time, the first forty pictures of the test set were taken, which is sorted by class.

    Four classes of ten are judged, and by luck the easiest.
    """
    train = sorted_by_class(300, 10)
    loader = DataLoader(train, batch_size=30, shuffle=True)
    model = practised(seeded(lambda: Net(10)), loader, epochs=4)
    test = DataLoader(Subset(sorted_by_class(100, 10, seed=2), range(40)), batch_size=20)
    held = {"validation": held_out(10)["validation"], "test": test}
    return pipeline(model, loader, held)


@patient("broken", "protocol", expects=("PRO009",))
def last_test_batch_is_dropped(folder: Path) -> Made:
    """All loaders were made by one helper with drop_last and a batch size of 64.

    Of 120 test pictures, sorted by class, the last 56 are never judged.
    """
    train = Photos(192, 4)
    loader = DataLoader(train, batch_size=64, shuffle=True, drop_last=True)
    validation = DataLoader(sorted_by_class(80, 4, seed=1), batch_size=64, drop_last=True)
    test = DataLoader(sorted_by_class(120, 4, seed=2), batch_size=64, drop_last=True)
    return pipeline(trained(4), loader, {"validation": validation, "test": test})


@patient("broken", "protocol", expects=("PRO009",), source="pitfalls A4.8")
def validation_is_drawn_by_the_training_sampler(folder: Path) -> Made:
    """A helper gives every loader the weighted sampler that the training loader needs.

    Validation and test are drawn with replacement: many of their pictures are never judged, others
    several times.
    """
    made = {}
    for seed, (part, count) in enumerate({"train": 240, "validation": 120, "test": 120}.items()):
        data = Photos(count, 3, seed=seed, shares=(12, 3, 1), noise=0.7)
        targets = torch.tensor(data.targets)
        weights = (1 / torch.bincount(targets))[targets]
        sampler = WeightedRandomSampler(weights.tolist(), num_samples=count)
        made[part] = DataLoader(data, batch_size=40, sampler=sampler)
    model = practised(seeded(lambda: Net(3)), made["train"], epochs=4)
    return pipeline(model, made.pop("train"), made)


@patient("broken", "protocol", expects=("PRO041",))
def worst_epoch_is_kept_as_the_best(folder: Path) -> Made:
    """The best epoch was chosen with min, as for a loss, but by validation accuracy.

    The file called best.pt holds the worst of all epochs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = grey_net(10)
    loader = DataLoader(patterns(300), batch_size=30, shuffle=True)
    held = held_out_patterns()
    scores: list[float] = []
    for epoch in range(6):
        practised(model, loader, epochs=1, seed=epoch, lr=0.005)
        scores.append(share_right(model, held["validation"]))
        if scores[-1] <= min(scores):
            state = {"model": model.state_dict(), "epoch": len(scores) - 1}
            torch.save({**state, "validation_accuracy": scores[-1]}, folder / "best.pt")
    model.load_state_dict(torch.load(folder / "best.pt", weights_only=True)["model"])
    history = {"validation_accuracy": scores}
    return pipeline(model, loader, held, history=history, checkpoint=folder / "best.pt")


@patient("broken", "protocol", source="udacity/deep-learning-v2-pytorch#129", expects=("PRO042",))
def accuracy_divided_by_the_wrong_length(folder: Path) -> Made:
    """Right answers on the validation part are divided by the length of the whole set.

    The history says 0.2 where nearly all answers are right.
    """
    whole = Photos(240, 4)
    train, validation = random_split(whole, [192, 48], torch.Generator().manual_seed(0))
    loader = DataLoader(train, batch_size=32, shuffle=True)
    judged = DataLoader(validation, batch_size=24)
    model = seeded(lambda: Net(4))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    history: dict[str, list[float]] = {"validation_accuracy": []}
    for epoch in range(5):
        practised(model, loader, optimizer=optimizer, epochs=1, seed=epoch)
        right = share_right(model, judged) * len(validation)
        history["validation_accuracy"].append(right / len(whole))
    return pipeline(
        model, loader, {"validation": judged, "test": held_out()["test"]}, history=history
    )


@patient("broken", "protocol", expects=("PRO011",))
def placeholders_as_test_labels(folder: Path) -> Made:
    """The test pictures of a competition come without labels, and their reader fills in zeros.

    The test accuracy is computed all the same.
    """
    images, _ = pictures(120, 6, seed=2)
    test = DataLoader(Pictures(images, [0] * len(images)), batch_size=40)
    loader = DataLoader(Photos(240, 6), batch_size=40, shuffle=True)
    model = practised(seeded(lambda: Net(6)), loader, epochs=4)
    return pipeline(model, loader, {"validation": held_out(6)["validation"], "test": test})


@patient("broken", "protocol", expects=("PRO006",), source="DeepCrime VRM")
def nothing_was_held_out(folder: Path) -> Made:
    """All 60 pictures were trained on and none held out.

    The training accuracy of 1.0 is reported, and on new pictures the network is right in a part of
    the cases.
    """
    parts = [Photos(30, 5, seed=seed, noise=0.55) for seed in (0, 1)]
    loader: DataLoader = DataLoader(ConcatDataset(parts), batch_size=12, shuffle=True)
    model = seeded(lambda: Net(5))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    history: dict[str, list[float]] = {"train_accuracy": []}
    for epoch in range(12):
        practised(model, loader, optimizer=optimizer, epochs=1, seed=epoch)
        history["train_accuracy"].append(share_right(model, loader))
    loss = nn.CrossEntropyLoss()
    return {"model": model, "train": loader, "loss": loss, "history": history}
