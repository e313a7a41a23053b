from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

from companion import LabelledImages, freeze, sharpness

Loss = Callable[[Tensor, Tensor], Tensor]


def network(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.uniform_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return nn.Sequential(nn.Flatten(), *layers).double()


MODELS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: network(nn.Linear(36, 3)),
    "tanh": lambda: network(nn.Linear(36, 4), nn.Tanh(), nn.Linear(4, 3)),
    "relu": lambda: network(nn.Linear(36, 4), nn.ReLU(), nn.Linear(4, 3)),
    "BatchNorm": lambda: network(nn.Linear(36, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)),
    "dropout": lambda: network(nn.Linear(36, 4), nn.Tanh(), nn.Dropout(), nn.Linear(4, 3)),
}


def squares(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits - F.one_hot(labels, 3)).square().sum(1).mean()


LOSSES: dict[str, Loss] = {"cross-entropy": F.cross_entropy, "squares": squares}
each_model = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@pytest.fixture
def data(patches: LabelledImages) -> LabelledImages:
    """The patches in double precision."""
    return LabelledImages(patches.images.double(), patches.labels, patches.label_map)


def eigenvalues(model: nn.Module, data: LabelledImages, loss: Loss = F.cross_entropy) -> Tensor:
    """All eigenvalues of the Hessian of the trainable parameters, ascending."""
    model.eval()
    trainable = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def of_flat(flat: Tensor) -> Tensor:
        parts = flat.split([p.numel() for p in trainable.values()])
        given = {
            name: part.view_as(p) for part, (name, p) in zip(parts, trainable.items(), strict=True)
        }
        return loss(functional_call(model, given, (data.images,)), data.labels)

    flat = torch.cat([p.flatten() for p in trainable.values()])
    return torch.linalg.eigvalsh(hessian(of_flat, flat))


class Point(nn.Module):
    """A model whose logits are its weights."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))

    def forward(self, images: Tensor) -> Tensor:
        return self.weights.expand(len(images), -1)


def with_curvatures(*diagonal: float) -> Loss:
    """A quadratic with these eigenvalues, and a slope, which is not to matter."""
    generator = torch.Generator().manual_seed(5)
    square = torch.randn(len(diagonal), len(diagonal), generator=generator)
    turned = torch.linalg.qr(square.double()).Q
    matrix = turned @ torch.tensor(diagonal).double().diag() @ turned.T
    return lambda logits, labels: ((logits @ matrix * logits).sum(1) / 2 + logits.sum(1)).mean()


@each_model
@each_loss
def test_it_is_the_largest_eigenvalue_of_the_hessian(
    data: LabelledImages, build: Callable[[], nn.Module], loss: Loss
) -> None:
    model = build()
    found = sharpness(model, data, loss=loss, tolerance=1e-10, iterations=2000)
    assert found == pytest.approx(eigenvalues(model, data, loss)[-1].item(), rel=1e-6)


@each_model
@each_loss
def test_as_it_is_called_it_is_near(
    patches: LabelledImages, data: LabelledImages, build: Callable[[], nn.Module], loss: Loss
) -> None:
    expected = eigenvalues(build(), data, loss)[-1].item()
    assert sharpness(build().float(), patches, loss=loss) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("batch_size", [7, 25, 59, 60, 1000])
def test_the_size_of_the_chunks_does_not_matter(data: LabelledImages, batch_size: int) -> None:
    model = MODELS["BatchNorm"]()
    options: dict[str, Any] = {"tolerance": 1e-6, "iterations": 1000}
    whole = sharpness(model, data, **options)
    assert sharpness(model, data, batch_size=batch_size, **options) == pytest.approx(whole)


def test_the_start_does_not_matter(data: LabelledImages) -> None:
    model = MODELS["tanh"]()
    found = [
        sharpness(model, data, seed=seed, tolerance=1e-8, iterations=2000) for seed in range(3)
    ]
    assert found == pytest.approx([found[0]] * 3, rel=1e-5)
    rough = [sharpness(model, data, seed=seed, iterations=1) for seed in (0, 1, 0)]
    assert rough[0] == rough[2] != rough[1]


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_the_loss_is_its_scale(data: LabelledImages, scale: float) -> None:
    model = MODELS["tanh"]()
    found = sharpness(model, data, loss=lambda *given: scale * F.cross_entropy(*given))
    assert found == pytest.approx(scale * sharpness(model, data), rel=1e-9)


def test_fewer_iterations_find_less(data: LabelledImages) -> None:
    model = MODELS["linear"]()
    found = [sharpness(model, data, iterations=count, tolerance=0) for count in (1, 3, 10, 100)]
    assert found == sorted(found)
    assert found[0] < 0.5 * found[-1]
    rough, fine = (sharpness(model, data, tolerance=tolerance) for tolerance in (0.3, 1e-8))
    assert rough < 0.999 * fine


def test_out_of_iterations_it_is_the_better_of_two_estimates(patches: LabelledImages) -> None:
    options: dict[str, Any] = {"loss": with_curvatures(10, 1), "iterations": 3, "tolerance": 0}
    assert sharpness(Point(1.0, 1.0).double(), patches, **options) == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize("share", [0.98, 1.02])
def test_two_over_it_is_where_gradient_descent_on_a_quadratic_explodes(
    data: LabelledImages, share: float
) -> None:
    model = MODELS["linear"]()
    lr = share * 2 / sharpness(model, data, loss=squares, tolerance=1e-8, iterations=2000)
    optimiser = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(800):
        loss = squares(model(data.images), data.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    if share < 1:
        assert losses[-1] < 0.5 * losses[0]
        assert all(after <= before for before, after in pairwise(losses))
    else:
        assert losses[-1] > 1e6 * losses[0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "curvatures",
    [
        (-5, 2, 1),
        (-5, -1, -2),
        (3, -3),
        (3, -3, 2, -1),
        (-2, -2),
        (4, 4, 4),
        (-3, 0, 0),
        (7,),
        (-7,),
    ],
    ids=str,
)
def test_it_is_the_largest_and_not_the_largest_in_size(
    patches: LabelledImages, curvatures: tuple[float, ...], seed: int
) -> None:
    model = Point(*[1.0] * len(curvatures)).double()
    loss = with_curvatures(*curvatures)
    found = sharpness(model, patches, loss=loss, seed=seed, tolerance=1e-9)
    assert found == pytest.approx(max(curvatures), abs=0.01)


def test_no_curvature_is_zero(patches: LabelledImages) -> None:
    model = MODELS["linear"]().float()
    assert sharpness(model, patches, loss=lambda logits, labels: logits.sum(1).mean()) == 0
    flat = sharpness(model, patches, loss=lambda logits, labels: 0 * logits.square().mean())
    assert flat == 0


def test_frozen_parameters_do_not_count(data: LabelledImages) -> None:
    model = MODELS["tanh"]()
    whole = sharpness(model, data, tolerance=1e-8, iterations=2000)
    freeze(model, keep=["3"])
    part = sharpness(model, data, tolerance=1e-8, iterations=2000)
    assert part < whole
    assert part == pytest.approx(eigenvalues(model, data)[-1].item(), rel=1e-5)


def test_parameters_that_are_not_used_do_not_matter(data: LabelledImages) -> None:
    model = MODELS["tanh"]()
    expected = sharpness(model, data)
    model.register_parameter("spare", nn.Parameter(torch.ones(5).double()))
    assert sharpness(model, data, tolerance=1e-8, iterations=2000) == pytest.approx(
        expected, rel=0.01
    )


@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_nothing_is_mutated(data: LabelledImages, snapshot: type[Any], mode: bool) -> None:
    model = network(
        nn.Linear(36, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Tanh(), nn.Linear(4, 3)
    ).train(mode)
    model[2].eval()
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, number) if number else None
    before, gradients = snapshot(model, data), [p.grad for p in model.parameters()]
    values = [None if gradient is None else gradient.clone() for gradient in gradients]
    with torch.no_grad():
        sharpness(model, data, batch_size=25)
        assert not torch.is_grad_enabled()
    before.check()
    for parameter, gradient, value in zip(model.parameters(), gradients, values, strict=True):
        assert parameter.grad is gradient
        assert gradient is None or torch.equal(gradient, value)


def test_an_error_leaves_modes_as_they_were(data: LabelledImages, snapshot: type[Any]) -> None:
    model = MODELS["dropout"]().train()
    before = snapshot(model, data)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sharpness(model, data, loss=loss)
    before.check()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(data: LabelledImages, bad: float) -> None:
    model = MODELS["tanh"]()
    nn.init.constant_(model.get_parameter("1.bias"), bad)
    nn.init.constant_(model.get_parameter("3.weight"), bad)
    with pytest.raises(ValueError, match=r"the curvature must be finite; received nan\. Look for"):
        sharpness(model, data)


def test_a_model_that_is_all_frozen_is_refused(data: LabelledImages) -> None:
    for model in (MODELS["tanh"]().requires_grad_(False), nn.Flatten()):
        with pytest.raises(ValueError, match=r"every one is frozen.*unfreeze\(model\.head\)"):
            sharpness(model, data)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_is_the_same(data: LabelledImages) -> None:
    model = MODELS["tanh"]()
    here = sharpness(model, data)
    assert sharpness(model.cuda(), data) == pytest.approx(here, rel=1e-6)
