"""The ward's broken protocols: the fault is there, and the number that is reported is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.utils.data import DataLoader

from companion.ward import protocol_broken, protocol_reports
from companion.ward.optimiser_parts import share_right
from companion.ward.parts import Photos, pictures, seeded
from companion.ward.protocol_parts import Pictures, films, sorted_by_class


def scores(made: dict[str, Any], *parts: Any) -> list[float]:
    """Return the share of right answers on parts, or on loaders."""
    loaders = [made[part] if isinstance(part, str) else part for part in parts]
    return [share_right(made["model"], loader) for loader in loaders]


def rows(loader: Any) -> list[bytes]:
    """Return each picture of a loader as bytes."""
    return [image.numpy().tobytes() for image, _ in loader.dataset]


def overlap(made: dict[str, Any], part: str = "validation") -> float:
    """Return the share of a part's pictures that were trained on."""
    trained, held = set(rows(made["train"])), rows(made[part])
    return sum(each in trained for each in held) / len(held)


def test_validation_is_the_training_set(tmp_path: Path) -> None:
    made = protocol_broken.validation_is_the_training_set(tmp_path)
    validation, test = scores(made, "validation", "test")
    assert overlap(made) == 1
    assert validation > test + 0.25


def test_rare_classes_copied_before_the_split(tmp_path: Path) -> None:
    made = protocol_broken.rare_classes_copied_before_the_split(tmp_path)
    new = DataLoader(Photos(200, 4, noise=0.55, seed=9), batch_size=50)
    assert overlap(made) > 0.6
    reported, true = scores(made, "test", new)
    assert reported > true + 0.1


def test_split_is_drawn_again_for_validation(tmp_path: Path) -> None:
    made = protocol_broken.split_is_drawn_again_for_validation(tmp_path)
    validation, test = scores(made, "validation", "test")
    assert overlap(made) > 0.6
    assert validation > test + 0.08


def test_validation_shares_the_augmentation(tmp_path: Path) -> None:
    made = protocol_broken.validation_shares_the_augmentation(tmp_path)
    first, again = seeded(lambda: [rows(made["validation"]) for _ in range(2)])
    assert first != again
    validation, test = scores(made, "validation", "test")
    assert validation < test - 0.3


def test_frames_of_one_film_on_both_sides(tmp_path: Path) -> None:
    made = protocol_broken.frames_of_one_film_on_both_sides(tmp_path)
    train, held = (
        torch.stack([image for image, _ in made[part].dataset]).flatten(1)
        for part in ("train", "validation")
    )
    assert torch.cdist(held, train).min(1).values.max() < 1.5
    validation, true = scores(made, "validation", DataLoader(films(60, 2, seed=7), batch_size=40))
    assert validation > true + 0.08


def test_dropout_stays_on_in_evaluation(tmp_path: Path) -> None:
    made = protocol_broken.dropout_stays_on_in_evaluation(tmp_path)
    model = made["model"].eval()
    images, _ = next(iter(made["test"]))
    first, again = seeded(lambda: (model(images), model(images)))
    assert not torch.equal(first, again)
    with torch.no_grad():
        quiet = [(model.fc(model.features(x)).argmax(1) == y).float() for x, y in made["test"]]
    assert float(torch.cat(quiet).mean()) > scores(made, "test")[0] + 0.05


def test_validation_is_not_normalised(tmp_path: Path) -> None:
    made = protocol_broken.validation_is_not_normalised(tmp_path)
    normal = made["train"].dataset.transform
    meant = DataLoader(Photos(120, 4, seed=2, transform=normal), batch_size=40)
    test, right = scores(made, "test", meant)
    assert right > test + 0.5


def test_each_class_has_its_own_camera(tmp_path: Path) -> None:
    made = protocol_broken.each_class_has_its_own_camera(tmp_path)
    validation, test = scores(made, "validation", "test")
    assert validation > test + 0.5


def test_validation_files_were_copied_not_moved(tmp_path: Path) -> None:
    made = protocol_broken.validation_files_were_copied_not_moved(tmp_path)
    train, held = (
        {path.read_bytes() for path in made[part].glob("*/*.png")}
        for part in ("train", "validation")
    )
    assert len(held) == 25
    assert held <= train


def test_first_forty_of_a_sorted_test(tmp_path: Path) -> None:
    made = protocol_reports.first_forty_of_a_sorted_test(tmp_path)
    assert {label for _, label in made["test"].dataset} == {0, 1, 2, 3}
    whole = DataLoader(sorted_by_class(100, 10, seed=2), batch_size=20)
    reported, true = scores(made, "test", whole)
    assert reported > true + 0.05


def test_last_test_batch_is_dropped(tmp_path: Path) -> None:
    made = protocol_reports.last_test_batch_is_dropped(tmp_path)
    judged = torch.cat([labels for _, labels in made["test"]])
    assert len(judged) == 64 < len(made["test"].dataset)
    assert 3 not in judged


def test_validation_is_drawn_by_the_training_sampler(tmp_path: Path) -> None:
    made = protocol_reports.validation_is_drawn_by_the_training_sampler(tmp_path)
    drawn = seeded(lambda: list(made["test"].sampler))
    assert len(set(drawn)) < 0.7 * len(made["test"].dataset)
    plain = DataLoader(made["test"].dataset, batch_size=40)
    assert abs(scores(made, "test")[0] - scores(made, plain)[0]) > 0.02


def test_worst_epoch_is_kept_as_the_best(tmp_path: Path) -> None:
    made = protocol_reports.worst_epoch_is_kept_as_the_best(tmp_path)
    history = made["history"]["validation_accuracy"]
    assert scores(made, "validation")[0] == min(history) < max(history) - 0.3
    saved = torch.load(made["checkpoint"], weights_only=True)
    assert history[saved["epoch"]] == saved["validation_accuracy"] == min(history)


def test_accuracy_divided_by_the_wrong_length(tmp_path: Path) -> None:
    made = protocol_reports.accuracy_divided_by_the_wrong_length(tmp_path)
    assert max(made["history"]["validation_accuracy"]) <= 0.2
    assert scores(made, "validation")[0] > 0.9


def test_placeholders_as_test_labels(tmp_path: Path) -> None:
    made = protocol_reports.placeholders_as_test_labels(tmp_path)
    true = DataLoader(Pictures(*pictures(120, 6, seed=2)), batch_size=40)
    reported, right = scores(made, "test", true)
    assert right > 0.9 > 0.3 > reported


def test_nothing_was_held_out(tmp_path: Path) -> None:
    made = protocol_reports.nothing_was_held_out(tmp_path)
    assert {"validation", "test"}.isdisjoint(made)
    new = DataLoader(Photos(200, 5, seed=9, noise=0.55), batch_size=50)
    assert made["history"]["train_accuracy"][-1] == 1 > scores(made, new)[0] + 0.2


def test_the_border_alone_gives_the_camera_away(tmp_path: Path) -> None:
    made = protocol_broken.each_class_has_its_own_camera(tmp_path)
    for part, known in (("validation", True), ("test", False)):
        data = made[part].dataset
        tints = data.images[:, 0, 0, 0]
        means = torch.stack([tints[torch.tensor(data.targets) == each].mean() for each in range(4)])
        nearest = functional.one_hot((tints[:, None] - means).abs().argmin(1), 4).argmax(1)
        right = float((nearest == torch.tensor(data.targets)).float().mean())
        assert (right > 0.95) is known
