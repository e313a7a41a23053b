from __future__ import annotations

import pickle
import struct
import tracemalloc
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

from companion import image_folder
from companion.datasets import PictureSizeWarning, PictureWhiteWarning
from companion.datasets.pictures import UPRIGHT, PictureReader, UnreadablePictureError

CORNERS = np.array([[10, 60, 110], [160, 210, 250]], dtype=np.uint8)  # two rows, three columns


def two_classes(root: Path, picture: Image.Image, name: str = "one.png", **options: Any) -> Path:
    """Save one picture as both classes of a folder, which is returned."""
    for folder in "ab":
        (root / folder).mkdir(exist_ok=True, parents=True)
        picture.save(root / folder / name, **options)
    return root


def messages(folder: Path, **options: Any) -> list[str]:
    """Return what reading a folder warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image_folder(folder, **options)
    assert all(warning.filename == __file__ for warning in caught), "they show the caller's line"
    return [str(warning.message) for warning in caught]


def noted(orientation: Any) -> Image.Exif:
    """Return EXIF data that note an orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
    def test_a_picture_that_was_stored_turned_stands_upright(
        self, tmp_path: Path, orientation: int, suffix: str
    ) -> None:
        upright = Image.fromarray(CORNERS).convert("RGB")
        undo = UPRIGHT.get(orientation)
        # What a camera stores is what its note, applied once, makes upright.
        inverse = {Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270}
        inverse |= {value: key for key, value in inverse.items()}
        stored = upright if undo is None else upright.transpose(inverse.get(undo, undo))
        lossless = {"lossless": True} if suffix == "webp" else {}
        folder = two_classes(tmp_path, stored, f"a.{suffix}", exif=noted(orientation), **lossless)
        images = image_folder(folder, colour=False).images
        assert images.shape == (2, 1, 2, 3)
        assert (images[0, 0] * 255).round().int().tolist() == CORNERS.tolist()

    @pytest.mark.parametrize("orientation", [6, 8])
    def test_a_photograph_that_is_shrunk_before_it_is_decoded_is_turned_too(
        self, tmp_path: Path, orientation: int
    ) -> None:
        # Stored lying, 400 wide and 200 high, with a bright left end.
        stored = np.zeros((200, 400), dtype=np.uint8)
        stored[:, :200] = 255
        exif = noted(orientation)
        folder = two_classes(tmp_path, Image.fromarray(stored), "a.jpg", exif=exif, quality=95)
        image = image_folder(folder, size=(20, 10), fit="squash").images[0, 0]
        assert image.shape == (20, 10)
        top, bottom = image[:8].mean().item(), image[-8:].mean().item()
        bright, dark = (top, bottom) if orientation == 6 else (bottom, top)
        assert (bright, dark) == (pytest.approx(1, abs=0.02), pytest.approx(0, abs=0.02))

    def test_pictures_of_one_size_after_turning_keep_it(self, tmp_path: Path) -> None:
        for folder, (turn, side) in zip("ab", [(1, (4, 6)), (6, (6, 4))], strict=True):
            (tmp_path / folder).mkdir()
            Image.new("L", side).save(tmp_path / folder / "one.png", exif=noted(turn))
        assert image_folder(tmp_path).images.shape == (2, 1, 6, 4)

    @pytest.mark.parametrize("orientation", [0, 9, 200])
    def test_a_note_that_means_nothing_turns_nothing(
        self, tmp_path: Path, orientation: int
    ) -> None:
        picture = Image.fromarray(CORNERS)
        folder = two_classes(tmp_path, picture, exif=noted(orientation))
        assert image_folder(folder).images.shape == (2, 1, 2, 3)

    def test_broken_notes_do_not_break_a_picture(self, tmp_path: Path) -> None:
        folder = two_classes(
            tmp_path, Image.fromarray(CORNERS), "a.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff"
        )
        assert image_folder(folder).images.shape == (2, 1, 2, 3)


class TestDepth:
    @pytest.mark.parametrize("suffix", ["png", "tiff", "ppm"])
    def test_sixteen_bits_are_scaled_by_their_white_and_stay_fine(
        self, tmp_path: Path, suffix: str
    ) -> None:
        pixels = np.array([[0, 1, 300], [32768, 65534, 65535]], dtype=np.uint16)
        folder = two_classes(tmp_path, Image.fromarray(pixels), f"a.{suffix}")
        expected = torch.from_numpy(pixels.astype(np.float32) / 65535)
        assert torch.equal(image_folder(folder).images[0, 0], expected)

    def test_twelve_bits_are_scaled_by_theirs(self, tmp_path: Path) -> None:
        # Width, height, bits, no compression, black is zero, where the pixels are, rows, bytes.
        tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 110, 278: 1, 279: 3}
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
        start = b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
        stored = start.ljust(110, b"\x00") + b"\x00\x0f\xff"  # two pixels in three bytes
        for folder in "ab":
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "a.tif").write_bytes(stored)
        assert image_folder(tmp_path).images[0, 0].tolist() == [[0.0, 1.0]]

    @pytest.mark.parametrize("suffix", ["png", "tiff"])
    @pytest.mark.parametrize(("high", "white"), [(4095, 4095), (4000, 4095), (900, 1023)])
    def test_twelve_bits_in_sixteen_are_noticed_and_scaled_by_what_is_said(
        self, tmp_path: Path, suffix: str, high: int, white: int
    ) -> None:
        pixels = np.array([[0, high], [high // 2, 1]], dtype=np.uint16)
        folder = two_classes(tmp_path, Image.fromarray(pixels), f"a.{suffix}")
        message = rf"highest number in 2 .* is {high}, and white is 65535\. .*white={white}, or"
        with pytest.warns(PictureWhiteWarning, match=message) as caught:
            image_folder(folder)
        assert [each.filename for each in caught] == [__file__]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = image_folder(folder, white=white).images[0, 0]
            image_folder(folder, white=65535)
        assert torch.equal(found, torch.from_numpy(pixels.astype(np.float32) / white))

    def test_one_bright_picture_says_what_is_white(self, tmp_path: Path) -> None:
        dark, bright = (np.full((2, 2), value, dtype=np.uint16) for value in (4000, 60000))
        two_classes(tmp_path, Image.fromarray(dark))
        Image.fromarray(bright).save(tmp_path / "a" / "bright.png")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert image_folder(tmp_path).images.max() == np.float32(60000) / np.float32(65535)

    def test_numbers_that_say_no_white_are_scaled_by_what_is_said(self, tmp_path: Path) -> None:
        floats = two_classes(tmp_path / "f", Image.fromarray(np.full((2, 2), 50.0, "f4")), "a.tiff")
        whole = two_classes(tmp_path / "i", Image.fromarray(np.full((2, 2), 50, "i4")), "a.tiff")
        for folder in (floats, whole):
            assert image_folder(folder, white=100).images.unique().tolist() == [0.5]
            with pytest.raises(ValueError, match=r"0 … white, 20; .*tiff runs from 50 to 50"):
                image_folder(folder, white=20)

    def test_a_white_that_would_be_ignored_is_refused(self, tmp_path: Path) -> None:
        folder = two_classes(tmp_path, Image.fromarray(CORNERS))
        with pytest.raises(ValueError, match=r"more than 8 bits; .* has 8, whose white is 255"):
            image_folder(folder, white=4095)
        with pytest.raises(ValueError, match="white must be positive and finite; received 0"):
            image_folder(folder, white=0)

    def test_sixteen_bits_are_shrunk_in_full_depth(self, tmp_path: Path) -> None:
        pixels = np.full((4, 4), 10000, dtype=np.uint16)
        folder = two_classes(tmp_path, Image.fromarray(pixels))
        images = image_folder(folder, size=2).images
        assert torch.allclose(images, torch.full_like(images, 10000 / 65535), atol=1e-7)

    @pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
    def test_floats_in_zero_to_one_are_taken_as_they_are(self, tmp_path: Path, fit: str) -> None:
        pixels = np.array([[0, 0.25], [0.5, 1]], dtype=np.float32)
        folder = two_classes(tmp_path, Image.fromarray(pixels), "a.tiff")
        images = image_folder(folder, fit=fit).images
        assert torch.equal(images[0, 0], torch.from_numpy(pixels))
        assert image_folder(folder, size=(4, 2), fit=fit).images.shape == (2, 1, 4, 2)

    def test_floats_become_three_equal_channels_where_colour_is_asked_for(
        self, tmp_path: Path
    ) -> None:
        pixels = np.array([[0, 0.25]], dtype=np.float32)
        folder = two_classes(tmp_path, Image.fromarray(pixels), "a.tiff")
        images = image_folder(folder, colour=True).images
        assert torch.equal(images[0], torch.from_numpy(pixels).expand(3, 1, 2))

    @pytest.mark.parametrize("bad", [255.0, -0.1, float("nan"), float("inf")], ids=str)
    def test_other_floats_are_refused(self, tmp_path: Path, bad: float) -> None:
        pixels = np.array([[0, bad]], dtype=np.float32)
        folder = two_classes(tmp_path, Image.fromarray(pixels), "a.tiff")
        with pytest.raises(ValueError, match=r"must lie in 0 … 1.*a\.tiff runs from .*Pass white="):
            image_folder(folder)

    @pytest.mark.parametrize("value", [70000, 3, -1])
    def test_integers_of_32_bits_are_refused(self, tmp_path: Path, value: int) -> None:
        pixels = np.array([[0, value]], dtype=np.int32)
        folder = two_classes(tmp_path, Image.fromarray(pixels), "a.tiff")
        with pytest.raises(ValueError, match=r"say what its white is.*32 bits\. Pass white="):
            image_folder(folder)


class TestFit:
    @pytest.fixture
    def wide(self, tmp_path: Path) -> Path:
        """A folder of pictures twice as wide as high: black, white, white, black."""
        pixels = np.zeros((4, 8), dtype=np.uint8)
        pixels[:, 2:6] = 255
        return two_classes(tmp_path, Image.fromarray(pixels))

    @pytest.mark.parametrize(
        ("fit", "row", "edge"),
        [
            ("squash", [0, 1, 1, 0], [0, 1, 1, 0]),
            ("crop", [1, 1, 1, 1], [1, 1, 1, 1]),
            ("pad", [0, 1, 1, 0], [0, 0, 0, 0]),
        ],
    )
    def test_what_becomes_of_the_shape(
        self, wide: Path, fit: str, row: list[int], edge: list[int]
    ) -> None:
        image = image_folder(wide, size=4, fit=fit).images[0, 0]
        assert image.shape == (4, 4)
        assert image[1].round().tolist() == row
        assert image[0].round().tolist() == edge

    def test_the_default_is_to_squash_and_to_say_so(self, wide: Path) -> None:
        with pytest.warns(PictureSizeWarning, match="squashed"):
            assert torch.equal(
                image_folder(wide, size=4).images,
                image_folder(wide, size=4, fit="squash").images,
            )

    def test_another_word_is_refused_before_anything_is_read(self, tmp_path: Path) -> None:
        folder = two_classes(tmp_path, Image.new("L", (8, 8)))
        (folder / "a" / "broken.png").touch()
        with pytest.raises(ValueError, match="one of 'squash', 'crop', 'pad'; received 'stretch'"):
            image_folder(folder, fit="stretch")

    @pytest.mark.parametrize(
        ("size", "error", "message"),
        [
            (0, ValueError, "size must be a whole number of at least 1; received 0"),
            ((8, -1), ValueError, "received -1"),
            (8.0, TypeError, r"received 8\.0\. It is in pixels"),
            ("8", TypeError, "received '8'"),
            (True, TypeError, "received True"),
            ((8,), ValueError, r"one side, or a pair \(height, width\), in pixels; received \(8,"),
            ((1, 8, 8), ValueError, "one side, or a pair"),
        ],
        ids=str,
    )
    def test_a_size_that_is_none(
        self, wide: Path, size: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            image_folder(wide, size=size, fit="squash")

    def test_a_colour_that_is_none(self, wide: Path) -> None:
        with pytest.raises(TypeError, match="colour must be True, False or None; received 'grey'"):
            image_folder(wide, colour="grey")  # type: ignore[arg-type]


class TestNotices:
    def test_photographs_that_shrink_much_are_told_of(self, tmp_path: Path) -> None:
        folder = two_classes(tmp_path, Image.new("L", (320, 320)))
        assert messages(folder) == [
            "pictures shrink by up to 10 times a side (320×320 to 32×32), and what is small in "
            "them vanishes. Pass size=, such as size=128, or size=32 if that is what you want."
        ]

    def test_photographs_that_are_squashed_are_counted(self, tmp_path: Path) -> None:
        folder = two_classes(tmp_path, Image.new("L", (80, 60)))
        Image.new("L", (60, 60)).save(folder / "a" / "square.png")
        assert messages(folder) == [
            "2 of 3 pictures are squashed, by up to 1.3 times (80×60 to 32×32). Pass fit='crop' "
            "or fit='pad' to keep their shape, or fit='squash' if that is what you want."
        ]

    @pytest.mark.parametrize(
        ("side", "options"),
        [
            ((256, 256), {}),
            ((320, 320), {"size": 32}),
            ((64, 32), {}),
            ((80, 64), {}),
            ((80, 60), {"fit": "squash"}),
            ((80, 60), {"fit": "crop"}),
            ((80, 60), {"size": (30, 40)}),
        ],
        ids=[
            "eight times",
            "size asked for",
            "kept",
            "a little",
            "squash asked for",
            "cropped",
            "shape asked for",
        ],
    )
    def test_nothing_is_said_of_what_was_asked_for_or_is_little(
        self, tmp_path: Path, side: tuple[int, int], options: dict[str, Any]
    ) -> None:
        assert messages(two_classes(tmp_path, Image.new("L", side)), **options) == []

    def test_the_side_that_counts_is_the_upright_one(self, tmp_path: Path) -> None:
        folder = two_classes(tmp_path, Image.new("L", (80, 60)), "a.jpg", exif=noted(6))
        assert messages(folder, size=(40, 30)) == []


class TestMemory:
    def test_one_picture_at_a_time_is_there_at_its_full_size(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = two_classes(tmp_path, Image.new("RGB", (300, 200)))
        for number in range(4):
            Image.new("RGB", (300, 200)).save(folder / "a" / f"{number}.bmp")
        opened: list[weakref.ref[Image.Image]] = []
        alive: list[int] = []
        load = Image.open

        def count(file: Any) -> Image.Image:
            alive.append(sum(picture() is not None for picture in opened))
            picture = load(file)
            opened.append(weakref.ref(picture))
            return picture

        monkeypatch.setattr(Image, "open", count)
        image_folder(folder, size=8, fit="squash")
        assert len(alive) >= 6
        # The one that was just read may still have a name when the next is opened.
        assert max(alive) <= 1

    @pytest.mark.parametrize(
        ("orientation", "decoded"), [(1, (200, 100)), (6, (400, 200))], ids=["upright", "turned"]
    )
    def test_a_photograph_is_decoded_at_twice_the_size_that_is_kept_or_a_little_more(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        orientation: int,
        decoded: tuple[int, int],
    ) -> None:
        folder = two_classes(tmp_path, Image.new("L", (800, 400)), "a.jpg", exif=noted(orientation))
        sizes = []
        load = JpegImageFile.load

        def note(self: JpegImageFile) -> Any:
            sizes.append(self.size)
            return load(self)

        monkeypatch.setattr(JpegImageFile, "load", note)
        # (height, width): lying, 100 wide and 50 high; turned, the stored 800 become the height.
        size = (50, 100) if orientation == 1 else (200, 25)
        image_folder(folder, size=size, fit="squash")
        assert set(sizes) == {decoded}

    def test_what_python_holds_is_what_is_kept(self, tmp_path: Path) -> None:
        folder = two_classes(tmp_path, Image.new("RGB", (1000, 1000)), "a.jpg")
        image_folder(folder, size=8)
        tracemalloc.start()
        image_folder(folder, size=8)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1_000_000  # one picture at its full size has 3,000,000 bytes

    def test_a_photograph_shrunk_before_decoding_looks_like_one_shrunk_after(
        self, tmp_path: Path
    ) -> None:
        across = np.linspace(0, 255, 400, dtype=np.uint8)
        picture = Image.fromarray(np.minimum.outer(across, across[::-1]))
        folder = two_classes(tmp_path, picture, "a.jpg", quality=95)
        with Image.open(folder / "a" / "a.jpg") as whole:
            small = whole.resize((16, 16), Image.Resampling.BILINEAR)
        expected = torch.from_numpy(np.array(small, dtype=np.float32) / 255)
        image = image_folder(folder, size=16).images[0, 0]
        assert (image - expected).abs().max() < 0.02

    def test_a_folder_too_large_is_refused_before_it_is_read(self, tmp_path: Path) -> None:
        folder = two_classes(tmp_path, Image.new("RGB", (8, 8)))
        (folder / "a" / "broken.png").touch()
        with pytest.raises(
            MemoryError,
            match=r"may take 1e-06 GB; the 3 of .* at 3×10×10 would take 3\.6e-06 GB\. Read them "
            r"batch by batch, folder_loader\(path, \.\.\.\), .* memory_gb=",
        ):
            image_folder(folder, size=10, memory_gb=1e-6)

    def test_the_memory_allowed_is_counted_exactly(self, tmp_path: Path) -> None:
        folder = two_classes(tmp_path, Image.new("RGB", (8, 8)))
        needed = 2 * 3 * 8 * 8 * 4 / 1e9
        assert len(image_folder(folder, memory_gb=needed)) == 2
        with pytest.raises(MemoryError, match="the 2 of"):
            image_folder(folder, memory_gb=needed * 0.99)

    @pytest.mark.parametrize("bad", [0, -1, float("nan")])
    def test_an_amount_of_memory_that_is_none(self, tmp_path: Path, bad: float) -> None:
        with pytest.raises(ValueError, match="memory_gb must be positive and finite"):
            image_folder(tmp_path, memory_gb=bad)


class TestReader:
    def test_a_broken_file_says_which_it_is_in_another_process_too(self, tmp_path: Path) -> None:
        (tmp_path / "broken.png").write_bytes(b"no picture")
        with pytest.raises(UnreadablePictureError, match=r"broken\.png is not \(Unid") as caught:
            PictureReader((8, 8), colour=False)(tmp_path / "broken.png")
        arrived = pickle.loads(pickle.dumps(caught.value))
        assert (str(arrived), arrived.file) == (str(caught.value), caught.value.file)

    def test_a_picture_that_is_a_bomb_counts_as_unreadable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = two_classes(tmp_path, Image.new("L", (40, 40)))
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        with pytest.raises(ValueError, match="2 of 2 are not"):
            image_folder(folder)
