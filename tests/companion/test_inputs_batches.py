"""Batches in the forms that strangers' loaders give them, and those that cannot be read."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle, islice
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from tqdm import tqdm

from companion import LabelledImages
from companion.inputs import BatchReader, Selector, batches, input_batches, is_pair, out_of_order

IMAGES, LABELS = torch.arange(12.0).reshape(3, 4), torch.tensor([2, 0, 1])
MASK = torch.tensor([True, False, True])
WEIGHTS = torch.tensor([0.5, 1.0, 2.0])
HALVES = [(IMAGES[:2], LABELS[:2]), (IMAGES[2:], LABELS[2:])]


class Pair(NamedTuple):
    """A pair with fields, the labels first."""

    target: Tensor
    img: Tensor


class Unnamed(NamedTuple):
    """A pair whose fields say nothing."""

    first: Tensor
    second: Tensor


@dataclass
class Record:
    """A batch of a class of its own."""

    image: Tensor
    label: Tensor


class Stream(IterableDataset):
    """Items, or batches, without a length."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


READ: dict[str, tuple[Any, BatchReader]] = {
    "tuple": ((IMAGES, LABELS), BatchReader()),
    "list": ([IMAGES, LABELS], BatchReader()),
    "labels-as-list": ([IMAGES, [2, 0, 1]], BatchReader()),
    "labels-as-int32": ((IMAGES, LABELS.int()), BatchReader()),
    "arrays": ((IMAGES.numpy(), LABELS.numpy()), BatchReader()),
    "triple-mask-last": ((IMAGES, LABELS, MASK), BatchReader()),
    "triple-mask-first": ((IMAGES, MASK, LABELS), BatchReader()),
    "triple-weights-and-paths": ((IMAGES, LABELS, WEIGHTS, [*"abc"]), BatchReader()),
    "triple-labels-as-list": ((IMAGES, MASK, [2, 0, 1]), BatchReader()),
    "named-labels-first": (Pair(LABELS, IMAGES), BatchReader()),
    "fields-without-meaning": (Unnamed(IMAGES, LABELS), BatchReader()),
    "dataclass": (Record(IMAGES, LABELS), BatchReader()),
    "dict": ({"image": IMAGES, "label": LABELS}, BatchReader()),
    "hugging-face": ({"pixel_values": IMAGES, "labels": LABELS}, BatchReader()),
    "batch-feature": (UserDict({"pixel_values": IMAGES, "labels": LABELS}), BatchReader()),
    "dict-of-arrays": ({"x": IMAGES.numpy(), "y": LABELS.numpy()}, BatchReader()),
    "keys": ({"left": IMAGES, "right": -IMAGES, "kind": LABELS}, BatchReader("left", "kind")),
    "field": (Unnamed(LABELS, IMAGES), BatchReader("second", "first")),
    "attribute": (Record(LABELS, IMAGES), BatchReader("label", "image")),
    "positions": ((LABELS, IMAGES), BatchReader(1, 0)),
    "last": ((IMAGES, MASK, LABELS, LABELS + 1), BatchReader(labels=-2)),
    "functions": (
        ((IMAGES, MASK), {"y": LABELS}),
        BatchReader(lambda batch: batch[0][0], lambda batch: batch[1]["y"]),
    ),
}  # fmt: skip


class TestReader:
    @pytest.mark.parametrize(("batch", "reader"), READ.values(), ids=READ)
    def test_inputs_and_labels_are_found(self, batch: Any, reader: BatchReader) -> None:
        inputs, labels = reader(batch)
        assert torch.equal(inputs, IMAGES)
        assert torch.equal(labels, LABELS)
        assert labels.dtype == torch.int64
        assert torch.equal(reader.inputs_of(batch), IMAGES)

    def test_several_inputs_go_to_the_model_by_name(self) -> None:
        reader = BatchReader(inputs=lambda batch: {k: batch[k] for k in ("input_ids", "mask")})
        inputs, _ = reader({"input_ids": LABELS[None].T.numpy(), "mask": MASK, "labels": LABELS})
        assert inputs["input_ids"].tolist() == [[2], [0], [1]]
        assert inputs["mask"] is MASK

    @pytest.mark.parametrize(
        "array",
        [IMAGES.numpy()[::-1], np.asfortranarray(IMAGES), IMAGES.numpy().astype(">f4")],
        ids=["reversed", "fortran", "big-endian"],
    )
    def test_every_layout_of_an_array_is_read(self, array: np.ndarray) -> None:
        array.flags.writeable = False
        assert BatchReader().inputs_of(array).tolist() == array.tolist()

    @pytest.mark.parametrize("batch", [IMAGES, [IMAGES], (IMAGES,), {"image": IMAGES}])
    def test_inputs_need_no_labels(self, batch: Any) -> None:
        assert torch.equal(BatchReader().inputs_of(batch), IMAGES)

    @pytest.mark.parametrize(
        ("batch", "error", "message"),
        [
            ({"image": IMAGES}, KeyError, r"labels of a batch.*received keys 'image'\. Say which"),
            ({"label": LABELS}, KeyError, r"inputs of a batch.*received keys 'label'\. Say which"),
            ({"x": IMAGES, "y": LABELS, "label": LABELS}, KeyError, "several, 'label', 'y'"),
            ({"x": IMAGES, "img": IMAGES, "y": LABELS}, KeyError, "several, 'x', 'img'"),
            (IMAGES, TypeError, r"received Tensor\. Say what its labels are: labels="),
            ([IMAGES], TypeError, r"received list of 1\. Say what its labels are"),
            ([], TypeError, r"received list of 0"),
            ("abc", TypeError, r"received str\. Say what"),
            (None, TypeError, r"received NoneType\. Say what"),
            ((IMAGES, LABELS, LABELS), ValueError, r"received positions \[1, 2\] that could be"),
            ((IMAGES, WEIGHTS, MASK), ValueError, r"received none that could be\. Say which: lab"),
            ((IMAGES, torch.eye(3).long()), TypeError, r"int64 of shape \(3, 3\)\. Take argmax"),
            ((IMAGES, torch.eye(3)), TypeError, r"integer indices of shape \(N,\); rec.*float32"),
            ((IMAGES, [*"abc"]), TypeError, r"labels must be integer.*Encode names with LabelMap"),
            ((IMAGES, LABELS[:2]), ValueError, r"received 3 inputs and 2 labels\. Say which is"),
            ((IMAGES[0], 2), TypeError, r"received the single label 2\. Items.*DataLoader\(…"),
            ((IMAGES[0], LABELS[0]), TypeError, r"the single label tensor\(2\)\. Items have to"),
            ((np.array([None, "a", 3]), LABELS), TypeError, r"a tensor or an array.*ndarray"),
        ],
        ids=[
            "no-labels", "no-inputs", "two-labels", "two-inputs", "tensor", "one", "empty",
            "string", "none", "two-label-tensors", "no-label-tensor", "one-hot", "float-one-hot",
            "names", "lengths", "item", "item-of-tensors", "objects",
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_refused(
        self, batch: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            BatchReader()(batch)

    @pytest.mark.parametrize(
        ("reader", "batch", "message"),
        [
            (BatchReader("pixel"), {"x": 1, "y": LABELS}, r"inputs='pixel'.*keys 'x', 'y'"),
            (BatchReader(labels="kind"), {"x": IMAGES, "y": 1}, "labels='kind' must be in every"),
            (BatchReader(labels=2), (IMAGES, LABELS), r"labels=2 must.*received tuple of 2\. Name"),
            (BatchReader("image"), (IMAGES, LABELS), r"inputs='image' must.*received tuple of 2"),
            (BatchReader("count"), Pair(LABELS, IMAGES), r"received Pair keys 'target', 'img'"),
        ],
        ids=["inputs", "labels", "position", "key-of-a-tuple", "method-of-a-tuple"],
    )  # fmt: skip
    def test_a_key_that_is_missing_is_named(
        self, reader: BatchReader, batch: Any, message: str
    ) -> None:
        with pytest.raises(KeyError, match=message):
            reader(batch)

    @pytest.mark.parametrize("garbage", [None, "x", 3, [], {}, {"x": "y"}, object()])
    def test_a_function_that_returns_no_tensor(self, garbage: Any) -> None:
        with pytest.raises(TypeError, match=r"inputs of a batch are a tensor.*say where.*inputs="):
            BatchReader(inputs=lambda batch: garbage).inputs_of((IMAGES, LABELS))
        with pytest.raises((TypeError, ValueError), match=r"label"):
            BatchReader(labels=lambda batch: garbage)((IMAGES, LABELS))

    def test_pictures_are_no_tensors(self) -> None:
        image = pytest.importorskip("PIL.Image").new("L", (4, 4))
        with pytest.raises(TypeError, match=r"received list of Image\. Turn pictures into tensors"):
            BatchReader()(([image, image], [0, 1]))


class TestBatches:
    def test_a_set_is_cut_in_order(self) -> None:
        held = LabelledImages(torch.arange(5.0).reshape(5, 1, 1, 1), torch.arange(5), range(5))
        cut = list(batches(held, 2))
        assert [labels.tolist() for _, labels in cut] == [[0, 1], [2, 3], [4]]
        assert torch.cat([images for images, _ in cut]).flatten().tolist() == [0, 1, 2, 3, 4]
        assert [len(images) for images in input_batches(held, 3)] == [3, 2]

    @pytest.mark.parametrize(
        "pair",
        [
            (IMAGES, LABELS),
            (IMAGES.numpy(), LABELS.numpy()),
            (IMAGES, [2, 0, 1]),
            (IMAGES, [*LABELS]),
        ],
        ids=["tensors", "arrays", "list", "list-of-tensors"],
    )  # fmt: skip
    def test_a_pair_is_cut_in_order(self, pair: Any) -> None:
        assert is_pair(pair)
        assert [labels.tolist() for _, labels in batches(pair, 2)] == [[2, 0], [1]]
        assert torch.equal(torch.cat(list(input_batches(pair, 2))), IMAGES)

    @pytest.mark.parametrize(
        "data",
        [[(IMAGES, LABELS)], ((IMAGES, LABELS),) * 2, [IMAGES, IMAGES], (IMAGES, "abc")],
        ids=["list", "two-batches", "two-tensors", "text"],
    )
    def test_batches_are_no_pair(self, data: Any) -> None:
        assert not is_pair(data)

    def test_unequal_pairs_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"shape \(3,\), one for each row; received \(2,\)"):
            list(batches((IMAGES, LABELS[:2]), 2))

    @pytest.mark.parametrize(
        "data",
        [
            DataLoader(TensorDataset(IMAGES, LABELS), 2),
            DataLoader(Stream([*zip(IMAGES, LABELS, strict=True)]), 2),
            DataLoader(Stream(HALVES), batch_size=None),
            DataLoader(
                TensorDataset(IMAGES, LABELS), 2,
                collate_fn=lambda items: {
                    "image": torch.stack([x for x, _ in items]), "label": [int(y) for _, y in items]
                },
            ),
            Stream(HALVES),
            ((IMAGES[i : i + 2], LABELS[i : i + 2]) for i in (0, 2)),
            islice(cycle(HALVES), 2),
        ],
        ids=["loader", "stream", "unbatched", "dict", "iterable", "generator", "slice"],
    )  # fmt: skip
    def test_every_loader_gives_the_same(self, data: Any) -> None:
        read = list(batches(data, 512))
        assert torch.equal(torch.cat([inputs for inputs, _ in read]), IMAGES)
        assert torch.cat([labels for _, labels in read]).tolist() == LABELS.tolist()

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (TensorDataset(IMAGES, LABELS), r"received TensorDataset\. Wrap a Dataset in a DataL"),
            (IMAGES, r"received Tensor\. Wrap"),
            ({"image": IMAGES}, "received dict"),
            ("train/", "received str"),
            (3, "received int"),
            (cycle([(IMAGES, LABELS)]), r"must come to an end; received itertools\.cycle.*islice"),
            (DataLoader(TensorDataset(IMAGES, LABELS), batch_size=None), "the single label tens"),
            (Stream([(IMAGES[0], 2)]), "the single label 2"),
        ],
        ids=["dataset", "tensor", "dict", "path", "number", "cycle", "unbatched", "items"],
    )
    def test_what_holds_no_batches_is_refused(self, data: Any, message: str) -> None:
        with pytest.raises(TypeError, match=message):
            list(batches(data, 2))

    @pytest.mark.parametrize(("size", "error"), [(0, ValueError), (2.5, TypeError)])
    def test_a_batch_size_is_a_whole_number(self, size: Any, error: type[Exception]) -> None:
        with pytest.raises(error, match="batch_size must be a whole number of at least 1"):
            list(input_batches(IMAGES, size))

    def test_a_single_number_has_no_rows(self) -> None:
        with pytest.raises(TypeError, match=r"inputs have shape \(N, …\); received a single num"):
            list(input_batches(torch.tensor(1.0), 2))

    def test_an_endless_loader_is_read_as_far_as_asked(self) -> None:
        endless = ((IMAGES, LABELS + step) for step in count())
        assert [labels[0].item() for _, labels in islice(batches(endless, 2), 3)] == [2, 3, 4]


FIVE: Dataset = TensorDataset(torch.arange(5))
RANDOM_BATCHES = BatchSampler(RandomSampler(range(5)), 2, False)
DROPPING_BATCHES = BatchSampler(SequentialSampler(range(5)), 2, True)
EVERY_OTHER = Subset(FIVE, [0, 2, 4])


def loader(**options: Any) -> DataLoader:
    return DataLoader(options.pop("dataset", FIVE), **options)


class TestOrder:
    @pytest.mark.parametrize(
        "data",
        [
            loader(batch_size=2),
            loader(batch_size=5, drop_last=True),
            loader(batch_size=None),
            loader(sampler=range(5)),
            loader(sampler=[0, 1, 2, 3, 4], batch_size=2),
            loader(batch_sampler=BatchSampler(SequentialSampler(range(5)), 2, False)),
            loader(dataset=EVERY_OTHER, batch_size=2),
            loader(dataset=Stream([1]), batch_size=2),
            tqdm(loader(batch_size=2), disable=True),
            [(IMAGES, LABELS)],
            IMAGES,
        ],
        ids=[
            "plain", "even", "unbatched", "range", "all-positions", "batch-sampler", "subset",
            "stream", "bar", "list", "tensor",
        ],
    )  # fmt: skip
    def test_rows_are_those_of_the_data(self, data: Any) -> None:
        assert out_of_order(data) is None

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (loader(shuffle=True), "it draws by RandomSampler"),
            (loader(shuffle=True, batch_size=None), "it draws by RandomSampler"),
            (loader(sampler=SubsetRandomSampler(range(5))), "it draws by SubsetRandomSampler"),
            (loader(sampler=WeightedRandomSampler([1.0] * 5, 5)), "draws by WeightedRandomSampler"),
            (loader(sampler=[4, 3, 2, 1, 0]), "it draws by list"),
            (loader(sampler=range(4)), "it draws by range"),
            (loader(sampler=SequentialSampler(EVERY_OTHER)), "draws 3 of 5 items"),
            (loader(batch_size=2, drop_last=True), "drops the last batch"),
            (loader(batch_sampler=RANDOM_BATCHES), "draws by RandomSampler"),
            (loader(batch_sampler=DROPPING_BATCHES), "drops the last batch"),
            (loader(batch_sampler=[[0, 1], [2, 3, 4]]), "it draws batches by list"),
            (loader(dataset=Stream([1]), batch_size=2, drop_last=True), "may drop the last batch"),
            (loader(dataset=Stream([1]), batch_size=2, num_workers=2), "the 2 workers take turns"),
            (tqdm(loader(shuffle=True), disable=True), "it draws by RandomSampler"),
        ],
        ids=[
            "shuffle", "shuffle-unbatched", "subset-sampler", "weighted", "reversed", "part",
            "of-another-set", "drop-last", "random-batches", "dropping-batches", "own-batches",
            "stream-drop-last", "stream-workers", "bar",
        ],
    )  # fmt: skip
    def test_rows_in_another_order_say_why(self, data: Any, reason: str) -> None:
        found = out_of_order(data)
        assert found is not None
        assert reason in found

    def test_workers_that_hand_over_as_they_finish(self) -> None:
        data = loader(batch_size=2, num_workers=2)
        assert out_of_order(data) is None
        data.in_order = False
        assert "in_order=False" in str(out_of_order(data))


def test_a_selector_is_a_type_that_others_can_name() -> None:
    chosen: Selector = "image"
    assert BatchReader(inputs=chosen).inputs == "image"
