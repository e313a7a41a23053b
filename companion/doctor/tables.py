"""An examination as a table: plain for a terminal, HTML for a notebook."""

from __future__ import annotations

import html
import textwrap
from typing import Protocol

from companion.doctor.words import Outcome
from companion.findings import Finding

COLOURS = {"error": "#D55E00", "warning": "#E69F00", "note": "#6E6E6E"}


class Examined(Protocol):
    """What a table shows of an examination."""

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The word of each check."""

    @property
    def looked_at(self) -> tuple[str, ...]:
        """How many images of each part were read."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, in the order in which to look at it."""

    def counts(self) -> dict[str, int]:
        """Return how many checks came to each word."""
        ...


def plain(examination: Examined, *, width: int, everything: bool) -> str:
    """Return the findings in lines, and with `everything` the word of each check."""
    told = [found.explained(width) for found in examination.findings]
    told += [summary(examination)]
    if examination.looked_at:
        told.append(f"looked at {'; '.join(examination.looked_at)}")
    if everything:
        told.append("")
        for each in examination.outcomes:
            said = " ".join(f"{each.word:<8}{each.code}  {each.title} {each.said}".split(" "))
            told.append(textwrap.fill(said, width, subsequent_indent=" " * 16))
    return "\n".join(told)


def summary(examination: Examined) -> str:
    """Return how many checks came to each of the four words, in a line."""
    counts = ", ".join(f"{count} {word}" for word, count in examination.counts().items())
    count = len(examination.findings)
    first = "no finding" if not count else f"{count} finding{'s' if count > 1 else ''}"
    return f"{first} in {len(examination.outcomes)} checks: {counts}"


def html_table(examination: Examined) -> str:
    """Return the findings as a table, and below it, folded, the word of each check."""
    rows = "".join(
        f'<tr><td style="color:{COLOURS[found.severity]}"><b>{found.severity}</b></td>'
        f"<td>{found.code}</td><td style='text-align:left'>{_said(found.seen)}<br/>"
        f"<small>{_said(found.why)}<br/><b>{_said(found.remedy)}</b></small></td></tr>"
        for found in examination.findings
    )
    checks = "".join(
        f"<tr><td>{each.word}</td><td>{each.code}</td>"
        f"<td style='text-align:left'>{_said(each.title)} "
        f"<small>{_said(each.said)}</small></td></tr>"
        for each in examination.outcomes
    )
    looked = f"<p>looked at {_said('; '.join(examination.looked_at))}</p>"
    return (
        f"<div><table><tbody>{rows}</tbody></table><p>{_said(summary(examination))}</p>"
        f"{looked if examination.looked_at else ''}"
        f"<details><summary>every check</summary><table><tbody>{checks}</tbody></table></details>"
        "</div>"
    )


def _said(text: str) -> str:
    return html.escape(text, quote=False)
