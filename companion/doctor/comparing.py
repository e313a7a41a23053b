"""Two examinations, fact by fact: what differs between a run that works and one that does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from companion.doctor.describing import facts_of
from companion.doctor.examination import Examination
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import CHECKS, check
from companion.doctor.words import Result, note
from companion.findings import Finding

CODE = "PRO040"
ABSENT = "absent"


@check(CODE, chapter="seed-moves", needs=["reference"])
def unlike_the_reference(pipeline: Pipeline) -> Result:
    """The pipeline differs from one that works.

    Fault: Something was changed on the way from a run that works to one that does not.
    Evidence: Exact facts of both: shapes, types, modes and frozen parameters of the model, the
    groups of the optimiser, the kind of scheduler and loss, maps, transforms, form of the inputs.
    Consequence: If one run works and the other does not, the cause is among what differs.
    Remedy: Change one of them at a time, beginning with what should be equal.
    False alarms: A note: it is a list.

    In code:
        compare(examine(good, train=data), examine(bad, train=data))
    """
    found = differences(pipeline["reference"].facts, facts_of(pipeline))
    return [note(each) for each in found] or "no fact differs from the reference"


def compare(first: Examination, second: Examination) -> tuple[Finding, ...]:
    """Return the exact facts in which two examined pipelines differ, each as a note.

    Facts are the model's shapes, dtypes, modes and frozen parameters, the optimiser's groups, the
    scheduler, the loss, the maps, the transforms and the form of inputs and labels. What only one
    of them has counts as a difference. Raises `TypeError` for anything but examinations.

    >>> from companion import digits, mlp
    >>> data = digits()
    >>> from companion.doctor import examine
    >>> networks = [mlp(10, inputs=64, hidden=(n,), seed=0) for n in (4, 8)]
    >>> runs = [examine(each, train=data, select=["LBL001"], sample=8) for each in networks]
    >>> print(compare(*runs)[0].seen)
    shapes: features.1.weight is [4, 64] in the first and [8, 64] in the second
    """
    for each in (first, second):
        if not isinstance(each, Examination):
            raise TypeError(
                f"compare takes two examinations; received {type(each).__name__}. Pass what "
                "examine returned for each run."
            )
    page = CHECKS[CODE].page
    return tuple(
        Finding(
            CODE,
            "note",
            said,
            why=page.consequence,
            remedy=page.remedy,
            link=CHECKS[CODE].link,
        )
        for said in differences(first.facts, second.facts)
    )


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return the facts in which two pipelines differ, in words.

    >>> differences({"loss": "CrossEntropyLoss"}, {"loss": "NLLLoss"})
    ['loss is CrossEntropyLoss in the first and NLLLoss in the second']
    """
    return [
        f"{place} is {_shown(one)} in the first and {_shown(other)} in the second"
        for place, one, other in _differences(first, second, "")
    ]


def _differences(one: Any, other: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys([*one, *other]):
            inner = f"{place}: {key}" if place else str(key)
            yield from _differences(one.get(key, ABSENT), other.get(key, ABSENT), inner)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        if one != other and all(isinstance(each, Mapping) for each in [*one, *other]):
            for index, pair in enumerate(zip(one, other, strict=True)):
                yield from _differences(*pair, f"{place} {index}")
        elif one != other:
            yield place, one, other
    elif one != other:
        yield place, one, other


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
