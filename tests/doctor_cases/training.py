"""Sampling, optimisers, schedules and loops."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LambdaLR,
    LinearLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)
from torch.utils.data import (
    DistributedSampler,
    RandomSampler,
    Sampler,
    Subset,
    WeightedRandomSampler,
)

from companion import balanced_sampler, class_weights
from doctor_cases.cases import case
from pipelines import Named, Pictures, loader, network, pipeline, sgd, trained


def drawn_by(sampler: Any, data: Any = None, **changes: Any) -> dict[str, Any]:
    return pipeline(train=loader(Pictures() if data is None else data, sampler=sampler), **changes)


def healthy_draws() -> dict[str, Any]:
    return pipeline()


def balanced_draws() -> dict[str, Any]:
    data = Pictures()
    return drawn_by(balanced_sampler(data, seed=0), data)


for code in ("SMP101", "SMP102", "SMP103", "SMP104", "SMP105", "SMP106", "SMP107"):
    case(code, "healthy")(healthy_draws)
    case(code, "near")(balanced_draws)


class Fixed(Sampler):
    """A sampler that gives these positions in each epoch."""

    def __init__(self, positions: list[int]) -> None:
        self.positions = positions

    def __iter__(self) -> Any:
        return iter(self.positions)

    def __len__(self) -> int:
        return len(self.positions)


@case("SMP101", "fault", "error", "positions lie outside the 120 images")
def positions_of_more() -> dict[str, Any]:
    return drawn_by(Fixed([0, 1, 2, 500]))


@case("SMP102", "fault", "error", "only the first 3 of 120 positions are drawn")
def class_weights_for_images() -> dict[str, Any]:
    return drawn_by(WeightedRandomSampler([1.0, 1.0, 1.0], 120))


@case("SMP103", "fault", "warning", "classes [1] have images and are never drawn")
def a_class_left_out() -> dict[str, Any]:
    data = Pictures()
    rows = [row for row, label in enumerate(data.targets) if label != 1]
    return drawn_by(Fixed(rows), data)


@case("SMP104", "fault", "warning", "an epoch repeats the one before")
def the_same_epoch() -> dict[str, Any]:
    return drawn_by(Fixed(torch.randperm(120).tolist()))


def told_an_epoch(epoch: int, **changes: Any) -> dict[str, Any]:
    data = Pictures()
    sampler = DistributedSampler(data, num_replicas=1, rank=0)
    sampler.set_epoch(epoch)
    return drawn_by(sampler, data, **changes)


@case("SMP104", "near", says="it draws by the epoch that it is told, 3 by now")
def epochs_that_are_told() -> dict[str, Any]:
    return told_an_epoch(3)


@case("SMP104", "near", "note", "an epoch repeats the one before")
def epochs_that_may_be_told() -> dict[str, Any]:
    return told_an_epoch(0, model=network(), optimizer=None)


@case("SMP104", "fault", "warning", "an epoch repeats the one before")
def epochs_that_were_never_told() -> dict[str, Any]:
    return told_an_epoch(0)


def weighted_by(weights: Any, data: Any) -> dict[str, Any]:
    return drawn_by(WeightedRandomSampler(weights, len(data)), data)


def tail_and_weights() -> tuple[Subset[Any], torch.Tensor]:
    data = Pictures(240)
    kept = long_tailed(data)
    labels = torch.tensor([data.targets[row] for row in kept.indices])
    return kept, (1 / torch.bincount(labels).float())[labels]


@case("SMP123", "fault", "warning", "images have the weight of another class at least")
def weights_in_another_order() -> dict[str, Any]:
    kept, weights = tail_and_weights()
    return weighted_by(weights.flip(0), kept)


@case("SMP123", "fault", "warning", "they grow with the number of images")
def counts_for_sampler_weights() -> dict[str, Any]:
    kept, weights = tail_and_weights()
    return weighted_by(1 / weights, kept)


@case("SMP123", "healthy")
def weights_in_their_order() -> dict[str, Any]:
    kept, weights = tail_and_weights()
    return weighted_by(weights, kept)


@case("SMP123", "near")
def a_weight_for_each_image() -> dict[str, Any]:
    kept, weights = tail_and_weights()
    return weighted_by(weights * torch.linspace(0.5, 1.5, len(weights)), kept)


def long_tailed(data: Pictures) -> Subset[Any]:
    rows = [r for r, label in enumerate(data.targets) if label != 2 or r % 12 == 0]
    return Subset(data, rows)


@case("SMP105", "fault", "warning", "sampler and loss both correct")
def corrected_twice() -> dict[str, Any]:
    data = long_tailed(Pictures(240))
    loss = nn.CrossEntropyLoss(weight=class_weights(data).float())
    return drawn_by(balanced_sampler(data, seed=0), data, loss=loss)


@case("SMP106", "fault", "error", "the sampler was made for 60 images and draws from 120")
def a_sampler_of_a_subset() -> dict[str, Any]:
    return drawn_by(RandomSampler(range(60)))


@case("SMP107", "fault", "error", "a DistributedSampler around a WeightedRandomSampler")
def a_sampler_around_another() -> dict[str, Any]:
    inner = WeightedRandomSampler(torch.ones(120), 120)
    return drawn_by(DistributedSampler(inner, num_replicas=2, rank=0))  # type: ignore[arg-type]


class Alike(Sampler):
    """A sampler that knows its rank and forgets it."""

    num_replicas, rank = 4, 0

    def __iter__(self) -> Any:
        return iter(torch.randperm(120, generator=torch.Generator().manual_seed(0)).tolist())

    def __len__(self) -> int:
        return 120


@case("SMP108", "fault", "error", "of 4 processes the first two draw the same 120 images")
def ranks_that_draw_alike() -> dict[str, Any]:
    return drawn_by(Alike())


@case("SMP108", "healthy")
def ranks_that_share() -> dict[str, Any]:
    data = Pictures()
    return drawn_by(DistributedSampler(data, num_replicas=2, rank=0), data)


@case("SMP108", "near", word="not run")
def one_process() -> dict[str, Any]:
    data = Pictures()
    return drawn_by(DistributedSampler(data, num_replicas=1, rank=0), data)


def sorted_by_class() -> Subset[Any]:
    data = Pictures()
    return Subset(data, sorted(range(120), key=lambda row: data.targets[row]))


@case("SMP109", "fault", "warning", "of pairs in a batch of 24 have one label")
def one_class_after_another() -> dict[str, Any]:
    return pipeline(train=loader(sorted_by_class()))


@case("SMP109", "healthy")
def shuffled() -> dict[str, Any]:
    return pipeline(train=loader(sorted_by_class(), shuffle=True))


@case("SMP109", "near")
def in_order_and_mixed() -> dict[str, Any]:
    return pipeline(train=loader())


@case("SMP109", "near")
def in_pairs_of_one_class() -> dict[str, Any]:
    data = Pictures()
    of = [[r for r, label in enumerate(data.targets) if label == k] for k in range(3)]
    pairs = [row for n in range(0, 40, 2) for k in range(3) for row in of[k][n : n + 2]]
    return pipeline(train=loader(Subset(data, pairs)))


class Grouped(Sampler):
    """Batches of so many pictures of each class, one class after the other."""

    def __init__(self, labels: list[int], classes: int, each: int) -> None:
        rows = [[r for r, label in enumerate(labels) if label == k] for k in range(3)]
        self.batches = []
        for n in range(0, 40 // each * each, each):
            chosen = [rows[(n + k) % 3][n : n + each] for k in range(classes)]
            self.batches.append([row for part in chosen for row in part])

    def __iter__(self) -> Any:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def in_groups(classes: int, each: int) -> dict[str, Any]:
    data = Pictures()
    sampler = Grouped(data.targets, classes, each)
    return pipeline(train=torch.utils.data.DataLoader(data, batch_sampler=sampler))


@case("SMP109", "near")
def every_class_in_every_batch() -> dict[str, Any]:
    return in_groups(3, 4)


@case("SMP109", "near", "note", "of pairs in a batch of 8 have one label")
def batches_of_one_class_on_purpose() -> dict[str, Any]:
    return in_groups(1, 8)


@case("SMP120", "fault", "note", "images of 'right' to 80 of")
def unequal_classes() -> dict[str, Any]:
    return pipeline(train=loader(long_tailed(Pictures(240))))


@case("SMP120", "healthy")
def equal_classes() -> dict[str, Any]:
    return pipeline()


@case("SMP120", "near")
def slightly_unequal_classes() -> dict[str, Any]:
    data = Pictures()
    rows = [r for r, label in enumerate(data.targets) if label != 2 or r % 2 == 0]
    return pipeline(train=loader(Subset(data, rows)))


@case("OPT001", "fault", "error", "the head is among them")
def surgery_after_the_optimiser() -> dict[str, Any]:
    model = Named(8)
    optimizer = sgd(model)
    model.fc = nn.Linear(216, 3)
    return pipeline(model, optimizer=optimizer)


@case("OPT001", "fault", "error", "it holds none of the 5 parameters")
def an_optimiser_of_another_model() -> dict[str, Any]:
    return pipeline(trained(), optimizer=sgd(trained()))


@case("OPT001", "fault", "error", "every one of 6 parameters is frozen")
def everything_frozen() -> dict[str, Any]:
    model = Named().requires_grad_(False)
    return pipeline(model, optimizer=sgd(model))


@case("OPT001", "fault", "warning", "it lacks 2 of 6 parameters that may change")
def a_part_left_out() -> dict[str, Any]:
    model = Named()
    kept = [*model.body[0].parameters(), *model.fc.parameters()]
    return pipeline(model, optimizer=torch.optim.SGD(kept, lr=0.1))


@case("OPT001", "healthy")
def all_held() -> dict[str, Any]:
    return pipeline()


@case("OPT001", "near")
def frozen_and_not_held() -> dict[str, Any]:
    model = Named()
    model.body.requires_grad_(False)
    return pipeline(model, optimizer=torch.optim.SGD(model.fc.parameters(), lr=0.1))


@case("OPT001", "near", "note", "besides the model's it holds 1 parameters")
def a_parameter_besides() -> dict[str, Any]:
    model = Named()
    more = [*model.parameters(), nn.Parameter(torch.zeros(1))]
    return pipeline(model, optimizer=torch.optim.SGD(more, lr=0.1))


def frozen_late(*, to_none: bool) -> dict[str, Any]:
    model = Named()
    optimizer = sgd(model)
    nn.functional.cross_entropy(model(Pictures(24).data), torch.arange(24) % 3).backward()
    optimizer.step()
    model.body.requires_grad_(False)
    optimizer.zero_grad(set_to_none=to_none)
    return pipeline(model, optimizer=optimizer)


@case("OPT002", "fault", "error", "4 have gradients that are not None, and 4 a momentum")
def frozen_with_zeros() -> dict[str, Any]:
    return frozen_late(to_none=False)


@case("OPT002", "healthy")
def frozen_with_none() -> dict[str, Any]:
    return frozen_late(to_none=True)


@case("OPT002", "near")
def frozen_from_the_start() -> dict[str, Any]:
    model = Named()
    model.body.requires_grad_(False)
    return pipeline(model, optimizer=sgd(model))


@case("OPT003", "fault", "error", "'fc' has a gradient and does not move in one step")
def a_head_that_stays() -> dict[str, Any]:
    return surgery_after_the_optimiser()


@case("OPT003", "fault", "warning", "'fc' is frozen and does not move")
def a_frozen_head() -> dict[str, Any]:
    model = Named()
    model.fc.requires_grad_(False)
    return pipeline(model, optimizer=sgd(model))


@case("OPT003", "healthy")
def a_head_that_moves() -> dict[str, Any]:
    return pipeline(network())


@case("OPT003", "near")
def a_rate_of_zero_before_a_warm_up() -> dict[str, Any]:
    model = network()
    optimizer = sgd(model)
    scheduler = LambdaLR(optimizer, lambda step: min(1.0, step / 10))
    return pipeline(model, optimizer=optimizer, scheduler=scheduler, total_steps=100)


@case("OPT003", "near", says="the loss of a batch is 0")
def margins_that_are_met() -> dict[str, Any]:
    return pipeline(loss=lambda x, y: nn.functional.multi_margin_loss(x, y, margin=1e-9))


class Averaged(nn.Module):
    """A network that is judged by an average of its weights, which is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.average = Named(), Named().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (self.net if self.training else self.average)(images)


@case("OPT003", "near", word="not run")
def an_average_that_is_not_trained() -> dict[str, Any]:
    model = Averaged()
    return pipeline(model, optimizer=sgd(model.net))


class Silent(Named):
    """A network whose features are zero before the first step."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.gate * self.body(images))


@case("OPT003", "near", says="no gradient in the first step, and moves in the next two")
def features_that_start_at_zero() -> dict[str, Any]:
    model = Silent()
    return pipeline(model, optimizer=sgd(model))


class Decaying(Named):
    """A network that shrinks a frozen weight whenever it is called."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.body[0].weight.data.mul_(0.99)
        return super().forward(images)


@case("OPT004", "fault", "error", "frozen parameters changed in one step: 'body.0.weight'")
def a_frozen_weight_that_moves() -> dict[str, Any]:
    model = Decaying()
    model.body.requires_grad_(False)
    return pipeline(model, optimizer=sgd(model))


@case("OPT004", "healthy")
def frozen_weights_that_stay() -> dict[str, Any]:
    model = Named()
    model.body.requires_grad_(False)
    return pipeline(model, optimizer=sgd(model))


@case("OPT004", "near", word="not run")
def a_weight_that_decays_and_learns() -> dict[str, Any]:
    model = Decaying()
    return pipeline(model, optimizer=sgd(model))


@case("OPT005", "fault", "error", "1 of 1 rates are 0")
def no_rate() -> dict[str, Any]:
    model = network()
    return pipeline(model, optimizer=sgd(model, 0.0))


@case("OPT005", "fault", "error", "negative or no number: [-0.1]")
def a_negative_rate() -> dict[str, Any]:
    model = network()
    optimizer = sgd(model)
    optimizer.param_groups[0]["lr"] = -0.1
    return pipeline(model, optimizer=optimizer)


@case("OPT005", "healthy")
def a_rate() -> dict[str, Any]:
    return pipeline()


@case("OPT005", "near")
def a_rate_before_its_warm_up() -> dict[str, Any]:
    return a_rate_of_zero_before_a_warm_up()


@case("OPT005", "fault", "error", "at step 61 of 100, and 39 rates that are negative")
def a_decay_below_zero() -> dict[str, Any]:
    return scheduled(lambda optimizer: LambdaLR(optimizer, lambda step: 1 - step / 60))


@case("OPT005", "near")
def a_decay_to_zero() -> dict[str, Any]:
    return scheduled(lambda optimizer: LambdaLR(optimizer, lambda step: 1 - step / 100))


def decayed(weight_decay: float, kind: Any = torch.optim.SGD, lr: float = 0.1) -> dict[str, Any]:
    model = network()
    return pipeline(model, optimizer=kind(model.parameters(), lr=lr, weight_decay=weight_decay))


@case("OPT113", "fault", "warning", "0.000977 of the weights are left after 10 steps")
def a_decay_without_its_exponent() -> dict[str, Any]:
    return decayed(5.0)


@case("OPT113", "healthy")
def a_usual_decay() -> dict[str, Any]:
    return decayed(5e-4)


@case("OPT113", "near")
def a_strong_decoupled_decay() -> dict[str, Any]:
    return decayed(0.5, torch.optim.AdamW, 1e-3)


@case("OPT113", "near", word="not run")
def a_decay_that_adam_scales() -> dict[str, Any]:
    return decayed(0.1, torch.optim.Adam)


@case("OPT006", "fault", "error", "a step of SGD goes along the gradient, uphill")
def maximised() -> dict[str, Any]:
    model = network()
    return pipeline(model, optimizer=sgd(model, maximize=True))


@case("OPT006", "healthy")
def minimised() -> dict[str, Any]:
    model = network()
    return pipeline(model, optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3))


@case("OPT006", "near")
def a_gain_that_is_maximised() -> dict[str, Any]:
    model = network()
    gain = lambda x, y: -nn.functional.cross_entropy(x, y)  # noqa: E731
    return pipeline(model, optimizer=sgd(model, maximize=True), loss=gain)


@case("OPT007", "fault", "warning", "in 3 of 3 runs")
def a_rate_that_explodes() -> dict[str, Any]:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=2000.0)
    return pipeline(model, optimizer=optimizer, train=loader(Pictures(noise=2.0)))


@case("OPT007", "healthy")
def a_rate_that_learns() -> dict[str, Any]:
    model = network()
    return pipeline(model, optimizer=sgd(model, 0.01))


@case("OPT007", "near")
def a_rate_below_the_edge() -> dict[str, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
    return pipeline(model, optimizer=optimizer, train=loader(Pictures(noise=2.0)))


@case("OPT007", "near", says="of a network that knows nothing it is 1.1")
def a_loss_near_zero_that_doubles() -> dict[str, Any]:
    model = trained()
    return pipeline(model, optimizer=torch.optim.Adam(model.parameters(), lr=0.01))


@case("OPT007", "near")
def a_rate_near_the_edge() -> dict[str, Any]:
    model = network()
    return pipeline(model, optimizer=sgd(model, 0.1))


def scheduled(
    build: Any, steps: int = 100, *, lr: float = 0.1, model: Any = None
) -> dict[str, Any]:
    used = network() if model is None else model
    optimizer = sgd(used, lr)
    return pipeline(used, optimizer=optimizer, scheduler=build(optimizer), total_steps=steps)


def a_cosine_of_the_run() -> dict[str, Any]:
    return scheduled(lambda optimizer: CosineAnnealingLR(optimizer, 100))


def a_constant_rate() -> dict[str, Any]:
    return scheduled(lambda optimizer: LambdaLR(optimizer, lambda step: 1.0))


for code in ("OPT101", "OPT105", "OPT106", "OPT107", "OPT108", "OPT109"):
    case(code, "healthy")(a_cosine_of_the_run)


for code in ("OPT101", "OPT105", "OPT107", "OPT108", "OPT109"):
    case(code, "near")(a_constant_rate)


@case("OPT101", "fault", "error", "it raises after step")
def a_cycle_of_fewer_steps() -> dict[str, Any]:
    return scheduled(lambda optimizer: OneCycleLR(optimizer, 0.1, total_steps=10))


@case("OPT102", "fault", "warning", "are not used: they rise to 0.5")
def a_peak_of_its_own() -> dict[str, Any]:
    model = network()
    build = lambda optimizer: OneCycleLR(optimizer, 0.5, total_steps=101)  # noqa: E731
    return pipeline(model, optimizer=sgd(model, 0.1), scheduler=build, total_steps=100)


@case("OPT102", "healthy")
def a_peak_that_is_the_rate() -> dict[str, Any]:
    model = network()
    build = lambda optimizer: OneCycleLR(optimizer, 0.1, total_steps=101)  # noqa: E731
    return pipeline(model, optimizer=sgd(model, 0.1), scheduler=build, total_steps=100)


@case("OPT102", "near", word="not run")
def a_scheduler_in_use() -> dict[str, Any]:
    return a_cosine_of_the_run()


def in_two_groups(build: Any, **second: Any) -> dict[str, Any]:
    model = Named()
    groups = [{"params": model.body.parameters()}, {"params": model.fc.parameters(), **second}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    return pipeline(model, optimizer=optimizer, scheduler=build(optimizer), total_steps=100)


@case("OPT103", "fault", "warning", "2 groups that differ in nothing all rise to 0.01")
def groups_with_one_peak() -> dict[str, Any]:
    return in_two_groups(lambda o: OneCycleLR(o, 0.01, total_steps=101), lr=1e-4)


@case("OPT103", "healthy")
def groups_with_their_peaks() -> dict[str, Any]:
    return in_two_groups(lambda o: OneCycleLR(o, [1e-4, 1e-2], total_steps=101))


@case("OPT103", "near")
def groups_that_differ_in_decay() -> dict[str, Any]:
    return in_two_groups(lambda o: OneCycleLR(o, 0.01, total_steps=101), weight_decay=0.0)


def on_a_plateau(mode: Any, told: str) -> dict[str, Any]:
    model = network()
    optimizer = sgd(model)
    plateau = ReduceLROnPlateau(optimizer, mode=mode, patience=0)
    curves = {"validation_loss": [2.0, 1.5, 1.0], "validation_accuracy": [0.2, 0.4, 0.6]}
    for value in curves[told]:
        plateau.step(value)
    return pipeline(model, optimizer=optimizer, scheduler=plateau, history=curves)


@case(
    "OPT104", "fault", "error", "mode='min', and the best value that it remembers, 0.2, is one of"
)
def a_plateau_of_accuracy() -> dict[str, Any]:
    return on_a_plateau("min", "validation_accuracy")


@case("OPT104", "healthy")
def a_plateau_of_loss() -> dict[str, Any]:
    return on_a_plateau("min", "validation_loss")


@case("OPT104", "near")
def a_plateau_of_accuracy_upwards() -> dict[str, Any]:
    return on_a_plateau("max", "validation_accuracy")


@case("OPT105", "fault", "warning", "the rate does not change; it would after call")
def a_step_that_never_comes() -> dict[str, Any]:
    return scheduled(lambda optimizer: StepLR(optimizer, 150))


@case("OPT106", "fault", "warning", "rises again after step 20")
def a_cosine_that_turns() -> dict[str, Any]:
    return scheduled(lambda optimizer: CosineAnnealingLR(optimizer, 20), 60)


@case("OPT106", "near")
def restarts_on_purpose() -> dict[str, Any]:
    return scheduled(lambda optimizer: CosineAnnealingWarmRestarts(optimizer, 20), 60)


@case("OPT107", "fault", "warning", "is next to nothing after step")
def a_step_too_often() -> dict[str, Any]:
    return scheduled(lambda optimizer: StepLR(optimizer, 3), 100)


@case("OPT108", "fault", "warning", "the rate ends at")
def a_cosine_of_more_steps() -> dict[str, Any]:
    return scheduled(lambda optimizer: CosineAnnealingLR(optimizer, 1000))


@case("OPT109", "fault", "warning", "the rate still rises at the end")
def a_warm_up_of_more_steps() -> dict[str, Any]:
    return scheduled(lambda optimizer: LinearLR(optimizer, 0.01, total_iters=1000))


@case("OPT110", "fault", "error", "holds another SGD")
def a_scheduler_of_another() -> dict[str, Any]:
    model = network()
    scheduler = StepLR(sgd(model), 10)
    return pipeline(model, scheduler=scheduler, total_steps=30)


@case("OPT110", "healthy")
def a_scheduler_of_its_own() -> dict[str, Any]:
    return a_cosine_of_the_run()


@case("OPT110", "near", word="not run")
def a_scheduler_to_be_made() -> dict[str, Any]:
    return a_peak_that_is_the_rate()


@case("OPT111", "fault", "error", "eta_min=0.5, which is higher")
def a_floor_above() -> dict[str, Any]:
    return scheduled(lambda optimizer: CosineAnnealingLR(optimizer, 100, eta_min=0.5))


@case("OPT111", "healthy")
def a_floor_below() -> dict[str, Any]:
    return scheduled(lambda optimizer: CosineAnnealingLR(optimizer, 100, eta_min=1e-4))


@case("OPT111", "near")
def a_floor_at_the_rate() -> dict[str, Any]:
    return scheduled(lambda optimizer: CosineAnnealingLR(optimizer, 100, eta_min=0.1))


def looped(order: str, *, evaluating: bool = False, **changes: Any) -> dict[str, Any]:
    """A loop that does what the letters say: z zero_grad, f forward, b backward, s step."""
    model = network()
    optimizer = sgd(model)
    data = Pictures(24)
    labels = torch.tensor(data.targets)
    held: dict[str, Any] = {}

    def forward() -> None:
        held["loss"] = nn.functional.cross_entropy(model(data.data), labels)

    acts = {
        "z": optimizer.zero_grad,
        "f": forward,
        "b": lambda: held["loss"].backward(),
        "s": optimizer.step,
    }

    def step() -> None:
        model.train(not evaluating)
        for letter in order:
            acts[letter]()

    return pipeline(model, optimizer=optimizer, step=step, **changes)


@case("OPT112", "fault", "error", "with the gradients of the step before still there")
def without_zero_grad() -> dict[str, Any]:
    return looped("fbs")


@case("OPT112", "fault", "error", "of them without a backward pass")
def cleared_before_the_step() -> dict[str, Any]:
    return looped("fbzs")


@case("OPT112", "fault", "error", "there were 0 optimiser steps")
def without_a_step() -> dict[str, Any]:
    return looped("zfb")


@case("OPT112", "fault", "warning", "the model was in evaluation mode in 4 of 4 forward passes")
def training_in_evaluation_mode() -> dict[str, Any]:
    return looped("zfbs", evaluating=True)


@case("OPT112", "fault", "warning", "each after 2 backward passes, where accumulate=1")
def accumulated_unsaid() -> dict[str, Any]:
    return looped("zfbfbs")


@case("OPT112", "fault", "error", "1 were cleared away before it, where accumulate=2")
def accumulated_and_cleared() -> dict[str, Any]:
    return looped("zfbzfbs", accumulate=2)


@case("OPT112", "fault", "warning", "each after 2 backward passes, where accumulate=1")
def two_passes_as_of_sharpness() -> dict[str, Any]:
    return looped("zfbzfbs")


@case("OPT112", "healthy")
def a_loop_in_order() -> dict[str, Any]:
    return looped("zfbs")


@case("OPT112", "near")
def cleared_after_the_forward_pass() -> dict[str, Any]:
    return looped("fzbs")


@case("OPT112", "near")
def cleared_after_the_step() -> dict[str, Any]:
    return looped("fbsz")


@case("OPT112", "near")
def accumulated_on_purpose() -> dict[str, Any]:
    return looped("zfbfbs", accumulate=2)
