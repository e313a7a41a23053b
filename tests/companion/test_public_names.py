from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import companion

PACKAGE = Path(companion.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = ["companion"]
ROOMS += sorted(f"companion.{each.parent.name}" for each in PACKAGE.glob("*/__init__.py"))
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
# An alias of a type has no docstring of its own.
PUBLIC = {
    name: value
    for name, value in PUBLIC.items()
    if inspect.isroutine(value) or inspect.isclass(value)
}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}


@pytest.mark.parametrize("room", ROOMS)
def test_names_are_sorted_and_unique(room: str) -> None:
    names = importlib.import_module(room).__all__
    # Constants, classes, functions, as ruff sorts them.
    assert names == sorted(set(names), key=lambda n: (not n.isupper(), n[0].islower(), n))


@pytest.mark.parametrize("room", ROOMS)
def test_a_star_gives_what_is_promised_and_no_more(room: str) -> None:
    given: dict[str, object] = {}
    exec(f"from {room} import *", given)
    assert set(given) - {"__builtins__"} == set(importlib.import_module(room).__all__)


class TestTheFrontDoor:
    """`__init__.py` attaches what its stub says, name by name, when a name is first used."""

    def test_it_has_no_logic(self) -> None:
        body = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
        assert [type(each) for each in body] == [ast.Expr, ast.Import, ast.Assign, ast.Assign]

    def test_the_table_names_every_room_and_what_is_promised(self) -> None:
        table = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8")).body[1:]
        imports = [each for each in table if isinstance(each, ast.ImportFrom)]
        assert len(imports) == len(table)
        # Without `as` a checker takes a name for the stub's own, and a reader's import for wrong.
        assert all(name.asname == name.name for each in imports for name in each.names)
        rooms, *given = imports
        inside = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in FILES}
        assert [name.name for name in rooms.names] == sorted(inside - {"__init__"})
        modules = [str(each.module) for each in given]
        assert modules == sorted(set(modules))
        names = [name.name for each in given for name in each.names]
        assert sorted(names) == companion.__all__

    def test_a_name_is_what_its_room_calls_so(self) -> None:
        for each in ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8")).body[2:]:
            assert isinstance(each, ast.ImportFrom)
            room = importlib.import_module(f"companion.{each.module}")
            for name in each.names:
                assert getattr(companion, name.name) is getattr(room, name.name)
                assert name.name in getattr(room, "__all__", [name.name])

    def test_editors_see_what_is_there(self) -> None:
        assert set(companion.__all__) < set(dir(companion))
        assert "training" in dir(companion)

    def test_a_name_that_nobody_has_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="report_card"):
            _ = companion.report_card  # type: ignore[attr-defined]
        with pytest.raises(ImportError, match="report_card"):
            from companion import report_card  # type: ignore[attr-defined]  # noqa: F401

    def test_all_can_be_imported_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        find = importlib.import_module
        monkeypatch.setenv("EAGER_IMPORT", "1")
        monkeypatch.setattr(
            importlib, "import_module", lambda name: asked.append(name) or find(name)
        )
        spec = importlib.util.spec_from_file_location("companion", PACKAGE / "__init__.py")
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        assert {"companion.labels", "companion.teaching", "companion.unknowns"} <= set(asked)

    def test_a_label_map_brings_nothing_that_it_does_not_need(self) -> None:
        heavy = [
            "joblib",
            "matplotlib",
            "pandas",
            "PIL",
            "scipy",
            "seaborn",
            "sklearn",
            "torchvision",
        ]
        code = f"""
import sys
import companion
assert "torch" not in sys.modules
from companion import LabelMap
print(*[name for name in {heavy} if name in sys.modules])
assert LabelMap is companion.labels.LabelMap
print(companion.training.fit is companion.fit)
"""
        ran = subprocess.run(  # what this process has imported is no measure
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.split() == ["True"]


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
