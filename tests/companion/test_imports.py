"""Imports flow one way: a room imports the rooms below it, and never one above or beside."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import companion

PACKAGE = Path(companion.__file__).parent
FLOORS = {  # a new room goes here
    "findings": 0,
    "inputs": 0,
    "states": 0,
    "labels": 1,
    "networks": 1,
    "datasets": 2,
    "sampling": 2,
    "evaluation": 3,
    "ward": 3,
    "heads": 4,
    "training": 4,
    "unknowns": 4,
    "replicas": 5,
    "learning_rate": 6,
    "teaching": 6,
    "doctor": 7,
}
MODULES = {
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(PACKAGE.rglob("*.py"))
}


def imported(name: str, source: str) -> Iterator[str]:
    """The companion's modules that a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import; write it out"
            # What is imported may itself be a module.
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [str(node.module), *(module for module in inner if module in MODULES)]
        else:
            continue
        yield from (module for module in found if module.split(".")[0] == "companion")


def room(module: str) -> str | None:
    """The room of a module; None for the package itself."""
    return module.split(".")[1] if "." in module else None


def wrong(name: str, source: str) -> list[str]:
    """The imports of a module that do not go down."""
    here = room(name)
    return [
        f"{name} imports {module}"
        for module in imported(name, source)
        if here is not None
        and room(module) != here
        and (room(module) is None or FLOORS[str(room(module))] >= FLOORS[here])
    ]


def deep(name: str, source: str) -> list[str]:
    """The imports of a module that reach into another room's files, past its front door."""
    here = room(name)
    return [
        f"{name} imports {module}"
        for module in imported(name, source)
        if here is not None and room(module) not in (here, None) and module.count(".") > 1
    ]


def test_every_room_has_its_floor() -> None:
    assert {room(name) for name in MODULES} - {None} == set(FLOORS)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name: str) -> None:
    assert wrong(name, MODULES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "from companion.training import fit",
        "import companion.training.loop",
        "from companion import training",
        "from companion import fit",
        "def late():\n    from companion.networks import mlp",
    ],
)
def test_an_import_that_goes_up_or_aside_is_seen(source: str) -> None:
    assert wrong("companion.labels", source) != []


@pytest.mark.parametrize("name", MODULES)
def test_rooms_are_entered_by_the_front_door(name: str) -> None:
    assert deep(name, MODULES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "from companion.inputs.labels import integer_labels",
        "import companion.states.modules",
        "from companion.states import modules",
    ],
)
def test_an_import_past_the_front_door_is_seen(source: str) -> None:
    assert deep("companion.training.loop", source) != []
    assert deep("companion.states.together", "from companion.states.modules import Weights") == []


def test_no_imports_go_round() -> None:
    graph = {
        name: {
            module
            for module in imported(name, file.read_text(encoding="utf-8"))
            # A room's front door imports its modules, and they never use the door.
            if module != name
        }
        for name, file in MODULES.items()
    }
    # The front door leads into every room, when one of its names is used.
    graph["companion"] |= set(MODULES) - {"companion"}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"imports go round: {' → '.join(error.args[1])}")
    assert order[-1] == "companion"
