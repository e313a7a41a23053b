"""What every test starts from: fixed seeds, no windows, no settings from the shell."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

matplotlib.use("Agg")
for name in [name for name in os.environ if name.startswith("COMPANION_")]:
    del os.environ[name]  # before any module reads them

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def fixed_start(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Seed every generator, hide the companion's settings, close the figures afterwards."""
    for name in [name for name in os.environ if name.startswith("COMPANION_")]:
        monkeypatch.delenv(name)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def rendered() -> Path:
    """The folder of the rendered pages; renders them when they are not there."""
    html = ROOT / "_build" / "html"
    if not (html / "index.html").is_file():
        subprocess.run([sys.executable, str(ROOT / "book" / "render.py")], check=True, cwd=ROOT)
    return html
