from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from companion import LabelMap, UnknownLabelError
from companion.labels import ClassName
from label_strategies import NAMES, WHOLE

POOLS = st.one_of(
    st.lists(NAMES, min_size=3, max_size=12, unique=True),
    st.lists(WHOLE, min_size=3, max_size=12, unique=True),
)
SIGNED = [torch.int8, torch.int16, torch.int32, torch.int64]
UNSIGNED = [torch.uint8, torch.uint16, torch.uint32, torch.uint64]


class ElsewhereByName(torch.Tensor):
    """A tensor on the CPU that says it is on another device, as every machine has."""

    device = torch.device("meta")


def without_what_is_ignored(pool: list[ClassName]) -> st.SearchStrategy[list[ClassName]]:
    """Draw distinct classes of a pool in any order, its last name left for what is ignored."""
    return st.lists(st.sampled_from(pool[:-1]), min_size=1, unique=True)


@st.composite
def two_maps(draw: st.DrawFn) -> tuple[LabelMap, LabelMap]:
    """Two maps of names or numbers, with classes in common or not, that may ignore."""
    pool = draw(POOLS)
    classes = without_what_is_ignored(pool)
    mine, theirs = (
        LabelMap(draw(classes), ignore=draw(st.sampled_from([None, pool[-1]]))) for _ in range(2)
    )
    return mine, theirs


@st.composite
def wide_and_narrow(draw: st.DrawFn) -> tuple[LabelMap, LabelMap]:
    """A map of all classes and one of some, in other orders, that ignore under one name."""
    pool = draw(POOLS)
    wide = LabelMap(draw(st.permutations(pool[:-1])), ignore=pool[-1], ignore_index=-7)
    return wide, LabelMap(draw(without_what_is_ignored(pool)), ignore=pool[-1], ignore_index=-9)


class TestUnion:
    @given(two_maps())
    def test_the_first_maps_indices_stay(self, maps: tuple[LabelMap, LabelMap]) -> None:
        first, second = maps
        both = first.union(second)
        assert both.classes[: len(first)] == first.classes
        assert both.encode(first.classes).tolist() == list(range(len(first)))

    @given(two_maps())
    def test_it_holds_both_and_nothing_else(self, maps: tuple[LabelMap, LabelMap]) -> None:
        first, second = maps
        both = first.union(second)
        assert set(both.classes) == {*first.classes, *second.classes}
        new = [name for name in second.classes if name not in first]
        assert list(both.classes[len(first) :]) == new

    @given(two_maps())
    def test_it_is_idempotent(self, maps: tuple[LabelMap, LabelMap]) -> None:
        first, second = maps
        both = first.union(second)
        assert first.union(first) == first
        assert both.union(first) == both.union(second) == both.union(both) == both

    @given(two_maps())
    def test_either_map_aligns_with_it(self, maps: tuple[LabelMap, LabelMap]) -> None:
        both = maps[0].union(maps[1])
        for part in maps:
            assert both.decode(both.align(part)) == list(part.classes)

    def test_it_ignores_what_the_first_ignores_and_otherwise_the_second(self) -> None:
        plain = LabelMap([1, 2])
        first, second = LabelMap([1], ignore=0, ignore_index=-1), LabelMap([3], ignore=255)
        for both in (first.union(second), first.union(plain), plain.union(first)):
            assert (both.ignore, both.ignore_index) == (0, -1)
        assert plain.union(LabelMap([3])).ignore is None

    @pytest.mark.parametrize(
        ("first", "second", "message"),
        [
            (LabelMap(["1"]), LabelMap([1]), "all strings or all integers; received '1', 1"),
            (LabelMap([1], ignore=2), LabelMap([2]), "ignored, not both; received 2 as both"),
            (LabelMap([2]), LabelMap([1], ignore=2), "ignored, not both; received 2 as both"),
        ],
        ids=["kinds", "a class that the first ignores", "a class that the second ignores"],
    )
    def test_maps_that_contradict_each_other_have_none(
        self, first: LabelMap, second: LabelMap, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            first.union(second)


class TestTranslate:
    @given(wide_and_narrow(), st.data())
    def test_it_is_encode_after_decode(
        self, maps: tuple[LabelMap, LabelMap], data: st.DataObject
    ) -> None:
        wide, narrow = maps
        known = st.sampled_from([*range(len(narrow)), narrow.ignore_index])
        indices = torch.tensor(data.draw(st.lists(known, min_size=1, max_size=20)))
        found = wide.translate(indices, narrow)
        assert found.tolist() == wide.encode(narrow.decode(indices)).tolist()
        assert found.dtype == torch.int64

    @given(two_maps(), st.integers(-50, -1))
    def test_what_is_missing_is_marked_and_the_rest_means_the_same(
        self, maps: tuple[LabelMap, LabelMap], missing: int
    ) -> None:
        mine, theirs = maps
        indices = torch.arange(len(theirs))
        if not {*mine.classes} & {*theirs.classes}:
            with pytest.raises(ValueError, match="no class in common cannot be aligned; received"):
                mine.translate(indices, theirs, missing=missing)
            return
        found = mine.translate(indices, theirs, missing=missing).tolist()
        for name, index in zip(theirs.classes, found, strict=True):
            assert index == (mine.classes.index(name) if name in mine.classes else missing)

    @given(wide_and_narrow(), st.integers(1, 4), st.integers(1, 4), st.randoms())
    def test_masks_keep_their_shape_and_stay_as_they_were(
        self, maps: tuple[LabelMap, LabelMap], height: int, width: int, random: Any
    ) -> None:
        wide, narrow = maps
        known = [*range(len(narrow)), narrow.ignore_index]
        mask = torch.tensor([[random.choice(known) for _ in range(width)] for _ in range(height)])
        before = mask.clone()
        found = wide.translate(mask, narrow)
        assert found.shape == (height, width)
        assert torch.equal(found.flatten(), wide.translate(mask.flatten(), narrow))
        assert torch.equal(mask, before)

    @pytest.mark.parametrize("dtype", [*SIGNED, *UNSIGNED], ids=str)
    def test_every_integer_type_is_translated(self, dtype: torch.dtype) -> None:
        labels = torch.tensor([[0, 2], [1, 1]]).to(dtype)
        found = LabelMap([*"abc"]).translate(labels, LabelMap([*"cab"]))
        assert (found.dtype, found.tolist()) == (torch.int64, [[2, 1], [0, 0]])
        assert (labels.dtype, labels.tolist()) == (dtype, [[0, 2], [1, 1]])

    @pytest.mark.parametrize("dtype", SIGNED, ids=str)
    def test_every_signed_type_may_be_ignored(self, dtype: torch.dtype) -> None:
        mine, theirs = LabelMap([*"ab"], ignore="void", ignore_index=-1), LabelMap(["b"], ignore=0)
        labels = torch.tensor([0, -100]).to(dtype)
        assert mine.translate(labels, theirs).tolist() == [1, -1]

    @pytest.mark.parametrize("shape", [(0,), (), (2, 0)], ids=str)
    def test_no_labels_and_a_single_one_keep_their_shape(self, shape: tuple[int, ...]) -> None:
        labels = torch.zeros(shape, dtype=torch.int64)
        assert LabelMap([*"ab"]).translate(labels, LabelMap([*"ba"])).shape == shape

    @pytest.mark.parametrize(("index", "wrapped"), [(-1, "c"), (-2, "a"), (-3, "b")])
    def test_a_negative_index_is_refused_that_a_table_would_wrap(
        self, index: int, wrapped: str
    ) -> None:
        mine, theirs = LabelMap([*"abc"]), LabelMap([*"bac"])
        labels = torch.tensor([0, index])
        assert mine.decode(mine.align(theirs)[labels])[1] == wrapped
        with pytest.raises(IndexError, match=rf"must lie in 0 … 2; received {index}\. Check that"):
            mine.translate(labels, theirs)

    @given(wide_and_narrow(), st.integers(0, 2**62))
    def test_an_index_beyond_the_other_map_is_refused(
        self, maps: tuple[LabelMap, LabelMap], excess: int
    ) -> None:
        wide, narrow = maps
        index = len(narrow) + excess
        with pytest.raises(IndexError, match=rf"0 … {len(narrow) - 1}; received {index}\. Check"):
            wide.translate(torch.tensor([[index, 0]]), narrow)

    def test_an_index_beyond_int64_is_refused(self) -> None:
        largest = torch.tensor(-1).view(torch.uint64)
        with pytest.raises(IndexError, match=r"received 18446744073709551615\. Check"):
            LabelMap([*"ab"], ignore=0).translate(largest, LabelMap([*"ba"], ignore=0))

    def test_a_map_that_ignores_nothing_takes_no_ignored_labels(self) -> None:
        mine, theirs = LabelMap([*"ab"]), LabelMap([*"ba"], ignore="void")
        assert mine.translate(torch.tensor([0, 1]), theirs).tolist() == [1, 0]
        with pytest.raises(
            UnknownLabelError, match=r"2 classes.*received 'void' in what the other map ignores\."
        ):
            mine.translate(torch.tensor([0, -100]), theirs, missing=-1)

    @pytest.mark.parametrize(
        ("labels", "kind"), [(torch.tensor([0.0]), "float"), (torch.tensor([True]), "bool")]
    )
    def test_labels_that_are_no_integers(self, labels: torch.Tensor, kind: str) -> None:
        with pytest.raises(TypeError, match=rf"strings or integers; received '{kind}'\. Convert"):
            LabelMap([*"ab"]).translate(labels, LabelMap([*"ba"]))

    def test_the_table_goes_where_the_labels_are(self) -> None:
        labels = torch.tensor([0, 2, 1]).as_subclass(ElsewhereByName)
        assert LabelMap([*"abc"]).translate(labels, LabelMap([*"cab"])).is_meta

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64], ids=str)
    def test_labels_on_cuda_stay_there(self, dtype: torch.dtype) -> None:
        labels = torch.tensor([[0, 2], [1, 1]], device="cuda").to(dtype)
        found = LabelMap([*"abc"]).translate(labels, LabelMap([*"cab"]))
        assert (found.device.type, found.tolist()) == ("cuda", [[2, 1], [0, 0]])


class TestAlignAndSubset:
    @pytest.mark.parametrize("missing", [None, -1], ids=["refused", "marked"])
    def test_maps_with_nothing_in_common(self, missing: int | None) -> None:
        with pytest.raises(ValueError, match=r"'a', 'b'.*'c'"):
            LabelMap([*"ab"]).align(LabelMap(["c"]), missing=missing)

    def test_what_is_ignored_is_no_class_in_common(self) -> None:
        with pytest.raises(ValueError, match="no class in common cannot be aligned; received 1"):
            LabelMap([1], ignore=255).align(LabelMap([2], ignore=255), missing=-1)

    def test_a_class_that_this_map_ignores_is_one_that_it_lacks(self) -> None:
        mine, theirs = LabelMap([1, 2], ignore=255), LabelMap([2, 255])
        assert mine.align(theirs, missing=-1).tolist() == [1, -1]
        with pytest.raises(UnknownLabelError, match="received 255 in the map to align"):
            mine.align(theirs)

    @given(wide_and_narrow())
    def test_a_subset_ignores_what_the_whole_ignores(self, maps: tuple[LabelMap, LabelMap]) -> None:
        wide, narrow = maps
        part = wide.subset(narrow.classes)
        assert {*part.classes} == {*narrow.classes}
        assert (part.ignore, part.ignore_index) == (wide.ignore, -7)

    def test_what_is_ignored_cannot_be_asked_for(self) -> None:
        with pytest.raises(UnknownLabelError, match="received 255 in the subset asked for"):
            LabelMap([1, 2], ignore=255).subset([1, 255])
