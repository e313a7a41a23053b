from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from companion import LabelMap, UnknownLabelError
from companion.labels import ClassName
from label_strategies import CLASSES, NAMES, WHOLE


@st.composite
def ignoring_map(draw: st.DrawFn) -> LabelMap:
    classes = draw(CLASSES)
    ignore = draw(st.one_of(NAMES, WHOLE).filter(lambda label: label not in classes))
    return LabelMap(classes, ignore=ignore, ignore_index=draw(st.integers(-1000, -1)))


@st.composite
def ignoring_map_and_labels(draw: st.DrawFn) -> tuple[LabelMap, list[ClassName]]:
    label_map = draw(ignoring_map())
    labels = st.sampled_from([*label_map.classes, label_map.ignore])
    return label_map, draw(st.lists(labels, min_size=1, max_size=20))


@st.composite
def any_map_and_labels(draw: st.DrawFn) -> tuple[LabelMap, list[ClassName]]:
    label_map = draw(st.one_of(ignoring_map(), CLASSES.map(LabelMap)))
    labels = st.sampled_from(label_map.classes)
    return label_map, draw(st.lists(labels, min_size=1, max_size=20))


def through_a_file(stored: Any) -> Any:
    """Return what `torch.load` reads after `torch.save`, with weights_only."""
    file = io.BytesIO()
    torch.save(stored, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def through_a_pickle(stored: Any) -> Any:
    """Return what arrives in another process."""
    return pickle.loads(pickle.dumps(stored))


class TestEncoding:
    @given(ignoring_map_and_labels())
    def test_decode_undoes_encode_with_ignored_labels_among_them(
        self, drawn: tuple[LabelMap, list[ClassName]]
    ) -> None:
        label_map, labels = drawn
        assert label_map.decode(label_map.encode(labels)) == labels

    @given(ignoring_map_and_labels())
    def test_an_index_lies_in_the_map_or_is_the_ignore_index(
        self, drawn: tuple[LabelMap, list[ClassName]]
    ) -> None:
        label_map, labels = drawn
        for label, index in zip(labels, label_map.encode(labels).tolist(), strict=True):
            if label == label_map.ignore:
                assert index == label_map.ignore_index
            else:
                assert 0 <= index < len(label_map)

    @given(ignoring_map())
    def test_what_is_ignored_is_no_class(self, label_map: LabelMap) -> None:
        assert label_map.ignore not in label_map
        assert label_map.ignore not in label_map.classes
        assert len(label_map) == len(label_map.classes)

    @given(ignoring_map())
    def test_a_map_that_ignores_nothing_knows_no_ignored_label(self, label_map: LabelMap) -> None:
        with pytest.raises(UnknownLabelError) as caught:
            LabelMap(label_map.classes).encode([label_map.ignore])
        assert caught.value.unknown == [label_map.ignore]

    def test_a_map_that_ignores_nothing_decodes_no_ignore_index(self) -> None:
        with pytest.raises(IndexError, match=r"must lie in 0 … 1; received -100\. Check"):
            LabelMap([*"ab"]).decode([0, -100])

    @pytest.mark.parametrize("ignore", [255, np.uint8(255), torch.tensor(255)], ids=type)
    def test_the_ignored_label_of_a_mask_comes_in_many_forms(self, ignore: Any) -> None:
        label_map = LabelMap([10, 20], ignore=ignore)
        mask = torch.tensor([20, 255, 10], dtype=torch.uint8)
        assert label_map.encode(mask).tolist() == [1, -100, 0]
        assert type(label_map.ignore) is int

    def test_names_may_ignore_a_number_and_numbers_a_name(self) -> None:
        assert LabelMap([*"ab"], ignore=255).encode(["b", 255]).tolist() == [1, -100]
        assert LabelMap([7, 5], ignore="void").encode(["void", 5]).tolist() == [-100, 1]

    def test_cross_entropy_leaves_out_what_is_ignored(self) -> None:
        logits = torch.tensor([[2.0, -1.0], [0.5, 9.0], [-3.0, 0.0]])
        labels = LabelMap([*"ab"], ignore="void").encode(["b", "void", "a"])
        kept = cross_entropy(logits[[0, 2]], torch.tensor([1, 0]))
        assert torch.equal(cross_entropy(logits, labels), kept)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_ignored_labels_are_encoded_on_cuda(self) -> None:
        labels = torch.tensor([20, 255, 10], dtype=torch.uint8, device="cuda")
        encoded = LabelMap([10, 20], ignore=255).encode(labels)
        assert (encoded.device.type, encoded.tolist()) == ("cuda", [1, -100, 0])

    def test_labels_stay_on_their_device_whatever_the_default_is(self) -> None:
        labels = torch.tensor([20, 10])
        with torch.device("meta"):
            encoded = LabelMap((10, 20)).encode(labels)
        assert encoded.device.type == "cpu"


class TestEncodingTwice:
    @pytest.mark.parametrize(
        "carry",
        [lambda labels: labels, through_a_file, through_a_pickle, copy.deepcopy],
        ids=["as it is", "from a file", "from another process", "copied"],
    )
    def test_labels_that_this_map_encoded_are_refused(self, carry: Callable[[Any], Any]) -> None:
        @given(any_map_and_labels())
        def check(drawn: tuple[LabelMap, list[ClassName]]) -> None:
            label_map, labels = drawn
            encoded = carry(label_map.encode(labels))
            with pytest.raises(
                ValueError, match=r"encoded once; test/ come from this map's encode already"
            ):
                label_map.encode(encoded, source="test/")
            assert label_map.decode(encoded) == labels

        check()

    def test_numbers_that_would_pass_as_raw_labels_are_refused(self) -> None:
        rotated = LabelMap([1, 2, 0])
        encoded = rotated.encode([1, 2, 0])
        assert encoded.tolist() == [0, 1, 2]
        with pytest.raises(ValueError, match=r"are indices\. Use them as they are, or"):
            rotated.encode(encoded)

    @given(st.lists(NAMES, min_size=1, unique=True), st.lists(WHOLE, min_size=1))
    def test_names_take_no_integers_wherever_they_come_from(
        self, classes: list[str], numbers: list[int]
    ) -> None:
        with pytest.raises(
            UnknownLabelError,
            match="if they are indices already, do not encode them again; if they are raw labels,",
        ) as caught:
            LabelMap(classes).encode(numbers)
        assert caught.value.unknown == list(dict.fromkeys(numbers))

    def test_the_indices_of_another_map_may_be_this_maps_raw_labels(self) -> None:
        encoded = LabelMap([*"ab"]).encode(["b", "a"])
        assert LabelMap([0, 1, 2]).encode(encoded).tolist() == [1, 0]


class TestStoring:
    @given(ignoring_map())
    def test_a_checkpoint_of_model_and_map_is_read_with_weights_only(
        self, label_map: LabelMap
    ) -> None:
        head = nn.Linear(2, len(label_map))
        stored = {"model": head.state_dict(), "labels": label_map.to_dict()}
        read = through_a_file(stored)
        restored = nn.Linear(2, len(label_map))
        restored.load_state_dict(read["model"])
        assert torch.equal(restored.weight, head.weight)
        back = LabelMap.from_dict(read["labels"])
        assert back == label_map
        assert (back.ignore, back.ignore_index) == (label_map.ignore, label_map.ignore_index)

    @given(ignoring_map())
    def test_copies_and_pickles_are_equal_and_ignore_alike(self, label_map: LabelMap) -> None:
        for other in (through_a_pickle(label_map), copy.copy(label_map), copy.deepcopy(label_map)):
            assert other == label_map
            assert hash(other) == hash(label_map)
            assert other.encode([label_map.ignore]).tolist() == [label_map.ignore_index]

    def test_maps_that_ignore_differently_differ(self) -> None:
        maps = [
            LabelMap([1, 2]),
            LabelMap([1, 2], ignore=255),
            LabelMap([1, 2], ignore=0),
            LabelMap([1, 2], ignore=255, ignore_index=-1),
        ]
        assert len(set(maps)) == 4
        assert LabelMap([1, 2], ignore=255) == maps[1]

    def test_an_ignore_index_that_is_never_used_makes_no_difference(self) -> None:
        assert LabelMap([*"ab"], ignore_index=-1) == LabelMap([*"ab"])
        assert hash(LabelMap([*"ab"], ignore_index=-1)) == hash(LabelMap([*"ab"]))

    def test_it_shows_what_is_ignored(self) -> None:
        assert repr(LabelMap([1, 2], ignore=255)) == "LabelMap(2 classes: 1, 2, 255 ignored)"

    @pytest.mark.parametrize(
        "stored",
        [
            {"classes": ["a"], "colour": 1},
            {"classes": ["a"], "ignored": 255},
            {"ignore": 255, "ignore_index": -100},
            {},
        ],
        ids=["another key", "a misspelt key", "no classes", "nothing"],
    )
    def test_keys_that_a_map_does_not_write_are_refused(self, stored: dict[str, Any]) -> None:
        received = ", ".join(map(repr, stored))
        with pytest.raises(
            KeyError, match=rf"has the key 'classes' \(and 'ignore'.*received keys {received}\. "
        ):
            LabelMap.from_dict(stored)


class TestRefusals:
    @given(CLASSES, st.data())
    def test_a_class_cannot_be_ignored(self, classes: list[ClassName], data: st.DataObject) -> None:
        both = data.draw(st.sampled_from(classes))
        with pytest.raises(ValueError, match="a class or ignored, not both; received") as caught:
            LabelMap(classes, ignore=both)
        assert repr(both) in str(caught.value)

    @pytest.mark.parametrize("ignore", [255.0, True, np.float32(1.5), [255], b"void"], ids=repr)
    def test_what_is_ignored_is_a_raw_label(self, ignore: Any) -> None:
        with pytest.raises(TypeError, match=r"is one raw label, .* integer; received") as got:
            LabelMap([1, 2], ignore=ignore)
        assert repr(ignore) in str(got.value)

    @pytest.mark.parametrize("index", [0, 1, 255, True, False, -1.0, None, "-1"], ids=repr)
    def test_the_ignore_index_can_be_no_index(self, index: Any) -> None:
        with pytest.raises(ValueError, match=r"must be a negative integer.*Use -100") as caught:
            LabelMap([1, 2], ignore=255, ignore_index=index)
        assert f"received {index!r}." in str(caught.value)

    @pytest.mark.parametrize("index", [-1, -99, -101, 2])
    def test_indices_beside_the_ignore_index_are_not_decoded(self, index: int) -> None:
        with pytest.raises(IndexError, match=rf"must lie in 0 … 1; received {index}\. Check that"):
            LabelMap([1, 2], ignore=255).decode(torch.tensor([0, index, -100]))

    def test_the_ignore_index_is_no_raw_label(self) -> None:
        encoded = LabelMap([1, 2], ignore=255).encode([2, 255]).clone()
        with pytest.raises(UnknownLabelError, match="received -100 in the labels given"):
            LabelMap([2, 1], ignore=255).encode(encoded)
