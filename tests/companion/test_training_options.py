from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from companion import LabelledImages, fit
from companion.inputs import distinct


class Endless(IterableDataset[Any]):
    """A data set without a length."""

    def __iter__(self) -> Any:
        return iter([])


def loader(data: LabelledImages) -> DataLoader[Any]:
    return DataLoader(data, batch_size=16)


def empty_loader() -> DataLoader[Any]:
    nothing: Any = []
    return DataLoader(nothing)


def pairs(data: LabelledImages) -> Any:
    return TensorDataset(data.images, data.labels)


class MadeFor:
    """A sampler that says for how many images it was made."""

    def __init__(self, items: int) -> None:
        self.items = items

    def __iter__(self) -> Iterator[int]:
        return iter(range(6))


def refused(
    options: Callable[[LabelledImages], dict[str, Any]],
    error: type[Exception],
    message: str,
    name: str,
) -> Any:
    return pytest.param(options, error, message, id=name)


REFUSALS = [
    refused(lambda d: {"lr": 0.0}, ValueError, r"lr must be positive.*received 0\.0\. Try", "lr 0"),
    refused(lambda d: {"lr": -1e-3}, ValueError, r"lr must be .*received -0\.001", "lr negative"),
    refused(lambda d: {"lr": float("nan")}, ValueError, "lr must be .*received nan", "lr nan"),
    refused(lambda d: {"lr": float("inf")}, ValueError, "lr must be .*received inf", "lr inf"),
    refused(
        lambda d: {"epochs": 0}, ValueError, "epochs must be .* at least 1; received 0", "epochs 0"
    ),
    refused(lambda d: {"epochs": 1.5}, TypeError, r"epochs must be .*received 1\.5", "epochs 1.5"),
    refused(
        lambda d: {"batch_size": 0}, ValueError, "batch_size must be .*received 0", "batch size 0"
    ),
    refused(
        lambda d: {"patience": 0, "validation": d},
        ValueError,
        "patience must be .*received 0",
        "patience 0",
    ),
    refused(
        lambda d: {"patience": 3},
        ValueError,
        "patience watches the validation accuracy; pass validation=",
        "patience without validation",
    ),
    refused(
        lambda d: {"precision": "float8"},
        ValueError,
        "must be one of 'float32', 'bfloat16', 'float16'; received 'float8'",
        "unknown precision",
    ),
    refused(
        lambda d: {"optimizer": "lion"},
        ValueError,
        "optimizer must be one of adamw, adam, sgd, or a function .*received 'lion'",
        "unknown optimizer",
    ),
    refused(
        lambda d: {"optimizer": 3},
        TypeError,
        "optimizer must be one of .*; received int",
        "optimizer of another type",
    ),
    refused(
        lambda d: {"schedule": "step"},
        ValueError,
        "schedule must be one of one-cycle, cosine, constant, or a .*received 'step'",
        "unknown schedule",
    ),
    refused(
        lambda d: {"schedule": None},
        TypeError,
        "schedule must be one of .*; received NoneType",
        "schedule of another type",
    ),
    refused(
        lambda d: {"device": "abacus"},
        ValueError,
        r"device must exist on this machine; received 'abacus' \(.*\)\. Use 'cpu'",
        "unknown device",
    ),
    refused(
        lambda d: {"device": "cuda:99"},
        ValueError,
        "device must exist on this machine; received 'cuda:99'",
        "device that is not there",
    ),
    refused(
        lambda d: {"validation": d.only(["left", "right"])},
        ValueError,
        r"must have one label map.*received LabelMap\(3 .*LabelMap\(2 .*Use only",
        "validation with fewer classes",
    ),
    refused(
        lambda d: {"validation": LabelledImages(d.images, d.labels, reversed(d.classes))},
        ValueError,
        "must have one label map",
        "validation with classes in another order",
    ),
    refused(
        lambda d: {"train": pairs(d)},
        TypeError,
        "train must be a LabelledImages or a DataLoader, .*; received TensorDataset. Wrap",
        "data set without loader",
    ),
    refused(
        lambda d: {"train": loader(d), "batch_size": 16},
        ValueError,
        "a DataLoader has its own batch_size, so fit would ignore this one. Set it where",
        "batch size for a loader",
    ),
    refused(
        lambda d: {"train": loader(d), "sampler": torch.tensor([1, 2])},
        ValueError,
        "a DataLoader has its own sampler",
        "sampler for a loader",
    ),
    refused(
        lambda d: {"train": loader(d), "sampler": [], "batch_size": 4},
        ValueError,
        "a DataLoader has its own batch_size and sampler",
        "both for a loader",
    ),
    refused(
        lambda d: {"train": DataLoader(Endless())},
        TypeError,
        "must know their number of batches.*Give its data set a __len__",
        "loader without length",
    ),
    *(
        refused(
            lambda d, schedule=schedule: {"train": empty_loader(), "schedule": schedule},  # type: ignore[misc]
            ValueError,
            "must yield a batch in each epoch; received none in epoch 1. Look at",
            f"loader without batches, {schedule}",
        )
        for schedule in ("one-cycle", "cosine", "constant")
    ),
    refused(
        lambda d: {"sampler": [], "schedule": "cosine"},
        ValueError,
        "must yield a batch in each epoch; received none in epoch 1",
        "sampler without positions",
    ),
    refused(
        lambda d: {"sampler": iter(range(6))},
        TypeError,
        "must yield its positions anew in each epoch; .*an iterator ends after one epoch",
        "sampler for one epoch only",
    ),
    refused(
        lambda d: {"sampler": [0, 60, 61]},
        ValueError,
        "must be made for the 60 images that are trained on; received position 60. Make it from",
        "sampler with a position beyond the images",
    ),
    refused(
        lambda d: {"sampler": torch.tensor([5, -1])},
        ValueError,
        "must be made for the 60 images .*received position -1",
        "sampler with a position before the images",
    ),
    refused(
        lambda d: {"sampler": MadeFor(61)},
        ValueError,
        "must be made for the 60 images .*received a sampler for 61. .*a Subset's dataset has its",
        "sampler for more images",
    ),
    refused(
        lambda d: {"sampler": MadeFor(30)},
        ValueError,
        "must be made for the 60 images .*received a sampler for 30",
        "sampler for fewer images",
    ),
    refused(
        lambda d: {"validation": empty_loader()},
        ValueError,
        "validation data must yield a labelled image; received none",
        "validation without batches",
    ),
    refused(
        lambda d: {"train": DataLoader(TensorDataset(d.images.byte(), d.labels))},
        TypeError,
        r"images in floating point, unless .*received torch\.uint8 and failed .*Scale",
        "integer images",
    ),
    refused(
        lambda d: {"validation": DataLoader(TensorDataset(d.images.byte(), d.labels))},
        TypeError,
        r"images in floating point, unless .*received torch\.uint8 and failed .*Scale",
        "integer validation images",
    ),
]


@pytest.mark.parametrize(("options", "error", "message"), REFUSALS)
def test_refused_and_nothing_changed(
    patches: LabelledImages,
    network: nn.Module,
    snapshot: type[Any],
    options: Callable[[LabelledImages], dict[str, Any]],
    error: type[Exception],
    message: str,
) -> None:
    before = snapshot(network, patches)
    given: dict[str, Any] = {"train": patches, "epochs": 2, "lr": 0.01} | options(patches)
    with pytest.raises(error, match=message):
        fit(network, given.pop("train"), **given)
    before.check()


def test_a_network_without_a_flat_output_is_refused(
    patches: LabelledImages, snapshot: type[Any]
) -> None:
    model = nn.Conv2d(1, 3, 1)
    before = snapshot(model, patches)
    with pytest.raises(ValueError, match=r"shape \(N, classes\); received \(60, 3, 6, 6\)\. Flat"):
        fit(model, patches, epochs=1, lr=0.01)
    before.check()


class TestDistinct:
    def test_values_come_back_in_order(self) -> None:
        assert distinct(iter([3, 1, 2]), "seed", "range(5)") == [3, 1, 2]

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ([], r"at least one rate is needed; received none\. Pass 1e-3\."),
            (
                [0.1, 0.2, 0.1],
                r"each rate may occur once; received \[0\.1, 0\.2, 0\.1\]\. Leave out",
            ),
            ([1, 1.0], r"each rate may occur once; received \[1, 1\.0\]"),
        ],
        ids=["none", "twice", "twice, of two types"],
    )
    def test_none_and_twice_are_refused(self, values: list[float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            distinct(values, "rate", "1e-3")
