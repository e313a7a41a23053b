from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any

import pytest

from companion.findings import SEVERITIES, Finding, by_severity

FOUND = Finding(
    "SMP101",
    "error",
    "5 of 10 positions lie outside the 8 images",
    why="The loader fails at them.",
    remedy="Make it from the training set.",
    link="chapters/07-imbalance.html#ways-to-get-it-wrong",
)
BARE = Finding("LBL003", "note", "two classes are called 'owl'")


def by_code(*codes: str, severity: str = "note") -> list[Finding]:
    return [Finding(code, severity, "seen") for code in codes]


class TestWords:
    def test_a_line_says_code_severity_and_what_was_seen(self) -> None:
        assert str(BARE) == "LBL003 note: two classes are called 'owl'"
        assert f"{FOUND}" == "SMP101 error: 5 of 10 positions lie outside the 8 images"

    def test_the_rest_stands_below_as_far_as_there_is_any(self) -> None:
        assert FOUND.explained().splitlines() == [
            str(FOUND),
            "    The loader fails at them.",
            "    Make it from the training set.",
            "    chapters/07-imbalance.html#ways-to-get-it-wrong",
        ]
        assert BARE.explained() == str(BARE)

    def test_long_words_are_wrapped_between_and_links_stay_whole(self) -> None:
        link = "https://example.org/" + "a-long-way/" * 12
        found = dataclasses.replace(FOUND, why="word " * 40, link=link)
        lines = found.explained(width=60).splitlines()
        assert all(len(line) <= 60 for line in lines if link not in line)
        assert lines[-1] == f"    {link}"
        assert " ".join(lines).count("word") == 40

    def test_its_repr_makes_it_again(self) -> None:
        for found in (FOUND, BARE):
            assert eval(repr(found)) == found
        assert repr(BARE) == (
            "Finding(code='LBL003', severity='note', seen=\"two classes are called 'owl'\")"
        )


class TestValue:
    def test_findings_of_the_same_words_are_the_same(self) -> None:
        same = Finding(**FOUND.to_dict())
        assert same == FOUND
        assert hash(same) == hash(FOUND)
        assert len({FOUND, same, BARE}) == 2
        assert str(FOUND) != FOUND

    @pytest.mark.parametrize("name", ["code", "severity", "seen", "why", "remedy", "link"])
    def test_another_word_is_another_finding(self, name: str) -> None:
        other = {"code": "SMP102", "severity": "warning"}.get(name, "other")
        assert dataclasses.replace(FOUND, **{name: other}) != FOUND

    @pytest.mark.parametrize("name", ["code", "seen", "mark"])
    def test_it_does_not_change(self, name: str) -> None:
        with pytest.raises((AttributeError, TypeError), match=r"cannot assign|attribute|super"):
            setattr(FOUND, name, "other")
        assert FOUND.code == "SMP101"

    @pytest.mark.parametrize("found", [FOUND, BARE], ids=["full", "bare"])
    def test_it_survives_json_and_copies(self, found: Finding) -> None:
        text = json.dumps(found.to_dict())
        assert Finding(**json.loads(text)) == found
        assert pickle.loads(pickle.dumps(found)) == found
        assert copy.deepcopy(found) == found

    def test_the_dictionary_has_every_field_in_order(self) -> None:
        assert BARE.to_dict() == {
            "code": "LBL003",
            "severity": "note",
            "seen": "two classes are called 'owl'",
            "why": "",
            "remedy": "",
            "link": "",
        }
        assert [*FOUND.to_dict()] == [field.name for field in dataclasses.fields(Finding)]


class TestOrder:
    def test_errors_come_first_and_else_the_order_stays(self) -> None:
        found = [
            *by_code("AAA003", "AAA001"),
            *by_code("BBB002", severity="warning"),
            *by_code("CCC009", "CCC001", severity="error"),
        ]
        codes = [each.code for each in by_severity(iter(found))]
        assert codes == ["CCC009", "CCC001", "BBB002", "AAA003", "AAA001"]
        assert by_severity([]) == ()

    def test_severities_go_down(self) -> None:
        assert SEVERITIES == ("error", "warning", "note")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"code": "SMP1"}, ValueError, "three letters and three digits; received 'SMP1'"),
        ({"code": "smp101"}, ValueError, "three letters and three digits; received 'smp101'"),
        ({"code": "SMP1011"}, ValueError, "three letters and three digits"),
        ({"code": "SMP١٠١"}, ValueError, "three letters and three digits"),
        ({"code": "SMP101\n"}, ValueError, "three letters and three digits"),
        ({"severity": "fatal"}, ValueError, "one of error, warning, note; received 'fatal'"),
        ({"severity": ""}, ValueError, "one of error, warning, note; received ''"),
        ({"seen": ""}, ValueError, "says what was seen; SMP101 says nothing"),
        ({"seen": "  "}, ValueError, "says what was seen; SMP101 says nothing"),
        ({"code": 101}, TypeError, "code of a finding must be a string; received 101"),
        ({"severity": None}, TypeError, "severity of a finding must be a string; received None"),
        ({"seen": 3}, TypeError, "seen of a finding must be a string; received 3"),
        ({"why": ["a"]}, TypeError, r"why of a finding must be a string; received \['a'\]"),
        ({"link": None}, TypeError, "link of a finding must be a string; received None"),
    ],
)
def test_what_says_nothing_is_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        dataclasses.replace(FOUND, **change)
