"""What a chapter claims is a finding: an interval, a bound, a sentence of its own, told once."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from book_files import NOTEBOOKS, SOURCES, read_notebook
from companion.teaching.claims import ClaimLine, read_line
from execute import first_line, read_source

BOUNDS = {"at_least", "at_most", "within"}
SINGLE = {"mean", "low", "high", "margin"}  # one number of an interval, without the others


class Stated(NamedTuple):
    """A claim or a check as it stands in a source."""

    kind: str
    call: ast.Call
    where: str

    @property
    def options(self) -> set[str | None]:
        return {keyword.arg for keyword in self.call.keywords}


def stated(code: str, where: str) -> Iterator[Stated]:
    """The calls of `claim` and `check` in some code."""
    for node in ast.walk(ast.parse(code)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id in ("claim", "check"):
            yield Stated(node.func.id, node, f"{where}, line {node.lineno}")


def in_source(source: Path) -> list[Stated]:
    """The claims and checks of a chapter's source."""
    cells = [cell for cell in read_source(source).cells if cell.cell_type == "code"]
    return [
        each
        for cell in cells
        for each in stated(cell.source, f"{source.name}, `{first_line(cell)}`")
    ]


def faults(each: Stated) -> list[str]:
    """What is wrong with a claim or a check as it is written."""
    found = []
    if len(each.call.args) != 2:
        found.append("takes a statement and what was measured")
    if not each.options & BOUNDS:
        found.append("has no bound")
    if each.kind == "claim" and len(each.call.args) == 2 and is_single(each.call.args[1]):
        found.append("hides its interval: pass the interval, not one number of it")
    return [f"{each.where}: {fault}" for fault in found]


def is_single(measured: ast.expr) -> bool:
    """Whether what is measured is one number of an interval."""
    if isinstance(measured, ast.UnaryOp):
        return is_single(measured.operand)
    if isinstance(measured, ast.Call) and isinstance(measured.func, ast.Name):
        return measured.func.id in ("float", "max", "min", "abs", "sum")
    return isinstance(measured, ast.Attribute) and measured.attr in SINGLE


def printed(path: Path) -> list[ClaimLine]:
    """The claims and checks that a notebook stores, as they were printed."""
    streams = [
        output.text
        for cell in read_notebook(path).cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    ]
    lines = [read_line(line) for text in streams for line in text.splitlines()]
    return [line for line in lines if line is not None]


ALL = [(path.stem, line) for path in NOTEBOOKS for line in printed(path)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_claims_are_well_formed(source: Path) -> None:
    found = in_source(source)
    assert any(each.kind == "claim" for each in found), f"{source.name} claims nothing"
    assert [fault for each in found for fault in faults(each)] == []


def test_every_statement_is_made_once() -> None:
    times = Counter(line.statement for _, line in ALL)
    assert [statement for statement, count in times.items() if count > 1] == []


def test_claims_are_findings() -> None:
    """What cannot vary, or what its interval does not keep clear of, is a check or a coin toss."""
    fixed = [f"{page}: {line.statement}" for page, line in ALL if line.is_claim and not width(line)]
    assert fixed == [], "the same in every run: these are checks"
    close = [f"{page}: {line.statement}" for page, line in ALL if line.margin < 0]
    assert close == [], "these bounds lie inside their intervals"


def width(line: ClaimLine) -> float:
    """How far the ends of an interval are apart."""
    return line.high - line.low


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("claim('The gain is real', gain, at_least=0.1)", None),
        ("check('Two and two', 4 - 4, within=0)", None),
        ("check('The mean', gain.mean, within=0)", None),
        ("claim('The gain is real', gain)", "no bound"),
        ("claim('The gain is real', gain.mean, at_least=0.1)", "hides its interval"),
        ("claim('The gain is real', -gain.low, at_least=0.1)", "hides its interval"),
        ("claim('The gain is real', max(gains), at_least=0.1)", "hides its interval"),
        ("claim('The gain is real', at_least=0.1)", "takes a statement"),
    ],
)
def test_faults_are_named_with_their_place(code: str, says: str | None) -> None:
    [each] = stated(f"x = 1\n{code}", "01.md, `x = 1`")
    found = faults(each)
    assert len(found) == (says is not None)
    assert all(f.startswith("01.md, `x = 1`, line 2: ") and says and says in f for f in found)
