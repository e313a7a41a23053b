"""What the lowest room puts back: modules, optimisers, random states, and all of it together."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import ExponentialLR, OneCycleLR, ReduceLROnPlateau, SequentialLR
from torch.utils.data import DataLoader, RandomSampler

from companion.states import (
    Weights,
    evaluating,
    everything_kept,
    frozen_flags_kept,
    gradients_kept,
    loader_randomness_kept,
    loader_samplers,
    modes_kept,
    optimizer_kept,
    own_randomness,
    randomness_kept,
    scheduler_kept,
    seeded,
    weights_kept,
)


class Remembering(nn.Module):
    """Has a state beyond its tensors, and a buffer that no `state_dict` holds."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.seen = nn.Linear(2, 2), [1]
        self.register_buffer("hidden", torch.zeros(2), persistent=False)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        self.register_buffer("wide", torch.ones(1).expand(3))

    def get_extra_state(self) -> Any:
        return self.seen

    def set_extra_state(self, state: Any) -> None:
        self.seen = state


class OneWay(nn.Module):
    """Gives a state of its own and has no way to take it back."""

    def get_extra_state(self) -> Any:
        return {"version": 2}


def disturb(model: Remembering) -> None:
    with torch.no_grad():
        model.fc.weight.fill_(5)
    model.hidden += 1
    model.mask = torch.ones(2)
    model.seen.append(7)


def broken(keeper: Any, change: Callable[[], Any], error: BaseException) -> None:
    with keeper:
        change()
        raise error


def trained(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 2) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(3, 2)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("keeper", [weights_kept, everything_kept])
def test_all_that_a_module_computes_with_comes_back(keeper: Callable[..., Any]) -> None:
    model = Remembering()
    weight, hidden, mask = model.fc.weight, model.hidden, model.mask
    before = weight.detach().clone()
    with pytest.raises(KeyboardInterrupt):
        broken(keeper(model), lambda: disturb(model), KeyboardInterrupt())
    assert model.fc.weight is weight
    assert torch.equal(weight, before)
    assert model.hidden is hidden
    assert model.mask is mask
    assert (hidden.tolist(), mask.tolist(), model.seen) == ([0, 0], [0, -torch.inf], [1])


def test_weights_stay_as_the_block_left_them_unless_it_raised() -> None:
    model = Remembering()
    with weights_kept(model, on_error_only=True):
        disturb(model)
    assert model.seen == [1, 7]
    assert bool((model.fc.weight == 5).all())
    keeper = weights_kept(model, on_error_only=True)
    with pytest.raises(ZeroDivisionError):
        broken(keeper, lambda: model.fc.weight.data.zero_(), ZeroDivisionError())
    assert bool((model.fc.weight == 5).all())


def test_a_copy_can_be_restored_again_and_again() -> None:
    model = Remembering()
    before = Weights(model)
    for _ in range(2):
        disturb(model)
        before.restore()
        assert model.seen == [1]


def test_a_state_that_cannot_be_taken_back_is_no_obstacle() -> None:
    with weights_kept(nn.Sequential(OneWay())):
        pass


@pytest.mark.parametrize(
    "move",
    [
        lambda m: m.double(),
        lambda m: m.load_state_dict(nn.Linear(2, 2).state_dict(), assign=True),
        lambda m: setattr(m, "weight", nn.Parameter(torch.zeros(2, 2))),
    ],
    ids=["another type", "assigned", "another parameter"],
)
def test_parameters_are_the_same_objects_afterwards(move: Callable[[nn.Module], Any]) -> None:
    layer = nn.Linear(2, 2)
    weight, before = layer.weight, layer.weight.detach().clone()
    with weights_kept(layer):
        move(layer)
    assert layer.weight is weight
    assert layer.weight.dtype == torch.float32
    assert torch.equal(weight, before)


def test_weights_that_did_not_change_are_not_written() -> None:
    layer = nn.Linear(2, 2)
    loss = layer(torch.ones(1, 2)).square().sum()
    with weights_kept(layer):
        pass
    loss.backward()  # an in-place write would forbid it


def test_a_lazy_model_is_refused_before_anything_happens() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(2))
    with (
        pytest.raises(TypeError, match=r"'1.weight' is lazy and has none yet\. Run a batch"),
        weights_kept(model),
    ):
        pytest.fail("the block must not begin")


def test_every_module_has_its_own_mode_and_flag() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2).eval(), nn.Linear(2, 2).requires_grad_(False))
    with modes_kept(model), frozen_flags_kept(model):
        model.train().requires_grad_(True)
    assert [part.training for part in model] == [False, True]
    assert [p.requires_grad for p in model.parameters()] == [True, True, False, False]
    seen: list[bool] = []

    def look() -> None:
        seen.extend([torch.is_grad_enabled(), *(part.training for part in model.modules())])

    with pytest.raises(ZeroDivisionError):
        broken(evaluating(model), look, ZeroDivisionError())
    assert seen == [False] * 4
    assert model.training
    assert torch.is_grad_enabled()


def test_gradients_are_the_same_tensors_with_the_same_numbers() -> None:
    layer = nn.Linear(2, 2)
    layer.weight.grad = gradient = torch.full((2, 2), 3.0)
    with gradients_kept(layer.parameters()):
        layer(torch.ones(1, 2)).sum().backward()
        assert float(gradient[0, 0]) == 4
        layer.zero_grad()
    assert layer.weight.grad is gradient
    assert gradient.tolist() == [[3, 3], [3, 3]]
    assert layer.bias.grad is None


def test_gradients_of_a_sparse_embedding_come_back() -> None:
    layer = nn.Embedding(4, 2, sparse=True)
    layer(torch.tensor([1])).sum().backward()
    before = layer.weight.grad.to_dense()
    with gradients_kept(layer.parameters()):
        layer(torch.tensor([2])).sum().backward()
    assert torch.equal(layer.weight.grad.to_dense(), before)


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "adamw": lambda p: AdamW(p, lr=0.1),
    "momentum": lambda p: SGD(p, lr=0.1, momentum=0.9),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1),
    "tensor rate": lambda p: AdamW(p, lr=torch.tensor(0.1), capturable=False),
}


@pytest.mark.parametrize("choose", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_training_goes_on_as_if_nothing_had_been_tried(choose: Callable[..., Any]) -> None:
    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = model(torch.ones(3, 2)).square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)

    start = nn.Linear(2, 2)
    results = []
    for tries in (False, True):
        model = copy.deepcopy(start)
        optimizer = choose(model.parameters())
        step(model, optimizer)
        held = [v for s in optimizer.state.values() for v in s.values() if isinstance(v, Tensor)]
        if tries:
            with everything_kept(model, optimizer=optimizer):
                for group in optimizer.param_groups:
                    group["lr"] = group["lr"] * 50
                step(model, optimizer)
        now = [v for s in optimizer.state.values() for v in s.values() if isinstance(v, Tensor)]
        assert all(a is b for a, b in zip(held, now, strict=True))
        step(model, optimizer)
        results.append([model.weight.tolist(), optimizer.state_dict()])
    assert str(results[0]) == str(results[1])


def test_a_state_of_another_type_than_the_weights_is_not_cast() -> None:
    weight = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    optimizer = SGD([weight], lr=0.1)
    optimizer.state[weight]["master"] = torch.full((2,), 1.001)
    with optimizer_kept(optimizer):
        optimizer.state[weight]["master"].add_(1)
    assert optimizer.state[weight]["master"].dtype == torch.float32
    assert float(optimizer.state[weight]["master"][0]) == pytest.approx(1.001, abs=1e-6)


def test_groups_added_and_changed_in_place_are_as_before() -> None:
    first, second = (nn.Parameter(torch.ones(1)) for _ in range(2))
    optimizer = SGD([{"params": [first], "name": "body", "sizes": [1]}], lr=0.1)
    group, listed = optimizer.param_groups[0], optimizer.param_groups[0]["params"]
    with optimizer_kept(optimizer):
        optimizer.add_param_group({"params": [second]})
        listed.append(second)
        group["sizes"].append(2)
        group["new"] = 1
        optimizer.state[second]["step"] = 1
    assert len(optimizer.param_groups) == 1
    assert optimizer.param_groups[0] is group
    assert group["params"] is listed
    assert [each is first for each in listed] == [True]
    assert (group["sizes"], group["name"], "new" in group) == ([1], "body", False)
    assert second not in optimizer.state


@pytest.mark.parametrize(
    "choose",
    [
        lambda o: ExponentialLR(o, 0.5),
        lambda o: OneCycleLR(o, 0.5, total_steps=20),
        lambda o: ReduceLROnPlateau(o, patience=0),
        lambda o: SequentialLR(o, [ExponentialLR(o, 0.5), ExponentialLR(o, 0.9)], [1]),
    ],
    ids=["exponential", "one cycle", "plateau", "in sequence"],
)
def test_a_scheduler_goes_on_where_it_was(choose: Callable[..., Any]) -> None:
    def rates(tries: bool) -> list[float]:
        optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9)
        scheduler = choose(optimizer)
        options = {"metrics": 1.0} if isinstance(scheduler, ReduceLROnPlateau) else {}
        optimizer.step()
        scheduler.step(**options)
        if tries:
            with scheduler_kept(scheduler):
                for _ in range(5):
                    scheduler.step(**options)
        found = []
        for _ in range(3):
            scheduler.step(**options)
            found += [optimizer.param_groups[0][name] for name in ("lr", "momentum")]
        return found

    assert rates(True) == rates(False)


@pytest.mark.parametrize("keeper", [randomness_kept, lambda: own_randomness(-3)])
def test_global_random_states_come_back_after_an_error(keeper: Callable[[], Any]) -> None:
    def draw() -> tuple[float, float, float]:
        return float(torch.rand(1)), float(np.random.rand()), random.random()

    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = draw()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    with pytest.raises(ZeroDivisionError):
        broken(keeper(), draw, ZeroDivisionError())
    assert draw() == expected


def test_a_seed_decides_on_all_draws_inside() -> None:
    def draw() -> list[float]:
        with own_randomness(5):
            return [float(torch.rand(1)), float(np.random.rand()), random.random()]

    assert draw() == draw()
    with seeded(5):
        assert float(torch.rand(1)) == draw()[0]


def test_generators_of_a_loader_come_back() -> None:
    generator = torch.Generator().manual_seed(2)
    sampler = RandomSampler(range(9), generator=generator)
    loader = DataLoader(range(9), batch_size=3, sampler=sampler)
    sampler.epoch = 4
    with loader_randomness_kept(loader):
        first = [batch.tolist() for batch in loader]
        sampler.epoch = 9
    assert [batch.tolist() for batch in loader] == first
    assert sampler.epoch == 4
    with loader_randomness_kept([1, 2]), loader_randomness_kept(None):
        assert loader_samplers(3) == []


def test_what_the_optimiser_holds_besides_may_be_a_plain_tensor() -> None:
    model, scale = nn.Linear(2, 2), torch.ones(1, requires_grad=True)
    optimizer = SGD([*model.parameters(), scale], lr=0.1)
    scale.grad = gradient = torch.tensor([0.25])
    with everything_kept(model, optimizer=optimizer):
        optimizer.zero_grad()
        (model(torch.ones(1, 2)).sum() * scale).backward()
        optimizer.step()
        assert scale.tolist() != [1]
    assert scale.tolist() == [1]
    assert scale.grad is gradient
    assert float(gradient) == 0.25


def test_trouble_in_the_block_is_what_is_raised() -> None:
    model = Remembering()
    optimizer = AdamW(model.fc.parameters(), lr=0.1)
    trained(model.fc, optimizer)
    before = copy.deepcopy([model.state_dict(), optimizer.state_dict()])

    def change() -> None:
        trained(model.fc, optimizer)
        model.eval().requires_grad_(False)

    loaders = [DataLoader([0, 1], shuffle=True)]
    with pytest.raises(OSError, match="disk gone"):
        broken(
            everything_kept(model, optimizer=optimizer, loaders=loaders),
            change,
            OSError("disk gone"),
        )
    assert model.training
    assert str([model.state_dict(), optimizer.state_dict()]) == str(before)
    assert all(p.requires_grad for p in model.parameters())
