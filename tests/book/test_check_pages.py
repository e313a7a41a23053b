"""The pages of the check-up's codes: one for each, made anew, listed, and linked."""

from __future__ import annotations

from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from check_pages import listed, page_of, write_pages
from companion.doctor import CHECKS


def test_there_is_a_page_for_each_code_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "OLD001.md").write_text("x", encoding="utf-8")
    written = write_pages(tmp_path)
    assert [file.stem for file in written] == sorted(CHECKS)
    assert sorted((tmp_path / "checks").iterdir()) == sorted(written)


def test_a_page_says_what_the_check_needs_and_may_explain() -> None:
    told = page_of(CHECKS["LBL020"])
    assert told.startswith("(lbl020)=\n# LBL020: Renaming the outputs")
    assert "**Needs.** `model=`, `train=`" in told
    assert "[PRO032](PRO032.md)" in told
    assert "{ref}`permutation-rescue`" in told


def test_the_list_names_every_code_once() -> None:
    told = listed()
    assert [told.count(f"[{code}]") for code in CHECKS] == [1] * len(CHECKS)


@pytest.mark.parametrize("code", ["LBL003", "OPT112"])
def test_a_finding_s_address_leads_to_a_rendered_page(code: str, rendered: Path) -> None:
    page = rendered / CHECKS[code].link
    heading = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").find("h1")
    assert heading is not None
    assert heading.get_text().startswith(f"{code}: ")


def test_the_rendered_list_links_to_all(rendered: Path) -> None:
    page = BeautifulSoup((rendered / "checks.html").read_text(encoding="utf-8"), "html.parser")
    article = page.find("article")
    assert article is not None
    links = {str(link["href"]).split("#")[0] for link in article.find_all("a", href=True)}
    assert {CHECKS[code].link for code in CHECKS} <= links
