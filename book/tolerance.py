"""Decide whether a notebook printed the same as before, in the units in which it is known.

Words, whole numbers and structure must be the same. What was measured may move a little, since
another processor adds in another order, and small changes grow while a network trains:

- a **mean** with its interval, ``0.84 ± 0.02`` or ``0.84 [0.82, 0.86]``, by a part of its half
  width, the larger of the two runs';
- a **half width** by a factor: over five seeds it is itself a noisy number;
- a **claim** may lose a part of its margin, the way that it has to its bound;
- any other **number** with a decimal point or an exponent, by the cell's tolerance.

How far, ``ALLOWED`` says; ``make drift`` measures what is needed, and the tests hold the two to
each other. Printed numbers are rounded, and a change of one in the last place is none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

DEFAULT_TOLERANCE = 0.02
ALLOWED = {"mean": 0.75, "half width": 3.0, "claim": 0.5}

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
    place: float
    start: int
    end: int


class Quantity(NamedTuple):
    """What one or several numbers of a text say, and the half width where they say one."""

    kind: str
    text: str
    number: Number
    half_width: float = math.nan


class Change(NamedTuple):
    """How far a quantity moved, in its own unit; infinitely far where it must not move."""

    kind: str
    old: str
    new: str
    size: float


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
    decimals = len(digits.partition(".")[2])
    place = 10.0 ** (int((match["exponent"] or "e0")[1:]) - decimals)
    # 84.0 % is the rate 0.84 in other units, so its tolerance is in these units too.
    scale = 100.0 if match["percent"] else 1.0
    return Number(match[0], float(written), measured, scale, place, *match.span())


def words(text: str) -> str:
    """``text`` with a mark for each number and without the padding that aligns numbers.

    >>> words("seen   0.84, unseen  0.02") == words("seen  -0.01, unseen 10.02")
    True
    """
    marked = _NUMBER.sub("\0", text)
    return re.sub(r"[ \t]*\0", " \0", marked)


def quantities(text: str) -> Iterator[Quantity]:
    """What the numbers of ``text`` say, in order.

    >>> [each.kind for each in quantities("0.84 ± 0.02 of 3 runs, 0.84 [0.82, 0.86], 0.5")]
    ['mean', 'half width', 'count', 'mean', 'half width', 'number']
    """
    found = numbers(text)
    while found:
        one, *rest = found
        after = [text[a.end : b.start] for a, b in pairwise(found[:3])]
        if one.measured and after[:1] == [" ± "] and rest[0].measured:
            half_width, used = rest[0].value, 2
        elif one.measured and after == [" [", ", "] and _is_interval(one, *rest[:2]):
            half_width, used = (rest[1].value - rest[0].value) / 2, 3
        else:
            kind = "number" if one.measured else "count"
            yield Quantity(kind, one.text, one)
            found = rest
            continue
        whole = text[one.start : found[used - 1].end] + "]" * (used == 3)
        yield Quantity("mean", whole, one, half_width)
        yield Quantity("half width", whole, found[used - 1], half_width)
        found = found[used:]


def _is_interval(mean: Number, low: Number, high: Number) -> bool:
    """Whether the ends are as far from the mean as each other, but for rounding."""
    if not (low.measured and high.measured and low.value <= mean.value <= high.value):
        return False
    apart = abs((high.value - mean.value) - (mean.value - low.value))
    return apart <= 2 * max(mean.place, low.place, high.place) + _ROUNDING


def change(old: Quantity, new: Quantity) -> Change:
    """How far ``new`` is from ``old``.

    >>> old, near, far = (list(quantities(text)) for text in ("0.50 ± 0.10", "0.56 ± 0.18", "5"))
    >>> [round(change(*pair).size, 2) for pair in zip(old, near)], change(old[0], far[0]).size
    ([0.27, 0.67], inf)
    """
    size = math.inf
    values = old.number.value, new.number.value
    if (old.kind, old.number.scale) == (new.kind, new.number.scale):
        if all(map(math.isfinite, values)):
            size = _sizes[old.kind](old, new)
        elif str(values[0]) == str(values[1]):
            size = 0.0
    return Change(old.kind, old.text, new.text, size)


def _count(old: Quantity, new: Quantity) -> float:
    return 0.0 if old.number.value == new.number.value else math.inf


def _number(old: Quantity, new: Quantity) -> float:
    return abs(old.number.value - new.number.value) / old.number.scale


def _mean(old: Quantity, new: Quantity) -> float:
    """In half widths."""
    place = max(old.number.place, new.number.place)
    moved = abs(old.number.value - new.number.value) - place - _ROUNDING
    return max(0.0, moved) / (max(old.half_width, new.half_width) + place / 2)


def _half_width(old: Quantity, new: Quantity) -> float:
    """By how much of the smaller one the larger one is larger."""
    place = max(old.number.place, new.number.place)
    small, large = sorted((old.half_width, new.half_width))
    return max(0.0, large - small - place - _ROUNDING) / (small + place / 2)


_sizes = {"count": _count, "number": _number, "mean": _mean, "half width": _half_width}


def changes(old: str, new: str) -> list[Change]:
    """How far everything in a line moved; one infinite change where other words were printed.

    >>> [(each.kind, round(each.size, 4)) for each in changes("0.84 of 9", "0.85 of 9")]
    [('number', 0.01), ('count', 0.0)]
    """
    before, after = _CLAIM.match(old), _CLAIM.match(new)
    room = claim_margin(old)
    if room is None or before is None:
        if words(old) != words(new):
            return [Change("words", repr(old), repr(new), math.inf)]
        pairs = zip(quantities(old), quantities(new), strict=False)
        return [change(*pair) for pair in pairs]
    # The statement and the bound are what is claimed; only what was measured may move.
    left = claim_margin(new)
    parts = [match and (match["head"], match["bound"]) for match in (before, after)]
    if after is None or left is None or parts[0] != parts[1]:
        return [Change("words", repr(old), repr(new), math.inf)]
    lost = max(0.0, room - left)
    share = lost / room if room > 0 else math.inf if lost else 0.0
    moved = changes(before["measured"], after["measured"])
    return [*moved, Change("claim", before["measured"], after["measured"], share)]


def allowance(kind: str, tolerance: float) -> float:
    """How far a quantity of this kind may move, in its own unit."""
    return tolerance if kind == "number" else ALLOWED.get(kind, 0.0)


def differences(old: str, new: str, tolerance: float = DEFAULT_TOLERANCE) -> list[str]:
    """What sets ``new`` apart from ``old`` by more than is allowed; empty when nothing does.

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
    return [
        f"line {row}: {_explain(each, tolerance)}"
        for row, pair in enumerate(zip(old_lines, new_lines, strict=True), start=1)
        for each in changes(*pair)
        if each.size > allowance(each.kind, tolerance) + _ROUNDING * bool(tolerance)
    ]


_UNITS = {
    "mean": "a change of {size:.2f} half widths; at most {limit:.2f} is allowed",
    "half width": "its half width changed by {size:.2f} of itself; at most {limit:.2f} is allowed",
    "claim": "this uses {size:.0%} of the way to its bound; at most {limit:.0%} is allowed",
    "number": "a change of {size:.3g}; at most {limit:.3g} is allowed",
    "count": "integers must be equal",
}


def _explain(found: Change, tolerance: float) -> str:
    kind = "count" if math.isinf(found.size) and found.kind == "number" else found.kind
    unit = _UNITS.get(kind)
    limit = allowance(found.kind, tolerance)
    why = f" ({unit.format(size=found.size, limit=limit)})" if unit else ""
    return f"{found.old} became {found.new}{why}"


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


def claim_margin(line: str) -> float | None:
    """How far a claim's line is from breaking; None where the line is no claim.

    >>> claim_margin("accuracy 0.84") is None
    True
    """
    # Imported here: what a claim prints is its own module's business, and that one imports more
    # than whoever only runs notebooks needs.
    from companion.teaching.claims import margin

    return margin(line)
