"""What is the same about two images: a hash of each, and a small copy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from companion.doctor.facts import kept
from companion.doctor.pipeline import Pipeline
from companion.doctor.rows import rows_of
from companion.doctor.taking import flat_images
from companion.doctor.words import NotRunError
from companion.inputs import is_held, is_pair

FILES = 20_000  # files that are hashed, at most
HELD = 2**31  # bytes of held pixels that are hashed, at most
COMPARED = 2_000  # images of a part that are compared with each of another
ALIKE = 0.999  # contrast that agrees to more


@dataclass
class Fingerprints:
    """A hash for each image of a part, and small copies of some, as rows of equal contrast.

    `what` says what was hashed; `names` are those of files, if they are such, and stand beside
    the hashes; `shown` are the names of the small copies.
    """

    hashes: list[bytes]
    what: str
    names: list[str]
    small: Tensor | None
    shown: list[str]


def prints_of(pipeline: Pipeline, part: str) -> Fingerprints:
    """Return the fingerprints of a part, made once."""

    def made() -> Fingerprints:
        small: Tensor | None
        try:
            small = contrast(flat_images(pipeline.read(part).inputs)[:COMPARED])
        except NotRunError:
            small = None
        data = pipeline.given[part]
        rows = _held_rows(data)
        if rows is not None:
            return Fingerprints(hashed(rows), "images", [], small, [])
        files = _files_of(data)
        if files:
            names = files[:FILES]
            return Fingerprints([_of_file(name) for name in names], "files", names, small, [])
        tensors = [each for each in pipeline.read(part).inputs if isinstance(each, Tensor)]
        if not tensors:
            raise NotRunError(f"the inputs of {part} are no tensors that can be compared")
        every = [row for each in tensors for row in each.detach().cpu().numpy()]
        return Fingerprints(hashed(every), "sampled images", [], small, [])

    return kept(pipeline.facts, f"fingerprints of {part}", made)


def hashed(rows: Sequence[Any] | np.ndarray) -> list[bytes]:
    """Return a hash of each array, of its type, shape and bytes; none of arrays of one number.

    >>> len(hashed([np.zeros(4), np.arange(4), np.arange(4)]))
    2
    """
    found = []
    for row in rows:
        array = np.ascontiguousarray(row)
        if array.size and (array != array.flat[0]).any():
            key = f"{array.dtype}{array.shape}".encode()
            found.append(hashlib.blake2b(key + array.tobytes(), digest_size=16).digest())
    return found


def contrast(rows: Tensor) -> Tensor:
    """Return rows with mean 0 and length 1, without rows of one number.

    >>> import torch
    >>> contrast(torch.tensor([[1.0, 3.0], [2.0, 2.0]])).shape
    torch.Size([1, 2])
    """
    moved = rows - rows.mean(1, keepdim=True)
    lengths = moved.norm(dim=1, keepdim=True)
    return (moved / lengths.clamp(min=1e-12))[lengths[:, 0] > 1e-6]


def near_pairs(first: Fingerprints, second: Fingerprints) -> tuple[int, str]:
    """Return how many images of the second have a near double in the first, and an example.

    What is exactly the same counts too, as shrinking may make it so.
    """
    if first.small is None or second.small is None or not len(first.small) or not len(second.small):
        return 0, ""
    most, where = (second.small @ first.small.T).max(1)
    near = (most > ALIKE).nonzero().flatten().tolist()
    if near and first.shown and second.shown:
        return len(near), f", {second.shown[near[0]]} as {first.shown[int(where[near[0]])]}"
    return len(near), ""


def _held_rows(data: Any) -> np.ndarray | None:
    """Return the pixels of all images of a part, where its data set holds them as one array."""
    if is_held(data):
        found: Any = data.images
    elif is_pair(data):
        found = data[0]
    else:
        inner, rows = rows_of(data)
        if rows is None:
            return None
        found = getattr(inner, "data", getattr(inner, "images", None))
        tensors = getattr(inner, "tensors", None)
        if found is None and isinstance(tensors, tuple):
            found = tensors[0]
        if not isinstance(found, Tensor | np.ndarray) or found.ndim < 2:
            return None
        if len(found) != len(inner):
            return None
        if len(rows) != len(found) or rows != list(range(len(found))):
            found = found[rows]
    array = found.detach().cpu().numpy() if isinstance(found, Tensor) else np.asarray(found)
    return array if array.nbytes <= HELD and array.dtype != object else None


def _files_of(data: Any) -> list[str]:
    """Return the files of a part, as an ImageFolder names them; none where it names none."""
    inner, rows = rows_of(data)
    samples = getattr(inner, "samples", None)
    if not isinstance(samples, list) or not samples or not isinstance(samples[0], tuple | list):
        return []
    names = [str(each[0]) for each in samples]
    chosen = [] if rows is None else [names[row] for row in rows]
    return chosen if chosen and Path(chosen[0]).is_file() else []


def _of_file(name: str) -> bytes:
    try:
        return hashlib.blake2b(Path(name).read_bytes(), digest_size=16).digest()
    except OSError:
        return f"unreadable {name}".encode()
