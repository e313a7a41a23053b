"""The benchmark of the tools: what it counts, and what becomes of a tool that fails."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from companion.ward import Patient, patients

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is tried here is forked")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("doctor")


@pytest.fixture
def tools(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A place for tools of the tests' own, which is empty again afterwards."""
    table = dict[str, Any]()
    for name in ("doctor", "doctor_asking", "doctor_tools"):
        monkeypatch.setattr(importlib.import_module(name), "TOOLS", table)
    registered = importlib.import_module("doctor_tools").tool

    def tool(name: str, **changes: Any) -> Any:
        given = {"distribution": "torch", "package": "torch", "asked": "", "error": ""}
        return registered(name, **given | {"warning": ""} | changes)

    return tool


def alarm(level: str, rule: str) -> Any:
    return importlib.import_module("doctor_patients").Alarm(level, rule)


def some(count: int = 3) -> list[Patient]:
    quick = [each for each in patients("broken", half="open") if each.entry == "examine"]
    return quick[:count]


def words(verdicts: list[Any]) -> list[str]:
    return [each.word for each in verdicts]


def test_the_highest_level_is_the_verdict_and_advice_on_speed_is_none(
    bench: ModuleType, tools: Any
) -> None:
    said = [[], [alarm("speed", "a")], [alarm("warning", "b"), alarm("error", "c")]]
    chosen = some()
    by_name = {each.name: alarms for each, alarms in zip(chosen, said, strict=True)}
    tools("sayer")(lambda patient, made: by_name[patient.name])
    found = bench.ask_all("sayer", chosen)
    assert words(found) == ["silent", "silent", "error"]
    assert found[2].alarms == (("warning", "b"), ("error", "c"))


def test_whatever_a_tool_does_the_run_goes_on(bench: ModuleType, tools: Any) -> None:
    chosen = some(4)

    def ask(patient: Patient, made: Any) -> list[Any]:
        place = [each.name for each in chosen].index(patient.name)
        if place == 0:
            raise ZeroDivisionError("a fault of the tool")
        if place == 1:
            os._exit(3)
        if place == 2:
            time.sleep(60)
        return [alarm("warning", "a")]

    tools("wild")(ask)
    found = bench.ask_all("wild", chosen, limit=5, jobs=2)
    assert words(found) == ["crashed", "crashed", "crashed", "warning"]
    assert [each.why for each in found[:3]] == [
        "ZeroDivisionError: a fault of the tool",
        "the process ended",
        "more than 5 s",
    ]


def test_each_tool_has_a_patient_of_its_own(bench: ModuleType, tools: Any) -> None:
    def ask(patient: Patient, made: Any) -> list[Any]:
        spoilt = hasattr(made["model"], "spoilt")
        made["model"].spoilt = True
        return [alarm("error", "spoilt")] if spoilt else []

    tools("spoiler")(ask)
    assert words(bench.ask_all("spoiler", some(1) * 2)) == ["silent", "silent"]


def test_verdicts_add_up_and_areas_and_names_are_counted(bench: ModuleType) -> None:
    Verdict = importlib.import_module("doctor_asking").Verdict
    patient = Patient("p", "broken", "labels", "s", lambda _: {}, expects=("LBL003",))
    found = [
        (patient, Verdict("error", (("error", "LBL003"), ("warning", "MOD001")))),
        (patient, Verdict("warning", (("warning", "LBL004"),))),
        (patient, Verdict("error", (("error", "OPT001"), ("warning", "LBL003")))),
        (patient, Verdict("crashed")),
        (patient, Verdict("cannot take it")),
    ]
    counts = bench.counted("companion.doctor", found)
    assert sum(counts[word] for word in bench.VERDICTS) == counts["patients"] == 5
    assert [counts[f"right area, {name}"] for name in ("any", "error")] == [3, 1]
    assert [counts[f"named, {name}"] for name in ("any", "error")] == [2, 1]
    others = bench.counted("torchdiag", found)
    assert others["right area, any"] is others["named, error"] is None


def test_rules_are_about_areas_of_the_ward(bench: ModuleType) -> None:
    areas = importlib.import_module("doctor_areas")
    tables = [areas.COMPANION, *areas.RULES.values()]
    assert {area for table in tables for found in table.values() for area in found} == {
        *bench.AREAS
    }
    assert {*areas.MAPPED} <= {*bench.TOOLS}


def test_what_is_not_installed_is_named_and_left_out(
    bench: ModuleType, tools: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tools("absent", distribution="no-such-tool")(lambda patient, made: [])
    tools("present")(lambda patient, made: [alarm("error", "a")])
    place, name = tmp_path / "made" / "record.json", some(1)[0].name
    given = ["--patients", name, "--output", str(place)]
    assert bench.main(given) == 0
    said = capsys.readouterr()
    assert "absent is left out, not installed: pip install no-such-tool" in said.err
    assert f"present: {name} (broken): error: a (error)" in said.out
    record = json.loads(place.read_text())
    assert record["not_run"]["absent"].startswith("not installed")
    areas = record["tools"]["present"]["areas"].values()
    assert sum(area["broken"]["error"] for area in areas) == 1
    assert sum(n for area in record["patients"].values() for n in area.values()) == 1


def test_one_that_is_set_aside_is_never_shown_alone(
    bench: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    name = patients("broken", half="set aside")[0].name
    with pytest.raises(SystemExit):
        bench.main(["--patients", name])
    assert f"{name} is set aside" in capsys.readouterr().err


def test_a_patient_that_is_none_is_refused(
    bench: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bench.main(["--patients", "nobody"])
    assert "no patient is called nobody" in capsys.readouterr().err


@pytest.mark.parametrize("entry", ["examine_folders", "examine_checkpoint"])
def test_our_own_check_up_is_given_what_it_takes(bench: ModuleType, entry: str) -> None:
    chosen = [each for each in patients(half="open") if each.entry == entry][:1]
    assert "crashed" not in words(bench.ask_all("companion.doctor", chosen))
