"""Pages of a reader's build, made whole again where they refer to what was left out.

A number that no cell stored reads "(not measured here)", a picture that was not drawn is left out,
and a solution whose exercise is gone goes with it. References to labels are mended by the Sphinx
extension `left_out`, which knows where each was.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from copy import deepcopy
from pathlib import PurePosixPath
from typing import NamedTuple

from nbformat import NotebookNode

from sections import OPTION

NOT_MEASURED = "(not measured here)"
NO_PICTURE = "(A figure was left out here, as the cell that draws it could not be run.)"
GLUE_ROLE = re.compile(r"\{glue:(?P<kind>\w*)\}`(?P<target>[^`]+)`")
BLOCK = re.compile(
    r"^(?P<head>(?P<mark>`{3,}|:{3,})\{(?P<name>[\w:-]+)\}[ \t]*(?P<said>[^\n]*)\n)"
    r"(?P<rest>.*?)(?P<tail>^(?P=mark)[ \t]*(?:\n|\Z))",
    re.MULTILINE | re.DOTALL,
)
PICTURES = "_pictures/"
GLUED_PICTURE = "application/papermill.record/image/png"


class Glued(NamedTuple):
    """What the cells of a notebook stored for the prose: all names, and those of pictures."""

    names: set[str]
    pictures: set[str]


def glued_in(notebook: NotebookNode) -> Glued:
    """What a notebook's cells stored."""
    names, pictures = set(), set()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name:
                names.add(name)
                pictures |= {name} if GLUED_PICTURE in output["data"] else set()
    return Glued(names, pictures)


class Mender:
    """Puts words where the pages of a build refer to what is not there.

    `glued` has what each notebook stored, by the notebook's name, and `gone` the labels of what was
    left out. `dropped` are the labels that went with a block that was taken out here.
    """

    def __init__(self, glued: Mapping[str, Glued], gone: Container[str]):
        self.glued, self.gone = glued, gone
        self.drawn = {each for one in glued.values() for each in one.pictures}
        self.dropped: set[str] = set()
        self.in_lost_solution = False

    def notebook(self, notebook: NotebookNode, name: str) -> NotebookNode:
        """A copy of the notebook of this name, its text mended."""
        made = deepcopy(notebook)
        for cell in made.cells:
            if cell.cell_type == "markdown":
                cell.source = self.text(cell.source, name)
        return made

    def text(self, text: str, here: str = "") -> str:
        """The text of a page mended; `here` is the name of the notebook that it belongs to."""

        def role(found: re.Match[str]) -> str:
            there = self.is_there(found["target"], found["kind"], here)
            return found[0] if there else NOT_MEASURED

        return GLUE_ROLE.sub(role, self.blocks(text, here))

    def blocks(self, text: str, here: str) -> str:
        """The text with its directives mended, also those inside others."""

        def block(found: re.Match[str]) -> str:
            words = self.instead_of(found["name"], found["said"].strip(), here)
            if words is None:
                return found["head"] + self.blocks(found["rest"], here) + found["tail"]
            self.dropped |= {each["label"] for each in OPTION.finditer(found["rest"])}
            return words

        return BLOCK.sub(block, text)

    def instead_of(self, name: str, said: str, here: str) -> str | None:
        """What stands in the place of a directive; None for the directive itself."""
        if name.split(":")[0] == "glue":
            there = self.is_there(said, name.partition(":")[2], here)
            return None if there else f"{NOT_MEASURED}\n"
        if name in ("figure", "image") and PICTURES in said:
            return None if PurePosixPath(said).stem in self.drawn else f"{NO_PICTURE}\n"
        if name in ("solution", "solution-start") and said in self.gone:
            self.in_lost_solution = name == "solution-start"
            return ""
        if name == "solution-end" and self.in_lost_solution:
            self.in_lost_solution = False
            return ""
        return None

    def is_there(self, target: str, kind: str, here: str) -> bool:
        """Whether a cell stored what a glue role or directive asks for."""
        page, apart, name = target.strip().rpartition("::")
        if kind in ("text", "md") and ":" in name:
            name = name.rpartition(":")[0]
        found = self.glued.get(PurePosixPath(page).stem if apart else here)
        return found is not None and name in found.names
