"""Facts that are found once, when they are first asked for, and kept; also why there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from companion.doctor.words import NotRunError

Value = TypeVar("Value")


def kept(facts: dict[str, Any], name: str, find: Callable[[], Value]) -> Value:
    """Return the fact of a name, found now or before; raise again why there is none.

    >>> found: dict[str, Any] = {}
    >>> kept(found, "three", lambda: 3), kept(found, "three", lambda: 4)
    (3, 3)
    """
    if name not in facts:
        try:
            facts[name] = find()
        except NotRunError as error:
            facts[name] = error
    if isinstance(facts[name], NotRunError):
        raise facts[name]
    return facts[name]


class fact(Generic[Value]):
    """A property of what has `facts`, found once; what it raises because there is none is kept."""

    def __init__(self, find: Callable[[Any], Value]) -> None:
        self.find, self.name, self.__doc__ = find, find.__name__, find.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> fact[Value]: ...

    @overload
    def __get__(self, owner: Any, kind: type) -> Value: ...

    def __get__(self, owner: Any, kind: type) -> Any:
        """Return what was found, or raise what stood in the way, again."""
        if owner is None:
            return self
        return kept(owner.facts, self.name, lambda: self.find(owner))
