"""The order in which findings are to be looked at: what is worst first, causes before effects."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from companion.doctor.registry import CHECKS
from companion.findings import SEVERITIES, Finding


def causes_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings in the order in which to look at them, each saying what may be its cause.

    A finding stands behind those that explain it, and they behind those that explain them; else
    errors come before warnings and notes, and checks in the order in which they are run. Only a
    fault explains anything.

    >>> found = [Finding("LBL020", "error", "renaming lifts it"), Finding("LBL003", "error", "a")]
    >>> [each.code for each in causes_first(found)]
    ['LBL003', 'LBL020']
    """
    order = {code: place for place, code in enumerate(CHECKS)}
    waiting = sorted(
        findings,
        key=lambda each: (SEVERITIES.index(each.severity), order.get(each.code, len(order))),
    )
    ordered: list[Finding] = []
    while waiting:
        # A cause stands in front of the first of its effects, however mild it is.
        following = _first_cause(waiting[0], waiting)
        waiting = [each for each in waiting if each is not following]
        ordered.append(following)
    return tuple(_with_causes(each, ordered) for each in ordered)


def explains(cause: Finding, effect: Finding) -> bool:
    """Return whether one finding may be the cause of another.

    >>> explains(Finding("LBL003", "error", "a"), Finding("LBL020", "error", "b"))
    True
    """
    known = CHECKS.get(cause.code)
    return known is not None and cause.severity != "note" and effect.code in known.explains


def _first_cause(found: Finding, waiting: Sequence[Finding]) -> Finding:
    seen = {found.code}
    while True:
        before = [x for x in waiting if x.code not in seen and explains(x, found)]
        if not before:
            return found
        found = before[0]
        seen.add(found.code)


def _with_causes(found: Finding, ordered: Sequence[Finding]) -> Finding:
    causes = list(dict.fromkeys(x.code for x in ordered if explains(x, found)))
    if not causes:
        return found
    told = f"It may follow from {' and '.join(causes)}: look there first. {found.why}".rstrip()
    return dataclasses.replace(found, why=told)
