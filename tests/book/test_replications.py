"""Records of replications, the chapters' claims and their sentences agree with each other."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from book_files import BOOK, NOTEBOOKS, SOURCES, read_notebook
from conditions import Said, said_by
from replication_records import FORM, HOLDS, RECORDS, REVERSED, STATES, claims_in, read_record
from where_it_holds import found_in, is_control

PATHS = sorted(RECORDS.glob("*.json"))
DESCRIBED = tomllib.loads((BOOK / "replications.toml").read_text(encoding="utf-8"))
SEEDS = "seeds-"  # the variations that move nothing but the draw
ENOUGH = 4 / 5  # of the variations, for a claim that states no condition


def claims_of_the_book() -> dict[str, set[str]]:
    """The statements that each chapter claims."""
    return {
        path.stem: {each.statement for each in claims_in(read_notebook(path))} for path in NOTEBOOKS
    }


def faults(
    record: dict[str, Any],
    claimed: dict[str, set[str]],
    said: dict[str, Said],
    left_out: tuple[str, ...] = (),
) -> Iterator[str]:
    """What is wrong between a record, the claims and the sentences, a line each."""
    name = record["name"]
    for chapter, statements in claimed.items():
        if chapter.startswith(left_out):
            continue
        found = record["chapters"].get(chapter)
        if found is None:
            yield f"{chapter} has no record under {name}: run make replicate"
            continue
        measured = {each.statement: each for each in found["claims"]}
        for statement in sorted(statements - measured.keys()):
            if not found["failed"]:
                yield f"{chapter}, {name}: no record of {statement!r}: run make replicate"
        for statement in sorted(measured.keys() - statements):
            yield f"{chapter}, {name}: a record of {statement!r}, which is claimed no more"
        for statement in sorted(statements & measured.keys()):
            state = measured[statement].state
            if is_control(record):
                if state == HOLDS and statement not in said[chapter].without_signal:
                    yield f"{chapter}: {statement!r} holds without signal and does not say why"
            elif state == REVERSED and (name, statement) not in said[chapter].told:
                yield f"{chapter}: no sentence tells that {statement!r} is reversed under {name}"


def test_records_sources_and_sentences_agree() -> None:
    claimed = claims_of_the_book()
    said = {path.stem: said_by(path.read_text(encoding="utf-8")) for path in SOURCES}
    found = []
    for path in PATHS:
        record = read_record(path)
        assert record is not None, f"{path.name} is broken, or not of form {FORM}: run it again"
        left_out = tuple(DESCRIBED.get(path.stem, {}).get("leave_out", ()))
        found += faults(record, claimed, said, left_out)
    assert not found, "\n".join(found)


def test_what_is_told_is_so() -> None:
    records = {path.stem: read_record(path) for path in PATHS}
    for path in SOURCES:
        for name, statement in said_by(path.read_text(encoding="utf-8")).told:
            record = records.get(name)
            assert record is not None, f"{path.stem} tells of {name}, which is not on record"
            found = found_in(record, path.stem).get(statement)
            assert found is not None, f"{path.stem}: no {statement!r} under {name}"
            assert found.state != HOLDS, f"{path.stem}: {statement!r} holds under {name}"


def without_condition(
    records: dict[str, Any], claimed: dict[str, set[str]], said: dict[str, Said]
) -> Iterator[str]:
    """The claims that do not hold often enough to be told without a condition, a line each."""
    for chapter, statements in claimed.items():
        for statement in sorted(statements):
            states = {
                name: found[statement].state
                for name, record in records.items()
                if not is_control(record) and statement in (found := found_in(record, chapter))
            }
            states = {name: state for name, state in states.items() if state in STATES}
            failing = {name for name, state in states.items() if state != HOLDS}
            silent = {name for name in failing if (name, statement) not in said[chapter].told}
            moved = {name for name in silent if name.startswith(SEEDS)}
            if moved:
                yield f"{chapter}: {statement!r} does not hold under {sorted(moved)}: say so"
            elif silent and len(states) - len(failing) < ENOUGH * len(states):
                yield f"{chapter}: {statement!r} states no condition for {sorted(silent)}"


def test_records_say_where_and_when() -> None:
    for path in PATHS:
        record = read_record(path)
        assert record is not None, path
        assert record["name"] == path.stem
        assert record["says"]
        for chapter in record["chapters"].values():
            assert {"date", "place", "seconds"} <= chapter["run"].keys(), path
            assert {"torch", "torchvision", "python"} <= chapter["run"]["place"].keys(), path
        if DESCRIBED.get(path.stem, {}).get("folder"):
            assert record["data"], f"{path} has no digest of its images"


def test_claims_that_hold_seldom_state_their_condition() -> None:
    said = {path.stem: said_by(path.read_text(encoding="utf-8")) for path in SOURCES}
    records = {path.stem: read_record(path) for path in PATHS}
    found = list(without_condition(records, claims_of_the_book(), said))
    assert not found, "\n".join(found)


def claim(statement: str, state: str) -> Any:
    from replication_records import Measured

    return Measured(statement, 0.1, 0.0, 0.2, "at least 0.1", state)


def record_of(*claims: Any, failed: tuple[str, ...] = (), vary: str = "rates") -> dict[str, Any]:
    chapter = {"run": {}, "failed": list(failed), "claims": list(claims)}
    return {"name": "other", "says": "", "vary": {vary: 1}, "chapters": {"01-tiny": chapter}}


CLAIMED = {"01-tiny": {"It gains"}}
SILENT = {"01-tiny": Said(set(), {})}


def records_of(**states: str) -> dict[str, Any]:
    return {
        name.replace("_", "-"): record_of(claim("It gains", state))
        for name, state in states.items()
    }


@pytest.mark.parametrize(
    ("records", "told", "expected"),
    [
        (records_of(a="holds", b="holds", c="holds", d="holds", e="open"), "", None),
        (records_of(a="holds", b="holds", c="holds", d="weaker", e="open"), "", "for ['d', 'e']"),
        (records_of(a="holds", b="open"), "% told: b: It gains", None),
        (records_of(a="open", b="open"), "% told: b: It gains", "for ['a']"),
        (records_of(a="open", b="open"), "% told: a, b: It gains", None),
        (records_of(a="holds", seeds_1="open"), "", "say so"),
        (records_of(a="holds", seeds_1="open"), "% told: seeds-1: It gains", None),
        (records_of(a="not reached", b="not reached", c="open"), "", "for ['c']"),
    ],
)
def test_claims_without_a_condition_are_named(
    records: Any, told: str, expected: str | None
) -> None:
    found = list(without_condition(records, CLAIMED, {"01-tiny": said_by(told)}))
    assert (found == []) if expected is None else (len(found) == 1 and expected in found[0])


@pytest.mark.parametrize(
    ("record", "claimed", "said", "expected"),
    [
        (record_of(claim("It gains", "holds")), CLAIMED, SILENT, None),
        (record_of(claim("It gains", "weaker")), CLAIMED, SILENT, None),
        (record_of(), CLAIMED, SILENT, "no record of 'It gains'"),
        (record_of(failed=("cell",)), CLAIMED, SILENT, None),
        (record_of(claim("It gained", "holds")), CLAIMED, SILENT, "claimed no more"),
        (record_of(claim("It gains", "reversed")), CLAIMED, SILENT, "no sentence tells that"),
        (
            record_of(claim("It gains", "reversed")),
            CLAIMED,
            {"01-tiny": said_by("A sentence.\n% told: other: It gains\n")},
            None,
        ),
        (
            record_of(claim("It gains", "holds"), vary="shuffled"),
            CLAIMED,
            SILENT,
            "holds without signal and does not say why",
        ),
        (
            record_of(claim("It gains", "holds"), vary="shuffled"),
            CLAIMED,
            {"01-tiny": said_by("% without signal: It gains: it is about the data's order\n")},
            None,
        ),
        (record_of(claim("It gains", "open"), vary="shuffled"), CLAIMED, SILENT, None),
        (record_of(), CLAIMED | {"02-more": {"x"}}, SILENT, "02-more has no record"),
    ],
)
def test_faults_are_named(record: Any, claimed: Any, said: Any, expected: str | None) -> None:
    found = list(faults(record, claimed, said))
    if expected is None:
        assert found == []
    else:
        assert any(expected in each for each in found)
