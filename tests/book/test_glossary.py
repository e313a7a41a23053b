"""A word of the glossary is linked to it where a chapter first uses it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from book_files import BOOK, SOURCES
from prose import prose

GLOSSARY = (BOOK / "glossary.md").read_text(encoding="utf-8")
TERM_ROLE = re.compile(r"\{term\}`(?:[^`<]*<(?P<named>[^>]+)>|(?P<plain>[^`]+))`")
# Words that everyday sentences use too, in another sense.
EVERYDAY = {"chance", "control", "seed", "prior", "precision", "ceiling", "leak", "energy"}
EVERYDAY |= {"feature", "confidence", "forgetting", "threshold", "schedule", "replay", "decade"}


def terms() -> list[str]:
    """The words that the glossary explains, as they stand there."""
    return re.findall(r"^([^\s`#{].*)$(?=\n  \S)", GLOSSARY, re.MULTILINE)


def pattern(term: str) -> re.Pattern[str]:
    """A term in a sentence, in the plural too, and with either kind of capital."""
    return re.compile(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", re.IGNORECASE)


def linked(text: str) -> set[str]:
    """The terms that a text links to."""
    return {match["named"] or match["plain"] for match in TERM_ROLE.finditer(text)}


def unlinked(text: str) -> list[str]:
    """The terms whose first use in a chapter is no link, with the words around it."""
    # Only letters of a marked link are replaced, so that positions keep their order.
    marked = TERM_ROLE.sub(lambda m: f"\0{m['named'] or m['plain']}\0", text)
    spoken = re.sub(r"^#.*$", "", prose(marked), flags=re.MULTILINE)
    found = []
    for term in terms():
        link = spoken.lower().find(f"\0{term.lower()}\0")
        bare = pattern(term).search(re.sub(r"\0[^\0]*\0", lambda m: "\0" * len(m[0]), spoken))
        if bare and term not in EVERYDAY and (link < 0 or bare.start() < link):
            around = spoken[max(0, bare.start() - 30) : bare.end() + 30].replace("\n", " ")
            found.append(f"{term}: …{around}…")
    return found


def test_glossary_is_in_order_and_explains_each_word_once() -> None:
    listed = [term.lower() for term in terms()]
    assert len(listed) > 40
    assert listed == sorted(set(listed))


def test_glossary_links_to_its_own_words_alone() -> None:
    assert linked(GLOSSARY) - set(terms()) == set()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_word_is_linked_where_a_chapter_first_uses_it(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    assert linked(text) - set(terms()) == set(), "the glossary has no such words"
    assert unlinked(text) == [], f"{source.name}: link with {{term}}`…` where they first stand"


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("The {term}`logit` is a logit.", 0),
        ("The {term}`logits <logit>` are logits.", 0),
        ("The logit is a {term}`logit`.", 1),
        ("Logits are all there is.", 1),
        ("`logit` in code, and\n\n# A logit in a heading\n\nnothing else.", 0),
        ("Chance decides.", 0),
        ("The state dict and the softmax.", 2),
    ],
)
def test_words_without_a_link_are_found(text: str, bad: int) -> None:
    assert len(unlinked(text)) == bad
