from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from companion import LabelledImages, LabelMap, UnknownLabelError
from companion.labels import Encoder

DIGITS = LabelMap([*"01", "10"])


def digit_images() -> LabelledImages:
    """One image of each of the classes "0", "1" and "10"."""
    return LabelledImages(torch.zeros(3, 1, 2, 2), torch.arange(3), DIGITS)


class TestMappings:
    def test_from_name_to_index_is_read_as_what_it_says(self) -> None:
        assert LabelMap({"dog": 1, "cat": 0, "owl": 2}).classes == ("cat", "dog", "owl")
        assert LabelMap({20: 1, 10: 0}).classes == (10, 20)

    def test_a_torchvision_folders_own_mapping_is_read(self, tmp_path: Path) -> None:
        for name in ("10", "2"):
            (tmp_path / name).mkdir()
            Image.new("L", (2, 2)).save(tmp_path / name / "a.png")
        folder = ImageFolder(str(tmp_path))
        assert LabelMap(folder.class_to_idx).classes == tuple(folder.classes) == ("10", "2")

    def test_from_index_to_name_is_read_too(self) -> None:
        assert LabelMap({1: "dog", 0: "cat"}).classes == ("cat", "dog")

    @pytest.mark.parametrize("form", [int, np.int64, torch.tensor], ids=["int", "numpy", "tensor"])
    def test_whole_numbers_that_may_be_read_both_ways_are_refused(self, form: Any) -> None:
        mapping = {key: form(value) for key, value in {0: 1, 1: 2, 2: 0}.items()}
        message = r"received \(0, 1\), .*sorted\(mapping.*2, 0, 1, where.*1, 2, 0, where they are"
        with pytest.raises(ValueError, match=message):
            LabelMap(mapping)

    def test_whole_numbers_that_read_the_same_both_ways_are_no_question(self) -> None:
        assert LabelMap({0: 0, 1: 1}).classes == (0, 1)
        assert LabelMap({0: 1, 1: 0, 2: 2}).classes == (1, 0, 2)

    def test_the_order_of_the_entries_changes_nothing(self) -> None:
        entries = {"a": 2, "b": 0, "c": 1}
        assert LabelMap(entries) == LabelMap(dict(reversed(entries.items())))

    def test_numpys_indices_are_indices(self) -> None:
        assert LabelMap({"a": np.int64(1), "b": torch.tensor(0)}).classes == ("b", "a")

    @pytest.mark.parametrize(
        ("mapping", "error", "message"),
        [
            ({"a": 0, "b": 2}, ValueError, r"0 … 1, each once; received no 1, 2, which is outside"),
            ({"a": 0, "b": 0}, ValueError, r"received 0 twice or more, no 1\. Give each class"),
            ({"a": 1, "b": 2}, ValueError, "received no 0, 2, which is outside"),
            ({"a": -1, "b": 0}, ValueError, "received no 1, -1, which is outside"),
            ({"a": 0.0, "b": 1.0}, TypeError, r"name to index.*received \('a', 0\.0\)"),
            ({"a": True, "b": False}, TypeError, r"received \('a', True\)"),
            ({"0": "a", "1": "b"}, TypeError, r"received \('0', 'a'\).*Pass class_to_idx"),
            ({}, ValueError, "at least one class; received none"),
            ({1.5: 0, 2.5: 1}, TypeError, "strings or integers; received 'float'"),
        ],
        ids=["gap", "twice", "from one", "negative", "float", "bool", "names", "none", "keys"],
    )
    def test_indices_that_are_not_each_there_once(
        self, mapping: dict[Any, Any], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            LabelMap(mapping)

    def test_the_classes_of_a_set_of_images_may_be_a_mapping(self) -> None:
        data = LabelledImages(torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]), {"b": 0, "a": 1})
        assert data.classes == ("b", "a")


class TestSets:
    @pytest.mark.parametrize("kind", [set, frozenset])
    def test_a_set_is_no_order(self, kind: Callable[[str], Any]) -> None:
        with pytest.raises(TypeError, match=r"a set, whose order changes .* Pass sorted\(\.\.\.\)"):
            LabelMap(kind("abc"))

    def test_its_order_does_change_from_process_to_process(self) -> None:
        program = "print(*{'cat', 'dog', 'owl', 'emu', 'ant'})"
        orders = {
            subprocess.run(
                [sys.executable, "-c", program],
                env={"PYTHONHASHSEED": str(seed)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in range(4)
        }
        assert len(orders) > 1

    def test_a_dictionarys_keys_have_an_order(self) -> None:
        assert LabelMap({"b": "x", "a": "y"}.keys()).classes == ("b", "a")

    def test_where_order_means_nothing_a_set_is_read(self) -> None:
        assert DIGITS.subset({"10", "0"}).classes == ("0", "10")
        assert digit_images().only({"10", "0"}).classes == ("0", "10")
        assert digit_images().without({"1"}).classes == ("0", "10")

    def test_the_indices_of_a_set_are_sorted(self) -> None:
        many = LabelMap([f"class {number}" for number in range(30)])
        assert many.indices_of({*many}, source="seen").tolist() == list(range(30))


class TestSingleStrings:
    @pytest.mark.parametrize("method", ["only", "without"])
    @pytest.mark.parametrize("name", ["10", "01"])
    def test_the_letters_of_a_string_are_no_classes(self, method: str, name: str) -> None:
        with pytest.raises(TypeError, match=rf"the string '{name}'\. Put it in a list: \['{name}"):
            getattr(digit_images(), method)(name)

    def test_neither_in_a_subset_nor_as_indices(self) -> None:
        with pytest.raises(TypeError, match="the subset asked for must be a sequence of names"):
            DIGITS.subset("10")
        with pytest.raises(TypeError, match="candidates must be a sequence of names"):
            DIGITS.indices_of("10", source="candidates")

    def test_a_numpy_string_is_a_string(self) -> None:
        with pytest.raises(TypeError, match=r"received the string '10'\. Put it in a list"):
            digit_images().only(np.array("10"))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            ({"1": 5}, "a mapping, whose values would be lost"),
            (10, r"received 10\. Put it in a list: \[10\]"),
            (None, "received None"),
            ([["1"]], "strings or integers; received 'list'"),
            ([None], "strings or integers; received 'NoneType'"),
            ([b"1"], "strings or integers; received 'bytes'"),
            (np.array([["0", "1"]]), "strings or integers; received 'list'"),
        ],
        ids=["mapping", "integer", "None", "nested", "a None", "bytes", "two dimensions"],
    )
    def test_what_is_no_sequence_of_names(self, classes: Any, message: str) -> None:
        with pytest.raises(TypeError, match=message):
            digit_images().only(classes)

    @pytest.mark.parametrize(
        "classes", [["10", "0"], ("10", "0"), np.array(["10", "0"]), LabelMap(["10", "0"])]
    )
    def test_what_is_one(self, classes: Any) -> None:
        assert digit_images().only(classes).classes == ("0", "10")


class TestLookUp:
    def test_a_class_gives_its_index(self) -> None:
        assert [LabelMap([*"ba"])[name] for name in "ab"] == [1, 0]
        assert LabelMap([10, 20])[np.int64(20)] == 1
        assert type(LabelMap(["a"])["a"]) is int

    def test_another_name_is_an_unknown_label_and_a_missing_key(self) -> None:
        with pytest.raises(UnknownLabelError, match=r"received 'owl' in label_map\[…\]\. Drop"):
            LabelMap(["cat"])["owl"]
        with pytest.raises(KeyError, match="received 'owl'"):
            LabelMap(["cat"])["owl"]

    def test_the_message_is_not_put_in_quotes(self) -> None:
        with pytest.raises(UnknownLabelError, match=r"^every label must"):
            LabelMap(["cat"])["owl"]

    def test_what_is_ignored_has_no_index(self) -> None:
        with pytest.raises(KeyError, match="received 'void'"):
            LabelMap(["cat"], ignore="void")["void"]

    def test_an_index_is_no_name(self) -> None:
        with pytest.raises(UnknownLabelError, match="classes are names and these are integers"):
            LabelMap(["cat"])[0]  # type: ignore[index]

    def test_true_is_not_one(self) -> None:
        with pytest.raises(TypeError, match="strings or integers; received 'bool'"):
            LabelMap([0, 1])[True]

    def test_iterating_gives_the_classes_in_order(self) -> None:
        label_map = LabelMap([*"cab"])
        assert list(label_map) == ["c", "a", "b"]
        assert {name: label_map[name] for name in label_map} == {"c": 0, "a": 1, "b": 2}

    def test_a_map_of_a_map_keeps_what_it_ignores(self) -> None:
        label_map = LabelMap([1, 2], ignore=255, ignore_index=-1)
        assert LabelMap(label_map) == label_map
        assert LabelMap(label_map, ignore=0).ignore == 0


class TestEncoder:
    def test_a_folders_indices_become_the_heads(self, tmp_path: Path) -> None:
        for name in ("10", "2", "1"):
            (tmp_path / name).mkdir()
            Image.new("L", (2, 2), 20 * int(name)).save(tmp_path / name / "a.png")
        head = LabelMap(["1", "2", "10"])
        folder = ImageFolder(str(tmp_path), transform=lambda picture: picture.getpixel((0, 0))[0])
        folder.target_transform = head.encoder(folder.class_to_idx)
        # The picture says which class it is, so that no index can be swapped unseen.
        assert {pixel // 20: label for pixel, label in folder} == {1: 0, 2: 1, 10: 2}

    def test_names_become_indices(self) -> None:
        encode = LabelMap([*"ab"], ignore="void").encoder()
        assert [encode(name) for name in ("b", "a", "void", np.str_("b"))] == [1, 0, -100, 1]

    @pytest.mark.parametrize(
        "other",
        [LabelMap([*"cab"]), ["c", "a", "b"], {"a": 1, "b": 2, "c": 0}],
        ids=["map", "names", "mapping"],
    )
    def test_it_agrees_with_translate(self, other: Any) -> None:
        head = LabelMap([*"abc"])
        encode = head.encoder(other)
        expected = head.translate(torch.arange(3), LabelMap(other)).tolist()
        assert [encode(index) for index in torch.arange(3)] == expected == [2, 0, 1]

    def test_what_the_other_map_ignores_this_one_ignores(self) -> None:
        head = LabelMap([*"ab"], ignore=255, ignore_index=-1)
        assert head.encoder(LabelMap([*"ba"], ignore="void"))(-100) == -1

    def test_workers_can_be_sent_it(self) -> None:
        encode = LabelMap([*"ab"]).encoder([*"ba"])
        assert pickle.loads(pickle.dumps(encode)) == encode

    def test_a_loader_collates_what_it_returns_to_int64(self) -> None:
        encode = LabelMap([*"ab"]).encoder()
        (labels,) = DataLoader([encode(name) for name in "bab"], batch_size=3)  # type: ignore[arg-type]
        assert (labels.dtype, labels.tolist()) == (torch.int64, [1, 0, 1])

    def test_a_class_that_the_head_lacks_is_named_at_once(self) -> None:
        with pytest.raises(UnknownLabelError, match="received 'owl' in the map to align"):
            LabelMap(["cat", "dog"]).encoder({"cat": 0, "owl": 1})

    @pytest.mark.parametrize(
        ("label", "error", "message"),
        [
            (2, UnknownLabelError, r"2 classes \(0, 1\); received 2 in what the data set gave"),
            (-1, UnknownLabelError, "received -1 in"),
            ("a", UnknownLabelError, r"received 'a' .*with int\(\)"),
            (None, TypeError, "one string or integer; received None"),
            (True, TypeError, "one string or integer; received True"),
            ([0], TypeError, r"one string or integer; received \[0\]"),
            (torch.tensor([0, 1]), TypeError, r"encode many with LabelMap\.encode"),
        ],
        ids=["beyond", "negative", "name", "None", "bool", "list", "batch"],
    )
    def test_labels_that_no_class_has(
        self, label: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            Encoder({0: 1, 1: 0})(label)


class TestFixed:
    @pytest.mark.parametrize("name", ["classes", "ignore", "ignore_index"])
    def test_nothing_of_a_map_is_assigned(self, name: str) -> None:
        animals = LabelMap(["cat", "dog"], ignore="void")
        before = animals.to_dict()
        with pytest.raises(AttributeError, match=rf"LabelMap stays what .* another {name}, \('x"):
            setattr(animals, name, ("x", "y"))
        with pytest.raises(AttributeError, match=f"received del {name}"):
            delattr(animals, name)
        assert animals.to_dict() == before

    def test_a_map_is_copied_and_pickled_all_the_same(self) -> None:
        animals = LabelMap(["cat", "dog"], ignore="void")
        for other in (copy.copy(animals), copy.deepcopy(animals)):
            assert other == animals
        assert pickle.loads(pickle.dumps(animals)).encode(["dog", "void"]).tolist() == [1, -100]
