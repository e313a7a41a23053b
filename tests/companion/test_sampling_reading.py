from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset
from torchvision.datasets import DatasetFolder

from companion import LabelledImages, class_counts, labels_of
from companion.sampling.reading import PROBES, stored_labels_of

quickly = settings(deadline=None, max_examples=60)


class Folder(Dataset[Any]):
    """Like torchvision's folders: `.targets` as stored, items through a `target_transform`."""

    def __init__(
        self, targets: Any, target_transform: Callable[[Any], Any] = lambda label: label
    ) -> None:
        self.targets, self.target_transform = targets, target_transform
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        self.read.append(index)
        return torch.zeros(1), self.target_transform(self.targets[index])


class Items(Dataset[Any]):
    """Items and nothing else, but for what a test sets."""

    def __init__(self, labels: Any, /, **attributes: Any) -> None:
        self.own = labels
        for name, value in attributes.items():
            setattr(self, name, value)

    def __len__(self) -> int:
        return len(self.own)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        return torch.zeros(1), self.own[index]


class Turned(Subset[Any]):
    """A subset of one's own, which swaps two labels."""

    def __getitem__(self, index: Any) -> Any:
        image, label = super().__getitem__(index)
        return image, 1 - label

    def __getitems__(self, indices: Any) -> Any:
        return [self[index] for index in indices]


class TurnedParts(ConcatDataset[Any]):
    """The same of joined sets."""

    def __getitem__(self, index: Any) -> Any:
        image, label = super().__getitem__(index)
        return image, 1 - label


class Stream(IterableDataset[Any]):
    """Items that have no positions."""

    def __iter__(self) -> Any:
        return iter([(torch.zeros(1), 0)])


def pairs(*labels: int) -> TensorDataset:
    return TensorDataset(torch.zeros(len(labels), 1), torch.tensor(labels))


def pictures(*labels: int) -> LabelledImages:
    return LabelledImages(torch.zeros(len(labels), 1, 1, 1), torch.tensor(labels), [*"abcd"])


def items_of(data: Any) -> list[int]:
    return [int(data[position][1]) for position in range(len(data))]


KINDS = [pairs, pictures, lambda *labels: Folder(list(labels)), lambda *labels: Items(labels)]


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 3) -> Any:
    """Data of some kind, or subsets and joined sets of such, inside each other."""
    kind = draw(st.sampled_from(["plain", "subset", "parts"] if depth else ["plain"]))
    if kind == "parts":
        return ConcatDataset(draw(st.lists(data_sets(depth - 1), min_size=1, max_size=3)))
    if kind == "subset":
        inner = draw(data_sets(depth - 1))
        inside = st.integers(0, len(inner) - 1)
        return Subset(inner, draw(st.lists(inside, min_size=1, max_size=6)))
    labels = draw(st.lists(st.integers(0, 3), min_size=1, max_size=6))
    return draw(st.sampled_from(KINDS))(*labels)


class TestDataSets:
    @given(data_sets())
    @quickly
    def test_the_labels_are_those_of_the_items_in_their_order(self, data: Any) -> None:
        found = labels_of(data)
        assert found.tolist() == items_of(data)
        assert (found.dtype, found.device.type) == (torch.int64, "cpu")

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (Subset(pairs(3, 1, 2, 0), [2, 0, 3]), [2, 3, 0]),
            (Subset(Subset(pairs(3, 1, 2, 0), [2, 0, 3]), [1, 1, 0]), [3, 3, 2]),
            (Subset(pairs(3, 1, 2, 0), [-1, 0]), [0, 3]),
            (Subset(pictures(3, 1, 2, 0), torch.tensor([1, 0])), [1, 3]),
            (Subset(pictures(3, 1, 2, 0), np.array([1, 0])), [1, 3]),
            (ConcatDataset([pairs(3, 1), Folder([2]), pictures(0)]), [3, 1, 2, 0]),
            (Subset(ConcatDataset([pairs(3, 1), Folder([2])]), [2, 0]), [2, 3]),
            (ConcatDataset([Subset(pairs(3, 1), [1]), pairs(0)]), [1, 0]),
            (ConcatDataset([Subset(pairs(3, 1), []), pairs(0)]), [0]),
        ],
        ids=[
            "unsorted",
            "nested",
            "from-the-end",
            "tensor",
            "array",
            "parts",
            "subset-of-parts",
            "parts-of-subsets",
            "an-empty-part",
        ],
    )
    def test_subsets_and_joined_sets_are_read_through(self, data: Any, expected: list[int]) -> None:
        assert labels_of(data).tolist() == expected

    def test_a_random_split_keeps_its_order(self) -> None:
        parts = torch.utils.data.random_split(pairs(*range(20)), [12, 8])
        assert [labels_of(part).tolist() for part in parts] == [
            list(part.indices) for part in parts
        ]

    @pytest.mark.parametrize("kind", [Turned, lambda data, rows: TurnedParts([Subset(data, rows)])])
    def test_the_items_of_a_subset_of_ones_own_are_read(self, kind: Callable[..., Any]) -> None:
        assert labels_of(kind(pairs(0, 1, 1), [2, 0])).tolist() == [0, 1]

    def test_a_folder_on_the_disk(self, tmp_path: Path) -> None:
        for name in ["a/1.x", "a/2.x", "b/1.x", "c/1.x"]:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        read: Any = {"loader": lambda path: torch.zeros(1), "extensions": (".x",)}
        merged = DatasetFolder(str(tmp_path), **read, target_transform=lambda label: min(label, 1))
        assert labels_of(DatasetFolder(str(tmp_path), **read)).tolist() == [0, 0, 1, 2]
        assert merged.targets == [0, 0, 1, 2]
        assert labels_of(merged).tolist() == [0, 0, 1, 1]
        assert labels_of(Subset(merged, [3, 0])).tolist() == [1, 0]

    @pytest.mark.parametrize(
        "more",
        [torch.rand(3), torch.rand(3, 2), torch.arange(12).view(3, 2, 2), torch.ones(3).bool()],
        ids=["weights", "table", "masks", "flags"],
    )
    def test_a_tensor_data_set_may_have_more_tensors(self, more: Tensor) -> None:
        images, labels = torch.zeros(3, 1), torch.tensor([2, 0, 1])
        for tensors in ((images, labels, more), (images, more, labels)):
            assert labels_of(TensorDataset(*tensors)).tolist() == [2, 0, 1]
            assert labels_of(Subset(TensorDataset(*tensors), [1, 0])).tolist() == [0, 2]
            assert labels_of(Sequence(TensorDataset(*tensors))).tolist() == [2, 0, 1]

    def test_two_that_could_be_labels_are_told_apart_by_their_place(self) -> None:
        data = TensorDataset(torch.zeros(3, 1), torch.arange(3), torch.tensor([1, 1, 0]))
        for each in (data, Sequence(data)):
            with pytest.raises(ValueError, match=r"positions \[1, 2\] that could be\. Say which"):
                labels_of(each)
            assert labels_of(each, labels=2).tolist() == [1, 1, 0]
            assert labels_of(each, labels=1).tolist() == [0, 1, 2]
            assert labels_of(Subset(each, [2, 0]), labels=2).tolist() == [0, 1]
            assert labels_of(ConcatDataset([each, each]), labels=2).tolist() == [1, 1, 0] * 2


class Sequence(Dataset[Any]):
    """The items of another data set and nothing else."""

    def __init__(self, data: Any) -> None:
        self.data, self.read = data, 0

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        self.read += 1
        if index >= len(self):
            raise IndexError(index)
        return self.data[index]


class Table:
    """Like a data set of Hugging Face: items are dictionaries, columns are read by their names."""

    def __init__(self, **columns: list[Any]) -> None:
        self.columns, self.read = columns, 0

    @property
    def column_names(self) -> list[str]:
        return [*self.columns]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: int | str) -> Any:
        if isinstance(index, str):
            assert index != "image", "pictures are not to be decoded"
            return self.columns[index]
        self.read += 1
        return {name: column[index] for name, column in self.columns.items()}


class TestDictionaries:
    @pytest.mark.parametrize("name", ["label", "labels", "target", "targets", "y"])
    @pytest.mark.parametrize("kind", [list, Sequence], ids=["list", "data-set"])
    def test_the_key_that_everybody_uses_is_read(
        self, name: str, kind: Callable[[Any], Any]
    ) -> None:
        items = [{"image": object(), name: label, "id": 7} for label in (2, 0, -100)]
        assert labels_of(kind(items)).tolist() == [2, 0, -100]
        assert class_counts(kind(items)).tolist() == [1, 0, 1]

    @pytest.mark.parametrize("make", [int, np.int64, torch.tensor], ids=["int", "numpy", "torch"])
    def test_the_label_may_be_any_integer(self, make: Callable[[int], Any]) -> None:
        assert labels_of([{"x": 0.0, "label": make(n)} for n in (1, 0)]).tolist() == [1, 0]

    def test_another_key_or_a_function_can_be_named(self) -> None:
        items = [{"image": 0.0, "fine": {"id": label}, "coarse": label // 2} for label in range(4)]
        assert labels_of(items, labels="coarse").tolist() == [0, 0, 1, 1]
        assert labels_of(items, labels=lambda item: item["fine"]["id"]).tolist() == [0, 1, 2, 3]
        assert labels_of(Subset(Sequence(items), [3]), labels="coarse").tolist() == [1]

    def test_a_column_saves_reading_the_items(self) -> None:
        labels = [0, 1] * 200
        table = Table(image=[None] * 400, label=labels)
        assert labels_of(table).tolist() == labels
        assert 0 < table.read <= PROBES + 3
        assert labels_of(Subset(Sequence(table), [1, 0])).tolist() == [1, 0]

    @pytest.mark.parametrize(
        ("items", "error", "message"),
        [
            ([{"image": 0.0}], KeyError, "in one place: 'labels', 'label'.*received keys 'image'"),
            ([{"label": 0, "y": 1}], KeyError, "received several, 'label', 'y'.*Say which"),
            ([{"image": 0.0, "label": "cat"}], TypeError, "Encode names with LabelMap.encode"),
            ([{"image": 0.0, "label": 0.5}], TypeError, "must be integer indices"),
            ([(0.0, 0.5, 0.5)], ValueError, "received none that could be"),
            ([(0.0,)], TypeError, "received tuple of 1"),
        ],
        ids=["none", "two", "name", "float", "triple", "alone"],
    )
    def test_items_without_a_label_are_refused(
        self, items: Any, error: type[Exception], message: str
    ) -> None:
        for data in (items, Sequence(items)):
            with pytest.raises(error, match=message):
                labels_of(data)

    def test_a_key_that_is_not_there_is_named(self) -> None:
        with pytest.raises(KeyError, match="labels='fine' must be in every batch"):
            labels_of([{"image": 0.0, "label": 1}], labels="fine")


class TestStoredLabels:
    def test_they_are_taken_without_reading_every_item(self) -> None:
        data = Folder([0] * 500 + [1] * 500)
        assert labels_of(data).tolist() == data.targets
        assert 0 < len(data.read) <= PROBES + 2

    @pytest.mark.parametrize(
        "targets", [[1, 0] * 100, [0] * 100 + [1] * 100], ids=["mixed", "sorted"]
    )
    def test_items_count_where_a_transform_changes_all_labels(self, targets: list[int]) -> None:
        data = Folder(targets, lambda label: 1 - label)
        assert labels_of(data).tolist() == [1 - label for label in targets]

    @pytest.mark.parametrize("at", [0, 1, 37, 500, 998, 999])
    def test_items_count_where_a_transform_changes_one_rare_class(self, at: int) -> None:
        targets = [0] * 1000
        targets[at] = 2
        assert labels_of(Folder(targets, lambda label: min(label, 1))).sum() == 1

    @pytest.mark.parametrize("at", [0, 999])
    def test_items_count_where_the_first_or_last_differs(self, at: int) -> None:
        items = [0] * 1000
        items[at] = 1
        assert labels_of(Items(items, targets=[0] * 1000)).tolist() == items

    def test_items_count_where_a_part_in_the_middle_differs(self) -> None:
        items = [0] * 400 + [1] * 200 + [0] * 400
        assert labels_of(Items(items, targets=[0] * 1000)).tolist() == items

    @pytest.mark.parametrize(
        "attributes",
        [
            {"labels": ["cat", "dog", "owl"]},
            {"labels": lambda: [2, 0, 1]},
            {"labels": [2, 0]},
            {"labels": [2, 0, 1, 1]},
            {"labels": None, "targets": [0, 0, 0]},
            {"targets": torch.eye(3)},
            {"targets": [0.5, 0.5, 0.5]},
            {"targets": {}},
        ],
        ids=["names", "method", "short", "long", "none", "one-hot", "floats", "dict"],
    )
    def test_items_count_where_something_else_is_stored(self, attributes: dict[str, Any]) -> None:
        assert labels_of(Items([2, 0, 1], **attributes)).tolist() == [2, 0, 1]

    @pytest.mark.parametrize("name", ["labels", "targets"])
    def test_either_name_is_believed(self, name: str) -> None:
        data = Items([0, 1] * 50, **{name: np.array([0, 1] * 50)})
        data.own = Counting(data.own)
        assert labels_of(data).tolist() == [0, 1] * 50
        assert data.own.asked < 20


class TestWithoutReadingAll:
    def test_stored_labels_are_found_through_subsets(self) -> None:
        data = Folder([0] * 50 + [1] * 50)
        found = stored_labels_of(Subset(data, [99, 0]))
        assert found is not None
        assert found.tolist() == [1, 0]

    @pytest.mark.parametrize(
        "data",
        [
            Items([0, 1] * 50),
            Folder([0, 1] * 50, lambda label: 1 - label),
            ConcatDataset([pairs(0, 1), Items([0, 1] * 50)]),
            Stream(),
        ],
        ids=["none-stored", "others-stored", "in-a-part", "stream"],
    )
    def test_else_nothing_is(self, data: Any) -> None:
        assert stored_labels_of(data) is None

    def test_what_items_draw_is_put_back(self) -> None:
        data = Folder([0, 1] * 50, lambda label: label + 0 * int(torch.rand(1)))
        before = torch.get_rng_state()
        assert stored_labels_of(data) is not None
        assert torch.equal(torch.get_rng_state(), before)


class Counting(list[int]):
    """A list that counts how often it is asked."""

    asked = 0

    def __getitem__(self, index: Any) -> Any:
        self.asked += 1
        return super().__getitem__(index)


GIVEN: dict[str, Any] = {
    "list": [2, 0, -100],
    "tuple": (2, 0, -100),
    "numbers of NumPy": [np.int64(2), np.int32(0), np.int64(-100)],
    "numbers of PyTorch": [torch.tensor(2), torch.tensor(0), torch.tensor(-100)],
    "array": np.array([2, 0, -100]),
    "int32 array": np.array([2, 0, -100], dtype=np.int32),
    "array backwards": np.array([-100, 0, 2])[::-1],
    "array of the other byte order": np.array([2, 0, -100], dtype=">i8"),
    "tensor": torch.tensor([2, 0, -100]),
    "int32 tensor": torch.tensor([2, 0, -100], dtype=torch.int32),
    "int16 tensor": torch.tensor([2, 0, -100], dtype=torch.int16),
}


class TestLabelsThemselves:
    @pytest.mark.parametrize("labels", GIVEN.values(), ids=GIVEN)
    def test_they_come_back_as_int64(self, labels: Any) -> None:
        found = labels_of(labels)
        assert (found.tolist(), found.dtype) == ([2, 0, -100], torch.int64)

    @pytest.mark.parametrize("kind", [torch.tensor, np.array], ids=["tensor", "array"])
    def test_bytes_do_not_wrap_around(self, kind: Callable[..., Any]) -> None:
        unsigned = torch.uint8 if kind is torch.tensor else np.uint8
        assert labels_of(kind([0, 255], dtype=unsigned)).tolist() == [0, 255]

    def test_an_array_that_may_not_be_written_is_read(self) -> None:
        labels = np.array([1, 0])
        labels.flags.writeable = False
        assert labels_of(labels).tolist() == [1, 0]

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_they_come_to_the_cpu(self) -> None:
        for labels in (torch.tensor([1, 0]).cuda(), pictures(1, 0).to("cuda")):
            assert labels_of(labels).device.type == "cpu"


REFUSALS: dict[str, tuple[Any, type[Exception], str]] = {
    "weights": ([0.1, 9.9], TypeError, r"received float32 of shape \(2,\).*not weights"),
    "weights as a tensor": (torch.ones(2), TypeError, "not weights, counts or logits"),
    "weights as an array": (np.ones(2), TypeError, r"received float64 of shape \(2,\)"),
    "whole floats": (torch.tensor([1.0, 0.0]), TypeError, "must be integer indices"),
    "booleans": ([True, False], TypeError, r"received bool of shape \(2,\)"),
    "logits": (torch.ones(2, 3), TypeError, r"of shape \(2, 3\)"),
    "integers in two dimensions": ([[0], [1]], TypeError, r"received int64 of shape \(2, 1\)"),
    "one integer": (torch.tensor(3), TypeError, r"of shape \(\)"),
    "names": (["a", "b"], TypeError, "Encode names with LabelMap.encode"),
    "ragged lists": ([[0], [0, 1]], TypeError, "must be integer indices"),
    "array of anything": (np.array([0, None]), TypeError, "must be integer indices"),
    "generator": ((n for n in range(3)), TypeError, "must have positions.*received generator"),
    "iterator": (iter([0, 1]), TypeError, "must have positions.*received list_iterator"),
    "set": ({0, 1}, TypeError, "must have positions.*received set"),
    "counts of labels": (Counter([0, 0, 1]), TypeError, "must have positions.*received Counter"),
    "stream": (Stream(), TypeError, "must have positions.*received Stream.*map-style"),
    "nothing at all": (None, TypeError, "must have positions.*received NoneType"),
    "counts of a class": (class_counts([0, 1, 1]), ValueError, "labels are needed.*class counts"),
    "negative": ([0, -1], ValueError, r"at least 0, or -100 for none; received -1\. Look for"),
    "beyond -100": ([0, -101, -100], ValueError, "received -101"),
    "empty list": ([], ValueError, "at least one label is needed; received none"),
    "empty tensor": (torch.tensor([]), ValueError, "at least one label is needed"),
    "empty data set": (Folder([]), ValueError, "at least one label is needed"),
    "empty subset": (Subset(pairs(0, 1), []), ValueError, "at least one label is needed"),
    "empty parts": (
        ConcatDataset([Subset(pairs(0, 1), [])]),
        ValueError,
        "at least one label is needed",
    ),
    "items with names": (Items(["a", "b"]), TypeError, "Encode names with LabelMap.encode"),
    "items with floats": (Items([0.5, 1.0]), TypeError, "received float32"),
    "items with soft labels": (
        TensorDataset(torch.zeros(3, 1), torch.eye(3)),
        TypeError,
        "must be integer indices",
    ),
    "items below zero": (Subset(Folder([0, -1]), [0]), ValueError, "received -1"),
}


@pytest.mark.parametrize(("labels", "error", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_labels_is_refused(
    labels: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        labels_of(labels)
