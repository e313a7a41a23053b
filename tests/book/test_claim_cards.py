"""A printed claim becomes a card on the page: its words, and its interval drawn to scale."""

from __future__ import annotations

import re

import pytest
from bs4 import BeautifulSoup
from bs4.element import Tag
from docutils import nodes

from claim_cards import parts

CLAIM = "holds  The gain is real: 0.2500 [0.2000, 0.3000], at least 0.1 (half of what was lost)"
CHECK = "checked  Two and two is four: 0.0000, within ±1e-06"


def block(text: str) -> nodes.literal_block:
    """What a cell printed, as MyST-NB hands it to Sphinx."""
    return nodes.literal_block(text, text, classes=["output", "stream"])


def card(line: str) -> Tag:
    """The one card that a line becomes."""
    [raw] = parts(block(line))
    [found] = BeautifulSoup(raw.astext(), "html.parser").select(".claim-card")
    return found


def place(found: Tag, mark: str) -> list[float]:
    """Where a mark of the scale begins and ends."""
    [path] = found.select(f"path.{mark}")
    numbers = re.findall(r"(?<=[MH ])[\d.]+", str(path["d"]))
    return [float(numbers[0]), float(numbers[-1])]


def test_a_claim_shows_verdict_statement_interval_bound_and_reason() -> None:
    found = card(CLAIM)
    assert found.select_one(".claim-statement").get_text() == "holds The gain is real"  # type: ignore[union-attr]
    numbers = found.select_one(".claim-numbers")
    assert numbers is not None
    assert numbers.get_text() == "0.2500 [0.2000, 0.3000], at least 0.1half of what was lost"
    assert {"claim", "kept"} <= set(found["class"])


def test_the_scale_keeps_proportions() -> None:
    found = card(CLAIM)
    low, high = place(found, "claim-interval")
    bound, zero = place(found, "claim-bound")[0], place(found, "claim-zero")[0]
    unit = (high - low) / 0.1
    assert (bound - zero) / unit == pytest.approx(0.1, abs=1e-3)
    assert (low - bound) / unit == pytest.approx(0.1, abs=1e-3)
    assert place(found, "claim-mean")[0] == pytest.approx((low + high) / 2, abs=0.02)
    allowed = found.select_one(".claim-allowed")
    assert allowed is not None
    assert float(str(allowed["x"])) == bound
    assert float(str(allowed["x"])) + float(str(allowed["width"])) == pytest.approx(100)


def test_what_is_drawn_is_for_the_eye_alone() -> None:
    [drawing] = card(CLAIM).select("svg")
    assert drawing["aria-hidden"] == "true"


def test_a_check_has_no_scale_and_another_look() -> None:
    found = card(CHECK)
    assert found.select("svg") == []
    assert "check" in found["class"]
    assert found.get_text().startswith("check Two and two is four")


def test_a_claim_that_differs_looks_so() -> None:
    found = card("differs  It is so: 0.0500 [0.0100, 0.0900], at least 0.1")
    assert {"claim", "missed"} <= set(found["class"])


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_what_has_no_place_on_a_scale_is_still_told(value: str) -> None:
    found = card(f"differs  It is so: {value} [{value}, {value}], at least 0.1")
    assert found.select("svg") == []
    assert value in found.get_text()


def test_words_are_escaped() -> None:
    found = card("holds  The <b>score</b> & more: 0.5 [0.4, 0.6], at least 0.1")
    assert "<b>score</b> & more" in found.get_text()


def test_other_lines_stay_around_the_cards() -> None:
    made = parts(block(f"before\n{CLAIM}\n{CHECK}\nafter"))
    assert [type(each) for each in made] == [nodes.literal_block, nodes.raw, nodes.literal_block]
    assert [made[0].astext(), made[2].astext()] == ["before", "after"]
    assert made[1].astext().count('class="claim-card') == 2


def test_output_without_a_claim_is_left_alone() -> None:
    printed = block("accuracy 0.84")
    assert parts(printed) == [printed]
