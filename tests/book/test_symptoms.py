"""The way in by symptom: each says what is likeliest, what to look at first, and where to read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from bs4 import BeautifulSoup

from book_files import BOOK

FEWEST = 15
PARTS = ("Likeliest", "Look first", "Read")


class Symptom(NamedTuple):
    """One entry of the page."""

    words: str
    text: str

    @property
    def faults(self) -> list[str]:
        """What is missing from it."""
        parts = dict(re.findall(r"^\*\*([\w ]+)\.\*\* (.+)$", self.text, re.MULTILINE))
        found = [f"{self.words}: no {part!r}" for part in PARTS if part not in parts]
        if "Read" in parts and not re.search(r"\]\([\w./#-]+\)", parts["Read"]):
            found.append(f"{self.words}: links nowhere")
        return found


def symptoms(text: str) -> list[Symptom]:
    """The entries of a page: its third headings, with what stands below each."""
    pieces = re.split(r"^(#{2,3}) (.+)$", text, flags=re.MULTILINE)[1:]
    found = zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
    return [Symptom(words, below) for level, words, below in found if level == "###"]


PAGE = (BOOK / "symptoms.md").read_text(encoding="utf-8")


def test_there_are_symptoms_enough_and_each_is_complete() -> None:
    found = symptoms(PAGE)
    assert len(found) >= FEWEST
    assert [fault for each in found for fault in each.faults] == []
    assert all(each.words.startswith('"') and each.words.endswith('"') for each in found)


def test_symptom_leads_to_a_section_of_a_chapter(rendered: Path) -> None:
    page = BeautifulSoup((rendered / "symptoms.html").read_text(encoding="utf-8"), "html.parser")
    for section in page.select("section section section"):
        links = [str(link["href"]) for link in section.select("p a.reference.internal")]
        aims = [link for link in links if re.match(r"notebooks/\d\d-[\w-]+\.html#.+", link)]
        assert aims, f"{section.get_text()[:60]!r} leads to no section of a chapter: {links}"


def test_front_page_begins_with_the_symptoms(rendered: Path) -> None:
    page = BeautifulSoup((rendered / "intro.html").read_text(encoding="utf-8"), "html.parser")
    links = [str(link.get("href")) for link in page.select("article a.reference.internal")]
    into = [link for link in links if link.startswith("symptoms.html#")]
    assert links[0].startswith("symptoms.html")
    assert len(into) >= 10


@pytest.mark.parametrize(
    ("below", "faults"),
    [
        ("**Likeliest.** A.\n\n**Look first.** B.\n\n**Read.** [C](d).", []),
        ("**Likeliest.** A.\n\n**Look first.** B.\n\n**Read.** C.", ['"x": links nowhere']),
        ("**Likeliest.** A.\n\n**Read.** [C](d).", ["\"x\": no 'Look first'"]),
    ],
)
def test_what_a_symptom_lacks_is_named(below: str, faults: list[str]) -> None:
    [found] = symptoms(f'# T\n\n## S\n\ntext\n\n### "x"\n\n{below}\n')
    assert found.faults == faults
