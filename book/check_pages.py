"""A Sphinx extension, and what it needs: a page for each code of the check-up, and their list.

The pages are written from the checks' own docstrings before the book is rendered, into
``book/checks``, one file for each code; the directive ``checks`` lists them by area.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from companion.doctor import CHECKS, Check
from companion.doctor.registry import AREAS

FOLDER = "checks"


def write_pages(book: Path) -> list[Path]:
    """Write ``checks/CODE.md`` for every code, and nothing else; return the files in order."""
    folder = book / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    written = []
    for code, check in sorted(CHECKS.items()):
        written.append(folder / f"{code}.md")
        written[-1].write_text(page_of(check), encoding="utf-8")
    return written


def page_of(check: Check) -> str:
    """The Markdown of a check's page: its docstring, what it needs, and what it may explain."""
    told = check.page.as_markdown()
    if check.needs:
        told += f"\n**Needs.** {', '.join(f'`{name}=`' for name in check.needs)}\n"
    if check.explains:
        links = ", ".join(f"[{code}]({code}.md)" for code in check.explains)
        told += f"\n**May explain.** {links}\n"
    return told + "\n[All checks](../checks.md)\n"


class Checks(SphinxDirective):
    """Puts the list of all codes in its place, by area, each with a link to its page."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """Parse the list as if it stood on the page."""
        found = nodes.container()
        lines = StringList(listed().splitlines(), source=self.env.docname)
        self.state.nested_parse(lines, self.content_offset, found)
        return found.children


def listed() -> str:
    """The list as Markdown: an area in bold, a line for each of its checks."""
    told = []
    for area, name in AREAS.items():
        told += [f"**{name.capitalize()}**", ""]
        told += [
            f"- [{code}]({FOLDER}/{code}.md): {check.title}"
            for code, check in sorted(CHECKS.items())
            if code.startswith(area)
        ]
        told += [""]
    return "\n".join(told)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive(FOLDER, Checks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
