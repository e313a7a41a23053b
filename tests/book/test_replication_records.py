"""A claim that was measured again is given one of four words, and a record keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

import replication_records as records
from companion.teaching.claims import read_line
from replication_records import HOLDS, OPEN, REVERSED, WEAKER, Measured, state_of


def line(measured: str, bound: str, statement: str = "The gain is real") -> Any:
    return read_line(f"differs  {statement}: {measured}, {bound}")


@pytest.mark.parametrize(
    ("measured", "bound", "state"),
    [
        ("0.30 [0.20, 0.40]", "at least 0.1", HOLDS),
        ("0.15 [0.05, 0.25]", "at least 0.1", WEAKER),
        ("0.15 [-0.05, 0.35]", "at least 0.1", OPEN),
        ("-0.15 [-0.25, -0.05]", "at least 0.1", REVERSED),
        ("-0.30 [-0.40, -0.20]", "at most -0.1", HOLDS),
        ("-0.10 [-0.15, -0.05]", "at most -0.1", WEAKER),
        ("0.00 [-0.15, 0.15]", "at most -0.1", OPEN),
        ("0.10 [0.05, 0.15]", "at most -0.1", REVERSED),
        # Nothing is asked for, so there is no direction: only inside, outside, or both.
        ("0.00 [-0.05, 0.05]", "within ±0.1", HOLDS),
        ("0.08 [0.02, 0.14]", "within ±0.1", OPEN),
        ("0.30 [0.20, 0.40]", "within ±0.1", REVERSED),
        ("0.30 [0.15, 0.45]", "at most 0.2", OPEN),
        ("0.30 [0.25, 0.35]", "at most 0.2", REVERSED),
        ("-0.10 [-0.20, 0.00]", "at least -0.05", OPEN),
        ("0.10 [0.05, 0.15]", "at least 0", HOLDS),
        ("0.90 [0.80, 1.00]", "between 0.2 and 0.5", WEAKER),
        ("-0.20 [-0.30, -0.10]", "between 0.2 and 0.5", REVERSED),
        ("nan [nan, nan]", "at least 0.1", OPEN),
    ],
)
def test_states(measured: str, bound: str, state: str) -> None:
    assert state_of(line(measured, bound)) == state


@pytest.mark.parametrize(
    ("measured", "state"),
    [("1.20 [1.10, 1.30]", WEAKER), ("1.00 [0.80, 1.20]", OPEN), ("0.80 [0.70, 0.90]", REVERSED)],
)
def test_no_effect_of_a_ratio_is_one(measured: str, state: str) -> None:
    assert state_of(line(measured, "at least 1.5", "The first takes times the second")) == state


def test_no_effect_of_a_share_above_one_is_one() -> None:
    share = "Its log loss, as a share of the other's"
    assert state_of(line("1.10 [0.90, 1.30]", "at least 1.2", share)) == OPEN
    assert state_of(line("0.90 [0.85, 0.95]", "at least 1.2", share)) == REVERSED
    assert state_of(line("0.10 [0.05, 0.15]", "at least 0.2", share)) == WEAKER


def test_what_a_change_does_not_reach_is_no_finding(tmp_path: Path) -> None:
    def run(*printed: str) -> Any:
        cell = nbformat.v4.new_code_cell("...")
        text = "".join(f"holds  {each}, at least 0.1\n" for each in printed)
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
        return nbformat.v4.new_notebook(cells=[cell], metadata={"run": {"key": "k"}})

    own = run("It gains: 0.3 [0.2, 0.4]", "It holds: 0.3 [0.2, 0.4]")
    other = run("It gains: 0.3 [0.2, 0.41]", "It holds: 0.3 [0.2, 0.4]")
    records.update("wider", {"says": ""}, {"01-tiny": other}, tmp_path, {"01-tiny": own})
    found = records.read_record(tmp_path / "wider.json")
    assert found is not None
    states = [each.state for each in found["chapters"]["01-tiny"]["claims"]]
    assert states == [HOLDS, records.NOT_REACHED]


def test_what_follows_a_need_that_is_not_met_does_not_count() -> None:
    def cell(*printed: str, raised: str = "") -> Any:
        found = nbformat.v4.new_code_cell("...")
        text = "".join(f"holds  {each}: 0.3 [0.2, 0.4], at least 0.1\n" for each in printed)
        found.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
        if raised:
            error = nbformat.v4.new_output("error", ename=raised, evalue="", traceback=[])
            found.outputs.append(error)
        return found

    cells = [
        nbformat.v4.new_markdown_cell("## A section"),
        cell("It is claimed before"),
        cell(raised="TooLittleDataError"),
        cell("It is left out"),
        nbformat.v4.new_markdown_cell("### Of the same section"),
        cell("It is left out too"),
        nbformat.v4.new_markdown_cell("Text.\n\n## The next"),
        cell("It counts again"),
        cell(raised="ValueError"),
        cell("It counts after another error"),
    ]
    found = records.claims_in(nbformat.v4.new_notebook(cells=cells))
    assert [each.statement for each in found] == [
        "It is claimed before",
        "It counts again",
        "It counts after another error",
    ]


def run_of(*printed: str, raised: str | None = None) -> Any:
    notebook = nbformat.v4.new_notebook(
        metadata={"run": {"key": "k", "seconds": 1.0, "date": "2026-01-02", "place": {}}}
    )
    outputs = [nbformat.v4.new_output("stream", name="stdout", text="\n".join(printed) + "\n")]
    if raised:
        outputs.append(nbformat.v4.new_output("error", ename="ValueError", evalue=raised))
    notebook.cells.append(nbformat.v4.new_code_cell("compute()", outputs=outputs))
    return notebook


GAIN = "holds  The gain is real: 0.3000 [0.2000, 0.4000], at least 0.1 (half of it)"
LOSS = "differs  The loss is small: 0.3000 [0.2500, 0.3500], at most 0.2"
CHECK = "checked  Two and two: 0.0000, within ±1e-06"


def test_a_record_keeps_claims_and_failures_and_no_checks(tmp_path: Path) -> None:
    run = run_of("a line", GAIN, CHECK, LOSS, raised="too few\nclasses")
    records.update("narrow", {"says": "narrower"}, {"01-tiny": run}, tmp_path)
    record = records.read_record(tmp_path / "narrow.json")
    assert record is not None
    assert (record["says"], record["name"]) == ("narrower", "narrow")
    chapter = record["chapters"]["01-tiny"]
    assert chapter["claims"] == [
        Measured("The gain is real", 0.3, 0.2, 0.4, "at least 0.1", HOLDS),
        Measured("The loss is small", 0.3, 0.25, 0.35, "at most 0.2", REVERSED),
    ]
    assert chapter["failed"] == ["`compute()`: ValueError: too few"]
    assert chapter["run"] == {"seconds": 1.0, "date": "2026-01-02", "place": {}}


def test_chapters_that_were_not_run_now_stay(tmp_path: Path) -> None:
    records.update("narrow", {"says": "a"}, {"01-tiny": run_of(GAIN)}, tmp_path)
    records.update("narrow", {"says": "b"}, {"02-small": run_of(LOSS)}, tmp_path)
    record = records.read_record(tmp_path / "narrow.json")
    assert record is not None
    assert record["says"] == "b"
    assert sorted(record["chapters"]) == ["01-tiny", "02-small"]


def test_the_old_record_survives_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.update("narrow", {"says": "a"}, {"01-tiny": run_of(GAIN)}, tmp_path)
    before = (tmp_path / "narrow.json").read_text(encoding="utf-8")

    def full(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        records.update("narrow", {"says": "b"}, {"01-tiny": run_of(LOSS)}, tmp_path)
    monkeypatch.undo()
    assert (tmp_path / "narrow.json").read_text(encoding="utf-8") == before


@pytest.mark.parametrize("text", ["", "{", json.dumps({"form": 0, "chapters": {}})])
def test_a_broken_record_or_one_of_another_form_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "old.json").write_text(text, encoding="utf-8")
    assert records.read_record(tmp_path / "old.json") is None
    assert records.read_records(tmp_path) == {}


def test_the_summary_counts_and_tells_each_reversal(tmp_path: Path) -> None:
    records.update("narrow", {"says": "a"}, {"01-tiny": run_of(GAIN, LOSS)}, tmp_path)
    said = records.summary(records.read_records(tmp_path)).splitlines()
    assert said[0] == "narrow: 1 holds, 0 weaker, 0 open, 1 reversed; 0 cells or parts failed"
    assert said[1] == (
        "narrow, 01-tiny: reversed: The loss is small: 0.3000 [0.2500, 0.3500], at most 0.2"
    )
