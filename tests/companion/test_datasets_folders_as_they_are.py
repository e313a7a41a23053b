from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from companion import UnknownLabelError, image_folder

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def grow(root: Path, *folders: str, value: int = 128) -> Path:
    """Write one grey picture into each folder of `root`, which is returned."""
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), value).save(root / folder / "one.png")
    return root


def warnings_of(folder: Path, **options: object) -> list[str]:
    """Return what reading a folder warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image_folder(folder, **options)  # type: ignore[arg-type]
    assert all(warning.filename == __file__ for warning in caught), "they show the caller's line"
    return [str(warning.message) for warning in caught]


class TestNested:
    def test_the_path_names_the_class(self, tmp_path: Path) -> None:
        grow(tmp_path, "birds/owl", "birds/emu", "cats", "dogs/wild/dingo")
        data = image_folder(tmp_path, nested=True)
        assert data.classes == ("birds/emu", "birds/owl", "cats", "dogs/wild/dingo")
        assert data.labels.tolist() == [0, 1, 2, 3]

    def test_without_it_the_outermost_folder_does(self, tmp_path: Path) -> None:
        grow(tmp_path, "birds/owl", "birds/emu", "cats")
        assert image_folder(tmp_path).counts() == {"birds": 2, "cats": 1}

    def test_pictures_beside_folders_are_a_class_of_their_own(self, tmp_path: Path) -> None:
        grow(tmp_path, "birds", "birds/owl")
        assert image_folder(tmp_path, nested=True).classes == ("birds", "birds/owl")

    def test_folders_of_one_name_in_different_places_are_different(self, tmp_path: Path) -> None:
        grow(tmp_path, "wild/cat", "tame/cat")
        assert image_folder(tmp_path, nested=True).classes == ("tame/cat", "wild/cat")

    def test_another_splits_classes_give_its_indices(self, tmp_path: Path) -> None:
        grow(tmp_path, "birds/owl", "cats")
        classes = ["cats", "birds/emu", "birds/owl"]
        data = image_folder(tmp_path, nested=True, classes=classes)
        assert data.label_map.decode(data.labels) == ["birds/owl", "cats"]
        assert data.labels.tolist() == [2, 0]

    def test_hidden_folders_are_left_out_at_every_depth(self, tmp_path: Path) -> None:
        grow(tmp_path, "birds/owl", "cats", "birds/.ipynb_checkpoints", ".git/a", "cats/.old/b")
        assert image_folder(tmp_path, nested=True).classes == ("birds/owl", "cats")

    def test_an_empty_folder_that_is_declared_gives_no_warning(self, tmp_path: Path) -> None:
        grow(tmp_path, "cats", "dogs")
        (tmp_path / "birds" / "owl").mkdir(parents=True)
        classes = ["cats", "dogs", "birds/owl"]
        assert warnings_of(tmp_path, nested=True, classes=classes) == []

    def test_splits_are_no_classes(self, tmp_path: Path) -> None:
        grow(tmp_path, "train/cat", "train/dog", "test/cat", "test/dog")
        with pytest.raises(ValueError, match="are splits, 'test', 'train'"):
            image_folder(tmp_path, nested=True)


class TestLeftOut:
    def test_files_that_are_no_pictures_are_named_and_the_rest_is_read(
        self, tmp_path: Path
    ) -> None:
        grow(tmp_path, "cat", "dog")
        (tmp_path / "README.txt").touch()
        (tmp_path / "cat" / "one.heic").touch()
        Image.new("L", (8, 8)).save(tmp_path / "loose.png")
        assert warnings_of(tmp_path) == [
            f"in {tmp_path} these are or hold no pictures, and are left out: "
            "'README.txt', 'cat/one.heic', 'loose.png'."
        ]
        with pytest.warns(UserWarning, match="left out"):
            assert image_folder(tmp_path).counts() == {"cat": 1, "dog": 1}

    def test_of_many_the_first_are_named(self, tmp_path: Path) -> None:
        grow(tmp_path, "cat", "dog")
        for number in range(8):
            (tmp_path / "dog" / f"{number}.txt").touch()
        assert warnings_of(tmp_path)[0].endswith("'dog/4.txt', 'dog/5.txt' and 2 more.")

    def test_an_empty_folder_is_named_unless_it_is_a_class(self, tmp_path: Path) -> None:
        grow(tmp_path, "cat", "dog")
        (tmp_path / "owl").mkdir()
        classes = ["cat", "dog", "owl"]
        assert warnings_of(tmp_path, classes=classes) == []
        assert image_folder(tmp_path, classes=classes).counts()["owl"] == 0
        (warning,) = warnings_of(tmp_path, classes=["cat", "dog"])
        assert "left out: 'owl'." in warning

    def test_folders_of_pictures_and_hidden_files_are_not_named(self, tmp_path: Path) -> None:
        grow(tmp_path, "cat/indoors/night", "dog", ".ipynb_checkpoints")
        (tmp_path / ".DS_Store").touch()
        (tmp_path / "dog" / ".DS_Store").touch()
        assert warnings_of(tmp_path) == []

    def test_a_folder_that_is_a_link_is_read_like_any_other(self, tmp_path: Path) -> None:
        grow(tmp_path, "elsewhere/cat", "data/dog", "data/emu")
        os.symlink(tmp_path / "elsewhere" / "cat", tmp_path / "data" / "cat")
        assert warnings_of(tmp_path / "data") == []
        assert image_folder(tmp_path / "data").classes == ("cat", "dog", "emu")

    def test_a_picture_that_is_a_link_is_read(self, tmp_path: Path) -> None:
        grow(tmp_path, "elsewhere", "data/dog", "data/emu")
        os.symlink(tmp_path / "elsewhere" / "one.png", tmp_path / "data" / "emu" / "two.png")
        assert image_folder(tmp_path / "data").counts() == {"dog": 1, "emu": 2}


class TestSplits:
    @pytest.mark.parametrize(
        "names",
        [["train", "test"], ["training", "testing"], ["Train", "val"], ["valid", "validation"]],
        ids=" ".join,
    )
    def test_folders_that_are_all_splits_are_refused(
        self, tmp_path: Path, names: list[str]
    ) -> None:
        grow(tmp_path, *(f"{name}/{animal}" for name in names for animal in ("cat", "dog")))
        shown = ", ".join(map(repr, sorted(names)))
        with pytest.raises(ValueError, match=rf"are splits, {shown}\. Call load") as caught:
            image_folder(tmp_path)
        split = str(tmp_path / min(names))
        assert f"Call load({str(tmp_path)!r})" in str(caught.value)
        assert f"read one split: image_folder({split!r})" in str(caught.value)
        assert image_folder(split).classes == ("cat", "dog")

    def test_a_split_beside_classes_is_warned_of_and_read(self, tmp_path: Path) -> None:
        grow(tmp_path, "cat", "dog", "test")
        (warning,) = warnings_of(tmp_path)
        assert warning == f"'test' in {tmp_path} counts as a class; move it, if it is a split."
        with pytest.warns(UserWarning, match="counts as a class"):
            assert image_folder(tmp_path).classes == ("cat", "dog", "test")

    def test_a_name_that_holds_a_splits_name_is_a_class(self, tmp_path: Path) -> None:
        assert warnings_of(grow(tmp_path, "trains", "test bench")) == []

    @pytest.mark.parametrize("there", [["train"], ["car", "train"]], ids=" ".join)
    def test_a_class_that_is_declared_is_no_split(self, tmp_path: Path, there: list[str]) -> None:
        grow(tmp_path, *there)
        assert warnings_of(tmp_path, classes=["car", "train"]) == []


class TestLookAlikes:
    @pytest.mark.parametrize(
        "names",
        [["Owl", "owl"], ["owl", "owl "], ["snowy owl", "snowyowl"], [DECOMPOSED, COMPOSED]],
        ids=["case", "space at the end", "space inside", "Unicode"],
    )
    def test_folders_are_warned_of_and_stay_apart(self, tmp_path: Path, names: list[str]) -> None:
        grow(tmp_path, *names, "cat")
        (warning,) = warnings_of(tmp_path)
        assert warning == (
            f"classes of {tmp_path} differ only in case, spaces or the form of Unicode: "
            f"{sorted(names)}. Rename the folders, if they are one class."
        )
        with pytest.warns(UserWarning, match="differ only"):
            assert len(image_folder(tmp_path).classes) == 3

    @pytest.mark.parametrize("names", [["A", "a"], ["é", "É"], ["A", "a", "b"]], ids=" ".join)
    def test_single_letters_come_in_two_cases_on_purpose(
        self, tmp_path: Path, names: list[str]
    ) -> None:
        names = [unicodedata.normalize("NFC", name) for name in names]
        assert warnings_of(grow(tmp_path, *names)) == []

    def test_a_folder_and_a_declared_class_are_warned_of_before_the_refusal(
        self, tmp_path: Path
    ) -> None:
        grow(tmp_path, "Owl", "cat")
        with (
            pytest.warns(UserWarning, match=r"form of Unicode: \['Owl', 'owl'\]\. Rename"),
            pytest.raises(UnknownLabelError, match="'Owl' for 'owl': rename one of them"),
        ):
            image_folder(tmp_path, classes=["cat", "owl"])

    def test_declared_classes_that_are_the_folders_are_not_warned_of(self, tmp_path: Path) -> None:
        assert warnings_of(grow(tmp_path, "owl", "cat"), classes=["owl", "cat"]) == []

    def test_a_declared_class_of_another_form_is_warned_of_without_a_folder(
        self, tmp_path: Path
    ) -> None:
        grow(tmp_path, "cat", COMPOSED)
        (warning,) = warnings_of(tmp_path, classes=["cat", COMPOSED, DECOMPOSED])
        assert f"{[DECOMPOSED, COMPOSED]}" in warning


class TestOrder:
    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            ([str(number) for number in range(1, 13)], [str(number) for number in range(1, 13)]),
            ([f"{n:02}" for n in range(1, 13)], [f"{n:02}" for n in range(1, 13)]),
            (["010", "9", "08", "1"], ["1", "08", "9", "010"]),
            (["1", "01", "2"], ["01", "1", "2"]),
            (["3 cats", "12 cats"], ["12 cats", "3 cats"]),
        ],
        ids=["one to twelve", "with zeros", "some with zeros", "one value twice", "not numbers"],
    )
    def test_numbers_are_sorted_by_value(
        self, tmp_path: Path, names: list[str], expected: list[str]
    ) -> None:
        data = image_folder(grow(tmp_path, *sorted(names)))
        assert list(data.classes) == expected
        assert sorted(data.label_map.decode(data.labels), key=expected.index) == expected

    def test_the_order_on_disk_changes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for value, name in enumerate(["owl", "cat", "dog"]):
            grow(tmp_path, name, value=value)
        expected = image_folder(tmp_path)
        glob = Path.glob

        def backwards(self: Path, pattern: str) -> Iterator[Path]:
            return reversed(list(glob(self, pattern)))

        monkeypatch.setattr(Path, "glob", backwards)
        data = image_folder(tmp_path)
        assert data.classes == expected.classes == ("cat", "dog", "owl")
        assert torch.equal(data.labels, expected.labels)
        assert torch.equal(data.images, expected.images)
        assert (data.images[:, 0, 0, 0] * 255).round().tolist() == [1, 2, 0]
