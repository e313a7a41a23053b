from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    WeightedRandomSampler,
)

from companion import LabelledImages, balanced_sampler, range_test, small_cnn
from companion.states import everything_kept, reseed_loader


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(11)


LOADERS: dict[str, Callable[[Any], DataLoader]] = {
    "shuffled": lambda data: DataLoader(data, 8, shuffle=True, generator=generator()),
    "random sampler": lambda data: DataLoader(
        data, 8, sampler=RandomSampler(data, generator=generator())
    ),
    "weighted sampler": lambda data: DataLoader(
        data, 8, sampler=WeightedRandomSampler(torch.ones(60), 60, generator=generator())
    ),
    "batch sampler": lambda data: DataLoader(
        data, batch_sampler=BatchSampler(RandomSampler(data, generator=generator()), 8, True)
    ),
    "batch sampler as sampler": lambda data: DataLoader(
        data,
        batch_size=None,
        sampler=BatchSampler(RandomSampler(data, generator=generator()), 8, True),
    ),
    "balanced sampler": lambda data: DataLoader(
        data, 8, sampler=balanced_sampler(data.labels, seed=3), generator=generator()
    ),
    "balanced batches": lambda data: DataLoader(
        data, batch_sampler=BatchSampler(balanced_sampler(data.labels, seed=3), 8, False)
    ),
}
OPTIMISERS: dict[str, Callable[[nn.Module], Optimizer]] = {
    "sgd": lambda model: SGD(split(model, 0.02, 0.1), lr=1, momentum=0.9, weight_decay=0.1),
    "adamw": lambda model: AdamW(split(model, 0.002, 0.01), lr=1),
    "rates as tensors": lambda model: AdamW(
        split(model, torch.tensor(0.002), torch.tensor(0.01)), lr=1
    ),
}
FEW: dict[str, Any] = {"low": 1e-3, "high": 1.0, "steps": 12, "smoothing": 0.5}
each_loader = pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
each_optimiser = pytest.mark.parametrize("choose", OPTIMISERS.values(), ids=OPTIMISERS)


def split(model: nn.Module, body: Any, head: Any) -> list[dict[str, Any]]:
    return [
        {"params": list(model.features.parameters()), "lr": body},
        {"params": list(model.head.parameters()), "lr": head},
    ]


def make_model() -> nn.Module:
    """A network with a frozen BatchNorm and dropout, and a count that is in no state_dict."""
    model = small_cnn(3, widths=(4,), dropout=0.5, seed=0)
    next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d)).eval()
    model.register_buffer("passes", torch.zeros(()), persistent=False)

    def count(module: Any, *_: object) -> None:
        module.passes += 1

    model.register_forward_hook(count)
    return model


def in_use(
    choose: Callable[[nn.Module], Optimizer], data: LabelledImages
) -> tuple[nn.Module, Optimizer]:
    """A model in training and its optimiser, after two steps, with gradients but for one."""
    model = make_model()
    optimiser = choose(model)
    for _ in range(2):
        step(model, optimiser, data)
    model.head.bias.grad = None
    return model, optimiser


def step(model: nn.Module, optimiser: Optimizer, data: LabelledImages) -> None:
    optimiser.zero_grad()
    F.cross_entropy(model(data.images), data.labels).backward()
    optimiser.step()


def noisy_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy that draws from every global generator."""
    torch.rand(1), np.random.rand(), random.random()
    return F.cross_entropy(logits, labels)


def plain(value: Any) -> Any:
    """The same with lists in place of tensors, which can be compared."""
    if isinstance(value, Tensor):
        return value.dtype, value.device, value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


class Everything:
    """What `Snapshot` holds, and gradients, buffers, the optimiser and the loader."""

    def __init__(self, snapshot: Any, model: nn.Module, optimiser: Optimizer, loader: Any) -> None:
        self.snapshot = snapshot(model)
        self.model, self.optimiser, self.loader = model, optimiser, loader
        self.objects, self.values = self.now()

    def now(self) -> tuple[list[Any], list[Any]]:
        parameters, groups = list(self.model.parameters()), self.optimiser.param_groups
        gradients = [p.grad for p in parameters]
        objects = [*parameters, *gradients, *groups, *(p for g in groups for p in g["params"])]
        objects += [group["lr"] for group in groups if isinstance(group["lr"], Tensor)]
        places = [self.loader, self.loader.sampler, self.loader.batch_sampler]
        places += [getattr(place, "sampler", None) for place in places]
        generators = [getattr(place, "generator", None) for place in places]
        values = [
            [p.detach().clone() for p in parameters],
            gradients,
            dict(self.model.named_buffers()),
            self.optimiser.state_dict(),
            [each.get_state() for each in generators if each is not None],
            [getattr(place, "epoch", None) for place in places],
        ]
        return objects, plain(values)

    def check(self) -> None:
        objects, values = self.now()
        assert all(a is b for a, b in zip(objects, self.objects, strict=True))
        for name, value, before in zip(
            ["weights", "gradients", "buffers", "optimiser", "generators", "epochs"],
            values,
            self.values,
            strict=True,
        ):
            assert value == before, f"{name} changed"
        self.snapshot.check()


class Failing(Dataset[tuple[Tensor, Tensor]]):
    """The images of another data set, until one of them was read too many."""

    def __init__(self, data: LabelledImages, after: int) -> None:
        self.data, self.left, self.labels = data, after, data.labels

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.left -= 1
        if self.left < 0:
            raise OSError("disk gone")
        return self.data[index]


@each_loader
@each_optimiser
def test_a_range_test_leaves_everything_as_it_was(
    patches: LabelledImages,
    snapshot: type[Any],
    choose: Callable[[nn.Module], Optimizer],
    load: Callable[[Any], DataLoader],
) -> None:
    (model, optimiser), loader = in_use(choose, patches), load(patches)
    before = Everything(snapshot, model, optimiser, loader)
    options = FEW | {"steps": 30}
    range_test(model, loader, optimizer=optimiser, seeds=range(2), loss=noisy_loss, **options)
    before.check()


@each_optimiser
@pytest.mark.parametrize("trouble", ["loss", "model", "loader", "interruption"])
def test_trouble_in_step_seven_leaves_everything_as_it_was(
    patches: LabelledImages,
    snapshot: type[Any],
    choose: Callable[[nn.Module], Optimizer],
    trouble: str,
) -> None:
    model, optimiser = in_use(choose, patches)
    after = 6 * 8 + 3 if trouble == "loader" else 1000
    loader = LOADERS["balanced sampler"](Failing(patches, after))
    errors: dict[str, BaseException] = {
        "loss": ZeroDivisionError("no labels"),
        "model": RuntimeError("no memory"),
        "loader": OSError("disk gone"),
        "interruption": KeyboardInterrupt("stop"),
    }
    calls: dict[str, int] = dict.fromkeys(errors, 0)

    def count(where: str) -> None:
        calls[where] += 1
        if where == trouble and calls[where] == 7:
            raise errors[where]

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        count("loss")
        return noisy_loss(logits, labels)

    model.register_forward_pre_hook(lambda *_: count("model"))
    optimiser.register_step_post_hook(lambda *_: count("interruption"))
    before = Everything(snapshot, model, optimiser, loader)
    with pytest.raises(type(errors[trouble]), match=str(errors[trouble])):
        range_test(model, loader, optimizer=optimiser, seeds=[0], loss=loss, **FEW)
    assert max(calls.values()) in (6, 7)
    before.check()


@each_optimiser
def test_training_goes_on_as_if_nothing_had_been_tried(
    patches: LabelledImages, choose: Callable[[nn.Module], Optimizer]
) -> None:
    trained = []
    for tries in (True, False):
        torch.manual_seed(5)
        model, optimiser = in_use(choose, patches)
        if tries:
            range_test(model, patches, optimizer=optimiser, seeds=[0], **FEW)
        for _ in range(3):
            step(model, optimiser, patches)
        trained.append(plain([model.state_dict(), optimiser.state_dict()]))
    assert trained[0] == trained[1]


def test_an_optimiser_without_a_step_has_none_afterwards(patches: LabelledImages) -> None:
    model = make_model()
    optimiser = AdamW(model.parameters(), lr=0.01)
    range_test(model, patches, optimizer=optimiser, seeds=[0], **FEW)
    assert not optimiser.state_dict()["state"]
    assert [p.grad for p in model.parameters()] == [None] * len(list(model.parameters()))


def test_a_rate_that_is_shared_and_held_stays(patches: LabelledImages) -> None:
    model, rate = make_model(), torch.tensor(0.01)
    optimiser = AdamW(split(model, rate, rate), lr=1)
    held = optimiser.param_groups[1]
    range_test(model, patches, optimizer=optimiser, seeds=[0], **FEW)
    assert rate == torch.tensor(0.01)
    held["lr"] = 0.5
    assert [float(g["lr"]) for g in optimiser.param_groups] == pytest.approx([0.01, 0.5])
    assert optimiser.param_groups[0]["lr"] is rate


def test_what_else_the_optimiser_holds_is_restored_too(patches: LabelledImages) -> None:
    model, scale = make_model(), nn.Parameter(torch.ones(()))
    optimiser = AdamW([*model.parameters(), scale], lr=0.01)
    scale.grad = gradient = torch.tensor(0.25)
    seen: list[float] = []

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        seen.append(scale.item())
        return F.cross_entropy(logits * scale, labels)

    range_test(model, patches, optimizer=optimiser, seeds=[0], loss=loss, **FEW)
    assert len(set(seen)) > 1
    assert scale.item() == 1
    assert scale.grad is gradient
    assert float(gradient) == 0.25


@pytest.mark.parametrize(
    "positions",
    [np.arange(60), torch.arange(60), list(range(60))],
    ids=["array", "tensor", "list"],
)
def test_positions_may_be_the_sampler(patches: LabelledImages, positions: Any) -> None:
    found = range_test(make_model(), DataLoader(patches, 8, sampler=positions), seeds=[0, 1])
    assert found.losses.shape == (2, 100)


@each_loader
def test_the_seed_alone_decides_on_the_order_of_a_loader(
    patches: LabelledImages, load: Callable[[Any], DataLoader]
) -> None:
    def run(loader: DataLoader) -> Tensor:
        model = small_cnn(3, widths=(4,), seed=0)
        return range_test(model, loader, seeds=[4, 5], **FEW).losses

    fresh, used = load(patches), load(patches)
    list(used)
    losses = run(fresh)
    assert not torch.equal(losses[0], losses[1])
    assert torch.equal(losses, run(used))


def test_seeds_do_not_share_the_epochs_of_a_sampler(patches: LabelledImages) -> None:
    loader = LOADERS["balanced sampler"](patches)
    epochs = []
    for seed in (0, 1, 2):
        reseed_loader(loader, seed, apart=100)
        epochs.append(loader.sampler.epoch)
    assert epochs == [0, 100, 200]


def test_without_an_optimiser_or_a_loader_the_rest_is_restored(
    patches: LabelledImages, snapshot: type[Any]
) -> None:
    model = make_model()
    before = snapshot(model, patches)
    with everything_kept(model, loaders=[patches]):
        model.eval()
        nn.init.ones_(model.get_parameter("head.weight"))
        model.get_buffer("passes").fill_(7)
        np.random.rand(), random.random()
    before.check()
    assert model.get_buffer("passes") == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@each_optimiser
def test_a_model_comes_back_from_the_gpu(
    patches: LabelledImages, snapshot: type[Any], choose: Callable[[nn.Module], Optimizer]
) -> None:
    model, optimiser = in_use(choose, patches)
    loader = LOADERS["shuffled"](patches)
    before = Everything(snapshot, model, optimiser, loader)
    randomness = torch.cuda.get_rng_state()
    range_test(model, loader, seeds=[0], device="cuda", **FEW)
    before.check()
    assert torch.equal(torch.cuda.get_rng_state(), randomness)
