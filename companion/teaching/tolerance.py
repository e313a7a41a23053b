"""Decide whether a notebook printed the same as before, give or take measurement noise.

Words, integers and structure must be the same. A number with a decimal point or an exponent
was measured, and may move by a stated tolerance: another processor or another number of
threads moves an accuracy a little. A line printed by a claim gets at most half of the room
that the claim had, so that no tolerated change could have broken it.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

DEFAULT_TOLERANCE = 0.02

_ROUNDING = 1e-9  # 0.85 - 0.83 is a little more than 0.02 in binary
_NUMBER = re.compile(
    r"""(?<![\w.])                          # not inside a word, a version or another number
        (?P<sign>[-+\u2212]?)
        (?P<digits>\d+\.\d*|\.\d+|\d+|nan\b|inf\b)
        (?P<exponent>[eE][-+]?\d+)?
        (?![\d]|\.\d)                       # not the beginning of a version such as 2.6.1
        (?:(?=(?P<percent>\s?%))|)         # a percentage, whose sign is a word to be compared
        """,
    re.VERBOSE,
)
_CLAIM = re.compile(
    r"^(?P<head>\S+ {2}.*: )"
    r"(?P<measured>\S+(?: \[[^\]]*\])?)"
    r"(?P<bound>, (?:at least|at most|between|within) .*)$"
)


class Number(NamedTuple):
    """One number of a text: how it was written, its value, and how it is to be compared."""

    text: str
    value: float
    measured: bool
    scale: float


def numbers(text: str) -> list[Number]:
    """The numbers of ``text``, in order.

    >>> [(number.text, number.measured) for number in numbers("20 of 100: 0.84 on int64, v2.6.1")]
    [('20', False), ('100', False), ('0.84', True)]
    """
    return [_read(match) for match in _NUMBER.finditer(text)]


def _read(match: re.Match[str]) -> Number:
    sign, digits = match["sign"].replace("\u2212", "-"), match["digits"]
    written = sign + digits + (match["exponent"] or "")
    measured = "." in digits or match["exponent"] is not None
    # 84.0 % is the rate 0.84 in other units, so its tolerance is in these units too.
    return Number(match[0], float(written), measured, 100.0 if match["percent"] else 1.0)


def words(text: str) -> str:
    """``text`` with a mark for each number and without the padding that aligns numbers.

    >>> words("seen   0.84, unseen  0.02") == words("seen  -0.01, unseen 10.02")
    True
    """
    marked = _NUMBER.sub("\0", text)
    return re.sub(r"[ \t]*\0", " \0", marked)


def close(old: Number, new: Number, tolerance: float) -> bool:
    """Whether ``new`` may stand where ``old`` stood.

    >>> old, new, count = numbers("0.84 0.85 84")
    >>> close(old, new, 0.02), close(old, new, 0.005), close(old, count, 100)
    (True, False, False)
    """
    if old.measured != new.measured or old.scale != new.scale:
        return False
    if math.isnan(old.value) or math.isnan(new.value):
        return math.isnan(old.value) and math.isnan(new.value)
    if not old.measured or math.isinf(old.value) or math.isinf(new.value):
        return old.value == new.value
    return abs(old.value - new.value) <= tolerance * old.scale + _ROUNDING * bool(tolerance)


def differences(old: str, new: str, tolerance: float = DEFAULT_TOLERANCE) -> list[str]:
    """What sets ``new`` apart from ``old`` by more than ``tolerance``; empty when nothing does.

    >>> differences("accuracy 0.84", "accuracy 0.85")
    []
    >>> differences("accuracy 0.84", "accuracy 0.89")
    ['line 1: 0.84 became 0.89 (a change of 0.05; at most 0.02 is allowed)']
    >>> differences("5 runs", "6 runs")
    ['line 1: 5 became 6 (integers must be equal)']
    >>> differences("all seen", "all unseen")
    ["line 1: 'all seen' became 'all unseen'"]
    """
    check_tolerance(tolerance)
    old_lines, new_lines = old.splitlines(), new.splitlines()
    if len(old_lines) != len(new_lines):
        return [f"{len(old_lines)} lines became {len(new_lines)}: {old!r} became {new!r}"]
    found = []
    for row, (before, after) in enumerate(zip(old_lines, new_lines, strict=True), start=1):
        found += [f"line {row}: {each}" for each in _line_differences(before, after, tolerance)]
    return found


def check_tolerance(tolerance: Any) -> float:
    """The tolerance as a number, or ``ValueError`` when it cannot be one.

    >>> check_tolerance(0.005)
    0.005
    """
    number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
    if number and 0 <= tolerance < math.inf:
        return float(tolerance)
    raise ValueError(
        f"A cell's tolerance is a finite number of at least 0; this one is {tolerance!r}. "
        "Write, for example, `tolerance: 0.005` in the cell's metadata."
    )


def _line_differences(old: str, new: str, tolerance: float) -> list[str]:
    if old == new:
        return []
    margin = claim_margin(old)
    if margin is None:
        return _compare(old, new, tolerance)
    before, after = _CLAIM.match(old), _CLAIM.match(new)
    if before is None or after is None:
        return [f"{old!r} became {new!r}"]
    # The statement and the bound are what is claimed; only what was measured may move.
    if (before["head"], before["bound"]) != (after["head"], after["bound"]):
        return [f"{old!r} became {new!r}"]
    return _compare(before["measured"], after["measured"], min(tolerance, max(margin, 0) / 2))


def _compare(old: str, new: str, tolerance: float) -> list[str]:
    if words(old) != words(new):
        return [f"{old!r} became {new!r}"]
    # The same words have the same number of marks, and so of numbers.
    pairs = zip(numbers(old), numbers(new), strict=True)
    return [_explain(*pair, tolerance) for pair in pairs if not close(*pair, tolerance)]


def _explain(old: Number, new: Number, tolerance: float) -> str:
    if not (old.measured and new.measured):
        return f"{old.text} became {new.text} (integers must be equal)"
    change, allowed = abs(new.value - old.value), tolerance * old.scale
    limits = f"a change of {change:.3g}; at most {allowed:.3g} is allowed"
    return f"{old.text} became {new.text} ({limits})"


def claim_margin(line: str) -> float | None:
    """How far a claim's line is from breaking; None where the line is no claim.

    >>> claim_margin("accuracy 0.84") is None
    True
    """
    # Imported here: what a claim prints is its own module's business, and that one may import
    # more than a comparison of texts needs.
    from companion.teaching.claims import margin

    return margin(line)
