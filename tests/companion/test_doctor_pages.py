"""The pages of the codes: whole, with examples that are Python, and chapters that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from book_files import SOURCES
from companion.doctor import CHECKS, every_check
from companion.doctor.pages import read_page
from companion.doctor.registry import AREAS

FOLDER = Path(every_check.__file__).parent
ANCHORS = {
    anchor
    for source in SOURCES
    for anchor in re.findall(r"^\(([\w-]+)\)=$", source.read_text(encoding="utf-8"), re.M)
}


@pytest.mark.parametrize("code", CHECKS)
def test_a_page_is_whole(code: str) -> None:
    page = CHECKS[code].page
    ast.parse(page.example)
    assert page.chapter in ANCHORS
    assert len(page.title) <= 90
    text = page.as_text()
    assert text.startswith(f"{code}  {page.title}")
    assert max(map(len, text.splitlines())) <= 100
    assert page.as_markdown().startswith(f"({code.lower()})=\n# {code}: ")


@pytest.mark.parametrize("code", CHECKS)
def test_a_check_that_may_err_says_so(code: str) -> None:
    told = "1 in 10,000" in CHECKS[code].page.false_alarms
    assert told == (CHECKS[code].false_errors > 0)


def test_every_module_of_checks_is_imported() -> None:
    there = {file.stem for file in FOLDER.glob("*_checks.py")}
    assert there | {"comparing"} == set(every_check.MODULES)


def test_every_area_has_checks_and_codes_are_unique_by_title() -> None:
    assert {code[:3] for code in CHECKS} == set(AREAS)
    assert len({check.title for check in CHECKS.values()}) == len(CHECKS)


def test_a_docstring_that_lacks_a_part_is_refused() -> None:
    whole = "A fault.\n\nFault: a.\nEvidence: b.\nConsequence: c.\nRemedy: d.\nFalse alarms: e.\n"
    page = read_page("LBL001", f"{whole}\nIn code:\n    x = 1\n", "stripe")
    assert (page.fault, page.remedy, page.example) == ("a.", "d.", "x = 1")
    with pytest.raises(ValueError, match="LBL001 lacks In code"):
        read_page("LBL001", whole, "stripe")
    with pytest.raises(ValueError, match="LBL001 lacks Remedy"):
        read_page("LBL001", whole.replace("Remedy: d.\n", "") + "\nIn code:\n    x\n", "stripe")
