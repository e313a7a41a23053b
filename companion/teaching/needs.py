"""What a part of a chapter needs of the data, said before it runs."""

from __future__ import annotations

from collections.abc import Iterable

from companion.datasets import LabelledImages, Splits


class TooLittleDataError(ValueError):
    """The data do not hold what a part of a chapter is about: what it needs, and what there is."""


def needs(there: int, least: int, what: str) -> None:
    """Go on where there are at least so many of something; raise `TooLittleDataError` elsewhere.

    `what` is a plural, such as "classes". On data of a reader's own the book leaves out the part
    that begins with such a call, and says what it needs.

    >>> needs(10, 4, "classes")
    >>> needs(2, 4, "classes")
    Traceback (most recent call last):
        ...
    companion.teaching.needs.TooLittleDataError: this part needs at least 4 classes; here: 2.
    """
    if there < least:
        raise TooLittleDataError(f"this part needs at least {least:,} {what}; here: {there:,}.")


def with_images(parts: Iterable[LabelledImages], images: int, *, classes: int) -> Splits:
    """Return train, validation and test with only the classes of `images` training images or more.

    Says in a line which classes it leaves out; raises `TooLittleDataError` where fewer than
    `classes` stay. Where every class has as many, the parts are returned as they are.

    >>> from companion import load
    >>> parts = load("digits")
    >>> with_images(parts, 50, classes=10).train is parts.train
    True
    >>> len(with_images(parts, 107, classes=2).train.classes)
    Left out here, as they have fewer than 107 training images: 2, 8.
    8
    """
    parts = Splits(*parts)
    counts = parts.train.counts()
    kept = [name for name, count in counts.items() if count >= images]
    needs(len(kept), classes, f"classes of {images} training images or more")
    if len(kept) == len(counts):
        return parts
    gone = [str(name) for name in counts if name not in kept]
    shown = ", ".join(gone[:8]) + (f" and {len(gone) - 8} more" if len(gone) > 8 else "")
    print(f"Left out here, as they have fewer than {images} training images: {shown}.")
    return Splits(*(part.only(kept) for part in parts))
