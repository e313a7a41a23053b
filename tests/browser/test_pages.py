"""The rendered pages as a reader meets them: wide and narrow, light and dark, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, Route, expect

from book_files import BOOK, NOTEBOOKS

PAGES = ["intro", "symptoms", "preface", "answers", "how-tested", "glossary", "references"]
PAGES += [f"notebooks/{path.stem}" for path in NOTEBOOKS]
WIDTHS = {"wide": 1280, "phone": 360}
# At this width, on a phone, letters of nine points in a figure five inches wide can be read.
NARROWEST_FIGURE = 300

each_page = pytest.mark.parametrize("name", PAGES)
each_width = pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
each_scheme = pytest.mark.parametrize("scheme", ["light", "dark"])


class Visit:
    """A page open in the browser, with what went wrong on the way."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.problems: list[str] = []
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("response", self._note_response)
        page.route("**/*", self._refuse_network)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def _note_response(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.status}: {response.url}")

    def _refuse_network(self, route: Route) -> None:
        if urlsplit(route.request.url).hostname in (None, "127.0.0.1"):
            route.continue_()
        else:
            self.problems.append(f"asked the network for {route.request.url}")
            route.abort()

    def open(self, name: str) -> Page:
        self.page.goto(f"{self.address}/{name}.html", wait_until="load")
        return self.page


@pytest.fixture
def visit(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    given = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    context = browser.new_context(
        viewport={"width": given.get("width", 1280), "height": 800},
        color_scheme=given.get("scheme", "light"),
    )
    yield Visit(context.new_page(), address)
    context.close()


@each_page
@each_width
@each_scheme
def test_page_fits_and_loads_without_a_complaint(
    name: str, width: int, scheme: str, visit: Visit
) -> None:
    page = visit.open(name)
    page.wait_for_function("() => !window.MathJax || !MathJax.startup || MathJax.startup.promise")
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    sizes = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert sizes[0] <= sizes[1], f"{name} is {sizes[0]} px wide on a screen of {sizes[1]} px."
    assert spilling(page) == []
    assert visit.problems == []


def spilling(page: Page) -> list[str]:
    """What of the article lies beyond the screen's edge, outside any box that scrolls."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("article *")].filter((element) => {
            const box = element.getBoundingClientRect();
            if (!box.width || !box.height || box.right <= window.innerWidth + 1) return false;
            for (let each = element; each && each.tagName !== "ARTICLE"; each = each.parentElement)
                if (["auto", "scroll", "hidden"].includes(getComputedStyle(each).overflowX))
                    return false;
            return !element.closest("mjx-assistive-mml, .headerlink");
        }).map((element) => element.outerHTML.slice(0, 80))"""
    )
    return found


@pytest.mark.parametrize("name", [f"notebooks/{path.stem}" for path in NOTEBOOKS])
@each_width
@each_scheme
def test_figures_are_there_and_large_enough_to_read(
    name: str, width: int, scheme: str, visit: Visit
) -> None:
    page = visit.open(name)
    figures = page.locator("article figure img")
    assert figures.count() > 0, f"{name} has no figure."
    for figure in figures.all():
        figure.scroll_into_view_if_needed()
        alt = figure.get_attribute("alt")
        assert figure.evaluate("image => image.complete && image.naturalWidth > 0"), alt
        box = figure.bounding_box()
        assert box is not None
        assert NARROWEST_FIGURE <= box["width"] <= min(width, 640), f"{alt}: {box}"
        stretch = figure.evaluate(
            """image => {
                const style = getComputedStyle(image), px = (side) => parseFloat(style[side]);
                const width = image.clientWidth - px("paddingLeft") - px("paddingRight");
                const height = image.clientHeight - px("paddingTop") - px("paddingBottom");
                return (width / height) / (image.naturalWidth / image.naturalHeight);
            }"""
        )
        assert abs(stretch - 1) < 0.02, f"{alt}: stretched by {stretch:.2f}"
        background = figure.evaluate("image => getComputedStyle(image).backgroundColor")
        shades = [int(part) for part in background.strip("rgba()").split(",")[:3]]
        assert min(shades) > 240, f"{alt}: stands on {background}"
        expect(figure.locator("xpath=ancestor::figure").locator("figcaption")).to_be_visible()


def test_theme_switch_changes_the_theme(visit: Visit) -> None:
    page = visit.open("intro")
    seen = set()
    for _ in range(3):
        page.locator("button.theme-switch-button:visible").first.click()
        seen.add(page.evaluate("document.documentElement.dataset.theme"))
    assert seen == {"light", "dark"}


def test_search_finds_a_word(visit: Visit) -> None:
    page = visit.open("search")
    page.goto(f"{visit.address}/search.html?q=class")
    results = page.locator("#search-results ul.search li a")
    expect(results.first).to_be_visible(timeout=15000)
    page.goto(f"{visit.address}/search.html?q=zyzzyvaxx")
    expect(page.locator("#search-results")).to_contain_text("did not match any documents")
    expect(results).to_have_count(0)


def test_mathematics_is_drawn(visit: Visit) -> None:
    written = [path.stem for path in NOTEBOOKS if "$" in text_of(path)]
    if not written:
        pytest.skip("no chapter has a formula yet")
    page = visit.open(f"notebooks/{written[0]}")
    expect(page.locator("article mjx-container").first).to_be_visible(timeout=15000)


def text_of(notebook: Path) -> str:
    return (BOOK / "chapters" / f"{notebook.stem}.md").read_text(encoding="utf-8")
