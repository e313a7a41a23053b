from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from companion import LabelledImages, UnknownLabelError, load

PARTS = ("train", "validation", "test")


def grow(root: Path, *folders: str, value: int = 128) -> Path:
    """Write one grey picture into each folder of `root`, which is returned."""
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), value).save(root / folder / "one.png")
    return root


def grow_shades(root: Path, folders: dict[str, list[str]]) -> Path:
    """Write a picture into root/part/class whose grey is 20 times the class's place in train."""
    shades = {name: 20 * place for place, name in enumerate(folders["train"])}
    for part, names in folders.items():
        for name in names:
            grow(root / part, name, value=shades.get(name, 0))
    return root


def shades(data: LabelledImages) -> list[int]:
    """Return the place in train of the class that each picture shows."""
    return (data.images[:, 0, 0, 0] * 255 / 20).round().int().tolist()


class TestNames:
    @pytest.mark.parametrize("train", ["train", "training"])
    @pytest.mark.parametrize("validation", ["validation", "val", "valid"])
    @pytest.mark.parametrize("test", ["test", "testing"])
    def test_every_name_of_a_part_is_read(
        self, tmp_path: Path, train: str, validation: str, test: str
    ) -> None:
        for value, part in enumerate([train, validation, test]):
            grow(tmp_path, f"{part}/cat", f"{part}/dog", value=51 * value)
        parts = load(tmp_path)
        assert [len(part) for part in parts] == [2, 2, 2]
        shown = [part.images.unique().tolist() for part in parts]
        assert shown == [[0.0], [pytest.approx(0.2)], [pytest.approx(0.4)]]

    @pytest.mark.parametrize(
        ("part", "names"),
        [
            ("train", ["train", "training"]),
            ("validation", ["val", "valid"]),
            ("validation", ["val", "validation"]),
            ("test", ["test", "testing"]),
        ],
        ids=lambda value: value if isinstance(value, str) else " ".join(value),
    )
    def test_two_folders_for_one_part_are_refused(
        self, tmp_path: Path, part: str, names: list[str]
    ) -> None:
        for folder in {"train", *names}:
            grow(tmp_path, f"{folder}/cat", f"{folder}/dog")
        with pytest.raises(
            ValueError,
            match=rf"must have one folder for the {part} part; it has {' and '.join(names)}\. Ren",
        ) as caught:
            load(tmp_path)
        assert str(tmp_path) in str(caught.value)

    def test_parts_without_one_to_train_on_are_refused(self, tmp_path: Path) -> None:
        grow(tmp_path, "val/cat", "val/dog", "test/cat", "test/dog")
        with pytest.raises(ValueError, match=r"needs one to train on; .* has val and test alone"):
            load(tmp_path)

    def test_parts_are_found_in_any_case(self, tmp_path: Path) -> None:
        grow(tmp_path, *(f"{name}/{animal}" for name in PARTS for animal in ("cat", "dog")))
        for name in PARTS:
            (tmp_path / name).rename(tmp_path / name.title())
        assert [part.counts() for part in load(tmp_path)] == [{"cat": 1, "dog": 1}] * 3


class TestClasses:
    @pytest.mark.parametrize("part", PARTS[1:])
    @pytest.mark.parametrize("empty", [False, True], ids=["no folder", "empty folder"])
    def test_a_class_missing_from_one_part_moves_no_index(
        self, tmp_path: Path, part: str, empty: bool
    ) -> None:
        grow_shades(tmp_path, {each: ["ant", "bee", "cat"] for each in PARTS})
        (tmp_path / part / "bee" / "one.png").unlink()
        if not empty:
            (tmp_path / part / "bee").rmdir()
        splits = load(tmp_path)
        narrow = splits[PARTS.index(part)]
        assert narrow.counts() == {"ant": 1, "bee": 0, "cat": 1}
        for data in splits:
            assert data.classes == ("ant", "bee", "cat")
            assert data.labels.tolist() == shades(data)

    @pytest.mark.parametrize("part", PARTS[1:])
    def test_an_additional_class_in_one_part_is_refused_with_its_folder(
        self, tmp_path: Path, part: str
    ) -> None:
        grow(tmp_path, *(f"{each}/{name}" for each in PARTS for name in ("ant", "cat")))
        grow(tmp_path, f"{part}/bee")
        folder = re.escape(str(tmp_path / part))
        with pytest.raises(
            UnknownLabelError,
            match=rf"2 classes \('ant', 'cat'\); received 'bee' in {folder}\. Drop",
        ) as caught:
            load(tmp_path)
        assert caught.value.unknown == ["bee"]

    def test_a_class_spelt_otherwise_in_one_part_is_named_with_its_likeness(
        self, tmp_path: Path
    ) -> None:
        grow(tmp_path, "train/owl", "train/cat", "val/Owl", "val/cat", "test/owl")
        with (
            pytest.warns(UserWarning, match=r"val differ only .* \['Owl', 'owl'\]"),
            pytest.raises(UnknownLabelError, match=r"received 'Owl' in .*val\. .*'Owl' for 'owl'"),
        ):
            load(tmp_path)

    def test_parts_created_in_different_orders_agree(self, tmp_path: Path) -> None:
        names = ["cat", "ant", "bee"]
        for shift, part in enumerate(PARTS):
            for name in [*names[shift:], *names[:shift]]:
                grow(tmp_path / part, name, value=20 * sorted(names).index(name))
        for data in load(tmp_path):
            assert data.labels.tolist() == shades(data) == [0, 1, 2]


class TestPictures:
    @pytest.mark.parametrize("part", PARTS)
    def test_unreadable_files_are_counted_and_named_in_every_part(
        self, tmp_path: Path, part: str
    ) -> None:
        grow(tmp_path, *(f"{each}/{name}" for each in PARTS for name in ("cat", "dog")))
        bad = [tmp_path / part / "cat" / "bad.png", tmp_path / part / "dog" / "empty.jpg"]
        bad[0].write_bytes((tmp_path / part / "cat" / "one.png").read_bytes()[:40])
        bad[1].touch()
        with pytest.raises(ValueError, match=r"2 of 4 are not: .*\. Repair or delete") as caught:
            load(tmp_path)
        assert f"{bad[0]}, {bad[1]}." in str(caught.value)

    @pytest.mark.parametrize("colour", [True, False], ids=["colour", "grey"])
    def test_the_train_part_decides_on_colour(self, tmp_path: Path, colour: bool) -> None:
        grow(tmp_path, *(f"{each}/{name}" for each in PARTS for name in ("cat", "dog")))
        where = "train" if colour else "test"
        Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / where / "cat" / "red.png")
        splits = load(tmp_path)
        assert {data.images.shape[1] for data in splits} == {3 if colour else 1}
        mixed = splits.train if colour else splits.test
        red = mixed.images[1, :, 0, 0].tolist()
        assert red == ([1.0, 0.0, 0.0] if colour else [pytest.approx(76 / 255)])

    @pytest.mark.parametrize("part", PARTS)
    def test_mixed_sizes_become_one(self, tmp_path: Path, part: str) -> None:
        grow(tmp_path, *(f"{each}/{name}" for each in PARTS for name in ("cat", "dog")))
        Image.new("L", (20, 12), 128).save(tmp_path / part / "cat" / "wide.png")
        side = 32 if part == "train" else 8
        for data in load(tmp_path, fit="squash"):
            assert data.images.shape[1:] == (1, side, side)
            assert torch.equal(data.images, torch.full_like(data.images, 128 / 255))


NUMBERS = [str(number) for number in range(1, 13)]
TREES = {
    "a missing middle folder": (["0", "180", "90"], ["0", "90"], 1 / 2),
    "numbers as strings": (NUMBERS, NUMBERS[:9], 1 / 9),
    "a hidden folder in train": (["cat", "dog", ".ipynb_checkpoints"], ["cat", "dog"], 0),
    "a hidden folder in test": (["cat", "dog"], [".ipynb_checkpoints", "cat", "dog"], 1 / 3),
}


class TestGuard:
    @pytest.mark.parametrize(("train", "test", "wrong"), TREES.values(), ids=list(TREES))
    def test_a_perfect_classifier_looks_wrong_by_the_index_of_each_part_alone(
        self, tmp_path: Path, train: list[str], test: list[str], wrong: float
    ) -> None:
        grow_shades(tmp_path, {"train": train, "val": test, "test": test})
        learned = {}
        for path, index in ImageFolder(str(tmp_path / "train")).samples:
            learned[Path(path).parent.name] = index
        guesses, labels = [], []
        for path, index in ImageFolder(str(tmp_path / "test")).samples:
            name = Path(path).parent.name
            guesses.append(learned[train[0] if name.startswith(".") else name])
            labels.append(index)
        right = [guess == label for guess, label in zip(guesses, labels, strict=True)]
        assert sum(right) / len(right) == pytest.approx(wrong)

        splits = load(tmp_path)
        seen = dict(zip(shades(splits.train), splits.train.labels.tolist(), strict=True))
        assert [seen[shade] for shade in shades(splits.test)] == splits.test.labels.tolist()
        names = splits.test.label_map.decode(splits.test.labels)
        assert names == sorted(name for name in test if not name.startswith("."))
        assert splits.train.classes == splits.test.classes

    def test_numbers_get_the_index_that_people_expect(self, tmp_path: Path) -> None:
        grow_shades(tmp_path, dict.fromkeys(PARTS, NUMBERS))
        assert ImageFolder(str(tmp_path / "train")).class_to_idx["2"] == 4
        train = load(tmp_path).train
        assert train.classes == tuple(NUMBERS)
        assert train.label_map.encode(["2", "12"]).tolist() == [1, 11]
