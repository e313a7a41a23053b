"""Values that stay what they were made as."""

from __future__ import annotations

from typing import Any


class Fixed:
    """A base of classes whose attributes are set once, and stay.

    >>> class Point(Fixed):
    ...     def __init__(self, x: int) -> None:
    ...         self.x = x
    >>> Point(1).x = 2
    Traceback (most recent call last):
    AttributeError: a Point stays what it was made as; received another x, 2. Make a new one.
    """

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(self, name):
            self._refuse(f"another {name}, {value!r}")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        self._refuse(f"del {name}")

    def _refuse(self, received: str) -> None:
        kind = type(self).__name__
        raise AttributeError(
            f"a {kind} stays what it was made as; received {received}. Make a new one."
        )
