"""Loaders, splits, scores and curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DistributedSampler, IterableDataset, Subset, WeightedRandomSampler

from doctor_cases.cases import case
from pipelines import Pictures, loader, network, pipeline, trained


class Failing(Pictures):
    """Pictures one of which cannot be read."""

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if index == 30:
            raise OSError("image file is truncated")
        return super().__getitem__(index)


@case("PRO001", "fault", "error", "train fails after 1 batches: OSError: image file is truncated")
def a_broken_picture() -> dict[str, Any]:
    return pipeline(train=loader(Failing()))


@case("PRO001", "fault", "error", "train gives no batch")
def an_empty_loader() -> dict[str, Any]:
    return pipeline(train=loader(Subset(Pictures(), [])))


@case("PRO001", "fault", "warning", "train is an iterator (generator), which ends after one pass")
def an_iterator() -> dict[str, Any]:
    return pipeline(train=(batch for batch in loader()))


class Once:
    """Batches that can be gone through once."""

    def __init__(self) -> None:
        self.batches = iter(list(loader()))

    def __iter__(self) -> Any:
        return self.batches


@case("PRO001", "fault", "warning", "train gives 120 images once, and none again")
def batches_used_up() -> dict[str, Any]:
    return pipeline(train=Once())


@case("PRO001", "healthy")
def loaders_that_give() -> dict[str, Any]:
    return pipeline()


class Stream(IterableDataset):
    """Pictures without an end."""

    def __iter__(self) -> Any:
        data = Pictures()
        while True:
            yield from (data[row] for row in range(len(data)))


@case("PRO001", "near")
def a_stream_without_end() -> dict[str, Any]:
    return pipeline(train=loader(Stream()))


@case("PRO001", "near")
def a_list_of_batches() -> dict[str, Any]:
    return pipeline(train=list(loader()))


def noisy(image: Tensor) -> Tensor:
    return image + 0.1 * torch.randn(image.shape)


@case("PRO005", "fault", "warning", "4 of 4 items of validation differ when they are fetched twice")
def validation_augmented() -> dict[str, Any]:
    return pipeline(validation=loader(Pictures(90, seed=1, transform=noisy)))


@case("PRO005", "healthy")
def validation_as_it_is() -> dict[str, Any]:
    return pipeline()


@case("PRO005", "near")
def training_augmented() -> dict[str, Any]:
    return pipeline(train=loader(Pictures(transform=noisy)))


@case("PRO005", "near")
def fixed_crops() -> dict[str, Any]:
    crops = Pictures(90, seed=1, transform=lambda x: torch.stack([x[:, :5], x[:, 1:]]))
    return pipeline(validation=loader(crops))


@case("PRO008", "fault", "note", "an epoch of train draws 80 of the 120 images")
def a_sampler_of_a_part() -> dict[str, Any]:
    sampler = torch.utils.data.SubsetRandomSampler(range(80))
    return pipeline(train=loader(sampler=sampler))


@case("PRO008", "healthy")
def an_epoch_of_all() -> dict[str, Any]:
    return pipeline()


@case("PRO008", "near")
def an_epoch_of_a_subset() -> dict[str, Any]:
    return pipeline(train=loader(Subset(Pictures(), range(80))))


@case("PRO009", "fault", "warning", "test is drawn by a WeightedRandomSampler, with replacement")
def a_test_that_is_drawn() -> dict[str, Any]:
    data = Pictures(60, seed=2)
    return pipeline(test=loader(data, sampler=WeightedRandomSampler(torch.ones(60), 60)))


@case("PRO009", "fault", "note", "over 4 processes 2 of the 62 images of test are judged twice")
def a_test_that_is_padded() -> dict[str, Any]:
    data = Pictures(62, seed=2)
    return pipeline(test=loader(data, sampler=DistributedSampler(data, 4, 0, shuffle=False)))


@case("PRO009", "fault", "note", "drops its last 18 images")
def a_test_that_drops() -> dict[str, Any]:
    return pipeline(test=loader(Pictures(90, seed=2), drop_last=True))


@case("PRO009", "healthy")
def a_test_that_is_whole() -> dict[str, Any]:
    return pipeline()


@case("PRO009", "near")
def a_test_that_is_shuffled() -> dict[str, Any]:
    return pipeline(test=loader(Pictures(90, seed=2), shuffle=True))


class WithGenerator(Pictures):
    """Pictures with a random generator of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(0)


@case("PRO010", "fault", "warning", "1 generators on the data set and 2 workers")
def a_generator_and_workers() -> dict[str, Any]:
    return pipeline(train=loader(WithGenerator(), num_workers=2))


@case("PRO010", "healthy")
def no_generator() -> dict[str, Any]:
    return pipeline()


@case("PRO010", "near")
def a_generator_without_workers() -> dict[str, Any]:
    return pipeline(train=loader(WithGenerator()))


def sharing(count: int) -> Any:
    train, test = Pictures(), Pictures(120, seed=2)
    test.data[:count] = train.data[:count]
    return loader(test)


@case("PRO002", "fault", "error", "60 of 120 images of test are also in train")
def a_test_of_training_images() -> dict[str, Any]:
    return pipeline(test=sharing(60))


@case("PRO002", "fault", "warning", "1 of 120 images of test are also in train")
def one_image_in_both() -> dict[str, Any]:
    return pipeline(test=sharing(1))


@case("PRO002", "healthy")
def nothing_in_both() -> dict[str, Any]:
    return pipeline()


@case("PRO002", "near")
def black_images_in_both() -> dict[str, Any]:
    train, test = Pictures(), Pictures(120, seed=2)
    train.data[:40], test.data[:40] = 0, 0
    return pipeline(train=loader(train), test=loader(test))


@case("PRO003", "fault", "error", "train and validation share 40 rows of one data set")
def a_split_drawn_twice() -> dict[str, Any]:
    data = Pictures()
    first, second = Subset(data, range(80)), Subset(data, range(40, 120))
    return pipeline(train=loader(first), validation=loader(second))


@case("PRO003", "healthy")
def a_split_drawn_once() -> dict[str, Any]:
    data = Pictures()
    first, second = Subset(data, range(80)), Subset(data, range(80, 120))
    return pipeline(train=loader(first), validation=loader(second))


@case("PRO003", "near")
def subsets_of_subsets() -> dict[str, Any]:
    inner = Subset(Pictures(), range(60, 120))
    first, second = Subset(inner, range(30)), Subset(inner, range(30, 60))
    return pipeline(train=loader(first), validation=loader(second))


@case("PRO004", "fault", "note", "sampled images of test have a near double in train")
def images_saved_again() -> dict[str, Any]:
    train, test = Pictures(), Pictures(120, seed=2)
    test.data[:30] = 1.01 * train.data[:30] + 0.001 * torch.randn(30, 1, 6, 6)
    return pipeline(train=loader(train), test=loader(test))


@case("PRO004", "healthy")
def images_apart() -> dict[str, Any]:
    return pipeline()


@case("PRO004", "near")
def images_of_one_kind() -> dict[str, Any]:
    return pipeline(test=loader(Pictures(120, seed=2, noise=0.2)))


@case("PRO006", "fault", "error", "train and test are one and the same")
def judged_on_training() -> dict[str, Any]:
    own = loader()
    return pipeline(train=own, test=own)


@case("PRO006", "fault", "warning", "validation and test are one and the same")
def chosen_on_the_test() -> dict[str, Any]:
    own = loader(Pictures(120, seed=2))
    return pipeline(validation=own, test=own)


@case("PRO006", "fault", "note", "no validation set was given")
def no_validation() -> dict[str, Any]:
    return pipeline(validation=None)


@case("PRO006", "healthy")
def three_parts() -> dict[str, Any]:
    return pipeline()


@case("PRO006", "near")
def the_test_set_aside() -> dict[str, Any]:
    return pipeline(test=None)


@case("PRO011", "fault", "warning", "test has 40 images of 1 classes")
def a_test_of_one_class() -> dict[str, Any]:
    data = Pictures(120, seed=2)
    rows = [row for row, label in enumerate(data.targets) if label == 0]
    return pipeline(test=loader(Subset(data, rows)), validation=None)


@case("PRO011", "fault", "note", "± 0.179 at best")
def a_small_test() -> dict[str, Any]:
    return pipeline(test=loader(Pictures(30, seed=2)), validation=None)


@case("PRO011", "healthy")
def a_test_of_enough() -> dict[str, Any]:
    return pipeline(validation=None)


@case("PRO011", "near")
def a_test_of_two_classes() -> dict[str, Any]:
    data = Pictures(180, seed=2)
    rows = [row for row, label in enumerate(data.targets) if label != 0]
    return pipeline(test=loader(Subset(data, rows)), validation=None)


@case("PRO030", "fault", "note", "mean over all outputs 0.667")
def absent_classes() -> dict[str, Any]:
    data = Pictures(120, seed=2)
    rows = [row for row, label in enumerate(data.targets) if label != 1]
    return pipeline(test=loader(Subset(data, rows)))


@case("PRO030", "healthy")
def one_average() -> dict[str, Any]:
    return pipeline()


@case("PRO030", "near")
def a_smaller_last_batch() -> dict[str, Any]:
    return pipeline(test=loader(Pictures(90, seed=2), batch=64))


@case("PRO031", "fault", "note", "among all 3 outputs, and")
def candidates_matter() -> dict[str, Any]:
    data = Pictures(240, seed=2, noise=1.5)
    rows = [row for row, label in enumerate(data.targets) if label != 1]
    return pipeline(test=loader(Subset(data, rows)))


@case("PRO031", "healthy")
def all_are_candidates() -> dict[str, Any]:
    return pipeline()


@case("PRO031", "near")
def candidates_do_not_matter() -> dict[str, Any]:
    return absent_classes()


@case("PRO032", "fault", "note", "with shuffled labels")
def no_better_than_a_guess() -> dict[str, Any]:
    model = network()
    with torch.no_grad():
        model[4].bias += torch.tensor([100.0, 0.0, 0.0])
    return pipeline(model)


@case("PRO032", "healthy")
def better_than_a_guess() -> dict[str, Any]:
    return pipeline()


@case("PRO032", "near")
def a_little_better_than_a_guess() -> dict[str, Any]:
    return pipeline(test=loader(Pictures(120, seed=2, noise=1.5)))


def statistics_moved(model: nn.Sequential, far: float = 50.0) -> nn.Sequential:
    model[1].running_mean += far
    return model


@case("PRO033", "fault", "warning", "BatchNorm is the cause")
def statistics_of_others() -> dict[str, Any]:
    return pipeline(statistics_moved(trained()))


class Averaged(nn.Module):
    """A network that is judged by other weights than it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.average = trained(), statistics_moved(trained())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images) if self.training else self.average(images).flip(1)


@case("PRO033", "near", "note", "in evaluation it answers by other weights")
def judged_by_other_weights() -> dict[str, Any]:
    return pipeline(Averaged())


@case("PRO033", "healthy")
def statistics_of_its_own() -> dict[str, Any]:
    return pipeline()


@case("PRO033", "near", says="and 0.917 in evaluation mode")
def statistics_a_little_off() -> dict[str, Any]:
    return pipeline(statistics_moved(trained(), 1.25), train=loader())


@case("PRO033", "near")
def a_network_that_knows_nothing() -> dict[str, Any]:
    return pipeline(network())


@case("PRO034", "fault", "note", "and 1.000 on 90 of validation")
def training_is_harder() -> dict[str, Any]:
    return pipeline(train=loader(Pictures(120, seed=5, noise=4.0)))


@case("PRO034", "healthy")
def training_is_as_hard() -> dict[str, Any]:
    return pipeline()


@case("PRO034", "near")
def training_is_hardly_harder() -> dict[str, Any]:
    return pipeline(train=loader(Pictures(120, seed=5, noise=0.6)))


def curves(accuracy: list[float]) -> dict[str, Any]:
    losses = [2.0, 1.5, 1.2, 1.0, 0.9, 0.8, 0.7, 0.6]
    return pipeline(history={"train_loss": losses, "train_accuracy": accuracy})


@case("PRO035", "fault", "warning", "have a correlation of 1.00")
def accuracy_falls_with_the_loss() -> dict[str, Any]:
    return curves([0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05])


@case("PRO035", "healthy")
def accuracy_rises() -> dict[str, Any]:
    return curves([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])


@case("PRO035", "near")
def accuracy_wanders() -> dict[str, Any]:
    return curves([0.3, 0.31, 0.29, 0.3, 0.32, 0.28, 0.31, 0.3])


@case("PRO036", "fault", "note", "of the variance of brightness")
def one_class_is_brighter() -> dict[str, Any]:
    data = Pictures()
    data.data += 3.0 * torch.tensor(data.targets)[:, None, None, None]
    return pipeline(train=loader(data))


@case("PRO036", "healthy")
def equally_bright() -> dict[str, Any]:
    return pipeline()


@case("PRO036", "near")
def slightly_brighter() -> dict[str, Any]:
    data = Pictures()
    data.data += 0.02 * torch.tensor(data.targets)[:, None, None, None]
    return pipeline(train=loader(data))


def transformed(train: Any) -> dict[str, Any]:
    return pipeline(
        train=loader(Pictures(transform=train)),
        validation=loader(Pictures(90, seed=1, transform=torch.clone)),
    )


@case("PRO037", "fault", "warning", "training images the model knows 1.000 without augmentation")
def augmented_beyond_recognition() -> dict[str, Any]:
    return transformed(lambda image: torch.randn(image.shape))


@case("PRO037", "healthy")
def augmented_mildly() -> dict[str, Any]:
    return transformed(noisy)


@case("PRO037", "near")
def augmented_strongly() -> dict[str, Any]:
    return transformed(lambda image: image + 1.5 * torch.randn(image.shape))


def split_by_samplers(second: Any) -> dict[str, Any]:
    data, drawn = Pictures(), torch.utils.data.SubsetRandomSampler
    one, other = loader(data, sampler=drawn(range(80))), loader(data, sampler=drawn(second))
    return pipeline(train=one, validation=other)


@case("PRO003", "near")
@case("PRO002", "near")
@case("PRO006", "near")
def samplers_that_split_one_set() -> dict[str, Any]:
    return split_by_samplers(range(80, 120))


@case("PRO003", "fault", "error", "train and validation share 20 rows of one data set")
def samplers_that_overlap() -> dict[str, Any]:
    return split_by_samplers(range(60, 120))


@case("PRO008", "fault", "warning", "draws the share of process 0 of 2, 60 of 120 images")
def one_process_of_two() -> dict[str, Any]:
    data = Pictures()
    return pipeline(train=loader(data, sampler=DistributedSampler(data, 2, 0)))


@case("PRO008", "near")
def one_process_of_one() -> dict[str, Any]:
    data = Pictures()
    return pipeline(train=loader(data, sampler=DistributedSampler(data, 1, 0)))


def judged_on(rows: Any) -> dict[str, Any]:
    data = Pictures(120, seed=2)
    order = sorted(range(120), key=lambda row: data.targets[row])
    data.data, data.targets = data.data[order], sorted(data.targets)
    return pipeline(test=loader(Subset(data, rows)))


@case("PRO009", "fault", "warning", "test is rows 0 to 79 of 120 that are sorted by class")
def the_first_of_a_sorted_test() -> dict[str, Any]:
    return judged_on(range(80))


@case("PRO009", "fault", "warning", "classes 2 are in the data set and not in test")
def a_test_cut_within_a_class() -> dict[str, Any]:
    return judged_on(list(range(70)))


@case("PRO009", "near", "note", "classes 2 are in the data set and not in test")
def a_test_of_chosen_classes() -> dict[str, Any]:
    return judged_on(list(range(80)))


@case("PRO009", "near")
def every_second_of_a_sorted_test() -> dict[str, Any]:
    return judged_on(range(0, 120, 2))


def films(*, split: bool) -> dict[str, Any]:
    data = Pictures(24 * 5, noise=0.6)
    generator = torch.Generator().manual_seed(0)
    data.data = data.data[:24].repeat_interleave(5, 0)
    data.data = data.data + 0.05 * torch.randn(data.data.shape, generator=generator)
    data.targets = [label for label in data.targets[:24] for _ in range(5)]
    rows = torch.randperm(120, generator=generator).tolist() if split else list(range(120))
    train, validation = Subset(data, rows[:90]), Subset(data, rows[90:])
    return pipeline(train=loader(train), validation=loader(validation), test=None)


@case("PRO004", "fault", "warning", "30 of 30 sampled images of validation belong to series of")
def frames_on_both_sides() -> dict[str, Any]:
    return films(split=True)


@case("PRO004", "near")
def frames_on_one_side() -> dict[str, Any]:
    return films(split=False)


@case("PRO036", "fault", "warning", "in test it explains")
def brightness_that_tells_no_more() -> dict[str, Any]:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 3))
    with torch.no_grad():
        model[2].weight.copy_(torch.tensor([[0.0], [3.0], [6.0]]))
        model[2].bias.copy_(torch.tensor([0.0, -6.0, -21.0]))
    parts = []
    for seed, told in ((0, 3.0), (1, 3.0), (2, 0.0)):
        data = Pictures(120, seed=seed, noise=0.1)
        data.data += told * torch.tensor(data.targets)[:, None, None, None]
        parts.append(loader(data))
    return pipeline(model, train=parts[0], validation=parts[1], test=parts[2])


CURVE = [0.2, 0.5, 0.7, 0.9]


def kept_with(accuracy: float) -> dict[str, Any]:
    stored = {"epoch": 1, "validation_accuracy": accuracy, "model": {}}
    return pipeline(history={"validation_accuracy": CURVE}, checkpoint=stored)


@case("PRO041", "fault", "warning", "it is the worst, epoch 0 of 4")
def the_worst_epoch() -> dict[str, Any]:
    return kept_with(0.2)


@case("PRO041", "healthy")
def the_best_epoch() -> dict[str, Any]:
    return kept_with(0.9)


@case("PRO041", "near")
def an_epoch_between() -> dict[str, Any]:
    return kept_with(0.5)


def counted_out_of(length: int, last: float = 1.0) -> dict[str, Any]:
    data = Pictures(150)
    train, validation = Subset(data, range(120)), Subset(data, range(120, 150))
    values = [right / length for right in (10, 20, int(30 * last))]
    given = {"train": loader(train), "validation": loader(validation), "test": None}
    return pipeline(**given, history={"val_acc": values})


@case("PRO042", "fault", "error", "which is 30 of 150, the length of the whole")
def divided_by_the_whole() -> dict[str, Any]:
    return counted_out_of(150)


@case("PRO042", "healthy")
def divided_by_what_was_judged() -> dict[str, Any]:
    return counted_out_of(30)


@case("PRO042", "near")
def a_history_of_another_model() -> dict[str, Any]:
    return counted_out_of(30, 0.8)
