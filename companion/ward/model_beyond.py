"""Beyond: networks and labels that could be better, and nobody can see it from outside."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from companion.ward.model_parts import adam, fitted, handed, parts_of, perceptron, plain_cnn
from companion.ward.parts import NAMES, Net, Photos, loaders, seeded
from companion.ward.patients import Made, patient


class Renamed(Photos):
    """Pictures in which two names were exchanged by everybody alike."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count, 4, seed=seed)
        self.classes = [NAMES[0], NAMES[2], NAMES[1], NAMES[3]]


@patient("beyond", "labels", source="doctor-anchors 3, a consistent but mistaken convention")
def two_names_exchanged_everywhere(folder: Path) -> Made:
    """Whoever set up the project took bees for cats, in all parts alike."""
    parts = parts_of(Renamed)
    return handed(fitted(seeded(lambda: Net(4)), parts[0]), parts)


@patient("beyond", "labels", source="doctor-anchors 3, overlapping classes")
def one_class_too_finely_divided(folder: Path) -> Made:
    """Ten classes where five would do for the purpose; neighbours are hard to tell apart."""
    parts = parts_of(lambda count, seed: Photos(count, 10, seed=seed, noise=0.3), batch=20)
    return handed(fitted(seeded(lambda: Net(10)), parts[0]), parts)


@patient("beyond", "model and head", source="DeepCrime ACH")
def tanh_in_place_of_relu(folder: Path) -> Made:
    """The activations are tanh; with ReLU it would be a little better."""
    parts = loaders(4)
    layers = [nn.Tanh() if isinstance(each, nn.ReLU) else each for each in plain_cnn(4, colours=3)]
    model = nn.Sequential(*layers)
    return handed(fitted(model, parts[0], epochs=8), parts)


@patient("beyond", "model and head", source="DeepCrime RCD")
def dropout_somewhat_too_strong(folder: Path) -> Made:
    """Dropout is 0.6 on a network that would be better with 0.2."""
    parts = loaders(6)
    return handed(fitted(seeded(lambda: Net(6, dropout=0.6)), parts[0]), parts)


@patient("beyond", "model and head", source="ICSE 2020, wrong type of layer")
def perceptron_where_convolutions_would_do_better(folder: Path) -> Made:
    """A network of linear layers reads pictures; convolutions would do better on as little data."""
    parts = loaders(5)
    model = perceptron(5, inputs=768)
    return handed(fitted(model, parts[0], adam(model, 0.003), epochs=12), parts)


@patient("beyond", "model and head", source="DeepCrime WRB, neurons")
def network_rather_too_narrow(folder: Path) -> Made:
    """The convolutions have four channels, and twelve would be better."""
    parts = loaders(8)
    return handed(fitted(seeded(lambda: Net(8, channels=4)), parts[0], epochs=10), parts)
