"""Claims and checks: statements with a bound, held to it where they are made."""

from __future__ import annotations

import math
import os
import re
from typing import NamedTuple

from companion.evaluation import Interval

NUMBER = r"[-+]?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|inf|nan)"
LINE = re.compile(
    rf"^(?P<verdict>holds|fails|differs|checked|broken|unmet) +(?P<statement>.*)"
    rf": (?P<measured>(?P<value>{NUMBER})(?: \[(?P<low>{NUMBER}), (?P<high>{NUMBER})\])?), "
    rf"(?P<bound>at least (?P<least>{NUMBER})|at most (?P<most>{NUMBER})"
    rf"|between (?P<from>{NUMBER}) and (?P<to>{NUMBER})|within ±(?P<within>{NUMBER}))"
    r"(?: \((?P<why>.+)\))?$"
)
CLAIM_WORDS = ("holds", "fails", "differs")
CHECK_WORDS = ("checked", "broken", "unmet")
FEWEST_RUNS = 5


class BrokenClaimError(AssertionError):
    """A statement of the book that the run contradicts."""


class ClaimLine(NamedTuple):
    """What the printed line of a claim or a check says."""

    verdict: str
    statement: str
    measured: str
    value: float
    low: float
    high: float
    lowest: float
    highest: float
    bound: str
    why: str | None

    @property
    def is_claim(self) -> bool:
        """Whether it is a finding, and not a check."""
        return self.verdict in CLAIM_WORDS

    @property
    def margin(self) -> float:
        """How far the nearer end keeps from its bound, negative where it breaks it."""
        return round(min(self.low - self.lowest, self.highest - self.high), 12)


def claim(
    statement: str,
    measured: Interval,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    within: float | None = None,
    why: str | None = None,
) -> None:
    """State a finding: print one line with verdict, interval and bound; raise where it is broken.

    `measured` is an interval over five runs or more, all of which has to keep the bound. Give
    `at_least`, `at_most`, both (a band), or `within`, a distance from zero: the smallest effect
    that would matter, and `why` it is that where a reader would ask. On the reader's own data
    (`COMPANION_DATA`), and where `COMPANION_CLAIMS` is "told", a broken bound is reported as
    "differs" and not raised.

    Raises `BrokenClaimError`; `TypeError` for a number without an interval, which is a `check`;
    `ValueError` for fewer than five runs, no bound, `within` next to another, and for a statement
    that is no sentence of its own, on one line.

    >>> from companion import mean_interval
    >>> gains = mean_interval([0.2, 0.3, 0.25, 0.22, 0.28])
    >>> claim("The gain is real", gains, at_least=0.1, why="half of what was lost")
    holds  The gain is real: 0.2500 [0.1988, 0.3012], at least 0.1 (half of what was lost)
    """
    if not isinstance(measured, Interval):
        raise TypeError(
            "a claim is a finding over runs: measured must be an Interval, of mean_interval or "
            f"paired_difference; received {measured!r}. A control, an identity or a theorem is a "
            "check(...)."
        )
    if measured.runs < FEWEST_RUNS:
        raise ValueError(
            f"a claim needs {FEWEST_RUNS} runs or more; received an interval over "
            f"{measured.runs}. Repeat the experiment with other seeds."
        )
    _state(CLAIM_WORDS, statement, measured, (at_least, at_most, within), why)


def check(
    statement: str,
    measured: float | Interval,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    within: float | None = None,
    why: str | None = None,
) -> None:
    """Check what is no finding: an identity, a theorem, a control; print one line, or raise.

    As `claim`, for a number as well as for an interval over any number of runs. Checks are not
    counted among the book's findings.

    >>> check("Two and two is four", 2 + 2 - 4, within=1e-6)
    checked  Two and two is four: 0.0000, within ±1e-06
    """
    _state(CHECK_WORDS, statement, measured, (at_least, at_most, within), why)


def _state(
    words: tuple[str, str, str],
    statement: str,
    measured: float | Interval,
    bounds: tuple[float | None, float | None, float | None],
    why: str | None,
) -> None:
    low_bound, high_bound, bound = _bounds(*bounds)
    _check_sentence(statement, why)
    if isinstance(measured, Interval):
        low, high = measured.low, measured.high
        shown = f"{measured.mean:.4f} [{low:.4f}, {high:.4f}]"
    else:
        low = high = float(measured)
        shown = f"{low:.4f}"
    kept = low_bound <= low and high <= high_bound
    verdict = words[0] if kept else words[2] if _only_told() else words[1]
    line = f"{verdict}  {statement}: {shown}, {bound}" + (f" ({why})" if why else "")
    if verdict == words[1]:
        raise BrokenClaimError(line)
    print(line)


def _only_told() -> bool:
    """Whether a broken bound is told and not raised: on other data, or where somebody asks."""
    return bool(os.environ.get("COMPANION_DATA")) or os.environ.get("COMPANION_CLAIMS") == "told"


def _check_sentence(statement: str, why: str | None) -> None:
    """Refuse what would not stand alone on its card."""
    lines = (statement + (why or "")).splitlines()
    if len(lines) != 1 or not statement[:1].strip() or statement[0].islower():
        raise ValueError(
            "a statement is one sentence on one line, and begins with a capital, as it stands "
            f"alone on its card; received {statement!r}. Write it out."
        )
    if statement.rstrip()[-1] in ".,;:":
        raise ValueError(
            f"a statement is followed by what was measured; received {statement!r}. Leave the "
            "mark at its end out."
        )


def _bounds(
    at_least: float | None, at_most: float | None, within: float | None
) -> tuple[float, float, str]:
    """Return the lowest and the highest value allowed, and how the bound reads."""
    if within is not None:
        if at_least is not None or at_most is not None:
            raise ValueError("within stands alone, as it is a band already; drop the other bound.")
        return -within, within, f"within ±{within:g}"
    if at_least is not None and at_most is not None:
        return at_least, at_most, f"between {at_least:g} and {at_most:g}"
    if at_least is not None:
        return at_least, math.inf, f"at least {at_least:g}"
    if at_most is not None:
        return -math.inf, at_most, f"at most {at_most:g}"
    raise ValueError("a claim needs a bound; received none. Pass at_least, at_most or within.")


def read_line(line: str) -> ClaimLine | None:
    """Return what a printed line says, None where it is of no claim and no check.

    >>> found = read_line("holds  The gain is real: 0.2500 [0.1258, 0.3742], at least 0.1")
    >>> found.statement, found.low, found.margin
    ('The gain is real', 0.1258, 0.0258)
    >>> read_line("an ordinary line") is None
    True
    """
    found = LINE.match(line)
    if found is None:
        return None
    said = found.groupdict()
    number = {
        name: float(said[name])
        for name in ("value", "low", "high", "least", "most", "from", "to", "within")
        if said[name] is not None
    }
    if "within" in number:
        number |= {"from": -number["within"], "to": number["within"]}
    return ClaimLine(
        verdict=said["verdict"],
        statement=said["statement"],
        measured=said["measured"],
        value=number["value"],
        low=number.get("low", number["value"]),
        high=number.get("high", number["value"]),
        lowest=number.get("least", number.get("from", -math.inf)),
        highest=number.get("most", number.get("to", math.inf)),
        bound=said["bound"],
        why=said["why"],
    )


def margin(line: str) -> float | None:
    """Return how far a printed claim or check keeps from its bound, None for other lines.

    >>> margin("holds  The gain is real: 0.2500 [0.1258, 0.3742], at least 0.1")
    0.0258
    """
    found = read_line(line)
    return None if found is None else found.margin
