"""What of a MyST source is prose: shared by the tests of words and of numbers."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^ *(`{3,}|~{3,}|:{3,})(.*)$")
_CODE_DIRECTIVES = ("code", "code-cell", "code-block", "literalinclude", "math", "bibliography")
_NOT_PROSE = (
    re.compile(r"\{[\w:]+\}`[^`]*`"),  # roles: glue, references, citations
    re.compile(r"(`+)(?!`).*?\1", re.DOTALL),  # code in a line
    re.compile(r"\$\$.*?\$\$", re.DOTALL),
    re.compile(r"\$[^$\n]+\$"),
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"\]\([^)]*\)|<?https?://\S+"),
)


def prose(text: str) -> str:
    """A source without its header, code, maths, quotes, link targets and directive options."""
    lines, fences = [], []
    for line in re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL).splitlines():
        fence = _FENCE.match(line)
        if fence and fences and not fence[2].strip() and fence[1].startswith(fences[-1][0]):
            fences.pop()
        elif any(is_code for _, is_code in fences):
            continue
        elif fence:
            fences.append((fence[1], is_code_fence(fence[1], fence[2].strip())))
        elif not re.match(r" *(>|:[\w-]+:)", line):
            lines.append(line)
            continue
        lines.append("")
    bare = "\n".join(lines)
    for pattern in _NOT_PROSE:
        bare = pattern.sub(" ", bare)
    return bare


def is_code_fence(fence: str, info: str) -> bool:
    """Whether what a fence encloses is code or maths, and not text in a box."""
    directive = re.match(r"\{([\w:-]+)\}", info)
    if directive:
        return directive[1] in _CODE_DIRECTIVES
    return not fence.startswith(":")
