"""The README's example runs, and prints what the README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tolerance import differences

ROOT = Path(__file__).resolve().parent.parent


def test_the_example_prints_what_stands_below_it() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```\s+```\n(.*?)```", readme, re.DOTALL)
    assert found, "README has no Python example with its output below it"
    code, promised = found.groups()
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert differences(promised, ran.stdout, tolerance=0.02) == []
