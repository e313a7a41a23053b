"""What each finding was where it was measured again: read from runs, put in a word, written.

``book/replications/NAME.json`` is the record of one variation: when, where and on what it ran, and
for each chapter every claim with its value, interval, bound and one of four words.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from nbformat import NotebookNode

import execute
from companion.teaching import TooLittleDataError
from companion.teaching.claims import ClaimLine, read_line
from outputs import texts

RECORDS = execute.ROOT / "book" / "replications"
HOLDS, WEAKER, OPEN, REVERSED = STATES = ("holds", "weaker", "open", "reversed")
NOT_REACHED = "not reached"  # the very numbers of the book: nothing was changed for this claim
TOO_LITTLE = TooLittleDataError.__name__
FORM = 1  # of the records; another is read as nothing, and said


class Measured(NamedTuple):
    """One claim under one variation."""

    statement: str
    value: float
    low: float
    high: float
    bound: str
    state: str


def state_of(found: ClaimLine) -> str:
    """Return in a word what became of a claim.

    *holds*: the whole interval keeps the bound. Where the bound asks for an effect, the rest is
    decided by where the interval lies to no effect: *weaker* on the same side, *reversed* on the
    other, *open* around it. A bound that allows no effect says that something is small: *reversed*
    where the whole interval is outside, *open* where a part of it is.
    """
    if found.margin >= 0:
        return HOLDS
    nothing = no_effect(found)
    if found.lowest <= nothing <= found.highest:
        outside = found.low > found.highest or found.high < found.lowest
        return REVERSED if outside else OPEN
    side = 1 if found.lowest > nothing else -1
    low, high = sorted((side * (found.low - nothing), side * (found.high - nothing)))
    return WEAKER if low > 0 else REVERSED if high < 0 else OPEN


def no_effect(found: ClaimLine) -> float:
    """Return one for a ratio, which is where the statement says times, or a share above one."""
    is_times = re.search(r"\btimes\b", found.statement)
    is_more = re.search(r"\bshare of\b", found.statement) and found.lowest >= 1
    return 1.0 if is_times or is_more else 0.0


def claims_in(notebook: NotebookNode) -> list[ClaimLine]:
    """The claims that a run printed, in their order.

    Where a section says that it needs more than there is, what it prints after that does not count.
    """
    found: list[ClaimLine] = []
    left_out = False
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and re.search(r"^## ", cell.source, re.MULTILINE):
            left_out = False
        outputs = cell.get("outputs", [])
        left_out |= any(each.get("ename") == TOO_LITTLE for each in outputs)
        if not left_out:
            found += claims_among(outputs)
    return found


def claims_among(outputs: list[NotebookNode]) -> list[ClaimLine]:
    """The claims that one cell printed."""
    lines = [
        read_line(line)
        for output in outputs
        for form, text in texts(output)
        if form == "stdout"
        for line in text.splitlines()
    ]
    return [found for found in lines if found is not None and found.is_claim]


def failed_cells(notebook: NotebookNode) -> list[str]:
    """The cells that raised, by their first lines, and the parts left out, each with the reason."""
    left_out = [f"{each['title']}: {each['why']}" for each in notebook.metadata.get("left_out", [])]
    return left_out + [
        f"`{execute.first_line(cell)}`: {output.ename}: {output.evalue}".splitlines()[0]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]


def measured_in(notebook: NotebookNode) -> list[Measured]:
    """The claims of a run with their states."""
    return [
        Measured(each.statement, each.value, each.low, each.high, each.bound, state_of(each))
        for each in claims_in(notebook)
    ]


def update(
    name: str,
    about: dict[str, Any],
    runs: dict[str, NotebookNode],
    folder: Path,
    own: dict[str, NotebookNode] | None = None,
) -> None:
    """Bring the record of a variation up to date with runs of some chapters; others stay.

    ``own`` are the book's notebooks: a claim with their very numbers was not reached by the change.
    """
    record = read_record(folder / f"{name}.json")
    chapters = dict(record["chapters"]) if record else {}
    for chapter, run in runs.items():
        chapters[chapter] = chapter_record(run, own.get(chapter) if own else None)
    write_record({"form": FORM, "name": name, **about, "chapters": chapters}, folder)


def chapter_record(run: NotebookNode, own: NotebookNode | None = None) -> dict[str, Any]:
    """What a record keeps of one run of a chapter, beside the book's own run of it."""
    # An interval without a width may be the same by chance: all of something, or nothing.
    known = {each[:4] for each in measured_in(own) if each.low < each.high} if own else set()
    return {
        "run": {k: v for k, v in run.metadata["run"].items() if k != "key"},
        "failed": failed_cells(run),
        "claims": [
            each._replace(state=NOT_REACHED) if each[:4] in known else each
            for each in measured_in(run)
        ],
    }


def write_record(record: dict[str, Any], folder: Path) -> None:
    """Write a record, a claim a line; the old one stays whole until the new one is."""

    def chapter(found: dict[str, Any]) -> str:
        claims = [json.dumps(list(each), ensure_ascii=False) for each in found["claims"]]
        listed = ",\n   ".join(claims)
        return (
            f'{{"run": {json.dumps(found["run"], sort_keys=True)},\n'
            f'  "failed": {json.dumps(found["failed"], ensure_ascii=False)},\n'
            f'  "claims": [\n   {listed}\n  ]}}'
        )

    about = [
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in record.items()
        if key != "chapters"
    ]
    chapters = [f"{json.dumps(k)}: {chapter(v)}" for k, v in sorted(record["chapters"].items())]
    text = ",\n".join([*about, '"chapters": {\n ' + ",\n ".join(chapters) + "\n}"])
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{record['name']}.json"
    beside = target.with_suffix(".json.part")
    beside.write_text("{\n" + text + "\n}\n", encoding="utf-8", newline="\n")
    os.replace(beside, target)


def read_record(path: Path) -> dict[str, Any] | None:
    """A record with its claims; None where there is none, or one of another form."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if record.get("form") != FORM:
        return None
    for chapter in record["chapters"].values():
        chapter["claims"] = [Measured(*row) for row in chapter["claims"]]
    return record


def read_records(folder: Path = RECORDS) -> dict[str, dict[str, Any]]:
    """All records of a folder, by the names of their variations."""
    found = {path.stem: read_record(path) for path in sorted(folder.glob("*.json"))}
    return {name: record for name, record in found.items() if record is not None}


def summary(records: dict[str, dict[str, Any]]) -> str:
    """The counts of the four states by variation, a line each, and every reversal."""
    lines, turned = [], []
    for name, record in records.items():
        claims = [each for chapter in record["chapters"].values() for each in chapter["claims"]]
        counts = Counter(each.state for each in claims)
        failed = sum(len(chapter["failed"]) for chapter in record["chapters"].values())
        said = ", ".join(f"{counts[state]} {state}" for state in STATES)
        lines.append(f"{name}: {said}; {failed} cells or parts failed")
        turned += [
            f"{name}, {chapter}: reversed: {each.statement}: {each.value:.4f} "
            f"[{each.low:.4f}, {each.high:.4f}], {each.bound}"
            for chapter, found in record["chapters"].items()
            for each in found["claims"]
            if each.state == REVERSED
        ]
    return "\n".join([*lines, *turned])
