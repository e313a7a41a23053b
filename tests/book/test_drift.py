"""``make drift`` runs chapters under variations, does nothing twice, and records what moved."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

import execute
import runs
from book_files import read_notebook
from drift_records import Drift, cell_changes, furthest, merge, read_record, update
from execute import ChapterError
from variations import Variation, choose, environment_for, read_pythons, read_variations, why_not

CHAPTER = """---
kernelspec:
  name: python3
  display_name: X
  language: python
---

# A chapter

{prose}

```{{code-cell}} ipython3
---
tolerance: {tolerance}
---
import os
bias = float(os.environ.get("BIAS", 0))
print(f"accuracy {{0.80 + bias:.2f}} of 9")
```

A cell that may fail.

```{{code-cell}} ipython3
assert bias < 0.5, "too far"
print("held")
```
"""
PLACE = {"instructions": "AVX2", "cuda": None, "torch": "2.6.0"}
CALM = Variation("calm", "nothing changed", {"BIAS": "0"})
MOVED = Variation("moved", "a little more", {"BIAS": "0.01"})
BROKEN = Variation("broken", "too much", {"BIAS": "0.75"})


def write_chapter(folder: Path, prose: str = "A sentence.", tolerance: float = 0.02) -> Path:
    source = folder / "01-tiny.md"
    source.write_text(CHAPTER.format(prose=prose, tolerance=tolerance), encoding="utf-8")
    return source


def task_for(source: Path, variation: Variation, kept: Path) -> runs.Task:
    key = runs.key_of(source, variation, PLACE)
    return runs.Task(source, variation, sys.executable, key, PLACE, kept)


class Measured:
    """A chapter that was stored as it is, and run under three variations."""

    def __init__(self, folder: Path) -> None:
        self.source = write_chapter(folder)
        self.notebooks, self.kept, self.records = folder / "notebooks", folder / "kept", folder
        execute.execute([self.source], self.notebooks, record_path=folder / "record.json")
        self.tasks = [task_for(self.source, each, self.kept) for each in (CALM, MOVED, BROKEN)]
        self.failures = runs.carry_out(self.tasks, jobs=3)
        kept = {each.variation.name: each.target for each in self.tasks}
        update("01-tiny", kept, self.records, self.notebooks)
        self.record = read_record(self.records / "01-tiny.json")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return Measured(tmp_path_factory.mktemp("measured"))


def test_every_variation_runs_in_its_own_environment(measured: Measured) -> None:
    assert measured.failures == []
    printed = [read_notebook(each.target).cells[1].outputs[0].text for each in measured.tasks]
    assert printed == ["accuracy 0.80 of 9\n", "accuracy 0.81 of 9\n", "accuracy 1.55 of 9\n"]


def test_record_holds_the_furthest_drift_and_what_broke(measured: Measured) -> None:
    cells = list(measured.record["cells"].values())
    assert cells[0] == [Drift("number", "0.80", 0.75, 0.75, "broken")]
    assert {(each.kind, each.size, each.under) for each in cells[1]} == {
        ("words", math.inf, "broken")
    }
    assert cells[1][0].stored == "text on stdout became AssertionError: too far"
    assert set(measured.record["runs"]) == {"calm", "moved", "broken"}
    assert measured.record["runs"]["moved"]["place"] == PLACE


def test_what_was_run_is_not_run_again(
    measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.carry_out(measured.tasks, jobs=1) == []
    assert capsys.readouterr().out == "3 of 3 runs are there already\n"


def test_broken_file_counts_as_no_run(measured: Measured, tmp_path: Path) -> None:
    task = task_for(measured.source, CALM, tmp_path)
    task.target.parent.mkdir()
    for text in ("", "{half", "{}"):
        task.target.write_text(text, encoding="utf-8")
        assert not runs.is_done(task)


def test_an_older_record_is_kept_for_what_is_not_run_now(
    measured: Measured, tmp_path: Path
) -> None:
    (tmp_path / "01-tiny.json").write_bytes((measured.records / "01-tiny.json").read_bytes())
    calm = {"calm": measured.tasks[0].target}
    update("01-tiny", calm, tmp_path, measured.notebooks)
    assert read_record(tmp_path / "01-tiny.json")["cells"] == measured.record["cells"]
    every = {each.variation.name: measured.tasks[0].target for each in measured.tasks}
    update("01-tiny", every, tmp_path, measured.notebooks)
    cells = list(read_record(tmp_path / "01-tiny.json")["cells"].values())
    assert cells == [[Drift("number", "0.80", 0.0, 0.0, None)]], "nothing moved in a calm run"


def test_key_is_of_what_decides_the_output(tmp_path: Path) -> None:
    def key(variation: Variation = CALM, place: dict[str, Any] = PLACE, **chapter: Any) -> str:
        return runs.key_of(write_chapter(tmp_path, **chapter), variation, place)

    assert key() == key(prose="Another sentence.") == key(tolerance=0.1)
    others = {key(MOVED), key(place=PLACE | {"torch": "2.14.1"})}
    source = write_chapter(tmp_path)
    source.write_text(source.read_text().replace("held", "kept"), encoding="utf-8")
    others.add(runs.key_of(source, CALM, PLACE))
    assert len(others | {key()}) == 4


def test_run_that_cannot_start_is_reported_and_stops_no_other(
    measured: Measured, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = task_for(measured.source, CALM, tmp_path)._replace(executable="/no/python")
    failures = runs.carry_out([missing, measured.tasks[0]], jobs=1)
    assert len(failures) == 1
    assert failures[0].startswith("calm, 01-tiny: not finished: FileNotFoundError")
    assert "[1/1, about 0 min left]" in capsys.readouterr().out


def test_plan_says_what_it_skips(
    measured: Measured, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    absent = Variation("old", "an old version", {}, python="oldest-torch")
    assert runs.plan([measured.source], [absent], {}, tmp_path) == []
    assert capsys.readouterr().out == "old: skipped; give --python oldest-torch=PATH\n"


def test_a_processor_or_device_that_is_not_there_is_no_variation() -> None:
    wide = Variation("wide", "", {"ATEN_CPU_CAPABILITY": "avx512"})
    assert why_not(wide, PLACE) == "this processor has AVX2 where avx512 is asked for"
    assert why_not(wide, PLACE | {"instructions": "AVX512"}) is None
    assert why_not(Variation("plain", "", {"ATEN_CPU_CAPABILITY": "default"}), PLACE) is None
    gpu = Variation("gpu", "", {}, needs="cuda")
    assert why_not(gpu, PLACE) == "this machine has no CUDA device"
    assert why_not(gpu, PLACE | {"cuda": "a GPU"}) is None


def test_variations_are_read_and_chosen_by_name() -> None:
    variations = read_variations()
    assert {"default", "avx2", "oldest-torch", "two-threads", "cuda"} <= {
        v.name for v in variations
    }
    assert [each.name for each in choose(variations, ["avx2"])] == ["avx2"]
    with pytest.raises(ChapterError, match=r"No variation is named 'sse'. There are: .*'avx2'"):
        choose(variations, ["sse"])


def test_the_shell_decides_nothing_about_a_variation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx512")
    environment = environment_for(Variation("two", "", {"OMP_NUM_THREADS": "2"}))
    assert environment["OMP_NUM_THREADS"] == "2"
    assert "ATEN_CPU_CAPABILITY" not in environment


@pytest.mark.parametrize("pair", ["oldest-torch", "oldest-torch=/no/python"])
def test_interpreter_must_be_there(pair: str) -> None:
    with pytest.raises(ChapterError, match="NAME=PATH of an interpreter; got 'oldest-torch"):
        read_pythons([pair])
    assert read_pythons([f"old={sys.executable}"]) == {"old": sys.executable}


def stream(text: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("stream", text=text)


def test_quantities_are_compared_where_they_stand() -> None:
    """A line that differs in its words hides none of what stands below it."""
    old, new = stream("a 0.10\nb 0.20\n"), stream("c 0.10\nb 0.25\n")
    sizes = {place: each.size for place, each in cell_changes([old], [new]).items()}
    assert sizes == {(0, "stdout", 0, 0): math.inf, (0, "stdout", 1, 0): pytest.approx(0.05)}
    cell = nbformat.v4.new_code_cell(outputs=[old])
    run = nbformat.v4.new_code_cell(outputs=[new])
    assert [each.kind for each in furthest(cell, {"run": run})] == ["number", "number", "words"]


def test_merging_keeps_the_larger_and_drops_what_is_no_longer_stored() -> None:
    new = [Drift("number", "0.1", 0.01, 0.01, "a"), Drift("number", "0.2", 0.0, 0.0, None)]
    old = [Drift("number", "0.1", 0.03, 0.03, "b"), Drift("number", "0.9", 0.5, 0.5, "b")]
    assert merge(new, old) == [old[0], new[1]]
