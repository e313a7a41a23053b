"""A finding under each variation, beside the sentence on it."""

from __future__ import annotations

import pytest
from bs4 import BeautifulSoup

from companion.teaching.claims import ClaimLine, read_line
from replicated import figure, line_of
from replication_records import Measured
from where_it_holds import PAGE, Records, anchor

GAIN = "The gain is < real"


def printed() -> ClaimLine:
    found = read_line(f"holds  {GAIN}: 0.3000 [0.2000, 0.4000], at least 0.1")
    assert found is not None
    return found


def record(name: str, low: float, high: float, state: str, **vary: int) -> dict[str, object]:
    measured = Measured(GAIN, (low + high) / 2, low, high, "at least 0.1", state)
    chapters = {"01-tiny": {"run": {}, "failed": [], "claims": [measured]}}
    return {"name": name, "says": f"{name}, it says", "vary": vary, "chapters": chapters}


RECORDS: Records = {
    "half-rates": record("half-rates", 0.02, 0.08, "weaker", rates=1),
    "no-signal": record("no-signal", -1, 1, "open", shuffled=1),
    "wider": record("wider", -0.6, -0.2, "reversed", widths=2),
    "other": {"name": "other", "says": "", "vary": {}, "chapters": {}},
}


@pytest.fixture(scope="module")
def drawn() -> BeautifulSoup:
    return BeautifulSoup(figure(printed(), "01-tiny", RECORDS), "html.parser")


def test_a_row_for_each_variation_that_was_measured_and_none_for_the_control(
    drawn: BeautifulSoup,
) -> None:
    names = [each.get_text() for each in drawn.select("th")]
    assert names == ["this page", "half rates", "wider"]
    assert [each["title"] for each in drawn.select("th")][1] == "half-rates, it says"
    states = [each.get_text() for each in drawn.select("td:nth-of-type(2)")]
    assert states == ["● holds", "◐ weaker", "✕ reversed"]
    assert drawn.select(".replicated-numbers")[1].get_text() == "0.05 [0.02, 0.08]"


def test_all_rows_share_one_scale(drawn: BeautifulSoup) -> None:
    bounds = [str(each["d"]) for each in drawn.select(".claim-bound")]
    assert len(bounds) == 3
    assert len(set(bounds)) == 1
    ends = [str(each["d"]) for each in drawn.select(".claim-interval")]
    assert ends[2].startswith("M8.0 ")  # the lowest of all
    assert ends[0].endswith(" H92.0")  # the highest


def test_the_caption_names_the_claim_and_leads_to_its_row(drawn: BeautifulSoup) -> None:
    caption = drawn.caption
    assert caption is not None
    assert caption.get_text() == f"{GAIN}: at least 0.1"
    assert caption.a is not None
    assert caption.a["href"] == f"../{PAGE}.html#{anchor(GAIN)}"


@pytest.mark.parametrize("number", [1e-05, 0.0, -2.5, 123456.789])
def test_numbers_of_records_are_read_as_they_were_printed(number: float) -> None:
    measured = Measured(GAIN, number, number - 1, number + 1, "between 0.1 and 1e-05", "open")
    found = line_of(measured)
    assert (found.value, found.low, found.high) == (number, number - 1, number + 1)
    assert found.highest == 1e-05


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="no claim's numbers"):
        line_of(Measured(GAIN, 0.1, 0.0, 0.2, "nothing", "open"))
