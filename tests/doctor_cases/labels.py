"""Labels: their form, their range, the maps that number them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from companion import LabelMap
from doctor_cases.cases import case
from pipelines import Pictures, loader, network, pipeline, trained


def relabelled(change: Any, count: int = 120, *, seed: int = 0, classes: int = 3) -> Any:
    """A loader whose labels are changed, as they lie in a plain TensorDataset."""
    data = Pictures(count, seed=seed, classes=classes)
    return loader(TensorDataset(data.data, change(torch.tensor(data.targets))))


@case("LBL001", "fault", "warning", "column, int64 of shape (120, 1)")
def labels_as_a_column() -> dict[str, Any]:
    return pipeline(train=relabelled(lambda labels: labels[:, None]))


@case("LBL001", "fault", "note", "one-hot, float32 of shape (120, 3)")
def labels_as_rows() -> dict[str, Any]:
    return pipeline(train=relabelled(lambda x: torch.nn.functional.one_hot(x).float()))


@case("LBL001", "fault", "note", "no map numbers them: 'cat', 'dog'")
def labels_as_names() -> dict[str, Any]:
    return pipeline(train=[(torch.zeros(2, 1, 6, 6), ["cat", "dog"])])


@case("LBL001", "healthy")
def labels_as_indices() -> dict[str, Any]:
    return pipeline()


@case("LBL001", "near")
def labels_in_bytes() -> dict[str, Any]:
    return pipeline(train=relabelled(lambda labels: labels.to(torch.uint8)))


@case("LBL002", "fault", "error", "40 of 120 labels of train lie outside the 3 outputs 0 … 2: 3")
def labels_from_one() -> dict[str, Any]:
    return pipeline(train=relabelled(lambda labels: labels + 1))


@case("LBL002", "fault", "error", "255 is what an unsigned 0 − 1 becomes")
def labels_wrapped() -> dict[str, Any]:
    return pipeline(train=relabelled(lambda labels: labels.to(torch.uint8) - 1))


@case("LBL002", "near", "note", "of test lie outside the 2 outputs 0 … 1: -1")
def unknown_beside_every_class() -> dict[str, Any]:
    held = {"train": relabelled(lambda x: x % 2), "validation": None}
    test = relabelled(lambda x: torch.where(x == 2, -1, x), seed=2)
    return pipeline(network(2), test=test, **held)


@case("LBL002", "fault", "warning", "of test lie outside the 3 outputs 0 … 2: -1")
def labels_below_zero() -> dict[str, Any]:
    return pipeline(test=relabelled(lambda labels: labels - 1))


@case("LBL002", "healthy")
def labels_within() -> dict[str, Any]:
    return pipeline()


@case("LBL002", "near")
def labels_ignored_by_another_number() -> dict[str, Any]:
    loss = torch.nn.CrossEntropyLoss(ignore_index=-1)
    return pipeline(train=relabelled(lambda x: torch.where(x == 2, -1, x)), loss=loss)


@case("LBL002", "near")
def unknown_classes_in_the_test() -> dict[str, Any]:
    return pipeline(test=relabelled(lambda labels: labels + 2))


@case("LBL003", "fault", "error", "'middle' is 1 in train and 0 in test")
def a_part_without_a_folder() -> dict[str, Any]:
    test = Pictures(60, seed=2)
    test.classes = ["middle", "right"]
    test.targets = [label % 2 for label in test.targets]
    return pipeline(test=loader(test))


@case("LBL003", "fault", "error", "2 of 3 classes that model and train share")
def a_model_in_another_order() -> dict[str, Any]:
    return pipeline(label_maps={"model": {"Right": 0, "MIDDLE": 1, "left": 2}})


@case("LBL003", "healthy")
def one_map_for_all() -> dict[str, Any]:
    return pipeline(label_maps={"model": LabelMap(["left", "middle", "right"])})


@case("LBL003", "near")
def classes_that_only_one_part_has() -> dict[str, Any]:
    return pipeline(label_maps={"test": {"left": 0, "middle": 1, "right": 2, "owl": 3}})


@case("LBL003", "near")
def a_map_that_is_translated() -> dict[str, Any]:
    test = Pictures(60, seed=2, target_transform=lambda label: label)
    test.classes = ["right", "middle", "left"]
    return pipeline(test=loader(test))


@case("LBL004", "fault", "warning", "['Left ', 'left']")
def names_in_two_cases() -> dict[str, Any]:
    return pipeline(label_maps={"test": {"Left ": 0, "middle": 1, "right": 2}})


@case("LBL004", "healthy")
def names_apart() -> dict[str, Any]:
    return pipeline()


@case("LBL004", "near")
def letters_in_two_cases() -> dict[str, Any]:
    return pipeline(label_maps={"train": {"a": 0, "A": 1, "b": 2}})


@case("LBL005", "fault", "warning", "as by a modulo of 3")
def names_by_modulo() -> dict[str, Any]:
    return pipeline(label_maps={"train": {f"c{i}": i % 3 for i in range(7)}})


@case("LBL005", "fault", "note", "as superclasses are")
def superclasses() -> dict[str, Any]:
    names = {"oak": 0, "elm": 0, "rose": 1, "tulip": 1, "cat": 2, "dog": 2}
    return pipeline(label_maps={"train": names})


@case("LBL005", "fault", "warning", "of 3 places 1 is left empty")
def a_number_typed_twice() -> dict[str, Any]:
    return pipeline(label_maps={"train": {"left": 0, "middle": 0, "right": 2}})


@case("LBL005", "healthy")
def an_index_for_each() -> dict[str, Any]:
    return pipeline()


@case("LBL005", "near")
def an_index_left_out() -> dict[str, Any]:
    return pipeline(label_maps={"train": {"a": 0, "b": 2}})


@case("LBL006", "fault", "note", "index 2 is '10'")
def numbers_as_text() -> dict[str, Any]:
    return pipeline(label_maps={"train": {n: i for i, n in enumerate(sorted(map(str, range(12))))}})


@case("LBL006", "healthy")
def numbers_in_order() -> dict[str, Any]:
    return pipeline(label_maps={"train": {str(i): i for i in range(12)}})


@case("LBL006", "near")
def fewer_than_ten_numbers() -> dict[str, Any]:
    return pipeline(label_maps={"train": {"0": 0, "1": 1, "2": 2}})


@case("LBL007", "fault", "error", "'.ipynb_checkpoints'")
def a_hidden_folder() -> dict[str, Any]:
    return pipeline(label_maps={"train": {".ipynb_checkpoints": 0, "cat": 1, "dog": 2}})


@case("LBL007", "fault", "warning", "called like splits: 'test'")
def a_split_as_a_class() -> dict[str, Any]:
    return pipeline(label_maps={"train": {"cat": 0, "dog": 1, "test": 2}})


@case("LBL007", "healthy")
def folders_of_classes() -> dict[str, Any]:
    return pipeline()


@case("LBL007", "near")
def a_name_with_a_dot_inside() -> dict[str, Any]:
    return pipeline(label_maps={"train": {"st. bernard": 0, "testudo": 1, "train station": 2}})


@case("LBL008", "fault", "warning", "have another label than the data set stores: 2 in the list")
def targets_and_transform() -> dict[str, Any]:
    return pipeline(train=loader(Pictures(target_transform=lambda label: label // 2)))


@case("LBL008", "fault", "note", "another each time it is read")
def labels_drawn_anew() -> dict[str, Any]:
    draw = lambda label: int(torch.randint(0, 1000, ()))  # noqa: E731
    return pipeline(train=loader(Pictures(target_transform=draw)))


@case("LBL008", "healthy")
def targets_that_agree() -> dict[str, Any]:
    return pipeline()


@case("LBL008", "near", "note")
def a_held_out_part_translated_by_a_rule() -> dict[str, Any]:
    unknown = Pictures(seed=2, target_transform=lambda label: label if label < 2 else -1)
    return pipeline(test=loader(unknown))


@case("LBL008", "near")
def a_transform_that_changes_nothing() -> dict[str, Any]:
    return pipeline(train=loader(Pictures(target_transform=int)))


@case("LBL009", "fault", "note", "1 of 4 classes have no training image: 'owl'")
def a_spare_class() -> dict[str, Any]:
    names = {"left": 0, "middle": 1, "right": 2, "owl": 3}
    return pipeline(label_maps={"train": names})


@case("LBL009", "fault", "note", "run from 1 to 3: index 0 never occurs")
def index_zero_never_occurs() -> dict[str, Any]:
    return pipeline(network(4), train=relabelled(lambda labels: labels + 1))


@case("LBL009", "healthy")
def every_class_has_images() -> dict[str, Any]:
    return pipeline()


@case("LBL009", "near")
def a_class_with_one_image() -> dict[str, Any]:
    data = Pictures()
    rare = next(row for row, label in enumerate(data.targets) if label == 2)
    rows = [row for row, label in enumerate(data.targets) if label != 2 or row == rare]
    return pipeline(train=loader(Subset(data, rows)))


@case("LBL010", "fault", "warning", "40 of 120 images of test are of 1 classes without a training")
def trained_on_some() -> dict[str, Any]:
    data = Pictures()
    rows = [row for row, label in enumerate(data.targets) if label != 1]
    return pipeline(train=loader(Subset(data, rows)))


@case("LBL010", "fault", "note", "accuracy there is at most 0.667")
def an_open_set() -> dict[str, Any]:
    train = relabelled(lambda x: torch.where(x == 2, 0, x), 120)
    return pipeline(network(2), train=train, validation=None, test=relabelled(lambda x: x, seed=2))


@case("LBL010", "healthy")
def all_classes_trained() -> dict[str, Any]:
    return pipeline()


@case("LBL010", "near", "note", "names may mean one")
def other_names_for_the_same() -> dict[str, Any]:
    own = {"left": 0, "middle": 1, "right": 2}
    theirs = {"links": 0, "middle": 1, "right": 2}
    return pipeline(label_maps={"train": own, "test": theirs})


@case("LBL010", "near", "note", "1 classes without a training image")
def unknown_classes_below_zero() -> dict[str, Any]:
    return pipeline(test=relabelled(lambda x: torch.where(x == 2, -1, x), seed=2))


@case("LBL010", "near")
def a_test_of_some_classes() -> dict[str, Any]:
    data = Pictures(seed=2)
    rows = [row for row, label in enumerate(data.targets) if label != 1]
    return pipeline(test=loader(Subset(data, rows)))


@case("LBL011", "fault", "error", "in 5 of 5 batches of train every label is ignored")
def nothing_but_ignored() -> dict[str, Any]:
    return pipeline(train=relabelled(lambda labels: torch.full_like(labels, -100)))


@case("LBL011", "fault", "note", "40 of 120 labels of train are ignored (-100)")
def some_ignored() -> dict[str, Any]:
    return pipeline(train=relabelled(lambda x: torch.where(x == 2, -100, x)))


@case("LBL011", "healthy")
def none_ignored() -> dict[str, Any]:
    return pipeline()


@case("LBL011", "near")
def another_number_is_ignored() -> dict[str, Any]:
    return pipeline(loss=torch.nn.CrossEntropyLoss(ignore_index=255))


def scrambled(order: list[int]) -> Any:
    meant = torch.tensor(order)
    return relabelled(lambda labels: meant[labels], 120, seed=2, classes=len(order))


@case("LBL014", "fault", "error", "have another label in a batch than alone")
def labels_sorted_in_the_batch() -> dict[str, Any]:
    def collate(items: list[Any]) -> Any:
        images, labels = zip(*items, strict=True)
        return torch.stack(images), torch.tensor(sorted(labels))

    return pipeline(train=loader(collate_fn=collate))


@case("LBL014", "healthy")
def labels_of_their_images() -> dict[str, Any]:
    return pipeline()


@case("LBL014", "near")
def labels_translated_in_the_batch() -> dict[str, Any]:
    def collate(items: list[Any]) -> Any:
        images, labels = zip(*items, strict=True)
        return torch.stack(images), torch.tensor([(label + 1) % 3 for label in labels])

    return pipeline(train=loader(collate_fn=collate))


@case("LBL014", "near", word="not run")
def mixed_labels() -> dict[str, Any]:
    def collate(items: list[Any]) -> Any:
        images, labels = zip(*items, strict=True)
        rows = torch.nn.functional.one_hot(torch.tensor(labels), 3).float()
        return torch.stack(images), 0.7 * rows + 0.3 * rows.flip(0)

    return pipeline(train=loader(collate_fn=collate))


@case("LBL014", "near")
def labels_counted_within_the_batch() -> dict[str, Any]:
    def collate(items: list[Any]) -> Any:
        images, labels = zip(*items, strict=True)
        return torch.stack(images), torch.tensor(labels).unique(return_inverse=True)[1]

    return pipeline(train=loader(collate_fn=collate))


@case("LBL015", "fault", "note", "no link is seen")
def labels_dealt_out() -> dict[str, Any]:
    order = torch.randperm(120, generator=torch.Generator().manual_seed(1))
    return pipeline(train=relabelled(lambda labels: labels[order]))


@case("LBL015", "healthy")
def neighbours_agree() -> dict[str, Any]:
    return pipeline()


@case("LBL015", "near")
def labels_with_noise() -> dict[str, Any]:
    def noisy(labels: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.arange(len(labels)) % 4 == 0, (labels + 1) % 3, labels)

    return pipeline(train=relabelled(noisy))


@case("LBL017", "fault", "error", "number 2 different classes alike: 0 is 'cat' and 'owl'")
def two_folders_joined() -> dict[str, Any]:
    one, other = Pictures(60), Pictures(60, seed=1)
    one.classes, other.classes = ["cat", "dog", "elk"], ["owl", "yak", "elk"]
    return pipeline(train=loader(ConcatDataset([one, other])))


@case("LBL017", "healthy")
def one_set_in_two_pieces() -> dict[str, Any]:
    return pipeline(train=loader(ConcatDataset([Pictures(60), Pictures(60, seed=1)])))


@case("LBL017", "near")
def joined_and_translated() -> dict[str, Any]:
    one = Pictures(60)
    other = Pictures(60, seed=1, target_transform=lambda label: label)
    other.classes = ["x", "y", "z"]
    return pipeline(train=loader(ConcatDataset([one, other])))


@case("LBL019", "fault", "error", "if the order is reversed")
def the_order_is_reversed() -> dict[str, Any]:
    return pipeline(trained(6), **six(test=scrambled([5, 4, 3, 2, 1, 0])))


@case("LBL019", "healthy")
def the_order_is_kept() -> dict[str, Any]:
    return pipeline(trained(6), **six())


@case("LBL019", "near")
def a_hard_test_set() -> dict[str, Any]:
    noisy = loader(Pictures(120, seed=2, noise=4.0, classes=6))
    return pipeline(trained(6), **six(test=noisy))


@case("LBL020", "fault", "error", "after renaming the outputs")
def the_test_is_scrambled() -> dict[str, Any]:
    return pipeline(trained(6), **six(test=scrambled([1, 0, 3, 2, 5, 4])))


@case("LBL020", "fault", "error", "on train accuracy is 0.000")
def all_is_scrambled() -> dict[str, Any]:
    parts = {part: scrambled([1, 0, 3, 2, 5, 4]) for part in ("train", "validation", "test")}
    return pipeline(trained(6), **parts)


@case("LBL020", "healthy")
def nothing_is_scrambled() -> dict[str, Any]:
    return pipeline(trained(6), **six())


@case("LBL020", "near")
def an_untrained_network() -> dict[str, Any]:
    return pipeline(network(6), **six())


@case("LBL020", "near")
def judged_on_classes_never_trained() -> dict[str, Any]:
    data = Pictures(120, classes=6)
    rows = [row for row, label in enumerate(data.targets) if label < 3]
    return pipeline(trained(6), **six(train=loader(Subset(data, rows))))


class Unsure(nn.Sequential):
    """A network that knows the pictures and is sure of nothing, as one that is hardly trained."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 0.01 * super().forward(images)


def all_parts(order: list[int]) -> dict[str, Any]:
    return {part: scrambled(order) for part in ("train", "validation", "test")}


@case("LBL019", "near", "note", "the model seems untrained")
def reversed_and_unsure() -> dict[str, Any]:
    return pipeline(Unsure(*trained(6)), **all_parts([5, 4, 3, 2, 1, 0]))


@case("LBL020", "near", "note", "the model seems untrained")
def scrambled_and_unsure() -> dict[str, Any]:
    return pipeline(Unsure(*trained(6)), **all_parts([1, 0, 3, 2, 5, 4]))


@case("LBL019", "near")
@case("LBL020", "near")
def labels_that_say_nothing() -> dict[str, Any]:
    order = torch.randperm(120, generator=torch.Generator().manual_seed(1))
    dealt = relabelled(lambda labels: labels[order], 120, seed=2, classes=6)
    return pipeline(trained(6), **six(test=dealt))


class Folding(nn.Sequential):
    """A network of three classes that answers pictures of three others with them."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = super().forward(images)
        known = torch.maximum(logits[:, :3], logits[:, 3:])
        return torch.cat([known, torch.full_like(known, -30.0)], 1)


def of_classes(first: int, last: int, seed: int) -> Any:
    data = Pictures(240, seed=seed, classes=6)
    rows = [row for row, label in enumerate(data.targets) if first <= label <= last]
    return loader(Subset(data, rows))


@case("LBL019", "near")
@case("LBL020", "near")
def unseen_classes_that_are_taken_for_seen_ones() -> dict[str, Any]:
    parts = {"train": of_classes(0, 2, 0), "validation": None, "test": of_classes(3, 5, 2)}
    return pipeline(Folding(*trained(6)), **parts)


def six(**changes: Any) -> dict[str, Any]:
    parts = {
        "train": loader(Pictures(120, classes=6), shuffle=True),
        "validation": loader(Pictures(120, seed=1, classes=6)),
        "test": loader(Pictures(120, seed=2, classes=6)),
    }
    return parts | changes
