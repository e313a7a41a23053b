"""What may differ between two runs of the book: read from files of variations."""

from __future__ import annotations

import functools
import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from execute import ChapterError, kernel_environment

VARIATIONS = Path(__file__).with_name("variations.toml")

# What a kernel says of the place where it runs, as JSON.
ASK = """
import json, platform, sys
import numpy, torch, torchvision
print(json.dumps({
    "python": platform.python_version(), "torch": torch.__version__,
    "torchvision": torchvision.__version__, "numpy": numpy.__version__,
    "instructions": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads(),
    "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
}))
"""


class Variation(NamedTuple):
    """What is different in one set of runs."""

    name: str
    says: str
    environment: dict[str, str]
    python: str | None = None
    needs: str | None = None
    extra: bool = False
    vary: dict[str, Any] | None = None
    data: str | None = None
    leave_out: tuple[str, ...] = ()


def read_variations(path: Path = VARIATIONS) -> list[Variation]:
    """The variations that a file describes, in its order."""
    described = tomllib.loads(path.read_text(encoding="utf-8"))
    return [Variation(name=name, **each) for name, each in described.items()]


def environment_for(variation: Variation) -> dict[str, str]:
    """All that is set for a kernel of this variation."""
    environment = kernel_environment()
    for name in ("ATEN_CPU_CAPABILITY", "OMP_NUM_THREADS"):
        environment.pop(name, None)  # the variation's to choose, not the shell's
    if variation.data is not None:
        environment["COMPANION_DATA"] = variation.data
    return environment | variation.environment


@functools.cache
def _asked(executable: str, environment: frozenset[tuple[str, str]]) -> tuple[int, str, str]:
    command = [executable, "-c", ASK]
    result = subprocess.run(command, env=dict(environment), capture_output=True, text=True)
    return result.returncode, result.stdout, result.stderr


def place_of(variation: Variation, executable: str) -> dict[str, Any]:
    """The versions and the processor that the variation's kernels will meet."""
    environment = environment_for(variation)
    code, said, complained = _asked(executable, frozenset(environment.items()))
    if code != 0:
        raise ChapterError(
            f"{executable} cannot run the book under {variation.name!r}: "
            f"{complained.strip().rpartition(chr(10))[2]}. Install the requirements there."
        )
    place: dict[str, Any] = json.loads(said)
    return place


def why_not(variation: Variation, place: dict[str, Any]) -> str | None:
    """Why a variation cannot be measured at this place; None where it can."""
    wanted = variation.environment.get("ATEN_CPU_CAPABILITY", "default")
    # PyTorch takes the best that there is where it has not what is asked for.
    if wanted != "default" and wanted.upper() != place["instructions"]:
        return f"this processor has {place['instructions']} where {wanted} is asked for"
    if variation.needs == "cuda" and place["cuda"] is None:
        return "this machine has no CUDA device"
    return None


def choose(variations: list[Variation], names: list[str] | None) -> list[Variation]:
    """The variations of these names; all where no name is given."""
    known = [each.name for each in variations]
    for name in names or []:
        if name not in known:
            raise ChapterError(f"No variation is named {name!r}. There are: {known}.")
    return [each for each in variations if not names or each.name in names]


def read_pythons(pairs: list[str]) -> dict[str, str]:
    """The interpreters that were given as NAME=PATH."""
    found = {}
    for pair in pairs:
        name, apart, path = pair.partition("=")
        if not apart or not Path(path).is_file():
            raise ChapterError(f"--python takes NAME=PATH of an interpreter; got {pair!r}.")
        found[name] = path
    return found
