from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2

from companion import (
    FolderImages,
    LabelMap,
    UnknownLabelError,
    balanced_sampler,
    folder_loader,
    image_folder,
    labels_of,
)
from companion.datasets import PictureWhiteWarning
from companion.inputs import batches


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of the classes 2, 9 and 10, each picture of which says where it stands."""
    drawn = np.random.default_rng(0)
    for name, count in {"9": 3, "10": 2, "2": 4}.items():
        (tmp_path / name).mkdir()
        for number in range(count):
            pixels = drawn.integers(0, 255, (6, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return tmp_path


def seen(loader: DataLoader[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """All images and labels that a loader gives."""
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


class TestTheSameAsInMemory:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"size": 4, "fit": "crop"},
            {"colour": False},
            {"classes": ["10", "9", "1", "2"]},
            {"classes": LabelMap({"2": 1, "9": 0, "10": 2})},
            {"nested": True},
        ],
        ids=["plain", "cropped", "grey", "classes", "map", "nested"],
    )
    def test_images_labels_and_classes(self, pictures: Path, options: dict[str, Any]) -> None:
        held = image_folder(pictures, **options)
        loader = folder_loader(pictures, batch_size=4, **options)
        images, labels = seen(loader)
        assert torch.equal(images, held.images)
        assert torch.equal(labels, held.labels)
        assert labels.dtype == torch.int64
        assert loader.dataset.classes == held.classes  # type: ignore[attr-defined]

    def test_numbers_are_sorted_by_value_and_not_as_torchvision_sorts_them(
        self, pictures: Path
    ) -> None:
        folder = FolderImages(pictures)
        assert folder.classes == ("2", "9", "10")
        assert ImageFolder(str(pictures)).classes == ["10", "2", "9"]

    def test_files_are_read_when_they_are_asked_for(self, pictures: Path) -> None:
        folder = FolderImages(pictures)
        (pictures / "9" / "1.png").unlink()
        assert folder[6][1] == 1
        with pytest.raises(ValueError, match=r"every image must be readable; .*1\.png is not"):
            folder[7]

    def test_where_nothing_is_left_to_find_out_no_file_is_opened(
        self, pictures: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Image, "open", None)
        assert len(FolderImages(pictures, size=4, colour=True, fit="pad", white=255)) == 9

    def test_dark_pictures_of_sixteen_bits_are_noticed_before_they_are_read(
        self, tmp_path: Path
    ) -> None:
        for name in "ab":
            (tmp_path / name).mkdir()
            Image.fromarray(np.full((2, 2), 4095, dtype=np.uint16)).save(tmp_path / name / "a.png")
        told: dict[str, Any] = {"size": 2, "colour": False, "fit": "pad"}
        for options in ({}, told):
            with pytest.warns(PictureWhiteWarning, match=r"is 4095, and white is 65535\."):
                FolderImages(tmp_path, **options)
        loader = folder_loader(tmp_path, white=4095, **told)
        assert next(iter(loader))[0].unique().tolist() == [1.0]


class TestDataset:
    def test_it_says_what_torchvisions_says(self, pictures: Path) -> None:
        folder, theirs = FolderImages(pictures), ImageFolder(str(pictures))
        assert folder.class_to_idx == {"2": 0, "9": 1, "10": 2}
        assert folder.targets == [2, 2, 0, 0, 0, 0, 1, 1, 1]
        assert folder.samples[6] == (str(pictures / "9" / "0.png"), 1)
        assert {file for file, _ in folder.samples} == {file for file, _ in theirs.samples}
        assert repr(folder) == "FolderImages(9 images of 3×6×9, 3 classes)"

    def test_samplers_and_maps_read_it(self, pictures: Path) -> None:
        folder = FolderImages(pictures)
        assert labels_of(folder).tolist() == folder.targets
        assert LabelMap(folder.class_to_idx) == folder.label_map
        assert set(balanced_sampler(folder.targets, seed=0)) <= set(range(9))

    def test_workers_are_sent_it(self, pictures: Path) -> None:
        arrived = pickle.loads(pickle.dumps(FolderImages(pictures)))
        assert torch.equal(arrived[3][0], FolderImages(pictures)[3][0])

    def test_workers_give_the_same_batches(self, pictures: Path) -> None:
        alone, together = (seen(folder_loader(pictures, workers=n, batch_size=5)) for n in (0, 1))
        assert torch.equal(alone[0], together[0])
        assert torch.equal(alone[1], together[1])

    def test_whoever_takes_batches_takes_the_loader(self, pictures: Path) -> None:
        found = [len(labels) for _, labels in batches(folder_loader(pictures, batch_size=4), 1)]
        assert found == [4, 4, 1]


class TestShuffling:
    def test_the_seed_decides_and_each_epoch_is_drawn_anew(self, pictures: Path) -> None:
        loaders = [folder_loader(pictures, shuffle=True, seed=seed) for seed in (1, 1, 2)]
        first, again, other = (seen(loader)[0] for loader in loaders)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert not torch.equal(seen(loaders[0])[0], first)

    def test_images_keep_their_labels(self, pictures: Path) -> None:
        held = image_folder(pictures)
        for image, label in zip(*seen(folder_loader(pictures, shuffle=True)), strict=True):
            (row,) = (held.images == image).flatten(1).all(1).nonzero().flatten().tolist()
            assert held.labels[row] == label

    def test_the_global_random_state_stays(self, pictures: Path) -> None:
        before = torch.get_rng_state()
        seen(folder_loader(pictures, shuffle=True))
        assert torch.equal(torch.get_rng_state(), before)


class TestTransforms:
    def test_the_presets_of_pretrained_weights(self, pictures: Path) -> None:
        preset = ResNet18_Weights.IMAGENET1K_V1.transforms()
        loader = folder_loader(pictures, transform=preset, batch_size=2)
        images, _ = next(iter(loader))
        assert images.shape == (2, 3, 224, 224)
        expected = preset(image_folder(pictures).images[:2])
        assert torch.allclose(images, expected, atol=1e-6)

    def test_images_of_different_sizes_are_refused_with_the_rule(self, pictures: Path) -> None:
        sizes = iter([4, 5, 6])

        def resize(image: torch.Tensor) -> torch.Tensor:
            return v2.functional.resize(image, [next(sizes)])

        with pytest.raises(ValueError, match=r"one shape; received \(3, 4, 6\) and .*Resize\(\("):
            next(iter(folder_loader(pictures, transform=resize, batch_size=3)))

    @pytest.mark.parametrize(
        ("transform", "kind"),
        [
            (v2.ToPILImage(), "Image"),
            (v2.ToDtype(torch.uint8, scale=True), r"torch\.uint8"),
            (lambda image: None, "NoneType"),
        ],
        ids=["picture", "bytes", "nothing"],
    )
    def test_what_is_no_tensor_of_floats_is_refused(
        self, pictures: Path, transform: Any, kind: str
    ) -> None:
        with pytest.raises(
            TypeError, match=rf"received {kind} for .*0\.png\. .*leave out ToTensor"
        ):
            FolderImages(pictures, transform=transform)[0]


class TestRefusals:
    def test_a_folder_that_the_classes_lack_is_named(self, pictures: Path) -> None:
        with pytest.raises(UnknownLabelError, match="received '10' in"):
            folder_loader(pictures, classes=["2", "9"])

    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            ("batch_size", 0, "batch_size must be a whole number of at least 1; received 0"),
            ("workers", -1, "workers must be a whole number of at least 0; received -1"),
            ("seed", -1, "seed must be a whole number of at least 0; received -1"),
            ("fit", "stretch", "fit must be one of"),
        ],
    )
    def test_an_option_that_is_none(
        self, pictures: Path, option: str, value: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            folder_loader(pictures, **{option: value})

    def test_a_folder_without_pictures(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="found none there"):
            folder_loader(tmp_path)
