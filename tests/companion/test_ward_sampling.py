"""The ward's broken samplers and losses: the fault is there, and it costs something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, WeightedRandomSampler

from companion.ward import loss_broken, sampling_broken
from companion.ward.optimiser_parts import dense, grey_net, practised, share_right
from companion.ward.parts import Net, seeded
from companion.ward.sampling_healthy import mixed_up


def labels_drawn(loader: Any, epochs: int = 3) -> torch.Tensor:
    """Return the labels of some epochs."""
    return seeded(lambda: torch.cat([labels for _ in range(epochs) for _, labels in loader]))


def shuffled(made: dict[str, Any], batch: int = 20, **options: Any) -> DataLoader:
    """Return a plain loader of the same rows."""
    return DataLoader(made["train"].dataset, batch_size=batch, shuffle=True, **options)


def gap(made: dict[str, Any], twin: nn.Module, only: int | None = None) -> float:
    """Return by how much a model without the fault is better."""
    return share_right(twin, made["test"], only) - share_right(made["model"], made["test"], only)


def test_sampler_weights_are_one_per_class(tmp_path: Path) -> None:
    made = sampling_broken.sampler_weights_are_one_per_class(tmp_path)
    assert set(seeded(lambda: list(made["train"].sampler))) <= set(range(5))
    assert gap(made, practised(seeded(lambda: Net(5)), shuffled(made))) > 0.4


@pytest.mark.parametrize(
    ("make", "rare", "meant"),
    [
        (sampling_broken.sampler_weights_in_the_order_of_the_parent, 1, 1 / 3),
        (sampling_broken.sampler_weights_in_the_order_of_the_parent, 2, 1 / 3),
        (sampling_broken.sampler_balances_the_labels_before_merging, 1, 1 / 2),
        (sampling_broken.weights_lost_in_a_distributed_sampler, 1, 1 / 2),
    ],
)
def test_the_rare_class_stays_rare(make: Any, rare: int, meant: float, tmp_path: Path) -> None:
    drawn = labels_drawn(make(tmp_path)["train"])
    assert float((drawn == rare).float().mean()) < 0.5 * meant


def test_rare_classes_raised_twice(tmp_path: Path) -> None:
    made = sampling_broken.rare_classes_raised_twice(tmp_path)
    twin = practised(seeded(lambda: Net(3, channels=4)), made["train"], epochs=3, lr=0.003)
    assert gap(made, twin, only=0) > 0.3
    assert gap(made, twin) > 0.15


def test_pictures_come_class_by_class(tmp_path: Path) -> None:
    made = sampling_broken.pictures_come_class_by_class(tmp_path)
    twin = dense(64, 10)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    assert gap(made, practised(twin, shuffled(made), optimizer=optimizer, epochs=5)) > 0.6


def test_one_rank_of_two_trains_alone(tmp_path: Path) -> None:
    made = sampling_broken.one_rank_of_two_trains_alone(tmp_path)
    assert [list(made["train"].sampler) for _ in range(2)].count(list(made["train"].sampler)) == 2
    assert len(set(made["train"].sampler)) == len(made["train"].dataset) // 2
    assert gap(made, practised(grey_net(), shuffled(made, 12), epochs=10)) > 0.04


def test_last_class_behind_the_cut(tmp_path: Path) -> None:
    made = sampling_broken.last_class_behind_the_cut(tmp_path)
    assert set(labels_drawn(made["train"]).tolist()) == {0, 1, 2}
    assert set(labels_drawn(made["validation"]).tolist()) == {3}
    assert share_right(made["model"], made["test"], only=3) == 0


def test_batch_larger_than_the_data_is_dropped(tmp_path: Path) -> None:
    made = sampling_broken.batch_larger_than_the_data_is_dropped(tmp_path)
    assert len(made["train"]) == 0
    assert torch.equal(made["model"][3].weight, dense(144, 3)[3].weight)


def test_softmax_inside_the_network(tmp_path: Path) -> None:
    made = loss_broken.softmax_inside_the_network(tmp_path)
    twin = dense(64, 10)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    assert gap(made, practised(twin, made["train"], optimizer=optimizer, epochs=12)) > 0.3


def test_likelihood_loss_on_raw_scores(tmp_path: Path) -> None:
    made = loss_broken.likelihood_loss_on_raw_scores(tmp_path)
    images, labels = next(iter(made["train"]))
    assert made["loss"](made["model"](images), labels) < -10
    assert gap(made, practised(seeded(lambda: Net(4)), made["train"])) > 0.3


def test_minus_forgotten_in_the_likelihood(tmp_path: Path) -> None:
    made = loss_broken.minus_forgotten_in_the_likelihood(tmp_path)
    assert gap(made, practised(grey_net(6), made["train"], epochs=2)) > 0.4


def test_scores_and_targets_swapped(tmp_path: Path) -> None:
    made = loss_broken.scores_and_targets_swapped(tmp_path)
    images, labels = next(iter(made["train"]))
    assert made["loss"](made["model"](images), labels) < 0
    assert gap(made, practised(seeded(lambda: Net(3)), made["train"], epochs=4)) > 0.3


def test_class_weights_in_order_of_frequency(tmp_path: Path) -> None:
    made = loss_broken.class_weights_in_order_of_frequency(tmp_path)
    counts = torch.bincount(labels_drawn(made["train"], 1))
    assert int(counts.argmax()) == int(made["loss"].weight.argmax())
    loss = nn.CrossEntropyLoss(weight=made["loss"].weight.flip(0))
    twin = practised(seeded(lambda: Net(4, channels=6)), made["train"], loss=loss)
    assert gap(made, twin) > 0.1


def test_first_class_ignored_as_background(tmp_path: Path) -> None:
    made = loss_broken.first_class_ignored_as_background(tmp_path)
    assert share_right(made["model"], made["test"], only=0) == 0
    assert gap(made, practised(seeded(lambda: Net(5)), made["train"]), only=0) > 0.8


def test_targets_broadcast_to_a_square(tmp_path: Path) -> None:
    made = loss_broken.targets_broadcast_to_a_square(tmp_path)
    images, labels = made["test"].dataset.tensors
    answers = torch.sigmoid(made["model"](images)).detach()
    assert float(answers.std()) < 0.1
    twin = practised(
        dense(64, 1), made["train"], loss=lambda s, y: made["loss"](s.squeeze(1), y), epochs=8
    )
    assert float(((twin(images)[:, 0] > 0) == labels).float().mean()) > 0.95


def test_softmax_over_the_batch(tmp_path: Path) -> None:
    made = loss_broken.softmax_over_the_batch(tmp_path)
    assert gap(made, practised(dense(192, 5), made["train"], epochs=8)) > 0.1


def test_mixup_shares_exchanged(tmp_path: Path) -> None:
    made = loss_broken.mixup_shares_exchanged(tmp_path)
    loader = shuffled(made, 32, collate_fn=mixed_up)
    assert gap(made, practised(seeded(lambda: Net(4)), loader)) > 0.2


def test_prior_taken_away_in_training(tmp_path: Path) -> None:
    made = loss_broken.prior_taken_away_in_training(tmp_path)
    prior = made["loss"].prior

    def adjusted(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(scores + prior.log(), labels)

    for loss in (adjusted, nn.CrossEntropyLoss()):
        model = seeded(lambda: Net(5, channels=6))
        twin = practised(model, made["train"], loss=loss, epochs=5, lr=0.003)
        assert gap(made, twin) > 0.05


def test_the_sampler_of_the_healthy_pipeline_would_do(tmp_path: Path) -> None:
    made = sampling_broken.weights_lost_in_a_distributed_sampler(tmp_path)
    weighted = made["train"].sampler.dataset
    assert isinstance(weighted, WeightedRandomSampler)
    again = DataLoader(made["train"].dataset, batch_size=16, sampler=weighted)
    assert 0.4 < float((labels_drawn(again) == 1).float().mean()) < 0.6
    assert gap(made, practised(seeded(lambda: Net(2)), again), only=1) > 0.5
