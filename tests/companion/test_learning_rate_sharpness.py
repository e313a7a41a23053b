from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

from companion import LabelledImages, freeze, sharpness
from companion.learning_rate import SharpnessNotFoundError

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


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_the_loss_is_its_scale(data: LabelledImages, scale: float) -> None:
    model = MODELS["tanh"]()
    found = sharpness(model, data, loss=lambda *given: scale * F.cross_entropy(*given))
    assert found == pytest.approx(scale * sharpness(model, data), rel=1e-9)


SPREAD = torch.linspace(0, 1, 59).tolist()


def clustered() -> Loss:
    """A quadratic whose largest eigenvalue is 1.001, next to others that come close."""
    return with_curvatures(*SPREAD, 1.001)


class TestHowFarItGoes:
    def test_out_of_iterations_it_raises_and_says_how_far_it_came(
        self, patches: LabelledImages
    ) -> None:
        model, values = Point(*[1.0] * 60).double(), []
        for iterations in (12, 24, 36):
            with pytest.raises(SharpnessNotFoundError, match="Pass more iterations or a lar") as e:
                sharpness(model, patches, loss=clustered(), iterations=iterations, tolerance=1e-9)
            error = e.value
            assert f"after {error.products} products with the Hessian it is {error.value:.4g}" in (
                str(error)
            )
            assert error.products <= iterations
            assert error.value < 1.001
            nearest = min(abs(error.value - value) for value in [1.001, *SPREAD])
            assert nearest <= error.residual
            values.append(error.value)
        assert values == sorted(values)
        assert len(set(values)) == 3
        found = sharpness(model, patches, loss=clustered(), iterations=2000, tolerance=1e-9)
        assert found == pytest.approx(1.001, rel=1e-6)

    def test_a_rough_value_costs_fewer_products(self, patches: LabelledImages) -> None:
        costs = []
        for tolerance in (0.1, 1e-3, 1e-6):
            calls: list[int] = []

            def loss(logits: Tensor, labels: Tensor, calls: list[int] = calls) -> Tensor:
                calls.append(len(labels))
                return clustered()(logits, labels)

            found = sharpness(Point(*[1.0] * 60).double(), patches, loss=loss, tolerance=tolerance)
            assert found == pytest.approx(1.001, rel=max(2e-3, 10 * tolerance**2))
            costs.append(len(calls))
        assert costs == sorted(costs)
        assert costs[0] == 12  # a round of ten, one to begin with, one to judge it

    def test_it_takes_far_fewer_than_a_power_iteration(self, data: LabelledImages) -> None:
        model, calls = MODELS["tanh"](), []

        def loss(logits: Tensor, labels: Tensor) -> Tensor:
            calls.append(len(labels))
            return F.cross_entropy(logits, labels)

        found = sharpness(model, data, loss=loss, tolerance=1e-5)
        exact = eigenvalues(model, data)
        assert found == pytest.approx(exact[-1].item(), rel=1e-8)
        shrinks = (exact[-2] / exact[-1]).item()  # what the error shrinks by in a power iteration
        assert len(calls) < 0.5 * math.log(1e-8) / math.log(shrinks**2)

    @pytest.mark.parametrize("count", [1, 2, 3, 9, 10, 11, 12, 25])
    def test_any_number_of_parameters_is_enough(self, patches: LabelledImages, count: int) -> None:
        model = Point(*[1.0] * count).double()
        curvatures = [-7.0, *range(1, count)][-count:]
        found = sharpness(model, patches, loss=with_curvatures(*curvatures), tolerance=1e-6)
        assert found == pytest.approx(max(curvatures), rel=1e-6)

    def test_single_precision_is_enough_for_any_tolerance(self, patches: LabelledImages) -> None:
        model = Point(*[1.0] * 60)
        loss = with_curvatures(*range(60))
        single = sharpness(
            model, patches, loss=lambda logits, labels: loss(logits.double(), labels), tolerance=0
        )
        assert single == pytest.approx(59, rel=1e-5)

    @pytest.mark.parametrize(
        ("curvatures", "largest"),
        [
            ((3.0, -3.0, *[0.0] * 30), 3),
            ((-3.0, *[0.0] * 30), 0),
            ((-3.0, *[-1.0] * 30), -1),
            ((4.0,) * 20, 4),
            ((-20.0, *[0.1] * 15, *[0.2] * 15), 0.2),
        ],
        ids=["opposite", "flat or falling", "all falling", "alike", "hidden by a larger size"],
    )
    def test_many_dimensions_may_be_alike(
        self, patches: LabelledImages, curvatures: tuple[float, ...], largest: float
    ) -> None:
        model = Point(*[1.0] * len(curvatures)).double()
        found = sharpness(model, patches, loss=with_curvatures(*curvatures), tolerance=1e-6)
        assert found == pytest.approx(largest, abs=1e-5)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"iterations": 4}, ValueError, "iterations must be a whole number of at least 5; re"),
            ({"iterations": 20.0}, TypeError, "iterations must be a whole number"),
            ({"tolerance": -1e-3}, ValueError, r"tolerance must lie in 0 … 1; received -0\.001"),
            ({"tolerance": math.nan}, ValueError, "tolerance must lie in 0 … 1; received nan"),
            ({"loss": nn.CrossEntropyLoss}, TypeError, "received the class CrossEntropyLoss"),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else "",
    )
    def test_options_that_are_none(
        self, data: LabelledImages, options: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            sharpness(MODELS["linear"](), data, **options)


class Dressed(nn.Module):
    """A network that takes named inputs and gives an object, as those of Hugging Face."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixel_values: Tensor, mask: Tensor) -> Any:
        return SimpleNamespace(logits=self.inner(pixel_values * mask), hidden_states=None)


class TestData:
    """Whatever trains: the same images and labels, in all forms that loaders give."""

    def test_all_forms_give_the_same(self, data: LabelledImages) -> None:
        model, options = MODELS["tanh"](), {"tolerance": 0.01}
        expected = sharpness(model, data, **options)
        ones = torch.ones(len(data), 1, 1, 1)
        triples = TensorDataset(data.images, ones, data.labels)
        forms: dict[str, tuple[Any, dict[str, Any]]] = {
            "pair": ((data.images, data.labels), {"batch_size": 13}),
            "arrays": ((data.images.numpy(), data.labels.numpy()), {}),
            "loader": (DataLoader(data, 25, shuffle=True), {}),
            "list": ([(data.images[:20], data.labels[:20]), data.batch(torch.arange(20, 60))], {}),
            "triples": (DataLoader(triples, 25), {}),
            "dictionaries": ([{"img": data.images, "y": data.labels}], {}),
            "own names": ([{"a": data.images, "b": data.labels}], {"inputs": "a", "labels": "b"}),
            "functions": (DataLoader(triples, 25), {"inputs": lambda b: b[0], "labels": 2}),
        }
        for name, (given, reading) in forms.items():
            found = sharpness(model, given, **options, **reading)
            assert found == pytest.approx(expected, rel=1e-6), name

    def test_models_may_take_and_return_what_they_like(self, data: LabelledImages) -> None:
        model, mask = MODELS["tanh"](), torch.ones(1, 1, 1, 1)
        batch = {"pixel_values": data.images, "mask": mask, "labels": data.labels}
        found = sharpness(
            Dressed(model), [batch], inputs=lambda b: {k: b[k] for k in ("pixel_values", "mask")}
        )
        assert found == pytest.approx(sharpness(model, data), rel=1e-9)

    def test_attention_has_a_second_derivative(self, data: LabelledImages) -> None:
        class Attending(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                torch.manual_seed(0)
                self.layer = nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True)
                self.head = nn.Linear(6, 3)

            def forward(self, images: Tensor) -> Tensor:
                return self.head(self.layer(images.squeeze(1)).mean(1))

        assert sharpness(Attending(), data) > 0

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float64], ids=str)
    def test_images_take_the_type_of_the_weights(
        self, patches: LabelledImages, dtype: torch.dtype
    ) -> None:
        model = MODELS["tanh"]().float()
        other = LabelledImages(patches.images.to(dtype), patches.labels, patches.label_map)
        assert sharpness(model, other) == pytest.approx(sharpness(model, patches), rel=1e-3)

    @pytest.mark.parametrize("size", [7, 60])
    def test_images_without_a_label_do_not_count(self, data: LabelledImages, size: int) -> None:
        expected = sharpness(MODELS["tanh"](), data.at(range(20)), tolerance=1e-8)
        data.labels[20:] = -100
        found = sharpness(MODELS["tanh"](), data, tolerance=1e-8, batch_size=size)
        assert found == pytest.approx(expected, rel=1e-9)

    def test_a_loader_that_augments_does_the_same_in_each_product(
        self, data: LabelledImages, snapshot: type[Any]
    ) -> None:
        class Noisy(TensorDataset):
            def __getitem__(self, index: int) -> tuple[Tensor, ...]:
                images, labels = super().__getitem__(index)
                return images + torch.randn(1), labels

        order = torch.Generator().manual_seed(3)
        noisy = Noisy(data.images, data.labels)
        loader = DataLoader(noisy, 25, shuffle=True, generator=order, drop_last=True)
        before, state = snapshot(MODELS["tanh"](), data), order.get_state()
        first, second = (
            sharpness(MODELS["tanh"](), loader, tolerance=0.01, seed=seed) for seed in (0, 0)
        )
        assert first == second
        before.check()
        assert torch.equal(order.get_state(), state)

    @pytest.mark.parametrize(
        ("given", "options", "error", "message"),
        [
            (lambda d: iter([d.batch(torch.arange(4))]), {}, TypeError, "read more than once"),
            (lambda d: [], {}, ValueError, "sharpness needs a labelled image; the data gave none"),
            (lambda d: 3, {}, TypeError, "data are a LabelledImages, a pair"),
            (lambda d: d.images, {}, TypeError, "data are a LabelledImages, a pair"),
            (lambda d: DataLoader(d), {"batch_size": 7}, ValueError, "batch_size=7 would be ignor"),
            (lambda d: [{"a": d.images}], {"inputs": "a"}, KeyError, "labels of a batch must be"),
            (lambda d: (d.images, d.labels + 1), {}, ValueError, r"lie in 0 … 2, .* received 3"),
        ],
        ids=["iterator", "nothing", "number", "images", "size", "no labels", "beyond the head"],
    )
    def test_what_is_no_data_is_refused(
        self,
        data: LabelledImages,
        snapshot: type[Any],
        given: Callable[[LabelledImages], Any],
        options: dict[str, Any],
        error: type[Exception],
        message: str,
    ) -> None:
        model = MODELS["dropout"]().train()
        before = snapshot(model, data)
        with pytest.raises(error, match=message):
            sharpness(model, given(data), **options)
        before.check()


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
