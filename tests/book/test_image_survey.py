"""What a reader's images are: known before any chapter runs, for folders of all kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from image_survey import survey
from your_images import YourImages, described


def fill(
    folder: Path, *, classes: int = 2, each: int = 6, side: int = 8, mode: str = "L", first: int = 0
) -> Path:
    """Write pictures of one size and mode into folders; `first` gives another count to class 0."""
    for kind in range(classes):
        (folder / f"class {kind}").mkdir(parents=True, exist_ok=True)
        for number in range(first if first and not kind else each):
            picture = Image.new(mode, (side, side), (number + kind) % 200 if mode == "L" else None)
            picture.save(folder / f"class {kind}" / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    ("options", "shape", "said"),
    [
        ({}, [1, 8, 8], "12 images of 2 classes"),
        ({"each": 3}, [1, 8, 8], "6 images of 2 classes (2 to train on, 1 of each class; 2 to"),
        ({"classes": 200, "each": 5}, [1, 8, 8], "1,000 images of 200 classes"),
        ({"each": 2, "first": 100}, [1, 8, 8], "1 to 60 of a class"),
        ({"mode": "RGBA"}, [3, 8, 8], "loaded in colour at 8×8"),
        ({"mode": "LA"}, [1, 8, 8], "loaded in grey at 8×8"),
        ({"mode": "RGB", "side": 500}, [3, 32, 32], "at 32×32 (from files of 500×500)"),
    ],
    ids=["plain", "three a class", "200 classes", "50 to 1", "alpha", "grey alpha", "500 pixels"],
)
def test_folders_of_all_kinds_are_described(
    tmp_path: Path, options: dict[str, Any], shape: list[int], said: str
) -> None:
    found = survey(str(fill(tmp_path, **options)))
    assert found["shape"] == shape
    assert said in described(YourImages(data="", date="", **found))
    assert any("pictures shrink by up to 16 times" in each for each in found["warnings"]) == (
        options.get("side") == 500
    )


def test_without_a_test_folder_a_fifth_is_held_out(tmp_path: Path) -> None:
    fill(tmp_path / "train", each=25)
    assert survey(str(tmp_path))["images"] == [32, 8, 10]
    fill(tmp_path / "test", each=4)
    assert survey(str(tmp_path))["images"] == [40, 10, 8]


def test_pictures_of_mixed_sizes_and_broken_files_are_told(tmp_path: Path) -> None:
    fill(tmp_path, each=5)
    Image.new("L", (60, 20)).save(tmp_path / "class 0" / "wide.png")
    (tmp_path / "class 1" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "class 0" / "nowhere.png").symlink_to(tmp_path / "gone.png")
    found = survey(str(tmp_path))
    assert sum(found["images"]) == 11
    assert "at 32×32 (from files of 8×8 to 60×20)" in described(
        YourImages(data="", date="", **found)
    )
    told = "\n".join(found["warnings"])
    assert "squashed" in told
    assert "broken.png. They are left out" in told
    assert "'notes.txt'" in told


@pytest.mark.parametrize(
    ("classes", "rule"),
    [(0, "an image folder holds pictures as"), (1, "a classifier needs two classes")],
)
def test_what_is_no_data_set_is_refused(tmp_path: Path, classes: int, rule: str) -> None:
    fill(tmp_path, classes=classes)
    with pytest.raises((ValueError, OSError), match=rule):
        survey(str(tmp_path))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a data set is one of digits, .*received 'no-such-set'"):
        survey("no-such-set")
