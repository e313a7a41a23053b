"""What a variation changes reaches the chapters' experiments, and nothing else does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from book_files import BOOK, ROOT

# A change is for the whole of a process. One imports everything, and a child of it makes each.
PARENT = """
import json, os, random, sys, traceback
import numpy as np, torch
import companion, varied
from companion import digits, load, fit_replicas, fit, linear, mlp, small_cnn
from companion.training import TrainingRun
given = load("digits")
CHILD = sys.stdin.readline()
for query in sys.stdin:
    changes, asked = json.loads(query)
    child = os.fork()
    if not child:
        try:
            varied.vary(changes)
            exec(json.loads(CHILD))
            print(json.dumps(eval("(" + asked + ")")), flush=True)
        except BaseException as error:
            print(json.dumps({"raised": repr(error)}), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
CHILD = """
from companion import *
train, validation, test = load("digits")
def weights(model): return float(sum(p.double().abs().sum() for p in model.parameters()))
def trained(**options):
    model = linear(10, inputs=64, seed=options.pop("network", 0))
    pair = (given[0].images, given[0].labels)
    data = pair if options.pop("pair", False) else given[0]
    fit(model, data, **{"epochs": 2, "lr": 0.01, "seed": 0} | options)
    return weights(model)
def replicas(**options):
    chosen = {"epochs": 2, "lrs": (0.01, 0.02), "seeds": (0, 1)} | options
    found = fit_replicas(lambda seed: linear(10, inputs=64, seed=seed), given[0], **chosen)
    return [weights(found.model(lr, seed)) for lr in chosen["lrs"] for seed in chosen["seeds"]]
"""
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Return what an expression is in a process of its own in which changes were made."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{BOOK}", "OMP_NUM_THREADS": "1"}
    environment.pop("COMPANION_DATA", None)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        to, said = parent.stdin, parent.stdout
        to.write(json.dumps(CHILD) + "\n")

        def asking(asked: str, changes: dict[str, Any] | None = None) -> Any:
            to.write(json.dumps([changes or {}, asked]) + "\n")
            to.flush()
            found = json.loads(said.readline())
            assert not isinstance(found, dict), found["raised"]
            return found

        yield asking
        to.close()


def test_seeds_are_moved_wherever_one_is_given(ask: Ask) -> None:
    asked = """[
        torch.randperm(9, generator=torch.Generator().manual_seed({0})).tolist(),
        (torch.manual_seed({0}), torch.rand(3).tolist())[1],
        (np.random.seed({0}), np.random.rand(3).tolist())[1],
        np.random.default_rng({0}).random(3).tolist(),
        (random.seed({0}), random.random())[1],
        weights(linear(3, inputs=4, seed={0})),
        given[0].images.shape[0], digits().split([0.5, 0.5], seed={0})[0].labels[:9].tolist(),
        trained(seed={0}, network={0}), replicas(seeds=({0}, {0} + 1)),
    ]"""
    assert ask(asked.format(0), {"seeds": 1000}) == ask(asked.format(1000))


def test_a_generator_without_a_seed_is_as_it_was(ask: Ask) -> None:
    asked = "[torch.Generator().initial_seed(), np.random.default_rng(None).random() < 1]"
    assert ask(asked, {"seeds": 1000}) == ask(asked)


def test_rates_are_multiplied_once(ask: Ask) -> None:
    """In a run, in replicas of several rates, in groups, and in a loop written by hand."""
    asked = """[
        trained(lr={0}), trained(lr={0}, schedule="constant", optimizer="sgd"),
        replicas(lrs=({0}, 2 * {0})),
        [g["lr"] for g in torch.optim.Adam([
            {{"params": [torch.zeros(1, requires_grad=True)], "lr": {0} / 10}},
            {{"params": [torch.zeros(1, requires_grad=True)]}},
        ], lr={0}).param_groups],
        torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr={0}).param_groups[0]["lr"],
    ]"""
    assert ask(asked.format(0.01), {"rates": 2.0}) == ask(asked.format(0.02))


@pytest.mark.parametrize(("by", "epochs"), [(2.0, 4), (0.5, 1)])
def test_lengths_are_multiplied(ask: Ask, by: float, epochs: int) -> None:
    asked = "[trained(epochs={0}), replicas(epochs={0})]"
    assert ask(asked.format(2), {"lengths": by}) == ask(asked.format(epochs))


def test_less_than_an_epoch_is_a_part_of_one(ask: Ask) -> None:
    asked = "trained(epochs=1, batch_size=64, steps_per_epoch={})"
    steps = round(-(-1078 // 64) / 2)
    assert ask(asked.format(None), {"lengths": 0.5}) == ask(asked.format(steps))


def test_less_than_an_epoch_of_a_pair_of_tensors(ask: Ask) -> None:
    asked = "trained(epochs=1, batch_size=64, pair=True, steps_per_epoch={})"
    assert ask(asked.format(None), {"lengths": 0.5}) == ask(asked.format(8))
    assert ask(asked.format(None), {"lengths": 0.5}) != ask(asked.format(None))


def test_networks_are_widened_unless_a_width_is_given(ask: Ask) -> None:
    asked = """[
        small_cnn(10, seed=0).head.in_features, mlp(10, inputs=64, seed=0).head.in_features,
        small_cnn(10, widths=(8, 8), seed=0).head.in_features,
        companion.networks.small_cnn(10, seed=0).head.in_features,
    ]"""
    assert ask(asked, {"widths": 2}) == [128, 256, 8, 128]


def test_residual_networks_are_as_wide_as_is_asked(ask: Ask) -> None:
    changes = {"widths": 2, "residual": True}
    assert ask("small_cnn(10, seed=0).head.in_features", changes) == 128


def test_residual_networks_take_what_the_others_take(ask: Ask) -> None:
    asked = """(lambda model: [
        list(model(torch.zeros(2, 3, 8, 8)).shape), model.head.in_features,
        list(model.features(torch.zeros(2, 3, 32, 32)).shape),
        sum(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules()),
        weights(model) == weights(small_cnn(10, channels=3, dropout=0.1, seed=0)),
    ])(small_cnn(10, channels=3, dropout=0.1, seed=0))"""
    assert ask(asked, {"residual": True}) == [[2, 10], 64, [2, 64], 6, True]


def test_images_are_left_out_class_by_class(ask: Ask) -> None:
    asked = "[train.labels.bincount().tolist(), validation.labels.tolist(), test.labels.tolist()]"
    before, after = ask(asked), ask(asked, {"images": 0.5})
    assert after[0] == [round(count / 2) for count in before[0]]
    assert after[1:] == before[1:]


def test_labels_without_signal_are_as_many_of_each(ask: Ask) -> None:
    asked = """[
        [part.labels.bincount().tolist() for part in (train, validation, test)],
        [float((part.labels == old.labels).double().mean())
         for part, old in zip((train, validation, test), given)],
        [bool(torch.equal(part.images, old.images)) for part, old in zip((train,), given)],
    ]"""
    before, after = ask(asked), ask(asked, {"shuffled": True})
    assert after[0] == before[0]
    assert max(after[1]) < 0.2
    assert after[2] == [True]


def test_an_unknown_change_is_named(ask: Ask) -> None:
    with pytest.raises(AssertionError, match=r"KeyError\('colour'\)"):
        ask("1", {"colour": 1})
