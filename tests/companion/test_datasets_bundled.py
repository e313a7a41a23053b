from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest
import torch
from matplotlib.ft2font import FT2Font
from sklearn.datasets import load_digits

from companion import digits, glyphs
from companion.datasets.bundled import ALPHABET, CANVAS, FACES, _drawings


def test_digits_are_those_of_scikit_learn() -> None:
    data, bunch = digits(), load_digits()
    assert torch.equal(data.images[:, 0] * 16, torch.from_numpy(bunch.images).float())
    assert data.labels.tolist() == bunch.target.tolist()
    assert data.classes == tuple("0123456789")
    assert (data.images.min().item(), data.images.max().item()) == (0.0, 1.0)


def test_glyphs_come_from_their_seed() -> None:
    first, again, other = (glyphs(per_class=2, seed=seed).images for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_glyphs_leave_the_global_random_state() -> None:
    before = torch.get_rng_state()
    glyphs(per_class=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_glyphs_are_balanced_and_scaled() -> None:
    data = glyphs(per_class=3)
    assert data.counts() == dict.fromkeys(ALPHABET, 3)
    assert len(data.classes) == 100
    assert 0 <= data.images.min() < 0.1
    assert 0.9 < data.images.max() <= 1


def test_glyphs_come_in_the_size_asked_for() -> None:
    assert glyphs(per_class=1, size=12).images.shape == (100, 1, 12, 12)


def test_every_image_of_the_glyphs_has_something_on_it() -> None:
    # Noise alone has a standard deviation below 0.1.
    assert glyphs(per_class=5).images.flatten(1).std(dim=1).min() > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [({"per_class": 0}, "received per_class=0, size=16"), ({"size": 7}, "per_class=100, size=7")],
    ids=["no images", "too small"],
)
def test_glyphs_that_nobody_could_read_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        glyphs(**options)


@pytest.mark.parametrize("column", range(len(FACES)), ids=FACES)
def test_a_face_draws_every_character_in_its_own_way(column: int) -> None:
    # A character that a face lacks would be drawn as the same box as any other such character.
    drawn = _drawings().reshape(len(ALPHABET), len(FACES), CANVAS, CANVAS)[:, column]
    assert drawn.flatten(1).sum(1).min() > 20
    distances = torch.cdist(drawn.flatten(1), drawn.flatten(1)) + 99 * torch.eye(len(ALPHABET))
    closest = distances.min()
    row, other = divmod(int(distances.argmin()), len(ALPHABET))
    assert closest > 0.5, f"{ALPHABET[row]} and {ALPHABET[other]} look the same"


@pytest.mark.parametrize("column", range(len(FACES)), ids=FACES)
def test_a_face_has_every_character(column: int) -> None:
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{FACES[column]}.ttf"
    covered = FT2Font(str(file)).get_charmap()
    assert [character for character in ALPHABET if ord(character) not in covered] == []
