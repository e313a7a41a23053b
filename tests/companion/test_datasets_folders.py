from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from companion import UnknownLabelError, image_folder


def save(path: Path, value: Any = 128, *, side: tuple[int, int] = (8, 8), mode: str = "L") -> Path:
    """Write a picture of one colour, `side` pixels (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, side, value).save(path)
    return path


@pytest.fixture
def two_classes(tmp_path: Path) -> Path:
    """A folder of two classes with a grey picture each."""
    save(tmp_path / "cat" / "one.png", 0)
    save(tmp_path / "dog" / "one.png", 255)
    return tmp_path


class TestClasses:
    def test_folders_name_the_classes(self, two_classes: Path) -> None:
        data = image_folder(two_classes)
        assert data.classes == ("cat", "dog")
        assert data.labels.tolist() == [0, 1]
        assert data.images.amax((1, 2, 3)).tolist() == [0.0, 1.0]

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (["10", "9", "2"], ("2", "9", "10")),
            (["10", "9", "b"], ("10", "9", "b")),
            (["010", "9"], ("9", "010")),
        ],
        ids=["numbers", "not all numbers", "leading zero"],
    )
    def test_whole_numbers_are_sorted_by_value(
        self, tmp_path: Path, names: list[str], expected: tuple[str, ...]
    ) -> None:
        for name in names:
            save(tmp_path / name / "a.png")
        assert image_folder(tmp_path).classes == expected

    def test_another_splits_classes_give_its_indices(self, two_classes: Path) -> None:
        data = image_folder(two_classes, classes=["ant", "dog", "cat"])
        assert data.labels.tolist() == [2, 1]
        assert data.counts() == {"ant": 0, "dog": 1, "cat": 1}

    def test_a_folder_that_the_classes_lack_is_named(self, two_classes: Path) -> None:
        with pytest.raises(UnknownLabelError, match=r"received 'dog' in .*Drop those items"):
            image_folder(two_classes, classes=["cat", "owl"])

    def test_hidden_folders_and_files_are_left_out(self, two_classes: Path) -> None:
        save(two_classes / ".ipynb_checkpoints" / "a.png")
        save(two_classes / "cat" / ".cache" / "a.png")
        (two_classes / "cat" / "._one.png").write_bytes(b"resource fork")
        data = image_folder(two_classes)
        assert (data.classes, len(data)) == (("cat", "dog"), 2)

    def test_folders_without_pictures_are_no_classes(self, two_classes: Path) -> None:
        (two_classes / "emu").mkdir()
        (two_classes / "notes").mkdir()
        (two_classes / "notes" / "read.txt").write_text("no picture")
        with pytest.warns(UserWarning, match="left out: 'emu', 'notes', 'notes/read.txt'"):
            assert image_folder(two_classes).classes == ("cat", "dog")

    def test_nested_pictures_belong_to_the_outer_folder(self, two_classes: Path) -> None:
        save(two_classes / "cat" / "indoors" / "night" / "a.png")
        assert image_folder(two_classes).counts() == {"cat": 2, "dog": 1}

    @pytest.mark.parametrize("suffix", [".PNG", ".Jpg", ".BMP", ".tiff", ".webp"])
    def test_suffixes_count_in_any_case(self, two_classes: Path, suffix: str) -> None:
        save(two_classes / "cat" / f"two{suffix}")
        assert image_folder(two_classes).counts()["cat"] == 2


class TestPixels:
    def test_values_are_scaled_exactly(self, tmp_path: Path) -> None:
        pixels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
        for name in "ab":
            (tmp_path / name).mkdir()
            Image.fromarray(pixels).save(tmp_path / name / "one.png")
        data = image_folder(tmp_path)
        assert torch.equal(data.images[0, 0], torch.from_numpy(pixels) / 255)
        assert data.images.is_contiguous()

    def test_sixteen_bits_are_scaled_and_not_clipped(self, tmp_path: Path) -> None:
        pixels = np.array([[0, 257], [32896, 65535]], dtype=np.uint16)
        for name in "ab":
            (tmp_path / name).mkdir()
            Image.fromarray(pixels).save(tmp_path / name / "one.png")
        read = image_folder(tmp_path).images[0, 0] * 255
        assert read.round().tolist() == [[0, 1], [128, 255]]

    def test_sixteen_bits_of_either_byte_order_are_grey(self, tmp_path: Path) -> None:
        pixels = np.array([[0, 257], [32896, 65535]], dtype=">u2")
        for name in "ab":
            (tmp_path / name).mkdir()
            picture = Image.frombytes("I;16B", (2, 2), pixels.tobytes())
            picture.save(tmp_path / name / "one.tif")
        images = image_folder(tmp_path).images
        assert images.shape == (2, 1, 2, 2)
        assert (images[0, 0] * 255).round().tolist() == [[0, 1], [128, 255]]

    def test_colour_channels_come_first_and_in_order(self, tmp_path: Path) -> None:
        for name in "ab":
            save(tmp_path / name / "one.png", (255, 51, 0), mode="RGB")
        images = image_folder(tmp_path).images
        assert images.shape == (2, 3, 8, 8)
        assert images[0, :, 3, 5].tolist() == pytest.approx([1.0, 0.2, 0.0])

    def test_one_colour_picture_makes_the_set_colour(self, two_classes: Path) -> None:
        save(two_classes / "cat" / "two.png", (255, 0, 0), mode="RGB")
        images = image_folder(two_classes).images
        assert images.shape == (3, 3, 8, 8)
        assert images[2].amax((1, 2)).tolist() == [1.0, 1.0, 1.0]

    @pytest.mark.parametrize(("colour", "channels"), [(True, 3), (False, 1)])
    def test_colour_can_be_asked_for(self, two_classes: Path, colour: bool, channels: int) -> None:
        assert image_folder(two_classes, colour=colour).images.shape == (2, channels, 8, 8)

    @pytest.mark.parametrize(
        ("mode", "value", "channels"),
        [
            ("L", 128, 1),
            ("LA", (128, 255), 1),
            ("1", 1, 1),
            ("RGBA", (1, 2, 3, 255), 3),
            ("P", 0, 3),
        ],
    )
    def test_every_mode_becomes_grey_or_colour(
        self, tmp_path: Path, mode: str, value: Any, channels: int
    ) -> None:
        for name in "ab":
            save(tmp_path / name / "one.png", value, mode=mode)
        assert image_folder(tmp_path).images.shape == (2, channels, 8, 8)


class TestSize:
    @pytest.mark.parametrize(
        ("sides", "expected"),
        [
            ([(8, 8), (8, 8)], (8, 8)),
            ([(20, 12), (20, 12)], (12, 20)),
            ([(64, 64), (64, 64)], (64, 64)),
            ([(65, 65), (65, 65)], (32, 32)),
            ([(8, 8), (10, 8)], (32, 32)),
        ],
        ids=["small", "not square", "largest kept", "too large", "mixed"],
    )
    def test_the_default(
        self, tmp_path: Path, sides: list[tuple[int, int]], expected: tuple[int, int]
    ) -> None:
        for name, side in zip([*"ab"], sides, strict=True):
            save(tmp_path / name / "one.png", side=side)
        assert image_folder(tmp_path).images.shape[2:] == expected

    @pytest.mark.parametrize(
        ("size", "expected"), [(5, (5, 5)), ((4, 6), (4, 6))], ids=["side", "height and width"]
    )
    def test_the_size_asked_for(
        self, two_classes: Path, size: int | tuple[int, int], expected: tuple[int, int]
    ) -> None:
        data = image_folder(two_classes, size=size, fit="squash")
        assert data.images.shape == (2, 1, *expected)


class TestRefusals:
    def test_a_path_that_is_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(
            FileNotFoundError, match=r"missing, which is no folder\. Check the path"
        ):
            image_folder(tmp_path / "missing")

    def test_a_folder_without_images(self, tmp_path: Path) -> None:
        save(tmp_path / "loose.png")
        with pytest.raises(FileNotFoundError, match=r"found none there with the endings .*\.png"):
            image_folder(tmp_path)

    def test_a_single_class(self, tmp_path: Path) -> None:
        save(tmp_path / "cat" / "one.png")
        with pytest.raises(ValueError, match=r"one folder with images, 'cat'\. Point at"):
            image_folder(tmp_path)

    def test_every_broken_image_is_named(self, two_classes: Path) -> None:
        whole = save(two_classes / "dog" / "two.png", side=(64, 64)).read_bytes()
        (two_classes / "dog" / "two.png").write_bytes(whole[: len(whole) // 2])
        (two_classes / "cat" / "text.jpg").write_text("no picture")
        (two_classes / "cat" / "empty.gif").write_bytes(b"")
        with pytest.raises(ValueError, match=r"3 of 5 are not: .* Repair or delete") as caught:
            image_folder(two_classes)
        for name in ("two.png", "text.jpg", "empty.gif"):
            assert name in str(caught.value)
        assert "one.png" not in str(caught.value)

    def test_of_many_broken_images_five_are_named(self, two_classes: Path) -> None:
        for number in range(7):
            (two_classes / "cat" / f"bad{number}.png").write_bytes(b"")
        with pytest.raises(ValueError, match=r"7 of 9 are not: .*bad4\.png and 2 more\. Repair"):
            image_folder(two_classes)
