"""Run the chapters again where processors and versions differ, and record how numbers moved.

``variations.toml`` names the variations. What they print is kept under ``_build/drift``, one
notebook each (see ``runs``); ``drift_records`` turns it into the small records that are part of
the book.
"""

from __future__ import annotations

import argparse
import sys

import drift_records
import execute
from runs import add_arguments, carry_out, is_done, plan
from variations import choose, read_pythons, read_variations

KEPT = execute.ROOT / "_build" / "drift"


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; the exit status is 1 where a chapter could not be run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    add_arguments(parser)
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH")
    options = parser.parse_args(arguments)
    try:
        sources = execute.find_sources(options.chapters)
        variations = choose(read_variations(), options.only)
        tasks = plan(sources, variations, read_pythons(options.python), KEPT)
    except execute.ChapterError as error:
        print(error, file=sys.stderr)
        return 1
    failures = [] if options.record else carry_out(tasks, options.jobs)
    for source in sources:
        drift_records.update(
            source.stem,
            {t.variation.name: t.target for t in tasks if t.source == source and is_done(t)},
        )
    print(drift_records.summary([source.stem for source in sources]))
    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
