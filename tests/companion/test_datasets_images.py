from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import DataLoader

from companion import LabelledImages, LabelMap, UnknownLabelError, join


def numbered(labels: Sequence[int], classes: Sequence[str] = [*"abc"]) -> LabelledImages:
    """Images whose first pixel is their position, so that they can be told apart."""
    images = torch.zeros(len(labels), 1, 2, 2)
    images[:, 0, 0, 0] = torch.arange(len(labels))
    return LabelledImages(images, torch.tensor(labels), classes)


def positions(data: LabelledImages) -> list[int]:
    """Where the images of `numbered` stood."""
    return [int(position) for position in data.images[:, 0, 0, 0].tolist()]


class TestConstruction:
    def test_it_is_a_data_set_of_pairs(self) -> None:
        data = numbered([0, 2])
        image, label = data[1]
        assert (len(data), image.shape, label.item()) == (2, (1, 2, 2), 2)
        assert repr(data) == "LabelledImages(2 images of 1×2×2, 3 classes)"

    def test_a_data_loader_batches_it(self) -> None:
        images, labels = next(iter(DataLoader(numbered([0, 2, 1]), batch_size=3)))
        assert images.shape == (3, 1, 2, 2)
        assert labels.tolist() == [0, 2, 1]

    @pytest.mark.parametrize(
        "dtype",
        [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16],
        ids=str,
    )
    def test_labels_of_any_integer_type_become_int64(self, dtype: torch.dtype) -> None:
        data = LabelledImages(torch.zeros(2, 1, 2, 2), torch.tensor([1, 0]).to(dtype), [*"ab"])
        assert data.labels.dtype == torch.int64
        assert data.labels.tolist() == [1, 0]

    def test_counts_name_classes_without_images(self) -> None:
        assert numbered([2, 0, 2]).counts() == {"a": 1, "b": 0, "c": 2}

    @pytest.mark.parametrize(
        ("images", "labels", "error", "message"),
        [
            (
                torch.zeros(2, 1, 2, 2, dtype=torch.uint8),
                torch.tensor([0, 1]),
                TypeError,
                r"must be floating point.*received torch\.uint8\. Scale .*float\(\) / 255",
            ),
            (torch.zeros(2, 2, 2), torch.tensor([0, 1]), ValueError, r"received \(2, 2, 2\).*unsq"),
            (torch.zeros(0, 1, 2, 2), torch.tensor([]), ValueError, "needs at least one image"),
            (
                torch.zeros(2, 1, 2, 2),
                torch.tensor([0]),
                ValueError,
                r"shape \(2,\), one for each row; received \(1,\)\. Index both alike",
            ),
            (
                torch.zeros(2, 1, 2, 2),
                torch.tensor([[0], [1]]),
                TypeError,
                r"shape \(N,\); received int64 of shape \(2, 1\)\. .*squeeze a column",
            ),
            (
                torch.zeros(2, 1, 2, 2),
                torch.tensor([0.0, 1.0]),
                TypeError,
                r"labels must be integer indices .*received float32 .*LabelMap\.encode",
            ),
            (torch.zeros(2, 1, 2, 2), torch.tensor([False, True]), TypeError, "received bool of"),
            (
                torch.zeros(2, 1, 2, 2),
                torch.tensor([0, 2]),
                UnknownLabelError,
                "2 classes.*received 2",
            ),
            (torch.zeros(2, 1, 2, 2), torch.tensor([-1, 0]), ValueError, "at least 0.*received -1"),
            (torch.zeros(2, 1, 2, 2), torch.tensor([-100, 0]), UnknownLabelError, "received -100"),
        ],
        ids=[
            "integer images",
            "no channels",
            "no images",
            "fewer labels",
            "column of labels",
            "float labels",
            "bool labels",
            "label beyond the classes",
            "negative label",
            "no label",
        ],
    )
    def test_bad_tensors_are_refused(
        self, images: Tensor, labels: Tensor, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            LabelledImages(images, labels, [*"ab"])

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")], ids=str)
    def test_images_that_are_not_finite_are_counted_and_found(self, bad: float) -> None:
        images = torch.zeros(4, 1, 2, 2)
        images[[1, 3], 0, 1, 1] = bad
        before = images.clone()
        with pytest.raises(ValueError, match=r"2 hold NaN or infinity, the first at position 1\."):
            LabelledImages(images, torch.tensor([0, 1, 0, 1]), [*"ab"])
        assert torch.equal(images.nan_to_num(), before.nan_to_num())

    def test_classes_named_twice_are_refused(self) -> None:
        with pytest.raises(ValueError, match="'a' occurs more than once"):
            LabelledImages(torch.zeros(1, 1, 2, 2), torch.tensor([0]), [*"aa"])


class TestSelection:
    def test_at_takes_positions_in_their_order(self) -> None:
        chosen = numbered([0, 1, 2]).at([2, 0])
        assert positions(chosen) == [2, 0]
        assert chosen.labels.tolist() == [2, 0]
        assert chosen.classes == ("a", "b", "c")

    def test_at_refuses_nothing(self) -> None:
        with pytest.raises(ValueError, match="needs at least one image"):
            numbered([0, 1]).at([])

    @pytest.mark.parametrize(
        "mask",
        [torch.tensor([True, False]), np.array([True, False]), [0.0, 1.0]],
        ids=["mask", "NumPy mask", "fractions"],
    )
    def test_at_takes_no_mask_for_positions(self, mask: Tensor) -> None:
        with pytest.raises(TypeError, match=r"must be integers; received torch\.\w+\. Of a mask"):
            numbered([0, 1]).at(mask)

    def test_only_keeps_images_and_names_and_closes_gaps(self) -> None:
        part = numbered([0, 1, 2, 2, 0]).only(["c", "a"])
        assert positions(part) == [0, 2, 3, 4]
        assert part.classes == ("a", "c")
        assert part.label_map.decode(part.labels) == ["a", "c", "c", "a"]

    def test_without_is_only_of_the_rest(self) -> None:
        data = numbered([0, 1, 2, 2, 0])
        left, kept = data.without(["b"]), data.only(["a", "c"])
        assert left.label_map == kept.label_map
        assert torch.equal(left.labels, kept.labels)
        assert torch.equal(left.images, kept.images)

    @pytest.mark.parametrize(
        ("select", "message"),
        [
            (lambda data: data.only([]), "at least one class; received none"),
            (lambda data: data.only(["b"]), "at least one image; .*'b'.* has none here. Look at"),
            (lambda data: data.without([*"abc"]), "all 3 were left out. Leave out fewer"),
        ],
        ids=["no class", "class without images", "all classes left out"],
    )
    def test_empty_subsets_are_refused(
        self, select: Callable[[LabelledImages], LabelledImages], message: str
    ) -> None:
        data = numbered([0, 2])
        with pytest.raises(ValueError, match=message):
            select(data)
        assert (positions(data), data.labels.tolist()) == ([0, 1], [0, 2])

    @pytest.mark.parametrize("method", ["only", "without"])
    def test_undeclared_classes_are_named(self, method: str) -> None:
        with pytest.raises(UnknownLabelError, match="received 'z' in the subset asked for"):
            getattr(numbered([0, 2]), method)(["a", "z"])


class TestSplit:
    @pytest.mark.parametrize("stratify", [True, False], ids=["stratified", "plain"])
    def test_parts_are_disjoint_and_complete(self, stratify: bool) -> None:
        parts = numbered([0, 1, 2] * 20).split([0.5, 0.3, 0.2], seed=0, stratify=stratify)
        assert [len(part) for part in parts] == [30, 18, 12]
        assert sorted(chain.from_iterable(map(positions, parts))) == list(range(60))

    @settings(deadline=None, max_examples=25)
    @given(
        sizes=st.lists(st.integers(10, 40), min_size=2, max_size=4),
        fractions=st.sampled_from([[0.8, 0.2], [0.5, 0.5], [0.6, 0.2, 0.2]]),
        seed=st.integers(0, 1000),
    )
    def test_stratified_parts_have_the_proportions_of_the_whole(
        self, sizes: list[int], fractions: list[float], seed: int
    ) -> None:
        labels = [label for label, size in enumerate(sizes) for _ in range(size)]
        parts = numbered(labels, [*"abcd"][: len(sizes)]).split(fractions, seed=seed)
        assert sum(map(len, parts)) == len(labels)
        for part, fraction in zip(parts, fractions, strict=True):
            for size, count in zip(sizes, part.counts().values(), strict=True):
                # One image for rounding each of the two cuts that three parts take.
                assert abs(count - fraction * size) <= len(fractions) - 1

    def test_two_parts_are_within_one_image_for_each_class(self) -> None:
        first, second = numbered([0] * 37 + [1] * 11 + [2] * 5).split([0.7, 0.3], seed=3)
        assert list(first.counts().values()) == pytest.approx([25.9, 7.7, 3.5], abs=1)
        assert list(second.counts().values()) == pytest.approx([11.1, 3.3, 1.5], abs=1)

    def test_two_parts_are_those_of_scikit_learn(self) -> None:
        data = numbered([0, 1, 2, 2] * 10)
        first, second = data.split([0.75, 0.25], seed=5)
        expected = train_test_split(
            np.arange(40), train_size=30, random_state=5, stratify=data.labels.numpy()
        )
        assert [positions(first), positions(second)] == [rows.tolist() for rows in expected]

    def test_the_seed_decides(self) -> None:
        data = numbered([0, 1, 2] * 20)
        first, again, other = (data.split([0.5, 0.5], seed=seed)[0] for seed in (1, 1, 2))
        assert positions(first) == positions(again) != positions(other)

    def test_the_global_random_state_stays(self) -> None:
        before, numpy_before = torch.get_rng_state(), repr(np.random.get_state())
        numbered([0, 1, 2] * 20).split([0.5, 0.5], seed=1)
        assert torch.equal(torch.get_rng_state(), before)
        assert repr(np.random.get_state()) == numpy_before

    @pytest.mark.parametrize(
        ("fractions", "message"),
        [
            ([0.8, 0.1], r"must add up to 1; received \[0\.8, 0\.1\], which add up to 0\.9\."),
            ([1.2, -0.2], r"two or more positive fractions; received \[1\.2, -0\.2\]"),
            ([1.0], r"two or more positive fractions; received \[1\.0\]\. For example"),
            ([], r"two or more positive fractions; received \[\]"),
            ([float("nan"), 0.5], "two or more positive fractions"),
            ([0.999, 0.001], r"12 images in fractions .* give parts of \[12, 0\]\. Use larger"),
        ],
        ids=["sum", "negative", "one", "none", "nan", "empty part"],
    )
    def test_fractions_that_make_no_split_are_refused(
        self, fractions: list[float], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            numbered([0, 1, 2] * 4).split(fractions, seed=0)

    def test_a_class_too_rare_to_stratify_is_named(self) -> None:
        data = numbered([0] * 9 + [1] * 9 + [2])
        with pytest.raises(ValueError, match=r"each of the 2 parts; received \{'c': 1\}\. Collect"):
            data.split([0.5, 0.5], seed=0)
        assert sum(map(len, data.split([0.5, 0.5], seed=0, stratify=False))) == 19

    @pytest.mark.parametrize(
        ("labels", "fractions"),
        [([0, 1, 2] * 3, [0.6, 0.2, 0.2]), ([0, 1, 2] * 6, [0.9, 0.1])],
        ids=["a class runs out", "part smaller than the classes"],
    )
    def test_parts_without_room_for_every_class_are_refused(
        self, labels: list[int], fractions: list[float]
    ) -> None:
        with pytest.raises(ValueError, match=r"room for every class; received .*stratify=False"):
            numbered(labels).split(fractions, seed=0)

    def test_classes_without_images_do_not_stop_a_split(self) -> None:
        first, second = numbered([0, 2] * 4).split([0.5, 0.5], seed=0)
        assert first.counts() == second.counts() == {"a": 2, "b": 0, "c": 2}


class TestMoving:
    def test_a_set_that_is_there_already_is_itself(self) -> None:
        data = numbered([0, 1])
        assert data.to("cpu") is data

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_a_set_moves_to_cuda_and_works_there(self) -> None:
        data = numbered([0, 1, 2] * 4)
        moved = data.to("cuda")
        assert (moved.device.type, moved.labels.device.type) == ("cuda", "cuda")
        assert data.device.type == "cpu"
        assert moved.counts() == data.counts()
        assert positions(moved.only([*"ac"])) == positions(data.only([*"ac"]))
        for here, there in zip(
            data.split([0.5, 0.5], seed=0), moved.split([0.5, 0.5], seed=0), strict=True
        ):
            assert positions(here) == positions(there)


class TestJoin:
    def test_classes_are_matched_by_name(self) -> None:
        joined = join(numbered([0, 1, 2], [*"abc"]), numbered([0, 1], [*"cb"]))
        assert joined.classes == ("a", "b", "c")
        assert joined.label_map.decode(joined.labels) == ["a", "b", "c", "c", "b"]
        assert positions(joined) == [0, 1, 2, 0, 1]

    def test_a_class_that_the_first_lacks_is_named(self) -> None:
        with pytest.raises(UnknownLabelError, match="received 'z' in the map to align"):
            join(numbered([0, 1], [*"ab"]), numbered([0, 1], [*"az"]))

    def test_shapes_must_agree(self) -> None:
        larger = LabelledImages(torch.zeros(1, 3, 4, 4), torch.tensor([0]), LabelMap(["a"]))
        with pytest.raises(ValueError, match=r"\(1, 2, 2\) and \(3, 4, 4\)\. Resize them"):
            join(numbered([0], ["a"]), larger)


def test_nothing_changes_the_set_it_is_called_on() -> None:
    data = numbered([0, 1, 2] * 4)
    images, labels = data.images.clone(), data.labels.clone()
    data.at([1]).images.fill_(9)
    data.only(["a"]).images.fill_(9)
    data.split([0.5, 0.5], seed=0)[0].images.fill_(9)
    data.with_transform(lambda batch: batch.fill_(9)).batch(torch.tensor([0, 1]))
    data.with_transform(lambda batch: batch.fill_(9))[0]
    data.with_transform(lambda batch: batch.fill_(9))[0:2]
    join(data, data).images.fill_(9)
    assert torch.equal(data.images, images)
    assert torch.equal(data.labels, labels)
    assert Counter(data.labels.tolist()) == {0: 4, 1: 4, 2: 4}
