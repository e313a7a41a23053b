"""A patient of the ward: a pipeline as people write them, and what is wrong with it, if any."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ("broken", "healthy", "beyond")
AREAS = ("labels", "model and head", "sampling and loss", "optimiser and schedule", "protocol")
HALVES = ("open", "set aside")
ENTRIES = ("examine", "examine_folders", "examine_checkpoint")

Made = dict[str, Any]


@dataclass(frozen=True)
class Patient:
    """One pipeline: how it is made, and whether a check-up should find a fault in it.

    `kind` is "broken", "healthy" (it looks suspicious and is not) or "beyond" (it could be better,
    and nobody can see that from outside: no check-up may call it wrong). `expects` are the codes
    of the check-up any of which names the fault; `source` is the report, paper or page after which
    the fault was made, where there is one. `entry` names the function of `companion.doctor` that
    takes what `make` returns.
    """

    name: str
    kind: str
    area: str
    story: str
    make: Callable[[Path], Made]
    expects: tuple[str, ...] = ()
    source: str = ""
    entry: str = "examine"

    @property
    def half(self) -> str:
        """Which half of the ward it is in, by its name alone: nobody chose."""
        return HALVES[zlib.crc32(self.name.encode()) % 2]


_REGISTERED: dict[str, Patient] = {}


def patient(
    kind: str,
    area: str,
    *,
    expects: tuple[str, ...] = (),
    source: str = "",
    entry: str = "examine",
) -> Callable[[Callable[[Path], Made]], Callable[[Path], Made]]:
    """Register a function that makes a pipeline; its name names it, its docstring tells its story.

    >>> @patient("healthy", "labels")
    ... def nothing_at_all(folder):
    ...     '''Nothing is wrong here.'''
    ...     return {}
    >>> _REGISTERED.pop("nothing_at_all").story
    'Nothing is wrong here.'
    """
    assert kind in KINDS, kind
    assert area in AREAS, area
    assert entry in ENTRIES, entry

    def registered(make: Callable[[Path], Made]) -> Callable[[Path], Made]:
        name = make.__name__
        assert name not in _REGISTERED, f"two patients are called {name}"
        story = " ".join((make.__doc__ or "").split())
        assert story, f"{name} has no story"
        _REGISTERED[name] = Patient(name, kind, area, story, make, expects, source, entry)
        return make

    return registered


def registered(
    kind: str | None = None, *, area: str | None = None, half: str | None = None
) -> list[Patient]:
    """Return the patients that are registered so far, or those of a kind, an area, a half.

    >>> registered("ill")
    Traceback (most recent call last):
    ValueError: kind is one of broken, healthy, beyond; received 'ill'. Leave it out for all.
    """
    for given, known, what in (
        (kind, KINDS, "kind"),
        (area, AREAS, "area"),
        (half, HALVES, "half"),
    ):
        if given is not None and given not in known:
            raise ValueError(
                f"{what} is one of {', '.join(known)}; received {given!r}. Leave it out for all."
            )
    return [
        each
        for each in _REGISTERED.values()
        if kind in (None, each.kind) and area in (None, each.area) and half in (None, each.half)
    ]
