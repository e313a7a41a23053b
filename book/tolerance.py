"""Decide whether a notebook printed the same as before, in the units in which it is known.

Words, whole numbers and structure must be the same. What was measured may move a little, since
another processor adds in another order, and small changes grow while a network trains:

- a **mean** with its interval, ``0.84 ± 0.02`` or ``0.84 [0.82, 0.86]``, as long as the interval
  of the difference between the two runs holds zero; yet never by a twentieth where both half
  widths are smaller than that;
- a **half width** by a factor: over five seeds it is itself a noisy number;
- a **claim** may lose half of its margin, the way that it has to its bound;
- any other **number** with a decimal point or an exponent, by 0.02.

``84 %`` and ``84 ± 2 points`` are 0.84 and 0.84 ± 0.02 in other units, and measured too.

A cell's ``tolerance`` is for numbers that are known less well than their half width says, or that
have none: a number or a mean of that cell may move by so much.

``make drift`` measures what is needed, and the tests hold ``ALLOWED`` to it. Printed numbers are
rounded, and a change of one in the last place may be none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

DEFAULT_TOLERANCE = 0.02
ALLOWED = {"mean": 1.0, "half width": 5.0, "claim": 0.5}
TWENTIETH = 0.05

_ROUNDING = 1e-9  # 0.85 - 0.83 is a little more than 0.02 in binary
_NUMBER = re.compile(
    r"""(?<![\w.])                          # not inside a word, a version or another number
        (?P<sign>[-+\u2212]?)
        (?P<digits>\d+\.\d*|\.\d+|\d+|nan\b|inf\b)
        (?P<exponent>[eE][-+]?\d+)?
        (?![\d]|\.\d)                       # not the beginning of a version such as 2.6.1
        # a share in per cent or points, whose sign is a word to be compared
        (?:(?=(?P<hundredths>(?:\ ±\ \d+(?:\.\d+)?)?(?:\s?%|\ points?\b)))|)
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
    """How far a quantity moved, in its own unit; infinitely far where it must not move.

    A number's and a mean's absolute change is given as well, which a cell's tolerance is about.
    """

    kind: str
    old: str
    new: str
    size: float
    moved: float = math.inf


def numbers(text: str) -> list[Number]:
    """The numbers of ``text``, in order.

    >>> [(number.text, number.measured) for number in numbers("20 of 100: 0.84 on int64, v2.6.1")]
    [('20', False), ('100', False), ('0.84', True)]
    """
    return [_read(match) for match in _NUMBER.finditer(text)]


def _read(match: re.Match[str]) -> Number:
    sign, digits = match["sign"].replace("\u2212", "-"), match["digits"]
    written = sign + digits + (match["exponent"] or "")
    measured = bool("." in digits or match["exponent"] or match["hundredths"])
    decimals = len(digits.partition(".")[2])
    place = 10.0 ** (int((match["exponent"] or "e0")[1:]) - decimals)
    # 84 % is the rate 0.84 in other units, so its tolerance is in these units too.
    scale = 100.0 if match["hundredths"] else 1.0
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
    """How far ``new`` is from ``old``, a quantity of the same kind.

    >>> old, new = quantities("0.50 ± 0.10"), quantities("0.56 ± 0.18")
    >>> [round(change(*pair).size, 2) for pair in zip(old, new)]
    [0.24, 0.67]
    """
    values = old.number.value, new.number.value
    if (old.number.measured, old.number.scale) != (new.number.measured, new.number.scale):
        return Change("words", old.text, new.text, math.inf)
    if not all(map(math.isfinite, values)):
        same = str(values[0]) == str(values[1])  # nan is itself, though it does not equal itself
        return Change("words", old.text, new.text, 0.0 if same else math.inf)
    moved = _number(old, new) if old.kind in ("number", "mean") else math.inf
    return Change(old.kind, old.text, new.text, _sizes[old.kind](old, new), moved)


def _count(old: Quantity, new: Quantity) -> float:
    return 0.0 if old.number.value == new.number.value else math.inf


def _number(old: Quantity, new: Quantity) -> float:
    return abs(old.number.value - new.number.value) / old.number.scale


def _mean(old: Quantity, new: Quantity) -> float:
    """In half widths of the difference between two independent means."""
    place = max(old.number.place, new.number.place)
    known_to = max(old.half_width, new.half_width) / old.number.scale
    moved = _number(old, new) * old.number.scale
    unit = math.hypot(old.half_width + place / 2, new.half_width + place / 2)
    if known_to < TWENTIETH:
        if moved >= TWENTIETH * old.number.scale - _ROUNDING:
            return math.inf
        unit = min(unit, TWENTIETH * old.number.scale)
    return max(0.0, moved - place - _ROUNDING) / unit


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
        read = [list(quantities(text)) for text in (old, new)]
        kinds = [[each.kind for each in text] for text in read]
        if words(old) != words(new) or kinds[0] != kinds[1]:
            return [Change("words", repr(old), repr(new), math.inf)]
        return [change(*pair) for pair in zip(*read, strict=True)]
    # The statement and the bound are what is claimed; only what was measured may move.
    left = claim_margin(new)
    parts = [match and (match["head"], match["bound"]) for match in (before, after)]
    if after is None or left is None or parts[0] != parts[1]:
        return [Change("words", repr(old), repr(new), math.inf)]
    lost = max(0.0, room - left)
    share = lost / room if room > 0 else math.inf if lost else 0.0
    moved = changes(before["measured"], after["measured"])
    return [*moved, Change("claim", before["measured"], after["measured"], share)]


def exact_changes(old: str, new: str) -> list[Change]:
    """How far each number of a line moved, whatever it is part of."""
    if words(old) != words(new):
        return [Change("words", repr(old), repr(new), math.inf)]
    pairs = zip(numbers(old), numbers(new), strict=True)
    read = [[Quantity("number" if n.measured else "count", n.text, n) for n in p] for p in pairs]
    return [change(*pair) for pair in read]


def allowance(kind: str, tolerance: float | None) -> float:
    """How far a quantity of this kind may move, in its own unit."""
    if kind == "number":
        return DEFAULT_TOLERANCE if tolerance is None else tolerance
    return ALLOWED.get(kind, 0.0)


def is_allowed(found: Change, tolerance: float | None) -> bool:
    """Whether a quantity may have moved so far in a cell with this tolerance."""
    if tolerance is not None and found.moved <= tolerance + _ROUNDING * bool(tolerance):
        return True
    rounding = 0.0 if tolerance == 0 else _ROUNDING
    return found.size <= allowance(found.kind, tolerance) + rounding


def differences(old: str, new: str, tolerance: float | None = None) -> list[str]:
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
    tolerance = check_tolerance(tolerance)
    old_lines, new_lines = old.splitlines(), new.splitlines()
    if len(old_lines) != len(new_lines):
        return [f"{len(old_lines)} lines became {len(new_lines)}: {old!r} became {new!r}"]
    compare = exact_changes if tolerance == 0 else changes
    return [
        f"line {row}: {_explain(each, tolerance)}"
        for row, pair in enumerate(zip(old_lines, new_lines, strict=True), start=1)
        for each in compare(*pair)
        if not is_allowed(each, tolerance)
    ]


_REASONS = {
    "mean": " ({size:.2f} half widths of the difference; at most {limit:g} is allowed)",
    "half width": " (a half width {size:.2f} times larger; at most {limit:g} is allowed)",
    "claim": " (nearer to the bound by {size:.0%} of the way; at most {limit:.0%} is allowed)",
    "number": " (a change of {size:.3g}; at most {limit:.3g} is allowed)",
    "count": " (integers must be equal)",
    "words": "",
}


def _explain(found: Change, tolerance: float | None) -> str:
    limit = allowance(found.kind, tolerance)
    why = _REASONS[found.kind].format(size=found.size, limit=limit)
    return f"{found.old} became {found.new}{why}"


def check_tolerance(tolerance: Any) -> float | None:
    """The tolerance that a cell states, None where it states none; ``ValueError`` if it cannot be.

    >>> check_tolerance(0.005)
    0.005
    """
    if tolerance is None:
        return None
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
