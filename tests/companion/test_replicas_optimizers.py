from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import (
    LBFGS,
    SGD,
    Adafactor,
    Adagrad,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    SparseAdam,
)
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from companion import LabelledImages, fit_replicas, small_cnn
from companion.replicas.optimizers import ELEMENTWISE, stacked_optimizer
from companion.replicas.stacks import Stack
from replica_runs import SHORT, agreeing, assert_same_weights, perceptron

# PyTorch 2.6's SequentialLR warns of a call that it makes itself.
pytestmark = pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")

Factory = Callable[..., Optimizer]


def without_decay_of_biases(parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
    """Groups as they are met in the wild: biases do not decay, and learn half as fast."""
    listed = list(parameters)
    return AdamW(
        [
            {"params": [p for p in listed if p.ndim < 2], "weight_decay": 0.0, "lr": lr / 2},
            {"params": [p for p in listed if p.ndim > 1], "weight_decay": 0.3},
        ],
        lr,
    )


OWN: dict[str, Factory] = {
    **{
        kind.__name__: lambda parameters, lr, kind=kind: kind(parameters, lr)
        for kind in ELEMENTWISE
    },
    "amsgrad": lambda parameters, lr: Adam(parameters, lr, amsgrad=True),
    "maximize": lambda parameters, lr: SGD(parameters, lr, maximize=True),
    "dampening": lambda parameters, lr: SGD(parameters, lr, 0.9, dampening=0.1),
    "centred": lambda parameters, lr: RMSprop(parameters, lr, centered=True, momentum=0.5),
    "sums that begin at one": lambda p, lr: Adagrad(p, lr, initial_accumulator_value=1.0),
    "foreach": lambda parameters, lr: Adam(parameters, lr, foreach=True),
    "one after the other": lambda parameters, lr: Adam(parameters, lr, foreach=False),
    "rate as a tensor": lambda parameters, lr: SGD(parameters, torch.tensor(lr)),
    "settings by rate": lambda parameters, lr: AdamW(parameters, lr, weight_decay=0.003 / lr),
    "two groups": without_decay_of_biases,
}


class TestOptimizers:
    @pytest.mark.parametrize("optimizer", OWN.values(), ids=OWN)
    def test_any_that_steps_each_weight_alone_is_that_of_fit(
        self, patches: LabelledImages, optimizer: Factory
    ) -> None:
        agreeing(perceptron, patches, lrs=(0.02, 0.01), optimizer=optimizer, schedule="cosine")

    def test_groups_may_lie_anywhere_in_a_network(self, patches: LabelledImages) -> None:
        agreeing(
            lambda seed: small_cnn(3, widths=(4, 4), seed=seed),
            patches,
            optimizer=without_decay_of_biases,
            validation=patches,
        )

    @pytest.mark.parametrize("optimizer", OWN.values(), ids=OWN)
    def test_fifty_steps_stray_by_rounding_alone(self, optimizer: Factory) -> None:
        """The same gradients, for stacked weights and for each network's own."""
        models = [perceptron(seed) for seed in range(4)]
        stack = Stack(models, torch.device("cpu"))
        stacked = stacked_optimizer(optimizer, stack, [0.02, 0.01])
        alone = [
            optimizer(list(model.parameters()), lr)
            for model, lr in zip(models, [0.02, 0.02, 0.01, 0.01], strict=True)
        ]
        order = torch.Generator().manual_seed(0)
        for _ in range(50):
            stack.slopes.copy_(torch.randn(stack.weights.shape, generator=order))
            stacked.step()
            for row, (model, own) in enumerate(zip(models, alone, strict=True)):
                start = 0
                for p in model.parameters():
                    p.grad = stack.slopes[row, start : start + p.numel()].view_as(p).clone()
                    start += p.numel()
                own.step()
        for row, model in enumerate(models):
            expected = torch.cat([p.detach().flatten() for p in model.parameters()])
            strayed = (stack.weights[row] - expected).abs().max()
            assert strayed < 7e-7 * max(1, expected.abs().max())

    def test_a_step_changes_no_gradients_and_no_other_rate(self) -> None:
        stack = Stack([perceptron(seed) for seed in range(4)], torch.device("cpu"))
        optimizer = stacked_optimizer(lambda p, lr: SGD(p, lr), stack, [1.0, 0.0])
        before, slopes = stack.weights.clone(), torch.ones_like(stack.slopes)
        stack.slopes.copy_(slopes)
        optimizer.step()
        assert torch.equal(stack.slopes, slopes)
        assert torch.equal(stack.weights[2:], before[2:])
        torch.testing.assert_close(stack.weights[:2], before[:2] - 1)

    @pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
    def test_a_group_for_each_rate_is_one_tensor_and_one_kernel(self, kind: Any) -> None:
        stack = Stack([perceptron(seed) for seed in range(6)], torch.device("cpu"))
        optimizer = stacked_optimizer(lambda p, lr: kind(p, lr), stack, [0.1, 0.2, 0.3])
        assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1, 1]
        assert all(group["fused"] for group in optimizer.param_groups)
        for group in optimizer.param_groups:
            (rows,) = group["params"]
            assert rows.is_contiguous()
            assert rows.untyped_storage().data_ptr() == stack.weights.untyped_storage().data_ptr()


class OwnAdam(Adam):
    """A user's optimiser with the settings of Adam and, it may be, other steps."""


def hooked(parameters: Any, lr: float) -> Optimizer:
    made = SGD(parameters, lr)
    made.register_step_post_hook(lambda *_: None)
    return made


REFUSED: dict[str, tuple[Factory, str]] = {
    "LBFGS": (lambda p, lr: LBFGS(p, lr), "gradients alone: SGD, Adam, .*received LBFGS. Call fit"),
    "Adafactor": (lambda p, lr: Adafactor(p, lr), "received Adafactor"),
    "SparseAdam": (lambda p, lr: SparseAdam(p, lr), "received SparseAdam"),
    "own": (lambda p, lr: OwnAdam(p, lr), "received OwnAdam"),
    "no optimiser": (lambda p, lr: None, "received NoneType"),
    "kinds by rate": (
        lambda p, lr: (Adam if lr < 0.15 else AdamW)(p, lr),
        "one kind of optimiser; the factory makes Adam of one rate and AdamW of another",
    ),
    "hooks": (hooked, "hooks on the optimiser would be told of none; received one on SGD"),
    "a part": (
        lambda p, lr: SGD(p[:1], lr),
        r"it left out features\.1\.bias, head\.weight, head\.bias\. Freeze what",
    ),
    "others": (
        lambda p, lr: SGD([*p, nn.Parameter(torch.zeros(1))], lr),
        "it held others besides",
    ),
}


def refused(
    patches: LabelledImages, snapshot: type[Any], error: type[Exception], match: str, **options: Any
) -> None:
    networks = [perceptron(seed) for seed in range(2)]
    before = [snapshot(model, patches) for model in networks]
    given = {"seeds": (0, 1), "lrs": (0.1, 0.2)} | SHORT | options
    with pytest.raises(error, match=match):
        fit_replicas(networks.__getitem__, patches, **given)
    for each in before:
        each.check()


@pytest.mark.parametrize(("optimizer", "message"), REFUSED.values(), ids=REFUSED)
def test_optimisers_that_stacking_would_change_are_refused(
    patches: LabelledImages, snapshot: type[Any], optimizer: Factory, message: str
) -> None:
    refused(patches, snapshot, ValueError, message, optimizer=optimizer)


SCHEDULES: dict[str, Callable[[Optimizer], LRScheduler]] = {
    "StepLR": lambda o: StepLR(o, 5, 0.5),
    "CosineAnnealingLR": lambda o: CosineAnnealingLR(o, 12),
    "a floor": lambda o: CosineAnnealingLR(o, 6, eta_min=0.005),
    "LambdaLR from zero": lambda o: LambdaLR(o, lambda step: min(1, step / 4)),
    "warm-up and decay": lambda o: SequentialLR(
        o, [LinearLR(o, 0.1, total_iters=4), ExponentialLR(o, 0.8)], [4]
    ),
}


class TestSchedules:
    @staticmethod
    def by_hand(
        data: LabelledImages, build: Callable[[Optimizer], LRScheduler], lr: float, seed: int
    ) -> nn.Module:
        model, order = perceptron(seed), torch.Generator().manual_seed(seed)
        optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
        scheduler = build(optimizer)
        for _ in range(SHORT["epochs"]):
            for rows in torch.randperm(len(data), generator=order).split(SHORT["batch_size"]):
                optimizer.zero_grad()
                F.cross_entropy(model(data.images[rows]), data.labels[rows]).backward()
                optimizer.step()
                scheduler.step()
        return model

    @pytest.mark.parametrize("build", SCHEDULES.values(), ids=SCHEDULES)
    def test_torchs_own_are_those_of_a_loop(
        self, patches: LabelledImages, build: Callable[[Optimizer], LRScheduler]
    ) -> None:
        lrs, seeds = (0.1, 0.01), (3, 1)
        replicas = fit_replicas(
            perceptron,
            patches,
            seeds=seeds,
            lrs=lrs,
            schedule=build,
            optimizer=lambda parameters, lr: SGD(parameters, lr, momentum=0.9),
            **SHORT,
        )
        for lr in lrs:
            for seed in seeds:
                expected = self.by_hand(patches, build, lr, seed)
                assert_same_weights(replicas.model(lr, seed), expected, 3e-6)

    def test_one_that_moves_the_momentum_does_so_for_all(self, patches: LabelledImages) -> None:
        def build(optimizer: Optimizer) -> LRScheduler:
            return OneCycleLR(optimizer, 0.1, 13)

        replicas = fit_replicas(
            perceptron,
            patches,
            seeds=(0, 1),
            lrs=0.1,
            schedule=build,
            optimizer=lambda parameters, lr: SGD(parameters, lr, momentum=0.9),
            **SHORT,
        )
        for seed in (0, 1):
            expected = self.by_hand(patches, build, 0.1, seed)
            assert_same_weights(replicas.model(0.1, seed), expected, 3e-6)

    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (
                lambda o: OneCycleLR(o, 0.5, 20),
                r"rates apart, which are \[0\.1, 0\.2\]; OneCycleLR sets all of them to 0\.02\.",
            ),
            (lambda o: CyclicLR(o, 0.01, 0.1), "CyclicLR sets all of them to 0.01. Train each"),
            (
                ReduceLROnPlateau,
                "ReduceLROnPlateau lowers the rate by a metric, .* or call fit for each seed",
            ),
            (lambda o: LambdaLR(SGD([torch.zeros(1)], 1), lambda step: 1.0), "made one for anothe"),
            (lambda step, total: math.nan, "a schedule's factor must be finite and at least 0"),
        ],
        ids=["one-cycle", "cyclic", "plateau", "another optimiser", "no number"],
    )
    def test_those_that_would_mislead_are_refused(
        self, patches: LabelledImages, snapshot: type[Any], build: Any, message: str
    ) -> None:
        optimizer = {"optimizer": lambda p, lr: SGD(p, lr, momentum=0.9)}
        refused(patches, snapshot, ValueError, message, schedule=build, **optimizer)

    def test_a_scheduler_that_is_made_already_is_refused(
        self, patches: LabelledImages, snapshot: type[Any]
    ) -> None:
        made = StepLR(SGD([torch.zeros(1)], 1), 5)
        refused(patches, snapshot, TypeError, "belongs to the optimiser", schedule=made)


class TestNumbersAsPeoplePassThem:
    def test_numpy_and_torch_are_as_good_as_pythons_own(self, patches: LabelledImages) -> None:
        np = pytest.importorskip("numpy")
        plain = fit_replicas(perceptron, patches, seeds=(0, 1), lrs=[0.5, 0.25], **SHORT)
        options = {"epochs": np.int64(3), "batch_size": np.int32(16), "device": "cpu"}
        for lrs in (np.array([0.5, 0.25], dtype=np.float32), torch.tensor([0.5, 0.25])):
            given = fit_replicas(perceptron, patches, seeds=np.arange(2), lrs=lrs, **options)
            assert given == plain
        one = fit_replicas(perceptron, patches, seeds=(0, 1), lrs=np.float32(0.5), **options)
        assert one.lrs == (0.5,)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"seeds": 5}, TypeError, r"each seed stands in a sequence; received 5. Pass range"),
            ({"lrs": None}, TypeError, "each learning rate stands in a sequence; received None"),
            ({"lrs": ["0.1"]}, TypeError, "lr must be a number; received '0.1'. Try 1e-3"),
            ({"epochs": 2.0}, TypeError, r"epochs must be a whole number .* received 2\.0"),
            ({"batch_size": None}, TypeError, "batch_size must be a whole number"),
            ({"loss": nn.CrossEntropyLoss}, TypeError, "received the class CrossEntropyLoss"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_what_is_none_is_refused(
        self,
        patches: LabelledImages,
        snapshot: type[Any],
        options: dict[str, Any],
        error: type[Exception],
        message: str,
    ) -> None:
        refused(patches, snapshot, error, message, **options)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
    def test_images_take_the_type_of_the_weights(
        self, patches: LabelledImages, dtype: torch.dtype
    ) -> None:
        other = LabelledImages(patches.images.to(dtype), patches.labels, patches.label_map)
        same = LabelledImages(other.images.float(), patches.labels, patches.label_map)
        found, expected = (
            fit_replicas(perceptron, data, seeds=(0, 1), lrs=0.1, validation=data, **SHORT)
            for data in (other, same)
        )
        assert found == expected
        assert torch.equal(found.accuracy(other), expected.accuracy(same))

    def test_networks_may_be_double(self, patches: LabelledImages) -> None:
        found = fit_replicas(
            lambda seed: perceptron(seed).double(), patches, seeds=(0, 1), lrs=0.1, **SHORT
        )
        assert found.model(0.1, 0).get_parameter("head.weight").dtype == torch.float64
        assert found.accuracy(patches).min() > 0.5


class Dressed(nn.Module):
    """A network whose logits stand in a dictionary, as those of Hugging Face."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.inner = perceptron(seed)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.inner(images), "hidden_states": images.flatten(1)}


def test_logits_are_found_in_what_networks_return(patches: LabelledImages) -> None:
    bare, dressed = (
        fit_replicas(build, patches, seeds=(0, 1), lrs=0.1, validation=patches, **SHORT)
        for build in (perceptron, Dressed)
    )
    torch.testing.assert_close(dressed.train_loss, bare.train_loss, rtol=1e-5, atol=1e-6)
    assert torch.equal(dressed.accuracy(patches), bare.accuracy(patches))


class TestEquality:
    def test_two_runs_of_the_same_are_equal(self, patches: LabelledImages) -> None:
        first, second, other = (
            fit_replicas(perceptron, patches, seeds=(0, 1), lrs=lr, **SHORT)
            for lr in (0.1, 0.1, 0.2)
        )
        assert first == second
        assert first != other
        assert first != "replicas"

    def test_other_weights_are_another_result(self, patches: LabelledImages) -> None:
        first, second = (
            fit_replicas(perceptron, patches, seeds=(0,), lrs=0.1, **SHORT) for _ in range(2)
        )
        second.stack.weights[0, 0] += 1
        assert first != second
