"""Iterables without an end, loaders that fail, models that refuse, tensors without values."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, TensorDataset
from tqdm import tqdm

from companion import LabelledImages
from companion.inputs import (
    BatchReader,
    batches,
    called,
    checked_logits,
    compute_logits,
    input_batches,
    integer_labels,
    refuse_unready,
)

BATCH = (torch.zeros(2, 3), torch.tensor([0, 1]))
DATA = TensorDataset(torch.zeros(6, 3), torch.zeros(6, dtype=torch.int64))


class Forever(Sampler[int]):
    """A sampler for training that never stops, as many libraries have."""

    def __init__(self, length: int | None = None) -> None:
        self.length = length

    def __iter__(self) -> Iterator[int]:
        return itertools.cycle(range(6))

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("no length")
        return self.length


class Stream(IterableDataset[Any]):
    def __init__(self, count: int | None) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        items = itertools.repeat(BATCH)
        return iter(items) if self.count is None else itertools.islice(items, self.count)


def exhausted(data: Any) -> int:
    return sum(1 for _ in batches(data, 2))


class TestWhatHasNoEnd:
    @pytest.mark.parametrize("go", [batches, input_batches])
    @pytest.mark.parametrize(
        ("data", "name"),
        [
            (itertools.cycle([BATCH]), "cycle"),
            (itertools.repeat(BATCH), "repeat"),
            (itertools.count(), "count"),
            (tqdm(itertools.repeat(BATCH), disable=True), "repeat"),
        ],
        ids=["cycle", "repeat", "count", "tqdm"],
    )
    def test_known_by_its_type(self, go: Callable[..., Any], data: Any, name: str) -> None:
        message = rf"received itertools\.{name}, which has none\. .*list\(itertools\.islice\("
        with pytest.raises(TypeError, match=message):
            next(go(data, 2))

    def test_a_number_of_repeats_is_an_end(self) -> None:
        assert exhausted(itertools.repeat(BATCH, 3)) == 3

    @pytest.mark.parametrize("length", [None, 6], ids=["no length", "a length"])
    def test_a_loader_that_gives_far_more_than_it_has(self, length: int | None) -> None:
        loader = DataLoader(DATA, 2, sampler=Forever(length))
        with pytest.raises(ValueError, match="DataLoader has 3 by its length, and has given 107"):
            exhausted(loader)
        assert len(list(batches(loader, 2, most=200))) == 200  # whoever counts may go on

    def test_a_loader_that_gives_a_little_more_is_read_to_its_end(self) -> None:
        class Understated(list[Any]):
            def __len__(self) -> int:
                return 100

        assert exhausted(Understated(itertools.repeat(BATCH, 250))) == 250

    def test_of_many_batches_without_a_length_is_warned_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("companion.inputs.iterating.MANY", 200)
        with pytest.warns(UserWarning, match="has no length, and has given 200") as caught:
            assert exhausted(DataLoader(Stream(201), batch_size=None)) == 201
        assert len(caught) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert exhausted(DataLoader(Stream(199), batch_size=None)) == 199
            assert exhausted([BATCH] * 201) == 201


class Unequal(Dataset[Any]):
    """Pictures as they were taken."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return self.make(index), 0


SIZES = "one shape; the loader could not stack.*Resize.*collate_fn="


class TestLoadersThatCannotStack:
    @pytest.mark.parametrize(("go", "workers"), [(batches, 0), (batches, 1), (input_batches, 0)])
    def test_pictures_of_unequal_size(self, go: Callable[..., Any], workers: int) -> None:
        loader = DataLoader(
            Unequal(lambda index: torch.zeros(1, 4, 4 + index)), 4, num_workers=workers
        )
        with pytest.raises(ValueError, match=SIZES):
            next(go(loader, 4))

    def test_lists_of_unequal_length(self) -> None:
        with pytest.raises(ValueError, match=SIZES):
            next(batches(DataLoader(Unequal(lambda index: [0.0] * (index + 1)), 4), 4))

    def test_pictures_that_are_no_tensors(self) -> None:
        message = r"batches of tensors.*found <class 'object'>.*ToTensor\(\)"
        with pytest.raises(TypeError, match=message):
            next(batches(DataLoader(Unequal(lambda index: object()), 4), 4))

    def test_an_error_of_the_data_set_stays(self) -> None:
        def fail(index: int) -> Any:
            raise RuntimeError("the disk is gone")

        with pytest.raises(RuntimeError, match=r"^the disk is gone$"):
            next(batches(DataLoader(Unequal(fail), 4), 4))


class Normalised(nn.Module):
    """A model whose first computation is a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.norm(pixel_values)


FIRST = {
    "linear": nn.Linear(3, 2),
    "matrix": nn.Sequential(nn.Flatten(), nn.Linear(3, 2)),
    "batch norm": Normalised(),
    "layer norm": nn.LayerNorm(3),
    "recurrent": nn.GRU(3, 2),
    "activation": nn.GELU(),
    "convolution": nn.Conv1d(2, 2, 1),
    "pooling": nn.AdaptiveAvgPool1d(1),
}


class TestModelsThatRefuse:
    @pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
    @pytest.mark.parametrize("model", FIRST.values(), ids=FIRST)
    def test_whole_numbers(self, model: nn.Module, dtype: torch.dtype) -> None:
        message = rf"floating point, unless .*received {dtype} and failed \(.*float\(\) / 255"
        with pytest.raises(TypeError, match=message):
            called(model, torch.ones(2, 3, dtype=dtype))

    def test_whole_numbers_by_name(self) -> None:
        with pytest.raises(TypeError, match=r"received torch\.int64 and failed"):
            called(Normalised(), {"pixel_values": torch.ones(2, 3, dtype=torch.int64)})

    def test_a_table_is_given_whole_numbers(self) -> None:
        table = nn.Sequential(nn.Embedding(4, 2), nn.Flatten())
        assert compute_logits(table, torch.ones(2, 3, dtype=torch.int64)).shape == (2, 6)
        with pytest.raises(TypeError, match=r"in a table .*received torch\.float32.*long\(\)"):
            compute_logits(table, torch.ones(2, 3))

    def test_what_is_no_question_of_type_stays(self) -> None:
        class Scaling(nn.Linear):
            def forward(self, images: Tensor) -> Tensor:
                return super().forward(images.float() / 255)

        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            called(Scaling(5, 2), torch.ones(2, 3, dtype=torch.uint8))

    def test_a_batch_of_one_in_batch_norm(self) -> None:
        with pytest.raises(ValueError, match=r"two images where BatchNorm .*drop_last=True"):
            called(Normalised(), torch.ones(1, 3))


META = torch.zeros(2, 3, device="meta")
LABELS = torch.zeros(2, device="meta", dtype=torch.int64)


@pytest.mark.parametrize(
    "read",
    [
        lambda: integer_labels(LABELS),
        lambda: checked_logits(META),
        lambda: BatchReader()((META, [0, 1])),
        lambda: BatchReader()({"image": np.zeros((2, 3)), "label": LABELS}),
        lambda: LabelledImages(torch.zeros(2, 1, 3, 3), LABELS, ["a"]),
        lambda: LabelledImages(torch.zeros(2, 1, 3, 3, device="meta"), [0, 0], ["a"]),
        lambda: refuse_unready(nn.Linear(2, 2, device="meta")),
    ],
    ids=["labels", "logits", "inputs", "batch", "labels of a set", "images of a set", "weights"],
)
def test_what_has_no_values_is_refused(read: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=r"must have values; received a tensor .*meta device"):
        read()
