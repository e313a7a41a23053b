"""Every check on a pipeline with the fault, on one without it, and on a near miss."""

from __future__ import annotations

import pytest

from companion.doctor import CHECKS, examine
from companion.doctor.examining import BROKEN
from doctor_cases import EVERY, KINDS, Case
from untouched import differences, snapshot

ON_DISK = ("PRO020", "PRO021", "LBL016", "MOD019", "PRO040")  # have tests of their own


@pytest.mark.parametrize("case", EVERY, ids=lambda case: f"{case.code}-{case.kind}-{case.name}")
def test_a_check_says_what_it_has_to_and_changes_nothing(case: Case) -> None:
    given = case.make()
    before = snapshot(given)
    outcome = examine(**given, select=[case.code]).outcome(case.code)
    assert differences(before, snapshot(given)) == []
    assert (outcome.word, outcome.said) == (case.word, outcome.said)
    severities = [each.severity for each in outcome.findings]
    assert severities[:1] == [case.severity][: bool(case.severity)]
    assert case.says in (" | ".join(each.seen for each in outcome.findings) or outcome.said)
    assert BROKEN not in {each.code for each in outcome.findings}


def test_every_check_has_its_cases() -> None:
    there = {(case.code, case.kind) for case in EVERY}
    wanted = {(code, kind) for code in CHECKS if code not in ON_DISK for kind in KINDS}
    assert wanted - there == set()


def test_no_two_cases_have_one_name() -> None:
    named = [(case.code, case.name) for case in EVERY]
    assert len({*named}) == len(named)
