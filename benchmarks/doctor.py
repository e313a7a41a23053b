"""What each tool says of each patient of the ward, in one run, and how often it is right.

    OMP_NUM_THREADS=1 python benchmarks/doctor.py --output companion/ward/other_tools.json
    OMP_NUM_THREADS=1 python benchmarks/doctor.py --only torchtest2 --patients NAME

Every pair of a tool and a patient has a process of its own, in which the patient is made anew, and
`--limit` seconds; what takes longer, or ends the process, has crashed. A tool that is not installed
is named and left out. Patients that are set aside are only ever counted: `--patients` refuses them.

**Verdicts.** One for each pair: "error" (an alarm at the tool's own level for errors), "warning"
(alarms, and none of that level), "silent", "crashed" (an exception, which a user would see, but no
alarm), "cannot take it" (the tool has no way to be given such a patient). Advice on speed is no
alarm. On a broken patient an alarm is a hit; on a healthy one, and on one that is "beyond" (it
could be better, which nobody can see from outside), it is a false alarm.

**The record**, a JSON object:

- `date`, `device`, `limit_seconds`, `versions` (of Python, torch, torchvision, the companion);
- `patients`: {area: {kind: how many}};
- `not_run`: {tool: why it is not in `tools`};
- `tools`: {tool: {`version`, `asked`, `error` and `warning` (the tool's words for the levels),
  `seconds` (median), `areas`: {area: {kind: counts}}, `halves`: {half: {kind: counts}}}}.

Counts are numbers of patients: `patients` (the denominator), one for each verdict, which add up to
it, and of those with an alarm: `right area, any` and `right area, error` (one of the alarms that
count is about the patient's area, by the tables of `doctor_areas.py`; null for a tool without a
table), `named, any` and `named, error` (an alarm has one of the codes that the patient expects;
null but for companion.doctor). Sensitivity in the lenient reading is (error + warning) / patients
over the broken, or error / patients; the share of false alarms is the same over the healthy.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import sys
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torchvision
from tqdm import tqdm

import doctor_more_tools  # noqa: F401  (registers its tools)
from companion.ward import AREAS, HALVES, KINDS, Patient, patients
from doctor_areas import MAPPED, areas_of
from doctor_asking import LIMIT, Verdict, ask_all
from doctor_tools import TOOLS, Tool

VERDICTS = ("error", "warning", "silent", "crashed", "cannot take it")

NOT_RUN = {
    "deepchecks vision": "0.19.1 needs pkg_resources, which setuptools 81 dropped, and asks "
    "scikit-learn for a score ('max_error') that 1.9 has not: its import fails",
    "TrainCheck": "0.2.0 installs, and learns its rules from traces of scripts that run well: it "
    "takes two scripts, not the objects of a pipeline",
    "SkorchDoctor": "skorch 1.4.0 records and draws activations, gradients and updates; it gives "
    "no verdict that could be counted",
}
"""Tools that were tried and are in no table, and why."""


def counted(tool: str, found: Iterable[tuple[Patient, Verdict]]) -> dict[str, int | None]:
    """Return how often a tool came to which verdict, and how often its alarms were right."""
    pairs = list(found)
    counts: dict[str, int | None] = {"patients": len(pairs)}
    said = Counter(verdict.word for _, verdict in pairs)
    counts |= {word: said[word] for word in VERDICTS}
    for levels, name in ((("error", "warning"), "any"), (("error",), "error")):
        area = named = 0
        for patient, verdict in pairs:
            rules = [rule for level, rule in verdict.alarms if level in levels]
            area += patient.area in areas_of(tool, rules)
            named += bool({*rules} & {*patient.expects})
        counts[f"right area, {name}"] = area if tool in MAPPED else None
        counts[f"named, {name}"] = named if tool == "companion.doctor" else None
    return counts


def record_of(tool: Tool, found: list[tuple[Patient, Verdict]]) -> dict[str, Any]:
    """Return a tool's part of the record."""

    def group(**where: str) -> dict[str, int | None]:
        chosen = [(p, v) for p, v in found if all(getattr(p, k) == w for k, w in where.items())]
        return counted(tool.name, chosen)

    times = [verdict.seconds for _, verdict in found if verdict.word != "cannot take it"]
    return {
        "version": version(tool.distribution),
        "asked": tool.asked,
        "error": tool.error,
        "warning": tool.warning,
        "seconds": round(statistics.median(times), 3) if times else None,
        "areas": {a: {k: group(area=a, kind=k) for k in KINDS} for a in AREAS},
        "halves": {h: {k: group(half=h, kind=k) for k in KINDS} for h in HALVES},
    }


def whole_record(chosen: list[Patient], limit: float) -> dict[str, Any]:
    """Return the record without its tools."""
    several = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    number = Counter((each.area, each.kind) for each in chosen)
    return {
        "date": datetime.date.today().isoformat(),
        "device": "cpu",
        "limit_seconds": limit,
        "versions": {"python": platform.python_version()}
        | several
        | {"the-missing-class": version("the-missing-class")},
        "patients": {area: {kind: number[area, kind] for kind in KINDS} for area in AREAS},
        "not_run": dict(NOT_RUN),
        "tools": {},
    }


def table_of(record: dict[str, Any]) -> str:
    """Return the record's totals as lines of text: per cent of the patients of each kind."""
    head = f"{'':20} {'broken':>15} {'healthy':>15} {'beyond':>15}   cannot take, crashed"
    lines = [head, " " * 20 + f" {'error':>7} {'any':>7}" * 3]
    for name, told in record["tools"].items():
        row, other = f"{name:20}", Counter[str]()
        for kind in KINDS:
            total = Counter[str]()
            for area in told["areas"].values():
                total.update({word: n for word, n in area[kind].items() if n is not None})
            other.update(total)
            for seen in (total["error"], total["error"] + total["warning"]):
                share = f"{seen}/{total['patients']}" if total["patients"] else "-"
                row += f" {share:>7}"
        lines.append(f"{row}   {other['cannot take it']:>11}, {other['crashed']:>7}")
    return "\n".join(lines)


def missing(tool: Tool) -> str:
    """Return why a tool cannot be run here, or nothing."""
    try:
        version(tool.distribution)
    except PackageNotFoundError:
        return f"not installed: pip install {tool.distribution}"
    return "" if find_spec(tool.package) else f"{tool.distribution} has no {tool.package}"


def arguments(given: list[str] | None) -> argparse.Namespace:
    """Return what was asked for; end with a message where it makes no sense."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", metavar="TOOL", choices=[*TOOLS])
    parser.add_argument("--patients", action="append", metavar="NAME")
    parser.add_argument("--output", type=Path, help="where the record goes; nowhere by default")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for each pair")
    parser.add_argument("--jobs", type=int, default=1, help="pairs at a time")
    asked = parser.parse_args(given)
    halves = {each.name: each.half for each in patients()}
    for name in asked.patients or ():
        if name not in halves:
            parser.error(f"no patient is called {name}")
        if halves[name] != HALVES[0]:
            parser.error(f"{name} is set aside: it is counted among the others, and never alone")
    return asked


def main(given: list[str] | None = None) -> int:
    """Run what was asked for, print it, and write the record."""
    asked = arguments(given)
    torch.set_num_threads(1)
    chosen = [each for each in patients() if asked.patients is None or each.name in asked.patients]
    record = whole_record(chosen, asked.limit)
    for name in asked.only or TOOLS:
        if why := missing(TOOLS[name]):
            print(f"{name} is left out, {why}", file=sys.stderr)
            record["not_run"][name] = why
            continue
        with tqdm(total=len(chosen), desc=name, disable=None, leave=False) as bar:
            verdicts = ask_all(name, chosen, limit=asked.limit, jobs=asked.jobs, tell=bar.update)
        found = list(zip(chosen, verdicts, strict=True))
        record["tools"][name] = record_of(TOOLS[name], found)
        if asked.patients:
            for patient, verdict in found:
                print(f"{name}: {patient.name} ({patient.kind}): {verdict}")
        written(record, asked.output)
    print(table_of(record))
    written(record, asked.output)
    return 0


def written(record: dict[str, Any], place: Path | None) -> None:
    """Write the record as far as it is: a run takes a while, and may be ended."""
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
