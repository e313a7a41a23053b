"""Whole projects of strangers, who import the package and nothing else of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECTS = sorted((Path(__file__).parent / "projects").glob("*.py"))
ROOT = Path(__file__).parent.parent
SECONDS = 300  # each takes a few on an idle machine, and many beside other work


def test_there_are_six() -> None:
    assert len(PROJECTS) == 6


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.stem)
def test_it_runs_as_it_stands(project: Path, tmp_path: Path) -> None:
    settings = {name: value for name, value in os.environ.items() if "COMPANION" not in name}
    result = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:companion", str(project)],
        cwd=tmp_path,
        env=settings | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert list(tmp_path.iterdir()) == []
