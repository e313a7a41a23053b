"""The ward's rooms on training: made twice alike, and healthy ones as good as they say."""

from __future__ import annotations

import functools
import importlib
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from companion.ward.optimiser_parts import grey_net, practised, share_right
from companion.ward.parts import seeded
from companion.ward.patients import Patient, registered

ROOMS = (
    "sampling_broken", "sampling_healthy", "loss_broken", "loss_healthy", "optimiser_broken",
    "optimiser_steps", "optimiser_schedules", "optimiser_healthy", "optimiser_healthy_schedules",
    "protocol_broken", "protocol_reports", "protocol_healthy", "protocol_beyond",
)  # fmt: skip
for room in ROOMS:
    importlib.import_module(f"companion.ward.{room}")
MINE = [each for each in registered() if each.make.__module__.rpartition(".")[2] in ROOMS]
NAMED = {each.name: each for each in MINE}
ACCEPTED = {
    "model", "train", "validation", "test", "loss", "optimizer", "scheduler", "total_steps",
    "label_maps", "history", "checkpoint", "step", "accumulate",
}  # fmt: skip


PLACE: list[Path] = []


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Say where patients may write."""
    PLACE.append(tmp_path_factory.mktemp("ward"))


@functools.cache
def made(name: str) -> dict[str, Any]:
    """Return what a patient's function gives, which nobody may change."""
    return NAMED[name].make(PLACE[-1] / name)


def weights(made: dict[str, Any]) -> list[torch.Tensor]:
    """Return all that a model holds."""
    return [each.clone() for each in made["model"].state_dict().values()] if "model" in made else []


def first_batch(loader: Any) -> list[torch.Tensor]:
    """Return the first batch that a loader gives, if it gives any."""
    return seeded(lambda: list(next(iter(loader), ())))


@pytest.mark.parametrize("patient", MINE, ids=lambda each: each.name)
def test_made_twice_alike_and_nothing_else_changed(patient: Patient, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    first, again = made(patient.name), patient.make(tmp_path)
    assert torch.equal(before, torch.get_rng_state())
    assert first.keys() == again.keys()
    if patient.entry == "examine_folders":
        files = [sorted(p.relative_to(each["train"]) for p in each["train"].glob("*/*"))
                 for each in (first, again)]  # fmt: skip
        assert files[0] == files[1]
        assert first.keys() == {"train", "validation", "test"}
        return
    assert set(first) <= ACCEPTED
    pairs = zip(weights(first), weights(again), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    for part in ("train", "validation", "test"):
        rows = zip(first_batch(first.get(part, ())), first_batch(again.get(part, ())), strict=True)
        assert all(torch.equal(a, b) for a, b in rows), part


def test_enough_of_each_kind_and_area() -> None:
    for area in ("sampling and loss", "optimiser and schedule", "protocol"):
        kinds = [each.kind for each in MINE if each.area == area]
        assert kinds.count("broken") >= 14, area
        assert kinds.count("healthy") >= 7, area
        assert kinds.count("beyond") >= 2, area


# --- the healthy ones, and those that could be better: trained to the end, they are good

LOW = {"hard_task_far_from_certainty": 0.45, "a_hundred_classes_and_few_of_each": 0.6}
BEYOND = 0.6
NEW = "network_before_its_first_step"
WELL = [each for each in MINE if each.kind != "broken" and each.entry == "examine"]
WELL = [each for each in WELL if each.name != NEW]


def finished(made: dict[str, Any]) -> nn.Module:
    """Train a patient that was not, with all that it came with."""
    model, loader, step = made["model"], made["train"], made.get("step")
    scheduler = made.get("scheduler")
    steps = made.get("total_steps") or 6 * len(loader)
    done = scheduler.last_epoch if scheduler is not None and "total_steps" in made else 0
    if scheduler is not None and "total_steps" not in made:
        scheduler = None  # stepped once in an epoch, by a number

    def run() -> nn.Module:
        left = steps - done
        model.train()
        while left > 0:
            for images, labels in loader:
                if step is not None:
                    step()
                else:
                    made["optimizer"].zero_grad()
                    made["loss"](model(images), labels).backward()
                    made["optimizer"].step()
                if scheduler is not None:
                    scheduler.step()
                left -= 1
                if not left:
                    break
        return model

    return seeded(run)


@pytest.mark.parametrize("patient", WELL, ids=lambda each: each.name)
def test_a_healthy_pipeline_ends_well(patient: Patient, tmp_path: Path) -> None:
    given = made(patient.name)
    least = LOW.get(patient.name, BEYOND if patient.kind == "beyond" else 0.85)
    if share_right(given["model"], given["test"]) < least:
        given = patient.make(tmp_path)
        finished(given)
    assert share_right(given["model"], given["test"]) >= least
    assert share_right(given["model"], given["validation"]) >= least - 0.12


# --- what looks suspicious in the healthy ones is there


def test_what_looks_odd_is_there() -> None:
    assert len(made("curriculum_begins_with_the_easy_pictures")["train"].sampler) == 80
    targets = made("test_site_where_two_classes_do_not_live")["test"].dataset.targets
    assert set(targets) == {0, 1, 3, 5}
    crops = first_batch(made("five_crops_of_each_test_picture")["test"])[0]
    assert crops.shape == (40, 5, 3, 12, 12)
    assert made("warm_up_from_a_rate_of_zero")["optimizer"].param_groups[0]["lr"] == 0
    soft = first_batch(made("mixup_with_soft_targets")["train"])[1]
    assert soft.shape == (16, 4)
    shares = first_batch(made("distilled_from_a_teacher")["train"])[1]
    assert torch.allclose(shares.sum(1), torch.ones(len(shares)))
    few = made("few_pictures_with_an_honest_interval")["history"]
    assert few["validation_accuracy_half_width"][0] > 0.02
    resumed = made("schedule_taken_up_in_the_middle")["optimizer"].param_groups[0]
    assert 0 < resumed["lr"] < 0.03
    own = made("loss_with_a_parameter_of_its_own")
    held = {id(p) for group in own["optimizer"].param_groups for p in group["params"]}
    assert held - {id(p) for p in own["model"].parameters()} == {id(own["loss"].log_scale)}
    average = made("judged_by_an_average_of_the_weights")
    held = {id(p) for group in average["optimizer"].param_groups for p in group["params"]}
    assert len(held) == len(list(average["model"].parameters())) // 2
    peaks = made("one_cycle_with_a_peak_for_each_group")["optimizer"].param_groups
    assert peaks[1]["max_lr"] == 100 * peaks[0]["max_lr"]
    smooth = made("label_smoothing_keeps_the_loss_high")
    images, labels = first_batch(smooth["train"])
    with torch.no_grad():
        assert smooth["loss"](smooth["model"](images), labels) > 0.9
    near = made("converged_with_a_loss_near_zero")
    images, labels = first_batch(near["train"])
    with torch.no_grad():
        assert near["loss"](near["model"].eval()(images), labels) < 0.02
    better = made("validation_better_than_training")["history"]
    assert better["validation_accuracy"][-1] > better["train_accuracy"][-1] + 0.05


def test_restarts_and_cycles_end_low(tmp_path: Path) -> None:
    for name in ("cosine_with_warm_restarts", "triangles_up_and_down"):
        given = NAMED[name].make(tmp_path)
        rates = []
        for _ in range(given["total_steps"]):
            rates.append(given["optimizer"].param_groups[0]["lr"])
            given["optimizer"].step()
            given["scheduler"].step()
        turns = sum(b > a for a, b in itertools.pairwise(rates))
        assert turns >= 2, name  # it does rise again
        assert rates[-1] < max(rates) / 5, name


def test_films_and_products_resemble_each_other_as_told() -> None:
    kept = made("films_are_kept_on_one_side")
    train, held = kept["train"].dataset.images, kept["validation"].dataset.images
    assert torch.cdist(held.flatten(1), train.flatten(1)).min() > 2
    assert (train[0] - train[1]).norm() < 1.5
    alike = made("products_that_look_alike")
    pictures, new = alike["train"].dataset.tensors[0], alike["test"].dataset.tensors[0]
    apart = torch.cdist(new.flatten(1), pictures.flatten(1)).min(1).values
    assert 0 < float(apart.min()) <= float(apart.max()) < 1


def test_a_new_network_learns_once_it_is_trained(tmp_path: Path) -> None:
    new = NAMED[NEW].make(tmp_path)
    images, labels = first_batch(new["train"])

    def run() -> float:
        for _ in range(10):
            new["optimizer"].zero_grad()
            loss = new["loss"](new["model"](images), labels)
            loss.backward()
            new["optimizer"].step()
        return float(loss.detach())

    assert seeded(run) < 0.3


# --- beyond: what would be better, is


def test_more_pictures_and_more_epochs_would_be_better(tmp_path: Path) -> None:
    half = made("half_of_the_pictures_lie_unused")
    whole = DataLoader(half["train"].dataset.dataset, batch_size=20, shuffle=True)
    fresh = practised(grey_net(), whole, epochs=10)
    assert share_right(fresh, half["test"]) > share_right(half["model"], half["test"]) + 0.02
    early = NAMED["stopped_a_few_epochs_early"].make(tmp_path)
    before = share_right(early["model"], early["test"])
    practised(early["model"], early["train"], epochs=5, lr=0.005)
    assert share_right(early["model"], early["test"]) > before + 0.05
