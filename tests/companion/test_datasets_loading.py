from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from companion import (
    DatasetUnavailableError,
    LabelledImages,
    Splits,
    UnknownLabelError,
    digits,
    load,
    pool,
)
from companion.datasets import PictureSizeWarning
from companion.datasets.loading import STANDARD, _from_torchvision


def write_folder(root: Path, part: str, counts: dict[str, int], side: tuple[int, int]) -> None:
    """Write `counts` grey pictures a class into root/part/CLASS, (width, height) pixels each."""
    for value, (name, count) in enumerate(counts.items()):
        folder = root / part / name
        folder.mkdir(parents=True)
        for number in range(count):
            Image.new("L", side, (40 * value + number) % 256).save(folder / f"{number}.png")


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write bytes in the format of the MNIST family: magic number, sides, values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">{1 + values.ndim}i", 0x0800 + values.ndim, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def write_mnist(root: Path, name: str, prefix: str, labels: dict[str, list[int]]) -> None:
    """Write images whose first pixel is ten times their label."""
    raw = root / name / "raw"
    for part, numbers in labels.items():
        images = np.zeros((len(numbers), 28, 28), dtype=np.uint8)
        images[:, 0, 0] = 10 * np.array(numbers)
        write_idx(raw / f"{prefix}{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{prefix}{part}-labels-idx1-ubyte", np.array(numbers))


def same(first: Splits, second: Splits) -> bool:
    """Whether two triples hold the same images."""
    pairs = zip(first, second, strict=True)
    return all(torch.equal(a.images, b.images) for a, b in pairs)


class TestBundled:
    def test_a_fifth_each_for_validation_and_test(self) -> None:
        splits = load("digits")
        assert [len(part) for part in splits] == [1078, 360, 359]
        images = torch.cat([part.images for part in splits]).flatten(1)
        assert torch.equal(
            images[np.lexsort(images.numpy().T)],
            digits().images.flatten(1)[np.lexsort(digits().images.flatten(1).numpy().T)],
        )

    def test_the_seed_draws_the_parts(self) -> None:
        assert same(load("digits", seed=1), load("digits", seed=1))
        assert not same(load("digits", seed=1), load("digits", seed=2))

    @pytest.mark.parametrize("limit", [1, 7])
    def test_a_limit_holds_for_each_class_of_each_part(self, limit: int) -> None:
        for part in load("digits", limit=limit):
            assert set(part.counts().values()) == {limit}

    def test_a_limit_beyond_the_set_changes_nothing(self) -> None:
        assert same(load("digits", limit=10_000), load("digits"))

    @pytest.mark.parametrize("limit", [0, -2, 1.5, "many"])
    def test_a_limit_that_is_no_number_of_images(self, limit: int) -> None:
        with pytest.raises(ValueError, match=rf"at least 1; received '?{limit}'?\. Leave it out"):
            load("digits", limit=limit)

    def test_an_unknown_name_lists_the_known_ones(self) -> None:
        with pytest.raises(
            ValueError, match=r"one of digits, glyphs, cifar10.*; received 'digit', .* spelling"
        ):
            load("digit")

    def test_pool_joins_train_and_validation(self) -> None:
        splits = load("digits")
        pooled = pool(splits)
        assert torch.equal(
            pooled.images, torch.cat([splits.train.images, splits.validation.images])
        )
        assert torch.equal(
            pooled.labels, torch.cat([splits.train.labels, splits.validation.labels])
        )


class TestEnvironment:
    def test_companion_data_replaces_the_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COMPANION_DATA", "digits")
        assert load("glyphs").train.classes == tuple("0123456789")

    def test_companion_data_may_be_a_folder(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        write_folder(tmp_path, "train", {"cat": 10, "dog": 10}, (8, 8))
        monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
        assert load("digits").train.classes == ("cat", "dog")

    def test_a_folder_in_the_call_comes_first(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        write_folder(tmp_path, "", {"cat": 10, "dog": 10}, (8, 8))
        monkeypatch.setenv("COMPANION_DATA", "digits")
        assert load(tmp_path).train.classes == ("cat", "dog")
        assert load(str(tmp_path)).train.classes == ("cat", "dog")

    def test_a_misspelt_name_in_the_call_is_no_name_to_replace(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COMPANION_DATA", "digits")
        with pytest.raises(ValueError, match="received 'digitz', which is neither"):
            load("digitz")

    def test_a_companion_data_that_is_nothing_is_named_as_such(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COMPANION_DATA", "digitz")
        with pytest.raises(ValueError, match="received 'digitz' in COMPANION_DATA, which is nei"):
            load("digits")

    def test_photographs_in_companion_data_are_shrunk_without_a_warning(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        write_folder(tmp_path, "", {"cat": 10, "dog": 10}, (400, 300))
        monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
        assert load("digits").train.images.shape[2:] == (16, 16)
        with pytest.warns(PictureSizeWarning) as caught:
            load(tmp_path)
        first, second = (str(warning.message) for warning in caught)
        assert "shrink by up to 12 times" in first
        assert "20 of 20 pictures are squashed" in second
        assert {warning.filename for warning in caught} == {__file__}

    def test_what_stands_in_is_cut_down_to_the_size_of_what_it_stands_in_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = load("digits")
        monkeypatch.setenv("COMPANION_DATA", "glyphs")
        cut = load("digits")
        assert len(cut.train.classes) == 10
        assert all(part.classes == cut.train.classes for part in cut)
        assert all(len(part) <= len(like) for part, like in zip(cut, whole, strict=True))
        monkeypatch.setenv("COMPANION_WHOLE", "1")
        assert len(load("digits").train.classes) == 100

    def test_rare_classes_keep_their_images(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        write_folder(tmp_path, "train", {"many": 1400, "few": 30}, (8, 8))
        write_folder(tmp_path, "test", {"many": 10, "few": 3}, (8, 8))
        monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
        train, _, test = load("digits")
        assert train.counts() == {"few": 24, "many": 1078 - 24}
        assert test.counts() == {"few": 3, "many": 10}

    def test_large_pictures_are_averaged_down_and_small_ones_left(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        write_folder(tmp_path, "", {"cat": 10, "dog": 10}, (48, 12))
        monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
        monkeypatch.setenv("COMPANION_WHOLE", "1")
        whole = load("digits").train.images
        monkeypatch.delenv("COMPANION_WHOLE")
        cut = load("digits").train.images
        wide = whole.shape[3] == 48
        blocks = whole.unflatten(3 if wide else 2, (16, 3)).mean(4 if wide else 3)
        assert torch.allclose(cut, blocks, atol=1e-6)

    def test_companion_limit_gives_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COMPANION_LIMIT", "3")
        assert set(load("digits").train.counts().values()) == {3}

    def test_a_limit_in_the_call_comes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COMPANION_LIMIT", "3")
        assert set(load("digits", limit=2).train.counts().values()) == {2}

    def test_a_companion_limit_that_is_no_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COMPANION_LIMIT", "few")
        with pytest.raises(ValueError, match=r"COMPANION_LIMIT\) must be a whole .*received 'few'"):
            load("digits")

    def test_companion_root_is_where_standard_sets_lie(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        write_mnist(tmp_path, "MNIST", "", {"train": [0, 1] * 5, "t10k": [1]})
        monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
        assert len(load("mnist").test) == 1

    @pytest.mark.parametrize(
        ("value", "expected"), [(None, False), ("0", False), ("1", True)], ids=str
    )
    def test_nothing_is_downloaded_unless_asked(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None, expected: bool
    ) -> None:
        asked: list[bool] = []

        def build(root: Path, *, train: bool, download: bool) -> None:
            asked.append(download)
            raise RuntimeError("not here")

        monkeypatch.setitem(STANDARD, "mnist", (build, {}))
        if value is not None:
            monkeypatch.setenv("COMPANION_DOWNLOAD", value)
        with pytest.raises(DatasetUnavailableError):
            load("mnist", root=tmp_path)
        assert asked == [expected]


class TestFolders:
    def test_a_folder_of_classes_is_cut_in_three(self, tmp_path: Path) -> None:
        write_folder(tmp_path, "", {"cat": 10, "dog": 10}, (8, 8))
        assert [list(part.counts().values()) for part in load(tmp_path)] == [
            [6, 6],
            [2, 2],
            [2, 2],
        ]

    def test_a_test_folder_stays_as_it_is(self, tmp_path: Path) -> None:
        write_folder(tmp_path, "train", {"cat": 10, "dog": 10}, (8, 8))
        write_folder(tmp_path, "test", {"cat": 3, "dog": 1}, (8, 8))
        train, validation, test = load(tmp_path)
        assert test.counts() == {"cat": 3, "dog": 1}
        assert train.counts() == {"cat": 8, "dog": 8}
        assert validation.counts() == {"cat": 2, "dog": 2}

    def test_all_three_folders_stay_as_they_are(self, tmp_path: Path) -> None:
        for part, count in {"train": 4, "validation": 3, "test": 2}.items():
            write_folder(tmp_path, part, {"cat": count, "dog": count}, (8, 8))
        assert [len(part) for part in load(tmp_path)] == [8, 6, 4]

    def test_a_test_folder_that_lacks_a_class_keeps_the_indices(self, tmp_path: Path) -> None:
        write_folder(tmp_path, "train", {"0": 5, "90": 5, "180": 5}, (8, 8))
        write_folder(tmp_path, "test", {"0": 2, "180": 2}, (8, 8))
        train, _, test = load(tmp_path)
        assert train.classes == test.classes == ("0", "90", "180")
        assert test.labels.tolist() == [0, 0, 2, 2]

    def test_a_test_folder_with_another_class_is_refused(self, tmp_path: Path) -> None:
        write_folder(tmp_path, "train", {"cat": 5, "dog": 5}, (8, 8))
        write_folder(tmp_path, "test", {"cat": 2, "owl": 2}, (8, 8))
        with pytest.raises(UnknownLabelError, match=r"2 classes .*received 'owl' in .*test\. Drop"):
            load(tmp_path)

    @pytest.mark.parametrize("side", [(8, 8), (20, 12), (70, 50)], ids=str)
    def test_parts_agree_in_shape_with_train(self, tmp_path: Path, side: tuple[int, int]) -> None:
        write_folder(tmp_path, "train", {"cat": 5, "dog": 5}, side)
        write_folder(tmp_path, "test", {"cat": 2, "dog": 2}, (30, 30))
        Image.new("RGB", (9, 9), (9, 99, 199)).save(tmp_path / "test" / "cat" / "colour.png")
        train, _, test = load(tmp_path, fit="squash")
        assert test.images.shape[1:] == train.images.shape[1:]
        assert len(test) == 5

    def test_size_resizes(self, tmp_path: Path) -> None:
        write_folder(tmp_path, "", {"cat": 10, "dog": 10}, (8, 8))
        assert load(tmp_path, size=4).train.images.shape == (12, 1, 4, 4)

    @pytest.mark.parametrize("parts", [[""], ["train", "val", "test"]], ids=["whole", "parts"])
    def test_fit_and_memory_hold_for_every_part(self, tmp_path: Path, parts: list[str]) -> None:
        for part in parts:
            write_folder(tmp_path, part, {"cat": 10, "dog": 10}, (80, 40))
        shrunk = load(tmp_path, size=(8, 6), fit="pad")
        assert all(part.images.shape[2:] == (8, 6) for part in shrunk)
        assert all(float(part.images[:, 0, 0].max()) == 0 for part in shrunk)
        with pytest.raises(MemoryError, match="may take 1e-06 GB"):
            load(tmp_path, fit="pad", memory_gb=1e-6)


class TestStandard:
    @pytest.mark.parametrize(
        ("name", "folder"),
        [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")],
    )
    def test_the_mnist_family_is_read(self, tmp_path: Path, name: str, folder: str) -> None:
        write_mnist(tmp_path, folder, "", {"train": list(range(10)) * 5, "t10k": [3, 1]})
        train, validation, test = load(name, root=tmp_path)
        assert set(train.counts().values()) == {4}
        assert set(validation.counts().values()) == {1}
        assert test.labels.tolist() == [3, 1]
        assert test.images.shape == (2, 1, 28, 28)
        assert (test.images[:, 0, 0, 0] * 255).round().tolist() == [30, 10]
        assert torch.equal((train.images[:, 0, 0, 0] * 25.5).round().long(), train.labels)
        assert test.classes == tuple(getattr(torchvision.datasets, folder).classes)

    def test_letters_are_numbered_from_one_on_disk_and_from_zero_here(self, tmp_path: Path) -> None:
        letters = {"train": list(range(1, 27)) * 5, "test": [1, 26]}
        write_mnist(tmp_path, "EMNIST", "emnist-letters-", letters)
        train, _, test = load("emnist-letters", root=tmp_path)
        assert test.classes == tuple("abcdefghijklmnopqrstuvwxyz")
        assert test.label_map.decode(test.labels) == ["a", "z"]
        assert set(train.counts().values()) == {4}

    def test_cifar_is_read(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        folder = tmp_path / "cifar-10-batches-py"
        folder.mkdir()
        names = ["airplane", "cat", "truck"]
        (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
        red = np.zeros((6, 3, 32, 32), dtype=np.uint8)
        red[:, 0, 1, 2] = 255
        for file in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
            content = {"data": red.reshape(6, -1), "labels": [0, 1, 2, 2, 1, 0]}
            (folder / file).write_bytes(pickle.dumps(content))
        # The real files have checksums; these are written by the test.
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
        monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
        train, validation, test = load("cifar10", root=tmp_path)
        assert (len(train), len(validation), len(test)) == (24, 6, 6)
        assert test.label_map.decode(test.labels)[:3] == names
        assert test.images.shape == (6, 3, 32, 32)
        assert test.images[0].nonzero().tolist() == [[0, 1, 2]]

    @pytest.mark.parametrize("name", list(STANDARD))
    def test_a_set_that_is_not_there_says_both_ways_to_get_it(
        self, tmp_path: Path, name: str
    ) -> None:
        with pytest.raises(
            DatasetUnavailableError,
            match=rf"'{name}' must lie in .*Online: pass download=True or set COMPANION_DOWNLOAD=1"
            r"\. Offline: copy the folder .* name its parent with root= or COMPANION_ROOT",
        ) as caught:
            load(name, root=tmp_path)
        assert str(tmp_path) in str(caught.value)


def test_loading_leaves_the_global_random_state() -> None:
    before = torch.get_rng_state()
    splits = load("digits", limit=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(isinstance(part, LabelledImages) for part in splits)


@pytest.mark.parametrize("option", [{"size": 32}, {"fit": "crop"}, {"white": 1}], ids=str)
def test_what_is_for_a_folder_and_would_be_ignored_is_refused(option: dict[str, Any]) -> None:
    message = f"{min(option)} says how the pictures of a folder are read; 'digits'"
    with pytest.raises(ValueError, match=message):
        load("digits", **option)


def test_letters_stand_upright_though_their_files_hold_rows_as_columns(tmp_path: Path) -> None:
    # https://github.com/pytorch/vision/issues/8783
    write_mnist(tmp_path, "EMNIST", "emnist-letters-", {"train": [1, 2], "test": [1, 2]})
    dataset = torchvision.datasets.EMNIST(tmp_path, split="letters", train=False)
    dataset.data = torch.zeros(2, 28, 28, dtype=torch.uint8)
    dataset.data[0, 1, 2] = 255
    assert _from_torchvision(dataset).images.nonzero().tolist() == [[0, 0, 2, 1]]


def test_an_unknown_name_is_named_as_such_whatever_the_size() -> None:
    with pytest.raises(ValueError, match="a data set is one of"):
        load("digitz", size=32)


class TestTooFewToStratify:
    """Classes of few images: every class is dealt on its own, and a warning says so."""

    @pytest.mark.parametrize(
        ("counts", "parts"),
        [
            ({"cat": 3, "dog": 3}, ([1, 1], [1, 1], [1, 1])),
            ({"cat": 2, "dog": 2, "owl": 2}, ([1, 1, 1], [1, 0, 1], [0, 1, 0])),
            ({"cat": 1, "dog": 5}, ([1, 3], [0, 1], [0, 1])),
            ({"cat": 30, "dog": 1}, ([18, 1], [6, 0], [6, 0])),
            ({"cat": 4, "dog": 4, "owl": 4}, ([2, 2, 2], [1, 1, 1], [1, 1, 1])),
        ],
        ids=["three", "two", "one", "thirty to one", "four"],
    )
    def test_whole_images_are_dealt(
        self, tmp_path: Path, counts: dict[str, int], parts: tuple[list[int], ...]
    ) -> None:
        write_folder(tmp_path, "", counts, (8, 8))
        with pytest.warns(UserWarning, match=r"Each class is dealt on its own"):
            splits = load(tmp_path)
        assert tuple(list(part.counts().values()) for part in splits) == parts
        held = torch.cat([part.images[:, 0, 0, 0] for part in splits])
        assert len(held.unique()) == sum(counts.values()), "no image is in two parts"

    def test_the_same_seed_deals_the_same(self, tmp_path: Path) -> None:
        write_folder(tmp_path, "", {"cat": 3, "dog": 3}, (8, 8))
        with pytest.warns(UserWarning, match="dealt"):
            first, again, other = (load(tmp_path, seed=seed) for seed in (1, 1, 2))
        assert same(first, again)
        assert not same(first, other)

    def test_a_test_folder_stays_as_it_is(self, tmp_path: Path) -> None:
        write_folder(tmp_path, "train", {"cat": 2, "dog": 2}, (8, 8))
        write_folder(tmp_path, "test", {"cat": 3, "dog": 3}, (8, 8))
        with pytest.warns(UserWarning, match="the smallest has 2"):
            splits = load(tmp_path)
        assert [len(part) for part in splits] == [2, 2, 6]

    def test_one_image_of_each_class_is_refused(self, tmp_path: Path) -> None:
        write_folder(tmp_path, "", {"cat": 1, "dog": 1}, (8, 8))
        with pytest.raises(ValueError, match=r"more than one .*received 2 images of 2 classes"):
            load(tmp_path)


class TestUnreadable:
    """Files that are no pictures, whatever their names: skipped where that is asked for."""

    def broken(self, folder: Path, *files: str) -> Path:
        write_folder(folder, "train", {"cat": 6, "dog": 6, "owl": 6}, (8, 8))
        for file in files:
            (folder / "train" / file).write_bytes(b"no picture")
        return folder

    def test_they_are_left_out_with_a_warning(self, tmp_path: Path) -> None:
        folder = self.broken(tmp_path, "cat/0.png", "dog/9.png")
        with pytest.warns(UserWarning, match=r"2 of 19 are not: .*0\.png, .*9\.png\. They are"):
            splits = load(folder, skip_unreadable=True)
        assert sum(map(len, splits)) == 17
        with pytest.raises(ValueError, match="Repair or delete"):
            load(folder)

    def test_a_class_without_any_other_goes_too(self, tmp_path: Path) -> None:
        folder = self.broken(tmp_path, *(f"owl/{i}.png" for i in range(6)))
        with pytest.warns(UserWarning, match="6 of 18"):
            assert load(folder, skip_unreadable=True).train.classes == ("cat", "dog")

    def test_a_single_readable_class_is_refused(self, tmp_path: Path) -> None:
        names = [f"{name}/{i}.png" for name in ("dog", "owl") for i in range(6)]
        folder = self.broken(tmp_path, *names)
        with (
            pytest.warns(UserWarning, match="12 of 18"),
            pytest.raises(ValueError, match=r"two classes; .* only the pictures of 'cat'"),
        ):
            load(folder, skip_unreadable=True)

    def test_a_folder_that_the_environment_names_is_read_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COMPANION_DATA", str(self.broken(tmp_path, "cat/0.png")))
        with pytest.warns(UserWarning, match="1 of 18"):
            assert sum(map(len, load("digits"))) == 17
