"""The command line: `python -m companion.doctor folders …`, `checkpoint …`, `explain CODE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from companion.doctor.examination import Examination
from companion.doctor.examining_folders import examine_checkpoint, examine_folders
from companion.doctor.explaining import explain
from companion.doctor.registry import AREAS, CHECKS

FORMS = ("table", "json", "sarif", "annotations")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments.

    >>> parser().parse_args(["explain", "LBL003"]).code
    'LBL003'
    """
    top = argparse.ArgumentParser(
        prog="python -m companion.doctor",
        description="Examine picture folders and checkpoints, and explain findings. "
        "Ends with 1 where there is an error, with 2 where it was called wrongly, else with 0.",
    )
    commands = top.add_subparsers(dest="command", required=True)
    folders = commands.add_parser("folders", help="examine folders of pictures")
    folders.add_argument("folders", nargs="+", help="train, validation, test; or one with them")
    folders.add_argument("--select", action="append", metavar="CODE", help="look for these alone")
    folders.add_argument("--ignore", action="append", metavar="CODE", help="leave these out")
    folders.add_argument("--sample", type=int, default=1024, help="pictures that are compared")
    checkpoint = commands.add_parser("checkpoint", help="hold a checkpoint against folders")
    checkpoint.add_argument("checkpoint", help="a file, read with weights_only=True")
    checkpoint.add_argument("--folders", nargs="+", help="the folders whose classes it is for")
    for command in (folders, checkpoint):
        command.add_argument("--format", choices=FORMS, default="table", help="what is printed")
        command.add_argument("--all", action="store_true", help="the word of every check too")
    page = commands.add_parser("explain", help="print the page of a code")
    page.add_argument("code", nargs="?", help="a code, such as LBL003; all are listed without one")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line and return the exit code, which depends on errors alone.

    >>> main(["explain", "nothing"])
    2
    """
    options = parser().parse_args(arguments)
    try:
        if options.command == "explain":
            print(explain(options.code) if options.code else listed())
            return 0
        if options.command == "folders":
            found = examine_folders(
                options.folders,
                select=options.select,
                ignore=options.ignore,
                sample=options.sample,
            )
            place = str(options.folders[0])
        else:
            found = examine_checkpoint(options.checkpoint, folders=options.folders)
            place = str(options.checkpoint)
    except (ValueError, TypeError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(shown(found, options.format, place, everything=options.all))
    return 0 if found.ok else 1


def shown(found: Examination, form: str, place: str, *, everything: bool = False) -> str:
    """Return an examination in one of the forms that are printed.

    >>> shown(Examination(()), "annotations", "data")
    ''
    """
    if form == "json":
        return found.to_json()
    if form == "sarif":
        return found.to_sarif(file=place)
    if form == "annotations":
        return found.annotations(file=place)
    return found.table(everything=everything)


def listed() -> str:
    """Return all codes with their faults, by area.

    >>> "LBL003" in listed()
    True
    """
    told = []
    for area, name in AREAS.items():
        told += [name, ""]
        told += [f"  {code}  {each.title}" for code, each in CHECKS.items() if code[:3] == area]
        told += [""]
    return "\n".join(told).rstrip()
