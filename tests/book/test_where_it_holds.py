"""The page that says where findings hold: a row for each claim, a word for each variation."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from docutils import nodes

import claim_cards
from companion.teaching.claims import ClaimLine, read_line
from conditions import Said
from replication_records import Measured
from where_it_holds import Chapter, Records, anchor, chapter_of, drawn, verdicts, with_left_out

GAIN = "The gain is < real"
LOSS = "The loss is small"


def claim(statement: str) -> ClaimLine:
    found = read_line(f"holds  {statement}: 0.3000 [0.2000, 0.4000], at least 0.1")
    assert found is not None
    return found


def record(name: str, vary: dict[str, Any], **states: str) -> dict[str, Any]:
    said = {"gain": GAIN, "loss": LOSS}
    claims = [Measured(said[k], 0.3, 0.2, 0.4, "at least 0.1", v) for k, v in states.items()]
    chapters = {"01-tiny": {"run": {}, "failed": [], "claims": claims}}
    return {"name": name, "says": f"{name} it is", "vary": vary, "chapters": chapters}


RECORDS: Records = {
    "no-signal": record("no-signal", {"shuffled": True}, gain="holds", loss="holds"),
    "seeds-1": record("seeds-1", {"seeds": 1}, gain="holds", loss="reversed"),
    "wider": record("wider", {"widths": 2}, gain="weaker"),
}
SAID = Said({("seeds-1", LOSS)}, {GAIN: "it is about luck"})
CHAPTERS = {"01-tiny": Chapter("Don't know", [claim(GAIN), claim(LOSS)], SAID)}


@pytest.fixture(scope="module")
def page() -> BeautifulSoup:
    return BeautifulSoup(drawn(CHAPTERS, RECORDS), "html.parser")


def test_a_row_for_each_claim_and_a_word_for_each_variation(page: BeautifulSoup) -> None:
    row = page.find(id=anchor(GAIN))
    assert row is not None
    assert [td["data-state"] for td in row.select("td")] == ["holds", "holds", "weaker"]
    assert [td.get_text() for td in row.select("td")] == ["●holds", "●holds", "◐weaker"]
    assert row.select("td")[2]["title"] == "wider: weaker: 0.3 [0.2, 0.4], at least 0.1"
    assert row.select_one("th").get_text() == f"1 {GAIN}"  # type: ignore[union-attr]


def test_what_its_chapter_tells_is_marked(page: BeautifulSoup) -> None:
    row = page.find(id=anchor(LOSS))
    assert row is not None
    assert ["told" in td["class"] for td in row.select("td")] == [False, True, False]
    assert row.select("td")[1]["title"].endswith("; the chapter states the condition")
    row = page.find(id=anchor(GAIN))
    assert row is not None
    assert row.select("td")[0]["title"].endswith("at least 0.1; it is about luck")


def test_what_was_not_measured_is_said(page: BeautifulSoup) -> None:
    row = page.find(id=anchor(LOSS))
    assert row is not None
    assert row.select("td")[2]["data-state"] == "not measured"


def test_the_summary_leaves_the_control_out(page: BeautifulSoup) -> None:
    numbers = [td.get_text() for td in page.select(".holds-summary td")][:6]
    assert numbers == ["1", "1", "0", "1", "1", "3"]  # the four words, condition stated, in all


def test_the_control_decides_about_no_row_that_is_filtered(page: BeautifulSoup) -> None:
    row = page.find(id=anchor(LOSS))
    assert row is not None
    assert row["data-states"] == "not measured reversed"


def test_a_chapter_is_called_what_it_calls_itself(page: BeautifulSoup) -> None:
    link = page.select_one(".holds-summary th a")
    assert link is not None
    assert link.get_text() == "1. Don't know"
    cells = [
        nbformat.v4.new_code_cell("# a comment"),
        nbformat.v4.new_markdown_cell("A\n# Own name\n## B"),
    ]
    assert chapter_of(nbformat.v4.new_notebook(cells=cells))[:2] == ("Own name", [])


def test_without_records_it_says_so() -> None:
    assert drawn(CHAPTERS, {}) == "<p>No variation is on record yet.</p>"


def test_in_how_many_a_claim_holds() -> None:
    assert verdicts(RECORDS, "01-tiny", GAIN) == (1, 2)
    assert verdicts(RECORDS, "01-tiny", LOSS) == (0, 1)
    assert verdicts(RECORDS, "02-other", GAIN) == (0, 0)


def test_a_card_says_so_and_links_to_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_cards, "recorded", lambda: RECORDS)

    def card_in(chapter: str) -> BeautifulSoup:
        text = f"holds  {GAIN}: 0.3000 [0.2000, 0.4000], at least 0.1"
        block = nodes.literal_block(text, text, classes=["output", "stream"])
        [raw] = claim_cards.parts(block, chapter=chapter)
        return BeautifulSoup(raw.astext(), "html.parser")

    link = card_in("01-tiny").select_one(".claim-elsewhere a")
    assert link is not None
    assert link.get_text() == "holds in 1 of 2 variations"
    assert link["href"] == f"../where-it-holds.html#{anchor(GAIN)}"
    assert card_in("02-other").select_one(".claim-elsewhere") is None


def test_in_a_readers_build_a_card_tells_theirs_and_the_books_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claim_cards, "recorded", lambda: RECORDS)
    monkeypatch.setattr(claim_cards, "own_chapters", lambda: CHAPTERS)

    def card_of(statement: str, measured: str = "0.1500 [0.1000, 0.2000]") -> BeautifulSoup:
        text = f"differs  {statement}: {measured}, at least 0.3"
        block = nodes.literal_block(text, text, classes=["output", "stream"])
        [raw] = claim_cards.parts(block, chapter="01-tiny", yours=True)
        return BeautifulSoup(raw.astext(), "html.parser")

    lines = [each.get_text() for each in card_of(GAIN).select(".claim-yours, .claim-elsewhere")]
    assert lines == [
        "on your images: ◐ weaker",
        "on the book's own images: holds, and in 1 of 2 variations",
    ]
    assert card_of("Of theirs alone").select_one(".claim-elsewhere") is None
    same = card_of(GAIN, "0.3000 [0.2000, 0.4000]").select(".claim-yours, .claim-elsewhere")
    assert [each.get_text() for each in same] == [
        "uses none of your images",
        "holds in 1 of 2 variations",
    ]


def test_a_readers_record_is_the_first_column_and_is_not_counted() -> None:
    yours = record("yours", {}, gain="reversed")
    found = BeautifulSoup(drawn(CHAPTERS, RECORDS, yours), "html.parser")
    row = found.find(id=anchor(GAIN))
    assert row is not None
    assert [td["data-state"] for td in row.select("td")] == ["reversed", "holds", "holds", "weaker"]
    numbers = [td.get_text() for td in found.select(".holds-summary td")][:6]
    assert numbers == ["1", "1", "0", "1", "1", "3"]  # theirs is in none of them


def test_what_was_left_out_has_a_row_all_the_same() -> None:
    theirs = {"01-tiny": Chapter("Don't know", [claim(GAIN)])}
    merged = with_left_out(theirs, CHAPTERS)
    assert [each.statement for each in merged["01-tiny"].claims] == [GAIN, LOSS]
    assert merged["01-tiny"].said == SAID, "its text went with the part"
    assert with_left_out(theirs, {}) == theirs
