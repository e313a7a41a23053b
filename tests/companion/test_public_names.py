from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

import companion

PACKAGE = Path(companion.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = ["companion", "companion.datasets", "companion.evaluation", "companion.training"]
ROOMS += ["companion.teaching"]
LONGEST = 250  # lines; a longer file is two concepts


def public(module: ModuleType) -> dict[str, object]:
    """The functions and classes that a room promises, those of modules it names included."""
    found: dict[str, object] = {}
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.ismodule(value):
            own = inspect.getmembers(value, inspect.isfunction)
            found |= {
                f"{name}.{inner}": function
                for inner, function in own
                if function.__module__ == value.__name__ and not inner.startswith("_")
            }
        else:
            found[name] = value
    return found


PUBLIC = {
    f"{room}.{name}": value
    for room in ROOMS
    for name, value in public(importlib.import_module(room)).items()
}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}


@pytest.mark.parametrize("room", ROOMS)
def test_names_are_sorted_and_unique(room: str) -> None:
    names = importlib.import_module(room).__all__
    assert names == sorted(set(names))


@pytest.mark.parametrize("room", ROOMS)
def test_a_star_gives_what_is_promised_and_no_more(room: str) -> None:
    given: dict[str, object] = {}
    exec(f"from {room} import *", given)
    assert set(given) - {"__builtins__"} == set(importlib.import_module(room).__all__)


def test_the_front_door_has_no_logic() -> None:
    body = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
    kinds = {type(statement) for statement in body}
    assert kinds == {ast.Expr, ast.ImportFrom, ast.Assign}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_what_it_is(name: str) -> None:
    lines = (PUBLIC[name].__doc__ or "").splitlines()
    assert lines, f"{name} has no docstring"
    assert lines[0].strip().endswith((".", ":")), f"{name}: the first line is a sentence"
    # A dataclass without a docstring is given its signature for one.
    assert not lines[0].startswith(f"{name.rpartition('.')[2]}(")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_has_an_example(name: str) -> None:
    assert ">>> " in (FUNCTIONS[name].__doc__ or "")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_is_one_concept(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST
