"""Claims: statements with a bound, checked where they are made."""

from __future__ import annotations

import math
import os
import re
from typing import Any

from companion.evaluation import Interval

NUMBER = r"[-+]?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|inf|nan)"
LINE = re.compile(
    rf"^(?:holds|fails|differs) +.*: (?P<value>{NUMBER})"
    rf"(?: \[(?P<low>{NUMBER}), (?P<high>{NUMBER})\])?, "
    rf"(?:at least (?P<least>{NUMBER})|at most (?P<most>{NUMBER})"
    rf"|between (?P<from>{NUMBER}) and (?P<to>{NUMBER})|within ±(?P<within>{NUMBER}))$"
)


class BrokenClaimError(AssertionError):
    """A statement of the book that the run contradicts."""


def claim(
    statement: str,
    measured: float | Interval,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    within: float | None = None,
) -> None:
    """Print one line: verdict, statement, measured value, bound; raise where the bound is broken.

    Give `at_least`, `at_most`, both (a band), or `within`, a distance from zero. For an
    `Interval` the whole interval must keep the bound, so that the claim is no coin toss. On the
    reader's own data (`COMPANION_DATA`) a broken bound is reported as "differs" and not raised.

    Raises `BrokenClaimError`, and `ValueError` for no bound, or `within` next to another.

    >>> claim("Two and two is four", 2 + 2 - 4, within=1e-6)
    holds  Two and two is four: 0.0000, within ±1e-06
    >>> from companion import mean_interval
    >>> claim("The gain is real", mean_interval([0.2, 0.3, 0.25]), at_least=0.1)
    holds  The gain is real: 0.2500 [0.1258, 0.3742], at least 0.1
    """
    low_bound, high_bound, bound = _bounds(at_least, at_most, within)
    if isinstance(measured, Interval):
        low, high = measured.low, measured.high
        shown = f"{measured.mean:.4f} [{low:.4f}, {high:.4f}]"
    else:
        low = high = float(measured)
        shown = f"{low:.4f}"
    kept = low_bound <= low and high <= high_bound
    own_data = bool(os.environ.get("COMPANION_DATA"))
    verdict = "holds" if kept else "differs" if own_data else "fails"
    line = f"{verdict}  {statement}: {shown}, {bound}"
    if verdict == "fails":
        raise BrokenClaimError(line)
    print(line)


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


def margin(line: str) -> float | None:
    """Return how far a printed claim keeps from its bound, negative where it breaks it.

    None where the line is no claim.

    >>> margin("holds  The gain is real: 0.2500 [0.1258, 0.3742], at least 0.1")
    0.0258
    >>> margin("an ordinary line") is None
    True
    """
    found = LINE.match(line)
    if found is None:
        return None
    part = {name: float(text) for name, text in found.groupdict().items() if text is not None}
    low, high = part.get("low", part["value"]), part.get("high", part["value"])
    if "within" in part:
        part |= {"from": -part["within"], "to": part["within"]}
    above = low - part.get("least", part.get("from", -math.inf))
    below = part.get("most", part.get("to", math.inf)) - high
    return round(min(above, below), 12)


def glue_number(name: str, value: float, *, places: int = 2) -> None:
    """Store a number, rounded, for the prose to show with the glue role; shows nothing here.

    >>> glue_number("ceiling", 0.2)  # doctest: +SKIP
    """
    _glue(name, f"{value:.{places}f}")


def glue_interval(name: str, interval: Interval, *, places: int = 2) -> None:
    """Store an interval as "mean ± half width" for the prose; shows nothing here.

    A half width that rounds to nothing gets as many places as its first digit needs, and the
    mean with it; one below 1e-12 is rounding, and stays 0.

    >>> glue_interval("gain", mean_interval([0.2, 0.3, 0.25]))  # doctest: +SKIP
    """
    if 1e-12 < interval.margin < 10 ** -(places + 1) * 5:
        places = min(6, -math.floor(math.log10(interval.margin)))
    _glue(name, f"{interval.mean:.{places}f} ± {interval.margin:.{places}f}")


def _glue(name: str, text: Any) -> None:
    from myst_nb import glue  # only the book needs it

    glue(name, text, display=False)
