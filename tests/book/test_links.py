"""Every link, picture and script of the rendered pages leads somewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

ATTRIBUTES = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src"}


@cache
def parse(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(page: Path) -> frozenset[str]:
    marked = parse(page).find_all(lambda tag: tag.has_attr("id") or tag.has_attr("name"))
    return frozenset(str(tag.get(key)) for tag in marked for key in ("id", "name"))


def broken_links(page: Path) -> list[str]:
    """The addresses on ``page`` that point into the book and find nothing there."""
    broken = []
    for tag in parse(page).find_all(list(ATTRIBUTES)):
        address = str(tag.get(ATTRIBUTES[tag.name]) or "")
        parts = urlsplit(address)
        if not address or parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if target.is_dir():
            target = target / "index.html"
        fragment = unquote(parts.fragment)
        found = target.is_file()
        if found and fragment and target.suffix == ".html":
            found = fragment in anchors(target)
        if not found:
            broken.append(address)
    return broken


def unspoken_pictures(page: Path) -> list[str]:
    """The pictures of the article on ``page`` that have no alternative text."""
    pictures = parse(page).select("article img")
    return [str(tag.get("src")) for tag in pictures if not str(tag.get("alt") or "").strip()]


def pages(html: Path) -> list[Path]:
    return [path for path in sorted(html.rglob("*.html")) if "_static" not in path.parts]


def test_links_lead_somewhere(rendered: Path) -> None:
    assert len(pages(rendered)) > 3
    assert {page.name: broken for page in pages(rendered) if (broken := broken_links(page))} == {}


def test_pictures_have_alternative_text(rendered: Path) -> None:
    found = {page.name: bad for page in pages(rendered) if (bad := unspoken_pictures(page))}
    assert found == {}


def test_no_page_needs_a_network(rendered: Path) -> None:
    remote = {
        f"{page.name}: {tag[attribute]}"
        for page in pages(rendered)
        for name, attribute in (("script", "src"), ("img", "src"), ("link", "href"))
        for tag in parse(page).find_all(name)
        if "canonical" not in (tag.get("rel") or [])
        if urlsplit(str(tag.get(attribute) or "")).netloc
    }
    assert remote == set()


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        ('<a href="other.html#there">x</a><a href="#here">x</a><p id="here">', []),
        ('<a href="other.html#nowhere">x</a>', ["other.html#nowhere"]),
        ('<a href="missing.html">x</a>', ["missing.html"]),
        ('<a href="#nowhere">x</a>', ["#nowhere"]),
        ('<img src="missing.png" alt="x">', ["missing.png"]),
        ('<a href="https://example.org/missing">x</a>', []),
    ],
)
def test_broken_links_are_found(body: str, broken: list[str], tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text('<p id="there">', encoding="utf-8")
    (tmp_path / "page.html").write_text(body, encoding="utf-8")
    assert broken_links(tmp_path / "page.html") == broken


def test_unspoken_pictures_are_found(tmp_path: Path) -> None:
    body = '<article><img src="a.png"><img src="b.png" alt=" "><img src="c.png" alt="x"></article>'
    (tmp_path / "page.html").write_text(body, encoding="utf-8")
    assert unspoken_pictures(tmp_path / "page.html") == ["a.png", "b.png"]
