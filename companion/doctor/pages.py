"""The page of a code: what its check's docstring says, read once, shown as text and as Markdown."""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass

PARTS = ("Fault", "Evidence", "Consequence", "Remedy", "False alarms")
PART = re.compile(rf"^({'|'.join(PARTS)}): ", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """A fault in words: what it is, how it shows, what follows, what to do, a small example.

    `chapter` is the label of the section of the book that teaches it.
    """

    code: str
    title: str
    fault: str
    evidence: str
    consequence: str
    remedy: str
    false_alarms: str
    example: str
    chapter: str

    def as_text(self, width: int = 88) -> str:
        """Return the page for a terminal.

        >>> from companion.doctor import explain
        >>> explain("LBL003").splitlines()[0]
        'LBL003  Two parts give a class different indices.'
        """
        told = [f"{self.code}  {self.title}", ""]
        for name in PARTS:
            text = getattr(self, name.lower().replace(" ", "_"))
            told += [textwrap.fill(f"{name}: {text}", width, break_on_hyphens=False), ""]
        return "\n".join([*told, "In code:", "", textwrap.indent(self.example, "    "), ""])

    def as_markdown(self) -> str:
        """Return the page as MyST Markdown, with a label and a link to its chapter.

        >>> from companion.doctor.registry import CHECKS
        >>> CHECKS["LBL003"].page.as_markdown().splitlines()[0]
        '(lbl003)='
        """
        told = [f"({self.code.lower()})=", f"# {self.code}: {self.title.rstrip('.')}", ""]
        for name in PARTS:
            text = getattr(self, name.lower().replace(" ", "_"))
            told += [f"**{name}.** {text}", ""]
        told += ["```python", self.example, "```", ""]
        return "\n".join([*told, f"**Read on.** {{ref}}`{self.chapter}`", ""])


def read_page(code: str, docstring: str, chapter: str) -> Page:
    """Return the page in a docstring; raise `ValueError` for one that lacks a part.

    >>> read_page("LBL003", "A fault.", "stripe")
    Traceback (most recent call last):
    ValueError: the page of a check has the parts Fault, Evidence, Consequence, Remedy, False \
alarms and In code, each once; LBL003 lacks Fault, Evidence, Consequence, Remedy, False alarms, \
In code. Write them into the docstring.
    """
    text = inspect.cleandoc(docstring)
    body, found, example = text.partition("\nIn code:\n")
    pieces = PART.split(body)
    parts = dict(zip(pieces[1::2], map(_one_line, pieces[2::2]), strict=True))
    lacking = [name for name in PARTS if not parts.get(name)]
    lacking += [] if found and example.strip() else ["In code"]
    if lacking or len(parts) < len(pieces) // 2 or not pieces[0].strip().endswith("."):
        raise ValueError(
            f"the page of a check has the parts {', '.join(PARTS)} and In code, each once; "
            f"{code} lacks {', '.join(lacking)}. Write them into the docstring."
        )
    named = {name.lower().replace(" ", "_"): parts[name] for name in PARTS}
    shown = textwrap.dedent(example).strip("\n")
    return Page(code, _one_line(pieces[0]), **named, example=shown, chapter=chapter)


def _one_line(text: str) -> str:
    return " ".join(text.split())
