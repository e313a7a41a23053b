from __future__ import annotations

import math

import pytest

from companion import Interval
from companion.teaching import BrokenClaimError, check, claim
from companion.teaching.claims import margin, read_line

HALF = Interval(0.5, 0.4, 0.6, 5)

KEPT = [
    pytest.param(0.5, {"at_least": 0.5}, "0.5000, at least 0.5", 0.0, id="at least, just"),
    pytest.param(0.7, {"at_least": 0.5}, "0.7000, at least 0.5", 0.2, id="at least"),
    pytest.param(0.1, {"at_most": 0.25}, "0.1000, at most 0.25", 0.15, id="at most"),
    pytest.param(-0.5, {"at_most": -0.25}, "-0.5000, at most -0.25", 0.25, id="negative"),
    pytest.param(
        0.3, {"at_least": 0.2, "at_most": 0.6}, "0.3000, between 0.2 and 0.6", 0.1, id="band"
    ),
    pytest.param(-0.25, {"within": 0.5}, "-0.2500, within ±0.5", 0.25, id="within"),
    pytest.param(0.0, {"within": 1e-6}, "0.0000, within ±1e-06", 1e-6, id="within little"),
    pytest.param(2e7, {"at_least": 1e7}, "20000000.0000, at least 1e+07", 1e7, id="large"),
    pytest.param(math.inf, {"at_least": 1}, "inf, at least 1", math.inf, id="infinite"),
    pytest.param(HALF, {"at_least": 0.3}, "0.5000 [0.4000, 0.6000], at least 0.3", 0.1, id="low"),
    pytest.param(HALF, {"at_most": 0.9}, "0.5000 [0.4000, 0.6000], at most 0.9", 0.3, id="high"),
    pytest.param(
        HALF,
        {"at_least": 0.35, "at_most": 0.9},
        "0.5000 [0.4000, 0.6000], between 0.35 and 0.9",
        0.05,
        id="interval in a band",
    ),
    pytest.param(
        Interval(0.0, -0.1, 0.2, 5),
        {"within": 0.25},
        "0.0000 [-0.1000, 0.2000], within ±0.25",
        0.05,
        id="interval within",
    ),
]

BROKEN = [
    pytest.param(0.4999, {"at_least": 0.5}, id="too low"),
    pytest.param(0.5001, {"at_most": 0.5}, id="too high"),
    pytest.param(0.1, {"at_least": 0.2, "at_most": 0.6}, id="below the band"),
    pytest.param(0.7, {"at_least": 0.2, "at_most": 0.6}, id="above the band"),
    pytest.param(-0.6, {"within": 0.5}, id="too far below"),
    pytest.param(0.6, {"within": 0.5}, id="too far above"),
    pytest.param(math.nan, {"at_least": 0}, id="nan"),
    # The mean keeps each of these bounds; an end of the interval does not.
    pytest.param(HALF, {"at_least": 0.45}, id="interval reaches below"),
    pytest.param(HALF, {"at_most": 0.55}, id="interval reaches above"),
    pytest.param(HALF, {"at_least": 0.3, "at_most": 0.55}, id="interval leaves the band"),
    pytest.param(Interval(0.0, -0.4, 0.1, 5), {"within": 0.3}, id="interval too far below"),
]


@pytest.mark.parametrize(("measured", "bounds", "shown", "room"), KEPT)
class TestKept:
    def test_one_line_is_printed(
        self,
        measured: float | Interval,
        bounds: dict[str, float],
        shown: str,
        room: float,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        check("It is so", measured, **bounds)
        assert capsys.readouterr() == (f"checked  It is so: {shown}\n", "")

    def test_own_data_change_nothing(
        self,
        measured: float | Interval,
        bounds: dict[str, float],
        shown: str,
        room: float,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("COMPANION_DATA", "digits")
        check("It is so", measured, **bounds)
        assert capsys.readouterr().out == f"checked  It is so: {shown}\n"

    def test_the_margin_is_read_from_the_line(
        self, measured: float | Interval, bounds: dict[str, float], shown: str, room: float
    ) -> None:
        assert margin(f"checked  A ratio: so, it is: {shown}") == pytest.approx(room)


@pytest.mark.parametrize(("measured", "bounds"), BROKEN)
class TestBroken:
    def test_it_raises_and_prints_nothing(
        self,
        measured: float | Interval,
        bounds: dict[str, float],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        with pytest.raises(BrokenClaimError, match=r"^broken  It is so: \S+"):
            check("It is so", measured, **bounds)
        assert capsys.readouterr().out == ""

    def test_on_own_data_it_differs_and_is_told(
        self,
        measured: float | Interval,
        bounds: dict[str, float],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("COMPANION_DATA", "digits")
        check("It is so", measured, **bounds)
        line = capsys.readouterr().out.rstrip("\n")
        assert line.startswith("unmet  It is so: ")
        room = margin(line)
        assert room is not None
        assert math.isnan(room) or room < 0


@pytest.mark.parametrize(
    "line",
    ["", "accuracy 0.84", "holds  no colon 0.5, at least 0.1", "holds  A: 0.5, about 0.4"],
)
def test_other_lines_have_no_margin(line: str) -> None:
    assert margin(line) is None


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({}, r"needs a bound; received none\. Pass at_least, at_most or within"),
        ({"within": 0.1, "at_least": 0.0}, "within stands alone.*; drop the other bound"),
        ({"within": 0.1, "at_most": 0.0}, "within stands alone.*; drop the other bound"),
    ],
    ids=["none", "within and at least", "within and at most"],
)
def test_bounds_must_be_one_kind(bounds: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check("It is so", 0.0, **bounds)
    with pytest.raises(ValueError, match=message):
        claim("It is so", HALF, **bounds)


class TestClaim:
    """A claim is what a check is, of an interval over runs enough, and under words of its own."""

    def test_it_prints_a_line_of_its_own(self, capsys: pytest.CaptureFixture[str]) -> None:
        claim("It is so", HALF, at_least=0.3)
        assert capsys.readouterr() == (
            "holds  It is so: 0.5000 [0.4000, 0.6000], at least 0.3\n",
            "",
        )

    def test_the_reason_for_its_bound_stands_at_the_end(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        claim("It is so", HALF, at_least=0.3, why="half (of it) is too little")
        line = capsys.readouterr().out.strip()
        assert line.endswith(", at least 0.3 (half (of it) is too little)")
        found = read_line(line)
        assert found is not None
        assert (found.bound, found.why) == ("at least 0.3", "half (of it) is too little")
        assert found.margin == pytest.approx(0.1)

    def test_broken_it_fails(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(BrokenClaimError, match=r"^fails  It is so: 0.5000 \["):
            claim("It is so", HALF, at_least=0.45)
        assert capsys.readouterr().out == ""

    def test_on_own_data_it_differs(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COMPANION_DATA", "digits")
        claim("It is so", HALF, at_least=0.45)
        assert capsys.readouterr().out.startswith("differs  It is so: ")

    @pytest.mark.parametrize("measured", [0.5, HALF.mean, math.nan, [0.5, 0.6], None])
    def test_a_number_without_an_interval_is_refused(self, measured: object) -> None:
        with pytest.raises(TypeError, match=r"must be an Interval.*; received .* is a check\("):
            claim("It is so", measured, at_least=0.3)  # type: ignore[arg-type]

    def test_fewer_than_five_runs_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"needs 5 runs or more; .* over 4\. Repeat"):
            claim("It is so", Interval(0.5, 0.4, 0.6, 4), at_least=0.3)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("and so it is", "begins with a capital.*received 'and so it is'"),
        ("", "begins with a capital"),
        (" It is so", "begins with a capital"),
        ("It is\nso", "one sentence on one line"),
        ("It is so.", "Leave the mark at its end out"),
        ("It is so: ", "Leave the mark at its end out"),
    ],
)
def test_a_statement_is_a_sentence_of_its_own(statement: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(statement, 0.5, at_least=0.3)
    with pytest.raises(ValueError, match=message):
        claim(statement, HALF, at_least=0.3)


def test_a_reason_stands_on_the_line() -> None:
    with pytest.raises(ValueError, match="on one line"):
        check("It is so", 0.5, at_least=0.3, why="a\nb")


def test_claims_and_checks_are_told_apart() -> None:
    words = ["holds", "fails", "differs", "checked", "broken", "unmet"]
    lines = [read_line(f"{word}  It is so: 0.5, at least 0.1") for word in words]
    assert [line.is_claim for line in lines if line] == [True] * 3 + [False] * 3


def test_where_somebody_asks_it_differs_and_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    monkeypatch.setenv("COMPANION_CLAIMS", "told")
    claim("The gain is real", HALF, at_least=0.55)
    assert capsys.readouterr().out.startswith("differs  The gain is real")
    monkeypatch.setenv("COMPANION_CLAIMS", "other")
    with pytest.raises(BrokenClaimError):
        claim("The gain is real", HALF, at_least=0.55)
