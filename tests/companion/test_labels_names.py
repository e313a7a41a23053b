from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from companion import LabelMap, UnknownLabelError
from companion.labels import look_alikes

settings.register_profile("companion", deadline=None, max_examples=50)
settings.load_profile("companion")

LETTERS = st.text(st.sampled_from("abzéöñçåкж"), min_size=2, max_size=6)
WORDS = st.tuples(LETTERS, LETTERS).map(" ".join)
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
RULE = r"every label must be one of the map's \d+ classes \(.*\); received "


def decomposed(name: str) -> str:
    """Return a name as macOS used to store it."""
    return unicodedata.normalize("NFD", name)


class TestLookAlikes:
    @given(WORDS, st.sampled_from([str.upper, str.title, "{} ".format, decomposed]))
    def test_case_spaces_and_the_form_of_unicode_make_names_alike(
        self, name: str, change: Any
    ) -> None:
        other = change(name)
        assume(other != name)
        assert look_alikes([name, "something else", other]) == [[name, other]]

    @given(st.lists(st.text(st.sampled_from("abcd"), min_size=1), unique=True))
    def test_different_letters_are_not_alike(self, names: list[str]) -> None:
        assert look_alikes(names) == []

    def test_groups_and_names_keep_their_order(self) -> None:
        names = ["b", "A", "owl", "B", "a", "o w l", "a "]
        assert look_alikes(names) == [["b", "B"], ["A", "a", "a "], ["owl", "o w l"]]

    def test_a_name_is_not_alike_to_itself(self) -> None:
        assert look_alikes(["owl", "owl"]) == []

    def test_integers_are_left_out(self) -> None:
        assert look_alikes([1, "1", 1, None]) == []

    def test_case_is_that_of_every_language(self) -> None:
        assert look_alikes(["straße", "STRASSE", "ﬁn", "fin"]) == [
            ["straße", "STRASSE"],
            ["ﬁn", "fin"],
        ]

    def test_wide_letters_are_a_form_of_unicode(self) -> None:
        assert look_alikes(["\uff4f\uff57\uff4c", "owl"]) == [["\uff4f\uff57\uff4c", "owl"]]


class TestDistinctNames:
    @given(WORDS)
    def test_names_that_look_alike_are_classes_of_their_own(self, name: str) -> None:
        names = list(dict.fromkeys([name, name.upper(), f"{name} ", f" {name}", decomposed(name)]))
        label_map = LabelMap(names)
        assert len(label_map) == len(names)
        assert label_map.encode(names).tolist() == list(range(len(names)))
        assert label_map.decode(label_map.encode(names)) == names
        assert LabelMap.from_dict(label_map.to_dict()).classes == tuple(names)

    def test_the_forms_of_unicode_are_not_made_one(self) -> None:
        assert LabelMap([COMPOSED, DECOMPOSED]).encode([DECOMPOSED]).tolist() == [1]


class TestAdvice:
    @pytest.mark.parametrize(
        ("known", "received"),
        [
            ("owl", "Owl"),
            ("owl", "owl "),
            ("snowy owl", "snowyowl"),
            (COMPOSED, DECOMPOSED),
            (DECOMPOSED, COMPOSED),
        ],
        ids=["case", "space at the end", "space inside", "decomposed", "composed"],
    )
    def test_a_near_name_is_shown_beside_the_known_one(self, known: str, received: str) -> None:
        with pytest.raises(UnknownLabelError, match=rf"{RULE}{received!r} in test/\. ") as caught:
            LabelMap(["cat", known]).encode([received], source="test/")
        expected = f"set apart {received!r} for {known!r}: rename one of them."
        assert expected in str(caught.value)

    def test_near_names_are_shown_also_among_other_unknown_ones(self) -> None:
        with pytest.raises(UnknownLabelError, match=r"set apart 'CAT' for 'cat': rename"):
            LabelMap(["cat", "dog"]).encode(["emu", "CAT", 3])

    def test_names_that_are_simply_unknown_get_the_general_advice(self) -> None:
        with pytest.raises(UnknownLabelError, match=r"Drop those items \(LabelledImages\.only\)"):
            LabelMap(["cat", "dog"]).encode(["emu"])

    def test_a_near_class_of_another_map_is_shown_when_maps_are_aligned(self) -> None:
        with pytest.raises(UnknownLabelError, match=r"align\. Only case, .* 'Owl' for 'owl'"):
            LabelMap(["owl", "cat"]).align(LabelMap(["Owl", "cat"]))

    def test_strings_for_integers_are_to_be_converted(self) -> None:
        with pytest.raises(
            UnknownLabelError,
            match=rf"{RULE}'3', '5' in the labels given\. The classes are integers and these are "
            r"strings: convert them with int\(\)\.",
        ):
            LabelMap([3, 5]).encode(["3", "5"])

    def test_integers_for_names_are_indices_or_raw_labels(self) -> None:
        with pytest.raises(
            UnknownLabelError,
            match=rf"{RULE}0, 1 in the labels given\. The classes are names and these are "
            "integers: if they are indices already, do not encode them again; if they are raw",
        ):
            LabelMap(["0", "1"]).encode([0, 1])

    def test_integers_among_unknown_names_get_the_general_advice(self) -> None:
        with pytest.raises(UnknownLabelError, match=r"received 'c', 0 in .*\. Drop those"):
            LabelMap([*"ab"]).encode(["c", 0])


class TestRefusals:
    @pytest.mark.parametrize(
        ("labels", "error", "message"),
        [
            (torch.tensor([True, False]), TypeError, r"strings or integers; received 'bool'\."),
            (np.array([0.0, 1.0]), TypeError, r"received 'float'\. Convert .*labels\.long\(\)"),
            (np.array([0.0, np.nan]), TypeError, r"strings or integers; received 'float'\."),
            ([0, None], TypeError, r"strings or integers; received 'NoneType'\."),
            ([[0, 1], [1]], TypeError, r"strings or integers; received 'list'\."),
            ([0, 1.0, True], TypeError, r"strings or integers; received 'bool', 'float'\."),
            (torch.eye(2, dtype=torch.int64), ValueError, r"\(N,\); received \(2, 2\)\. Take arg"),
            (torch.tensor([[0], [1]]), ValueError, r"received \(2, 1\)\. .*squeeze a column"),
            (torch.tensor([0, -1]), UnknownLabelError, rf"{RULE}-1 in the labels given\. Drop"),
            (torch.tensor([2, 0]), UnknownLabelError, rf"{RULE}2 in the labels given\. Drop"),
            ({0, 1}, TypeError, r"one for each item in order; received a set\. Pass a list"),
            ({0: 1}, TypeError, r"one for each item in order; received a dict\. Pass a list"),
            (["0"], UnknownLabelError, rf"{RULE}'0' in the labels given\. .*with int\(\)"),
            ("01", TypeError, "a sequence of labels; received the string '01'"),
            (None, TypeError, r"labels must be .*received None"),
        ],
        ids=[
            "bool",
            "float",
            "nan",
            "a None",
            "nested",
            "mixed",
            "one-hot",
            "column",
            "negative",
            "beyond",
            "set",
            "mapping",
            "strings",
            "string",
            "None",
        ],
    )
    def test_bad_labels(self, labels: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            LabelMap([0, 1]).encode(labels)

    def test_an_array_of_numpy_scalars_is_read_like_a_list_of_them(self) -> None:
        scalars = [np.int64(1), np.int64(0)]
        assert LabelMap([0, 1]).encode(scalars).tolist() == [1, 0]
        assert LabelMap([0, 1]).encode(np.array(scalars, dtype=object)).tolist() == [1, 0]

    @given(st.lists(st.integers(-(2**62), 2**62), min_size=1), st.integers(1, 8))
    def test_indices_outside_are_named_and_never_wrapped(
        self, indices: list[int], count: int
    ) -> None:
        label_map = LabelMap([*"abcdefgh"][:count])
        if all(0 <= index < count for index in indices):
            assert label_map.decode(indices) == ["abcdefgh"[index] for index in indices]
            return
        first = next(index for index in indices if not 0 <= index < count)
        with pytest.raises(IndexError, match=rf"must lie in 0 … {count - 1}; received {first}\b"):
            label_map.decode(indices)
