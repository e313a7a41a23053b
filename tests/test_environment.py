"""The lock, the ranges, the conda file, the Makefile and the pages about them agree."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from book_files import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PINS = [
    Requirement(line)
    for line in LOCK.splitlines()
    if line.strip() and not line.lstrip().startswith("#")
]
EXTRAS = PROJECT["optional-dependencies"]
RANGES = [
    Requirement(text)
    for group in (PROJECT["dependencies"], *(EXTRAS[name] for name in ("book", "cluster", "test")))
    for text in group
]
VERBS = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("wanted", RANGES, ids=str)
def test_lock_satisfies_the_range(wanted: Requirement) -> None:
    pins = [pin for pin in PINS if canonicalize_name(pin.name) == canonicalize_name(wanted.name)]
    assert pins, f"{wanted.name} is not in requirements.lock: run `make lock`."
    for pin in pins:
        (version,) = pin.specifier
        assert wanted.specifier.contains(version.version), f"{pin} is outside {wanted}."


def test_every_pin_is_exact() -> None:
    assert [str(pin) for pin in PINS if [part.operator for part in pin.specifier] != ["=="]] == []


def test_lock_depends_on_no_machine_or_index() -> None:
    assert re.findall(r"^\s*-.*|.*(?:file:|https?:|git\+| @ ).*", LOCK, re.MULTILINE) == []


def test_conda_installs_the_lock_on_the_oldest_python() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = (each["pip"] for each in environment["dependencies"] if isinstance(each, dict))
    conda = [each for each in environment["dependencies"] if isinstance(each, str)]
    (oldest,) = Requirement(f"python{PROJECT['requires-python']}").specifier
    assert f"python={oldest.version}" in conda
    assert pip == ["-r requirements.lock", "-e ."]


def test_workflows_use_supported_pythons() -> None:
    supported = Requirement(f"python{PROJECT['requires-python']}").specifier
    used = set()
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        used |= set(re.findall(r'"(3\.\d+)"', path.read_text(encoding="utf-8")))
    assert "3.11" in used
    assert [version for version in used if not supported.contains(version)] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", ".ci/run"])
def test_pages_name_verbs_that_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE))
    assert named, f"{page} names no verb."
    assert named - set(VERBS) == set()


def test_contributing_names_every_verb() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(VERBS) - set(re.findall(r"`make ([a-z]+)", text)) == set()


def test_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert str(citation["version"]) == PROJECT["version"]
    assert f"[{PROJECT['version']}]" in changes or "[Unreleased]" in changes


def test_no_file_names_a_folder_of_someones_machine() -> None:
    home = re.compile(r"(?<![\w.])/(?:home|root|Users)/\w+")
    patterns = ("*.md", "*.toml", "*.yml", "*.cff", "Makefile", "book/*.md", "companion/**/*.py")
    named = {}
    for path in (path for pattern in patterns for path in ROOT.glob(pattern)):
        if found := home.findall(path.read_text(encoding="utf-8")):
            named[str(path.relative_to(ROOT))] = found
    assert named == {}


def test_the_repository_stays_small() -> None:
    """A clone is what every reader waits for: 25 MB in all, and no file of more than 2 MB."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so there is nothing to say which files belong to it")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    sizes = {file.name: file.stat().st_size for file in files if file.is_file()}
    assert {name: size for name, size in sizes.items() if size > 2e6} == {}
    assert sum(sizes.values()) < 25e6
