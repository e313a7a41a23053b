from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from companion import linear, mlp, small_cnn

Build = Callable[[int], nn.Sequential]
NETWORKS: dict[str, Build] = {
    "small_cnn": lambda seed: small_cnn(5, seed=seed),
    "small_cnn with dropout": lambda seed: small_cnn(5, dropout=0.3, seed=seed),
    "mlp": lambda seed: mlp(5, inputs=64, seed=seed),
    "linear": lambda seed: linear(5, inputs=64, seed=seed),
}
each_network = pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)


def part(model: nn.Sequential, name: str) -> nn.Module:
    return model.get_submodule(name)


@each_network
def test_the_seed_gives_the_weights(build: Build) -> None:
    first, again, other = (build(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


@each_network
def test_the_global_random_state_neither_changes_nor_matters(build: Build) -> None:
    before = torch.get_rng_state()
    first = build(1).state_dict()["head.weight"]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(build(1).state_dict()["head.weight"], first)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@each_network
def test_the_random_state_of_cuda_stays(build: Build) -> None:
    torch.rand(1, device="cuda")
    before = torch.cuda.get_rng_state()
    build(1)
    assert torch.equal(torch.cuda.get_rng_state(), before)


@each_network
def test_logits_are_those_of_the_head_on_the_features(build: Build) -> None:
    model, images = build(0).eval(), torch.rand(4, 1, 8, 8)
    logits = model(images)
    assert logits.shape == (4, 5)
    assert torch.equal(logits, part(model, "head")(part(model, "features")(images)))


@pytest.mark.parametrize("side", [8, 16, 33])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_cnn_takes_any_size(side: int, channels: int) -> None:
    model = small_cnn(7, channels=channels, widths=(4, 6), seed=0).eval()
    images = torch.zeros(2, channels, side, side)
    assert model(images).shape == (2, 7)
    assert part(model, "features")(images).shape == (2, 6)


def test_small_cnn_halves_the_sides_where_it_says() -> None:
    convolutions = [m for m in small_cnn(2, seed=0).modules() if isinstance(m, nn.Conv2d)]
    assert [m.stride[0] for m in convolutions] == [2, 1, 2]
    assert [m.out_channels for m in convolutions] == [16, 32, 64]


def test_dropout_stands_only_before_the_head_of_small_cnn() -> None:
    layers = list(part(small_cnn(2, dropout=0.3, seed=0), "features").children())
    assert [type(layer) for layer in layers].index(nn.Dropout) == len(layers) - 1


def test_mlp_has_the_layers_asked_for() -> None:
    layers = [
        m for m in mlp(3, inputs=20, hidden=(8, 6), seed=0).modules() if isinstance(m, nn.Linear)
    ]
    assert [(m.in_features, m.out_features) for m in layers] == [(20, 8), (8, 6), (6, 3)]


def test_linear_is_one_matrix() -> None:
    model, images = linear(3, inputs=12, seed=0), torch.rand(2, 3, 2, 2)
    weight, bias = model.parameters()
    assert torch.allclose(model(images), images.flatten(1) @ weight.T + bias)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: small_cnn(0, seed=0), "num_classes must be a whole .*received 0. For num_classes"),
        (lambda: small_cnn(2.5, seed=0), "num_classes must be a whole number .*received 2.5"),  # type: ignore[arg-type]
        (lambda: small_cnn(2, channels=0, seed=0), "channels must be .*received 0"),
        (lambda: mlp(2, inputs=-1, seed=0), "inputs must be .*received -1"),
        (lambda: linear(0, inputs=1, seed=0), "num_classes must be .*received 0"),
    ],
    ids=["no classes", "half a class", "no channels", "negative inputs", "linear"],
)
def test_sizes_that_make_no_network_are_refused(build: Callable[[], object], message: str) -> None:
    before = torch.get_rng_state()
    with pytest.raises((ValueError, TypeError), match=message):
        build()
    assert torch.equal(torch.get_rng_state(), before)
