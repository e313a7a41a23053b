from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from companion import LabelMap, UnknownLabelError
from companion.labels import ClassName
from label_strategies import CLASSES

INTEGER_TYPES = [
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint16,
    torch.uint32,
    torch.uint64,
]


@st.composite
def map_and_labels(draw: st.DrawFn) -> tuple[LabelMap, list[ClassName]]:
    classes = draw(CLASSES)
    return LabelMap(classes), draw(st.lists(st.sampled_from(classes), max_size=20))


@st.composite
def map_and_part(draw: st.DrawFn) -> tuple[LabelMap, list[ClassName]]:
    classes = draw(CLASSES)
    return LabelMap(classes), draw(st.lists(st.sampled_from(classes), min_size=1, unique=True))


class TestRoundTrips:
    @given(map_and_labels())
    def test_decode_undoes_encode(self, drawn: tuple[LabelMap, list[ClassName]]) -> None:
        label_map, labels = drawn
        assert label_map.decode(label_map.encode(labels)) == labels

    @given(CLASSES, st.data())
    def test_encode_undoes_decode(self, classes: list[ClassName], data: st.DataObject) -> None:
        label_map = LabelMap(classes)
        indices = data.draw(st.lists(st.integers(0, len(classes) - 1), max_size=20))
        assert label_map.encode(label_map.decode(indices)).tolist() == indices

    @given(CLASSES)
    def test_the_position_of_a_class_is_its_index(self, classes: list[ClassName]) -> None:
        assert LabelMap(classes).encode(classes).tolist() == list(range(len(classes)))

    @given(CLASSES)
    def test_a_dictionary_gives_the_same_map_back(self, classes: list[ClassName]) -> None:
        label_map = LabelMap(classes)
        assert LabelMap.from_dict(label_map.to_dict()) == label_map

    @given(CLASSES)
    def test_a_checkpoint_gives_the_same_map_back(self, classes: list[ClassName]) -> None:
        label_map, file = LabelMap(classes), io.BytesIO()
        torch.save({"label_map": label_map.to_dict()}, file)
        file.seek(0)
        stored = torch.load(file, weights_only=True)["label_map"]
        assert LabelMap.from_dict(stored).classes == label_map.classes

    @given(CLASSES)
    def test_copies_and_pickles_are_equal(self, classes: list[ClassName]) -> None:
        label_map = LabelMap(classes)
        assert pickle.loads(pickle.dumps(label_map)) == label_map == copy.deepcopy(label_map)


class TestSubsetAndAlign:
    @given(map_and_part())
    def test_a_subset_keeps_the_order_and_the_names(
        self, drawn: tuple[LabelMap, list[ClassName]]
    ) -> None:
        label_map, part = drawn
        expected = tuple(name for name in label_map.classes if name in part)
        assert label_map.subset(part).classes == expected

    @given(map_and_part())
    def test_align_is_the_encoding_of_the_other_maps_names(
        self, drawn: tuple[LabelMap, list[ClassName]]
    ) -> None:
        label_map, part = drawn
        other = LabelMap(part)
        assert label_map.align(other).tolist() == label_map.encode(part).tolist()

    @given(map_and_part())
    def test_aligned_indices_mean_the_same_class(
        self, drawn: tuple[LabelMap, list[ClassName]]
    ) -> None:
        label_map, part = drawn
        other = LabelMap(part)
        indices = torch.arange(len(other))
        assert label_map.decode(label_map.align(other)[indices]) == other.decode(indices)

    @given(map_and_part())
    def test_align_marks_what_is_missing(self, drawn: tuple[LabelMap, list[ClassName]]) -> None:
        label_map, part = drawn
        narrow = LabelMap(part)
        found = narrow.align(label_map, missing=-1).tolist()
        assert found == [part.index(name) if name in part else -1 for name in label_map.classes]

    def test_align_is_not_its_own_inverse(self) -> None:
        # A rotation of three classes, where the transposed map would differ.
        mine, theirs = LabelMap([*"abc"]), LabelMap([*"cab"])
        assert mine.align(theirs).tolist() == [2, 0, 1]
        assert theirs.align(mine).tolist() == [1, 2, 0]

    def test_align_names_the_classes_that_are_missing(self) -> None:
        with pytest.raises(UnknownLabelError, match="'owl' in the map to align") as caught:
            LabelMap(["cat", "dog"]).align(LabelMap(["owl", "cat"]))
        assert caught.value.unknown == ["owl"]

    @pytest.mark.parametrize("missing", [0, 3])
    def test_what_is_missing_must_not_look_like_an_index(self, missing: int) -> None:
        with pytest.raises(
            ValueError, match=rf"must be a negative integer.*received {missing}\. Use -1"
        ):
            LabelMap([*"ab"]).align(LabelMap([*"bc"]), missing=missing)

    def test_integers_and_strings_share_no_class(self) -> None:
        with pytest.raises(ValueError, match=r"no class in common.*integers against strings"):
            LabelMap([1, 2]).align(LabelMap(["1", "2"]), missing=-1)

    def test_a_subset_of_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least one class; received none"):
            LabelMap([*"ab"]).subset([])

    def test_a_subset_names_what_it_lacks(self) -> None:
        with pytest.raises(UnknownLabelError, match="received 'z' in the subset asked for"):
            LabelMap([*"ab"]).subset(["a", "z"])


class TestForms:
    @pytest.mark.parametrize("dtype", INTEGER_TYPES, ids=str)
    def test_every_integer_type_is_encoded_as_int64(self, dtype: torch.dtype) -> None:
        encoded = LabelMap([10, 20, 120]).encode(torch.tensor([120, 10]).to(dtype))
        assert encoded.dtype == torch.int64
        assert encoded.tolist() == [2, 0]

    @pytest.mark.parametrize("dtype", INTEGER_TYPES, ids=str)
    def test_every_integer_type_is_decoded(self, dtype: torch.dtype) -> None:
        assert LabelMap([*"abc"]).decode(torch.tensor([2, 0]).to(dtype)) == ["c", "a"]

    @pytest.mark.parametrize(
        "labels",
        [
            ["b", "a"],
            ("b", "a"),
            (name for name in "ba"),
            np.array(["b", "a"]),
            np.array(["b", "a"], dtype=object),
            [np.str_("b"), "a"],
        ],
        ids=["list", "tuple", "generator", "array", "object array", "NumPy scalars"],
    )
    def test_names_come_in_many_forms(self, labels: object) -> None:
        assert LabelMap([*"ab"]).encode(labels).tolist() == [1, 0]  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "labels",
        [
            [7, 5],
            np.array([7, 5], dtype=np.uint8),
            torch.tensor([7, 5]),
            list(torch.tensor([7, 5])),
        ],
        ids=["list", "array", "tensor", "list of tensors"],
    )
    def test_numbers_come_in_many_forms(self, labels: object) -> None:
        assert LabelMap([5, 7]).encode(labels).tolist() == [1, 0]  # type: ignore[arg-type]

    def test_classes_may_be_a_tensor(self) -> None:
        assert LabelMap(torch.tensor([3, 1])).classes == (3, 1)

    def test_no_labels_are_no_indices(self) -> None:
        encoded = LabelMap([*"ab"]).encode([])
        assert (encoded.shape, encoded.dtype) == ((0,), torch.int64)

    def test_the_device_is_kept(self) -> None:
        assert LabelMap([5, 7]).encode(torch.tensor([5])).device.type == "cpu"

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_the_device_is_kept_on_cuda(self) -> None:
        encoded = LabelMap([5, 7]).encode(torch.tensor([7, 5], device="cuda"))
        assert encoded.device.type == "cuda"
        assert LabelMap([5, 7]).decode(encoded) == [7, 5]

    def test_the_labels_stay_as_they_were(self) -> None:
        labels = torch.tensor([7, 5])
        LabelMap([5, 7]).encode(labels)
        assert labels.tolist() == [7, 5]


class TestContents:
    def test_maps_are_equal_when_names_and_order_are(self) -> None:
        assert LabelMap([*"ab"]) == LabelMap(["a", "b"])
        assert hash(LabelMap([*"ab"])) == hash(LabelMap(["a", "b"]))
        assert LabelMap([*"ab"]) != LabelMap([*"ba"])
        assert LabelMap([*"ab"]) != ("a", "b")

    @pytest.mark.parametrize(
        "name", [1, np.int64(1), torch.tensor(1)], ids=["int", "NumPy", "torch"]
    )
    def test_a_class_is_contained_in_any_form(self, name: object) -> None:
        assert name in LabelMap([1, 2])

    @pytest.mark.parametrize(
        "name", [True, 1.0, "1", None, [1], 3], ids=["bool", "float", "str", "None", "list", "3"]
    )
    def test_what_only_looks_like_a_class_is_not_contained(self, name: object) -> None:
        assert name not in LabelMap([1, 2])

    def test_a_long_map_is_shown_in_brief(self) -> None:
        assert repr(LabelMap(range(9))) == "LabelMap(9 classes: 0, 1, 2, 3, 4, 5 and 3 more)"


class TestRefusals:
    def test_unknown_labels_are_named_once_with_their_source_and_the_next_step(self) -> None:
        label_map = LabelMap(["cat", "dog"])
        with pytest.raises(
            UnknownLabelError,
            match=r"every label must be one of the map's 2 classes \('cat', 'dog'\); received "
            r"'owl', 'emu' in test/\. Drop those items \(LabelledImages\.only\), or build",
        ) as caught:
            label_map.encode(["owl", "cat", "owl", "emu"], source="test/")
        assert caught.value.unknown == ["owl", "emu"]
        assert caught.value.source == "test/"

    def test_an_integer_is_no_name(self) -> None:
        with pytest.raises(UnknownLabelError, match="received 3 in the labels given"):
            LabelMap(["3"]).encode([3])

    def test_an_unknown_label_error_survives_the_way_from_another_process(self) -> None:
        with pytest.raises(UnknownLabelError) as caught:
            LabelMap([*"ab"]).encode(["z"], source="test/")
        arrived = pickle.loads(pickle.dumps(caught.value))
        assert (str(arrived), arrived.unknown) == (str(caught.value), ["z"])

    @pytest.mark.parametrize(
        ("classes", "error", "message"),
        [
            ([], ValueError, "at least one class; received none"),
            (["a", "b", "a"], ValueError, "named once; 'a' occurs more than once. Remove"),
            ([1, np.int64(1)], ValueError, "named once; 1 occurs more than once"),
            (["1", 1], ValueError, "all strings or all integers; received '1', 1"),
            ([True, False], TypeError, "strings or integers; received 'bool'. Convert"),
            ([1.0, 2.0], TypeError, "strings or integers; received 'float'. Convert"),
            ([None], TypeError, "strings or integers; received 'NoneType'"),
        ],
        ids=["none", "twice", "twice as NumPy", "mixed", "bool", "float", "None"],
    )
    def test_classes(self, classes: list[ClassName], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            LabelMap(classes)

    @pytest.mark.parametrize(
        ("labels", "error", "message"),
        [
            ([True], TypeError, "strings or integers; received 'bool'"),
            ([1.0], TypeError, r"received 'float'\. Convert them first: labels\.long\(\)"),
            (torch.tensor([1.0]), TypeError, "received 'float'"),
            (torch.tensor([True]), TypeError, "received 'bool'"),
            (torch.zeros(2, 1, dtype=torch.int64), ValueError, r"\(N,\); received \(2, 1\)\. Take"),
            (torch.tensor(1), ValueError, r"shape \(N,\); received \(\)"),
            (np.zeros((1, 2), dtype=int), ValueError, r"shape \(N,\); received \(1, 2\)"),
            ("1", TypeError, "must be a sequence of labels; received the string '1'"),
        ],
        ids=["bool", "float", "float tensor", "bool tensor", "column", "scalar", "row", "string"],
    )
    def test_labels(self, labels: object, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            LabelMap([0, 1]).encode(labels)  # type: ignore[arg-type]

    @pytest.mark.parametrize("indices", [[-1], [2], torch.tensor([0, 5])], ids=["-1", "2", "5"])
    def test_indices_outside_the_map(self, indices: list[int]) -> None:
        with pytest.raises(IndexError, match=r"must lie in 0 … 1; received (-1|2|5)\. Check"):
            LabelMap([*"ab"]).decode(indices)

    def test_names_are_not_decoded(self) -> None:
        with pytest.raises(TypeError, match=r"integers; received 'a'\..* call encode"):
            LabelMap([*"ab"]).decode(["a"])  # type: ignore[list-item]

    @pytest.mark.parametrize("indices", [[True], [0.0]], ids=["bool", "float"])
    def test_indices_that_are_no_integers(self, indices: list[int]) -> None:
        with pytest.raises(TypeError, match="must be strings or integers"):
            LabelMap([*"ab"]).decode(indices)

    def test_a_stored_map_without_classes(self) -> None:
        with pytest.raises(KeyError, match=r"has the key 'classes' .*received keys 'names'\. Pass"):
            LabelMap.from_dict({"names": ["a"]})


def test_a_single_string_is_no_sequence_of_names() -> None:
    with pytest.raises(TypeError, match="sequence of names; received the string 'cat'"):
        LabelMap("cat")
