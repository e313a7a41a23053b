"""The check-up on the whole ward: nothing is changed, no healthy pipeline has an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from companion.doctor.examining import BROKEN
from companion.doctor.visiting import examined
from companion.ward import HALVES, KINDS, Patient, patients
from companion.ward import patients as every_patient
from untouched import differences, snapshot

WARD = patients()


def files_in(folder: Path) -> dict[str, tuple[int, int]]:
    """The size and the time of change of each file."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize("patient", WARD, ids=lambda each: each.name)
def test_a_visit_changes_nothing_and_calls_nothing_wrong_that_is_right(
    patient: Patient, tmp_path: Path
) -> None:
    given: dict[str, Any] = {}

    def made(folder: Path) -> dict[str, Any]:
        given.update(patient.make(folder))
        given["state"] = snapshot(given) if "model" in given else {}
        given["files"] = files_in(folder)
        return {key: value for key, value in given.items() if key not in ("state", "files")}

    kept = Patient(
        patient.name, patient.kind, patient.area, patient.story, made, entry=patient.entry
    )
    found = examined(kept, tmp_path)
    assert files_in(tmp_path) == given["files"]
    if given["state"]:
        assert differences(given["state"], snapshot(given)) == []
    assert BROKEN not in {each.code for each in found.findings}
    if patient.kind != "broken":
        assert [str(each) for each in found.errors] == []


def test_the_ward_is_large_enough_to_say_something() -> None:
    counts = {kind: len(every_patient(kind)) for kind in KINDS}
    assert counts["broken"] >= 60
    assert counts["healthy"] >= 30
    for half in HALVES:
        assert len(every_patient("broken", half=half)) >= 30
        assert len(every_patient("healthy", half=half)) >= 15


def test_every_fault_names_its_source_or_tells_its_story() -> None:
    assert [each.name for each in WARD if len(each.story.split()) < 8] == []
    sourced = [each for each in every_patient("broken") if each.source]
    assert len(sourced) >= 40


def test_codes_that_name_a_fault_are_codes_of_the_check_up() -> None:
    from companion.doctor import CHECKS

    unknown = {code for each in WARD for code in each.expects} - set(CHECKS)
    assert unknown == set()
