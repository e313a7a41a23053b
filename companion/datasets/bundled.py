"""The two sets that need no download: scikit-learn's digits, and glyphs drawn from fonts."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits
from torch import Tensor

from companion.datasets.images import LabelledImages
from companion.states import seeded_generator

ALPHABET = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "abcdefghijklmnopqrstuvwxyz"
    "0123456789"
    "ΓΔΘΛΞΠΣΦΨΩαβγδλμξπφω"
    "БДЖИЙЛЦЩЮЯ"
    "&@#%?!$€"
)
FACES = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
)
CANVAS = 40  # pixels a side of the clean drawing, before it is distorted and shrunk


def digits() -> LabelledImages:
    """Return the 1,797 handwritten digits of scikit-learn: 8×8, grey, scaled to 0 … 1.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998 (its test part).

    >>> digits()
    LabelledImages(1797 images of 1×8×8, 10 classes)
    """
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16
    return LabelledImages(images, torch.from_numpy(bunch.target), [str(d) for d in range(10)])


def glyphs(*, per_class: int = 100, size: int = 16, seed: int = 0) -> LabelledImages:
    """Return pictures of 100 characters, drawn from Matplotlib's own fonts and distorted at random.

    Letters, digits, Greek, Cyrillic and signs in ten faces; each image is turned by up to 15°,
    scaled, sheared, moved and given noise, all from `seed`. Images are (per_class × 100, 1, size,
    size) in 0 … 1, sorted by class. Some characters differ in size alone (c and C), so no network
    reaches 1.

    >>> glyphs(per_class=2)
    LabelledImages(200 images of 1×16×16, 100 classes)
    """
    if per_class < 1 or size < 8:
        raise ValueError(
            "glyphs takes per_class of at least 1 and size of at least 8; received "
            f"per_class={per_class}, size={size}."
        )
    generator = seeded_generator(seed)
    total = per_class * len(ALPHABET)
    labels = torch.arange(len(ALPHABET)).repeat_interleave(per_class)
    faces = torch.randint(len(FACES), (total,), generator=generator)
    clean = _drawings()[labels * len(FACES) + faces]
    shape = [total, 1, size, size]
    grid = F.affine_grid(_distortions(total, generator), shape, align_corners=False)
    images = F.grid_sample(clean, grid, align_corners=False)
    images = images + 0.1 * torch.randn(images.shape, generator=generator)
    return LabelledImages(images.clamp(0, 1), labels, list(ALPHABET))


def _distortions(total: int, generator: torch.Generator) -> Tensor:
    """Return random affine maps (total, 2, 3) from output to input coordinates."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(total, generator=generator)

    angle, shear = uniform(-math.pi / 12, math.pi / 12), uniform(-0.2, 0.2)
    across, down = uniform(0.85, 1.25), uniform(0.85, 1.25)
    cosine, sine = angle.cos(), angle.sin()
    first = torch.stack([across * cosine, down * (shear * cosine - sine), uniform(-0.2, 0.2)], 1)
    second = torch.stack([across * sine, down * (shear * sine + cosine), uniform(-0.2, 0.2)], 1)
    return torch.stack([first, second], 1)


@lru_cache(maxsize=1)
def _drawings() -> Tensor:
    """Return every character in every face, undistorted: (rows, 1, CANVAS, CANVAS)."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = [ImageFont.truetype(folder / f"{face}.ttf", round(CANVAS * 0.75)) for face in FACES]
    pictures = np.zeros((len(ALPHABET) * len(FACES), 1, CANVAS, CANVAS), dtype=np.float32)
    for row, character in enumerate(ALPHABET):
        for column, font in enumerate(fonts):
            canvas = Image.new("L", (CANVAS, CANVAS))
            middle = (CANVAS / 2, CANVAS / 2)
            ImageDraw.Draw(canvas).text(middle, character, fill=255, font=font, anchor="mm")
            pictures[row * len(FACES) + column, 0] = np.asarray(canvas) / 255
    # Blurred a little, because shrinking 40 pixels to 16 by interpolation alone would alias.
    return F.avg_pool2d(torch.from_numpy(pictures), 3, stride=1, padding=1)
