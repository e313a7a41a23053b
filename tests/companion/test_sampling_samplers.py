from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

import companion
from companion import (
    BalancedSampler,
    LabelledImages,
    audit_sampler,
    balanced_sampler,
    class_counts,
    class_weights,
    fit,
    fit_replicas,
    labels_of,
    mlp,
)

LABELS = [0] * 891 + [1] * 99 + [2] * 10


def within(hits: int, draws: int, chance: float) -> bool:
    """Whether a binomial count lies within five and a half standard deviations."""
    return abs(hits - draws * chance) <= 5.5 * math.sqrt(draws * chance * (1 - chance))


def numbered(count: int) -> LabelledImages:
    """Images that say in a pixel which they are; one in six is of the second class."""
    images = torch.arange(count).float()[:, None, None, None].expand(count, 1, 6, 6).clone()
    return LabelledImages(images, (torch.arange(count) % 6 == 0).long(), ["often", "rare"])


@pytest.fixture
def recorder() -> tuple[Callable[[Tensor], Tensor], list[int]]:
    """An augmentation that notes the number written in each image."""
    seen: list[int] = []

    def augment(images: Tensor) -> Tensor:
        seen.extend(images[:, 0, 0, 0].long().tolist())
        return images / 100

    return augment, seen


class TestShares:
    @pytest.mark.parametrize(
        ("scheme", "raw"),
        [
            ("inverse", [1.0, 1.0, 1.0]),
            ("square-root", [math.sqrt(891), math.sqrt(99), math.sqrt(10)]),
            ("effective", [n * 0.001 / (1 - 0.999**n) for n in (891, 99, 10)]),
        ],
    )
    def test_each_class_has_the_share_of_its_scheme(self, scheme: str, raw: list[float]) -> None:
        sampler = balanced_sampler(LABELS, seed=0, scheme=scheme, draws=20_000)
        hits = Counter(LABELS[position] for position in sampler)
        assert all(within(hits[k], 20_000, each / sum(raw)) for k, each in enumerate(raw))

    def test_within_a_class_each_image_has_the_same_chance(self) -> None:
        hits = Counter(balanced_sampler(LABELS, seed=0, draws=200_000))
        sizes = Counter(LABELS)
        assert all(within(hits[p], 200_000, 1 / 3 / sizes[k]) for p, k in enumerate(LABELS))

    def test_images_without_a_label_are_never_drawn(self) -> None:
        labels = [-100, 0, -100, 0, 0, 1, -100] * 20
        sampler = balanced_sampler(labels, seed=0, draws=5000)
        hits = Counter(labels[position] for position in sampler)
        assert set(hits) == {0, 1}
        assert within(hits[1], 5000, 0.5)
        assert len(balanced_sampler(labels, seed=0)) == len(labels) == 140

    def test_chances_are_as_fine_as_those_of_pytorch(self) -> None:
        own = torch.utils.data.WeightedRandomSampler([1.0], 1)
        assert balanced_sampler(LABELS, seed=0).weights.dtype == own.weights.dtype == torch.float64

    @pytest.mark.parametrize("draws", [1, 17, 3000])
    def test_an_epoch_is_as_long_as_asked(self, draws: int) -> None:
        sampler = balanced_sampler(LABELS, seed=0, draws=draws)
        assert len(sampler) == len(list(sampler)) == draws
        assert len(list(balanced_sampler(LABELS, seed=0))) == len(LABELS)


class TestRandomness:
    def test_each_epoch_is_new_and_can_be_drawn_again(self) -> None:
        first, second = (balanced_sampler(LABELS, seed=5) for _ in range(2))
        epochs = [list(first) for _ in range(4)]
        assert epochs == [list(second) for _ in range(4)]
        assert len(set(map(tuple, epochs))) == 4

    def test_a_run_goes_on_where_it_stopped(self) -> None:
        sampler = balanced_sampler(LABELS, seed=5)
        epochs = [list(sampler) for _ in range(5)]
        resumed = balanced_sampler(LABELS, seed=5)
        resumed.set_epoch(3)
        assert [list(resumed), list(resumed)] == epochs[3:]
        resumed.set_epoch(0)
        assert list(resumed) == epochs[0]

    def test_an_epoch_begun_is_an_epoch_drawn(self) -> None:
        sampler, whole = balanced_sampler(LABELS, seed=5), balanced_sampler(LABELS, seed=5)
        next(iter(sampler))
        assert [list(whole), list(whole)][1] == list(sampler)

    def test_no_seed_shares_an_epoch_with_another(self) -> None:
        drawn = set()
        for seed in range(6):
            sampler = balanced_sampler(LABELS, seed=seed)
            drawn |= {tuple(sampler) for _ in range(6)}
        assert len(drawn) == 36

    def test_seeds_may_be_numbers_of_numpy(self) -> None:
        found = list(balanced_sampler(LABELS, seed=np.int64(3)))
        assert found == list(balanced_sampler(LABELS, seed=3))

    def test_the_global_generators_are_left_alone(self) -> None:
        def state() -> tuple[Any, ...]:
            return torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()

        before = state()
        first = list(balanced_sampler(LABELS, seed=0))
        assert state() == before
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)
        assert list(balanced_sampler(LABELS, seed=0)) == first


class TestInUse:
    def test_a_loader_draws_by_it(self) -> None:
        data = TensorDataset(torch.arange(1000), torch.tensor(LABELS))
        sampler, expected = (balanced_sampler(data, seed=2) for _ in range(2))
        loader = DataLoader(data, batch_size=64, sampler=sampler)
        for _ in range(2):
            drawn = torch.cat([positions for positions, _ in loader])
            assert drawn.tolist() == list(expected)
        assert len(loader) == 16

    def test_fit_draws_a_new_epoch_each_time(
        self, network: nn.Module, recorder: tuple[Callable[[Tensor], Tensor], list[int]]
    ) -> None:
        data, (augment, seen) = numbered(60), recorder
        sampler = balanced_sampler(data, seed=2, draws=40)
        fit(network, data, epochs=3, lr=0.01, batch_size=16, sampler=sampler, augment=augment)
        expected = balanced_sampler(data, seed=2, draws=40)
        assert seen == [position for _ in range(3) for position in expected]
        assert (len(seen), sampler.epoch) == (120, 3)

    def test_replicas_draw_as_fit_does(self, patches: LabelledImages) -> None:
        unequal = patches.at([*range(0, 60, 3), 1, 2, 4, 5])
        options: dict[str, Any] = {"epochs": 2, "batch_size": 8}

        def build(seed: int) -> nn.Module:
            return mlp(3, inputs=36, hidden=(8,), seed=seed)

        replicas = fit_replicas(
            build,
            unequal,
            seeds=[0, 1],
            lrs=0.01,
            sampler=lambda seed: balanced_sampler(unequal, seed=seed),
            **options,
        )
        for seed in (0, 1):
            model, sampler = build(seed), balanced_sampler(unequal, seed=seed)
            fit(model, unequal, lr=0.01, seed=seed, sampler=sampler, **options)
            found = replicas.model(0.01, seed)(patches.images)
            assert torch.allclose(found, model(patches.images), atol=1e-5)

    def test_a_subset_itself_gives_positions_in_the_subset(self) -> None:
        data = numbered(60)
        subset = Subset(data, [59, 6, 12, 1, 2, 3, 4, 5, 7])
        sampler = balanced_sampler(subset, seed=0, draws=4000)
        hits = Counter(sampler)
        assert sampler.items == 9
        assert set(hits) == set(range(9))
        assert within(hits[1] + hits[2], 4000, 0.5)

    def test_its_items_are_the_images_and_not_the_draws(self) -> None:
        assert balanced_sampler(LABELS, seed=0, draws=7).items == 1000
        assert balanced_sampler([0, 1, -100], seed=0).items == 3
        assert balanced_sampler(LABELS, seed=0, rank=1, world_size=2).items == 1000

    @pytest.mark.parametrize("made_for", [60, 12], ids=["the-parent", "a-part"])
    def test_a_sampler_for_other_data_is_refused(
        self, patches: LabelledImages, network: nn.Module, made_for: int
    ) -> None:
        train = patches.at(range(30))
        other = patches.labels[:made_for]
        message = "must be made for the 30 images that are trained on"
        with pytest.raises(ValueError, match=message):
            fit(network, train, epochs=1, lr=0.01, sampler=balanced_sampler(other, seed=0))
        with pytest.raises(ValueError, match=message):
            fit_replicas(
                lambda seed: mlp(3, inputs=36, seed=seed),
                train,
                seeds=[0],
                lrs=0.01,
                epochs=1,
                sampler=lambda seed: balanced_sampler(other, seed=seed),
            )


def parts_of(size: int, **options: Any) -> list[list[int]]:
    return [
        list(balanced_sampler(LABELS, seed=4, rank=rank, world_size=size, **options))
        for rank in range(size)
    ]


class TestSeveralProcesses:
    @pytest.mark.parametrize("draws", [*range(20, 26), 7, 5])
    @pytest.mark.parametrize("size", range(1, 6))
    def test_each_draw_of_one_epoch_goes_to_one_of_them(self, size: int, draws: int) -> None:
        whole = list(balanced_sampler(LABELS, seed=4, draws=draws))
        shared = whole[: draws - draws % size]
        parts = parts_of(size, draws=draws)
        assert {len(part) for part in parts} == {draws // size}
        dealt: list[list[int]] = [[] for _ in range(size)]
        for place, position in enumerate(shared):
            dealt[place % size].append(position)
        assert parts == dealt
        assert Counter(position for part in parts for position in part) == Counter(shared)

    @pytest.mark.parametrize("size", [2, 3])
    def test_they_go_on_to_the_next_epoch_together(self, size: int) -> None:
        single = balanced_sampler(LABELS, seed=4)
        samplers = [
            balanced_sampler(LABELS, seed=4, rank=rank, world_size=size) for rank in range(size)
        ]
        for _ in range(3):
            whole = list(single)
            parts = [list(sampler) for sampler in samplers]
            assert parts == [whole[rank::size][: 1000 // size] for rank in range(size)]

    def test_lengths_are_those_of_a_part(self) -> None:
        sampler = balanced_sampler(LABELS, seed=4, draws=22, rank=3, world_size=4)
        assert (len(sampler), len(list(sampler))) == (5, 5)

    @pytest.mark.parametrize(
        ("options", "received"),
        [
            ({"rank": 2, "world_size": 2}, r"0 … 1; received 2"),
            ({"rank": -1, "world_size": 2}, r"0 … 1; received -1"),
            ({"rank": 1}, r"0 … 0; received 1"),
            ({"world_size": 2}, r"0 … 1; received None\. Pass rank and world_size together"),
        ],
        ids=["beyond", "negative", "rank-alone", "world-size-alone"],
    )
    def test_a_rank_that_is_none_is_refused(self, options: dict[str, Any], received: str) -> None:
        with pytest.raises(ValueError, match=f"rank must lie in {received}"):
            balanced_sampler(LABELS, seed=0, **options)

    def test_one_process_needs_no_rank(self) -> None:
        found = list(balanced_sampler(LABELS, seed=0, world_size=1))
        assert found == list(balanced_sampler(LABELS, seed=0))

    @pytest.mark.parametrize(("draws", "size"), [(0, 1), (2, 3)])
    def test_fewer_draws_than_processes_are_refused(self, draws: int, size: int) -> None:
        with pytest.raises(ValueError, match=f"each of {size} processes; received {draws}. Raise"):
            balanced_sampler(LABELS, seed=0, draws=draws, rank=0, world_size=size)


PROCESS = """
import json, sys
from datetime import timedelta

import torch
from torch import distributed
from torch.utils.data import DistributedSampler, WeightedRandomSampler

from companion import balanced_sampler, class_weights

rank, meeting, answer = int(sys.argv[1]), sys.argv[2], sys.argv[3]
labels = [0] * 891 + [1] * 99 + [2] * 10
torch.manual_seed(rank)  # what differs between processes must not reach the draw
distributed.init_process_group(
    "gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=60)
)
sampler = balanced_sampler(labels, seed=4, draws=1001)
weights = class_weights(labels)[torch.tensor(labels)]
lost = DistributedSampler(WeightedRandomSampler(weights, 1000))
alone = balanced_sampler(labels, seed=4, draws=1001, rank=0, world_size=1)
found = {
    "length": len(sampler),
    "epochs": [list(sampler) for _ in range(3)],
    "lost": list(lost),
    "alone": list(alone),
}
distributed.barrier()
distributed.destroy_process_group()
with open(answer, "w") as file:
    json.dump(found, file)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two processes drew that met by torch.distributed, on this machine alone."""
    folder = tmp_path_factory.mktemp("gloo")
    environment = os.environ | {
        "PYTHONPATH": str(Path(companion.__file__).parent.parent),
        "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
        "OMP_NUM_THREADS": "1",
    }
    files = [folder / f"{rank}.json" for rank in range(2)]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(rank), (folder / "meeting").as_uri(), str(file)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, file in enumerate(files)
    ]
    try:
        for process in running:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
    finally:
        for process in running:
            process.kill()
            process.communicate()
    return [json.loads(file.read_text()) for file in files]


@pytest.mark.skipif(not distributed.is_available(), reason="needs torch.distributed")
class TestTwoRealProcesses:
    def test_each_takes_its_part_of_the_single_draw(self, answers: list[dict[str, Any]]) -> None:
        single = balanced_sampler(LABELS, seed=4, draws=1001)
        for epoch in range(3):
            whole = list(single)[:1000]
            first, second = (answer["epochs"][epoch] for answer in answers)
            assert (first, second) == (whole[::2], whole[1::2])
            assert Counter(first + second) == Counter(whole)
        assert [answer["length"] for answer in answers] == [500, 500]

    def test_each_epoch_is_new_and_no_part_is_another(self, answers: list[dict[str, Any]]) -> None:
        parts = [tuple(epoch) for answer in answers for epoch in answer["epochs"]]
        assert len(set(parts)) == 6

    def test_together_they_draw_the_classes_equally_often(
        self, answers: list[dict[str, Any]]
    ) -> None:
        drawn = [p for answer in answers for epoch in answer["epochs"] for p in epoch]
        hits = Counter(LABELS[position] for position in drawn)
        assert all(within(hits[k], 3000, 1 / 3) for k in range(3))

    def test_a_distributed_sampler_around_a_weighted_one_loses_the_weights(
        self, answers: list[dict[str, Any]]
    ) -> None:
        drawn = [position for answer in answers for position in answer["lost"]]
        assert sorted(drawn) == list(range(1000))
        assert Counter(LABELS[position] for position in drawn) == Counter(LABELS)

    def test_what_is_passed_comes_before_what_was_initialised(
        self, answers: list[dict[str, Any]]
    ) -> None:
        whole = list(balanced_sampler(LABELS, seed=4, draws=1001))
        assert [answer["alone"] for answer in answers] == [whole, whole]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (class_weights(LABELS), TypeError, "not weights, counts or logits"),
        (class_weights(LABELS)[torch.tensor(LABELS)], TypeError, "not weights, counts or logits"),
        ([1, 100], ValueError, r"classes \[0, 2, 3, .*\] have none"),
        ([900, 100], ValueError, "every class needs an image"),
        ([0, 0, 2], ValueError, r"classes \[1\] have none"),
        ([-100, -100], ValueError, "all labels are -100"),
        ([], ValueError, "at least one label is needed"),
        (iter([0, 1]), TypeError, "labels must have positions"),
    ],
    ids=["class-weights", "sample-weights", "whole", "counts", "gap", "unlabelled", "none", "once"],
)
def test_what_cannot_be_balanced_is_refused(
    labels: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        balanced_sampler(labels, seed=0)


def test_a_declared_class_without_images_is_refused() -> None:
    data = LabelledImages(torch.zeros(2, 1, 1, 1), torch.tensor([0, 1]), [*"abc"])
    with pytest.raises(ValueError, match=r"classes \[2\] have none"):
        balanced_sampler(data, seed=0)


@pytest.mark.parametrize(
    ("seed", "error"),
    [
        (None, TypeError),
        (-1, ValueError),
        (np.int64(-3), ValueError),
        (0.5, TypeError),
        ("1", TypeError),
        (True, TypeError),
    ],
    ids=str,
)
def test_a_seed_is_refused_at_once(seed: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"seed must be a whole number of at least 0; received .*seed"):
        balanced_sampler(LABELS, seed=seed)


@pytest.mark.parametrize("name", ["draws", "world_size"])
@pytest.mark.parametrize(("value", "error"), [(-5, ValueError), (2.5, TypeError)])
def test_draws_and_processes_are_whole_numbers(
    name: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"{name} must be a whole number .*received {value}"):
        balanced_sampler(LABELS, seed=0, **{name: value})


def test_numbers_of_numpy_count() -> None:
    options: dict[str, Any] = {"draws": 22, "rank": 3, "world_size": 4}
    numpy: dict[str, Any] = {name: np.int64(value) for name, value in options.items()}
    found = balanced_sampler(LABELS, seed=4, **numpy)
    assert list(found) == list(balanced_sampler(LABELS, seed=4, **options))


@pytest.mark.parametrize(("epoch", "error"), [(-1, ValueError), (None, TypeError)], ids=str)
def test_an_epoch_is_refused_at_once(epoch: Any, error: type[Exception]) -> None:
    sampler = balanced_sampler(LABELS, seed=0)
    with pytest.raises(error, match="epoch must be a whole number of at least 0"):
        sampler.set_epoch(epoch)
    assert sampler.epoch == 0


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme must be one of inverse, square-root, effective"):
        balanced_sampler(LABELS, seed=0, scheme="equal")


def test_the_sampler_has_a_class_of_its_own() -> None:
    sampler = balanced_sampler(LABELS, seed=3, rank=1, world_size=2)
    assert isinstance(sampler, BalancedSampler)
    assert (sampler.seed, sampler.rank, sampler.world_size, sampler.epoch) == (3, 1, 2, 0)


@pytest.mark.parametrize(
    "read",
    [
        lambda data: balanced_sampler(data, seed=0),
        class_counts,
        class_weights,
        lambda data: audit_sampler(range(4), data),
    ],
    ids=["sampler", "counts", "weights", "audit"],
)
def test_labels_that_could_be_several_are_chosen_beforehand(read: Callable[[Any], Any]) -> None:
    first, second = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 2])
    data = TensorDataset(torch.zeros(4, 1), first, second)
    message = (
        r"received positions \[1, 2\] .*pass the labels themselves: labels_of\(data, labels=1\)"
    )
    with pytest.raises(ValueError, match=message):
        read(data)
    read(labels_of(data, labels=2))
