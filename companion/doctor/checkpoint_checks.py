"""Checks of a checkpoint against the model that was loaded from it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from companion.doctor.facts import kept
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning
from companion.inputs import brief

ALIKE = 0.5  # cosine of weights that were trained further; drawn anew it is near 0
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.")
HOLDERS = ("state_dict", "model_state_dict", "model", "network", "net", "weights", "ema")
HEADS = ("fc.weight", "head.weight", "classifier.weight", "heads.head.weight", "linear.weight")


def read_checkpoint_file(path: Any) -> Any:
    """Return what a checkpoint holds, read without running code; `NotRunError` where it cannot be.

    >>> read_checkpoint_file({"weight": 1})
    {'weight': 1}
    """
    if isinstance(path, Mapping):
        return path
    try:
        return torch.load(Path(path), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as raised:
        told = str(raised).splitlines()[0] if str(raised) else ""
        raise NotRunError(
            f"{path} cannot be read without running code (weights_only=True): {told}"
        ) from raised


def weights_in(stored: Any) -> dict[str, Tensor]:
    """Return the tensors of a model in a checkpoint, by their names.

    >>> list(weights_in({"epoch": 3, "state_dict": {"fc.weight": torch.zeros(2, 2)}}))
    ['fc.weight']
    """
    if not isinstance(stored, Mapping):
        return {}
    for name in HOLDERS:
        inner = stored.get(name)
        if isinstance(inner, Mapping) and any(isinstance(x, Tensor) for x in inner.values()):
            return weights_in(inner)
    return {str(name): value for name, value in stored.items() if isinstance(value, Tensor)}


def prefix_of(names: list[str]) -> str:
    """Return what wrappers put in front of every name, "" for nothing.

    >>> prefix_of(["module.fc.weight", "module.fc.bias"])
    'module.'
    """
    return next((p for p in PREFIXES if names and all(name.startswith(p) for name in names)), "")


def stored_weights(pipeline: Pipeline) -> dict[str, Tensor]:
    """Return the tensors of the checkpoint that was given."""
    return kept(
        pipeline.facts,
        "stored weights",
        lambda: weights_in(read_checkpoint_file(pipeline["checkpoint"])),
    )


@check(
    "MOD017",
    chapter="prefixed-names",
    needs=["model", "checkpoint"],
    explains=["PRO032", "SMP118", "MOD019"],
)
def loaded(pipeline: Pipeline) -> Result:
    """The model does not have the checkpoint's weights.

    Fault: `strict=False` forgave that the names differ by a prefix, `module.` or `model.`, and
    nothing was loaded; or the file has other layers.
    Evidence: Each tensor of the file against the model's of the same name, with and without
    prefixes: how many have equal values.
    Consequence: The network is as it was initialised, or as other weights left it.
    Remedy: Take the prefix away before loading, and look at what load_state_dict returns:
    missing_keys and unexpected_keys should be empty.
    False alarms: A new head is meant to differ, and training goes on from a checkpoint: a note,
    where the weights still point where the file's do, which those drawn anew do not. Else an error
    where no tensor agrees, a warning where fewer than nine in ten do.

    In code:
        model.load_state_dict(torch.load("run.pt", weights_only=True), strict=False)
    """
    stored = stored_weights(pipeline)
    if not stored:
        raise NotRunError("the checkpoint holds no tensors of a model")
    own = pipeline.module.state_dict()
    prefix = prefix_of(list(stored)) or prefix_of(list(own))
    bare = {name.removeprefix(prefix): value for name, value in own.items()}
    theirs = {name.removeprefix(prefix): value for name, value in stored.items()}
    shared = [name for name in theirs if name in bare]
    equal = [
        name
        for name in shared
        if bare[name].shape == theirs[name].shape
        and torch.equal(bare[name].cpu().to(theirs[name].dtype), theirs[name])
    ]
    literal = sum(name in own for name in stored)
    told = (
        f"{len(equal)} of {len(stored)} tensors of the checkpoint are the model's, and "
        f"{literal} have a name of the model's"
    )
    if prefix and not literal:
        told += f"; without {prefix!r} {len(shared)} have"
    different = [name for name in theirs if name not in equal]
    alike = _direction([(bare[name], theirs[name]) for name in shared])
    if different and alike > ALIKE:
        return note(f"{told}; the others point the same way: cosine {alike:.2f}, trained further")
    if not equal:
        return error(told)
    if len(equal) < 0.9 * len(theirs):
        head = all(name.rpartition(".")[0] == different[0].rpartition(".")[0] for name in different)
        seen = note if head else warning
        return seen(f"{told}; others are {brief(different, 3)}")
    return note(f"{told}; others are {brief(different, 3)}") if different else told


def _direction(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """Return the mean cosine between matrices of weights; 0 where there are none to compare."""
    found = [
        float(torch.cosine_similarity(own.cpu().float().flatten(), held.float().flatten(), 0))
        for own, held in pairs
        if own.shape == held.shape and own.dim() > 1 and own.is_floating_point()
    ]
    return sum(found) / len(found) if found else 0.0


@check("MOD019", chapter="checkpoint-names", needs=["checkpoint"])
def names_stored(pipeline: Pipeline) -> Result:
    """The checkpoint does not say which output is which class, or says it of other classes.

    Fault: Weights were saved without the map; or the head has another width than the classes at
    hand.
    Evidence: Lists and maps of names in the file, the width of its last linear layer, and the maps
    that are known.
    Consequence: Indices without names mean whatever the next data set makes of them.
    Remedy: Save the map with the weights: torch.save({"model": model.state_dict(), "classes":
    label_map.to_dict()}, path).
    False alarms: Weights without names are a note; names in another order than those at hand are
    an error, and so is a head that is too narrow for them.

    In code:
        torch.load("run.pt", weights_only=True)["classes"]
    """
    stored = read_checkpoint_file(pipeline["checkpoint"])
    found: list[Seen] = []
    names = class_names_in(stored)
    width = head_width(weights_in(stored))
    for part, own in pipeline.maps.items():
        if names is not None and part != "checkpoint":
            moved = [n for n, i in names.items() if n in own and own[n] != i]
            absent = [n for n in own if n not in names]
            if moved:
                found.append(
                    error(
                        f"{len(moved)} classes have another index in the checkpoint than "
                        f"in {part}: {moved[0]!r} is {names[moved[0]]} and "
                        f"{own[moved[0]]}"
                    )
                )
            if absent:
                found.append(
                    warning(
                        f"{len(absent)} classes of {part} are not in the checkpoint: "
                        f"{brief(absent, 3)}"
                    )
                )
        if width is not None and width < len({*own.values()}):
            found.append(
                error(
                    f"the head of the checkpoint has {width} outputs for the "
                    f"{len({*own.values()})} classes of {part}"
                )
            )
    if names is None:
        found.append(
            note(
                f"the checkpoint has no names of classes"
                f"{f'; its head has {width} outputs' if width else ''}"
            )
        )
    return found or f"the checkpoint names {len(names or {})} classes"


def class_names_in(stored: Any) -> dict[Any, int] | None:
    """Return the map that a checkpoint holds under one of the usual names; None for none.

    >>> class_names_in({"classes": ["cat", "dog"]})
    {'cat': 0, 'dog': 1}
    """
    if not isinstance(stored, Mapping):
        return None
    for key in ("classes", "class_names", "label_map", "class_to_idx", "names", "id2label"):
        held = stored.get(key)
        if isinstance(held, Mapping) and "classes" in held:  # what LabelMap.to_dict wrote
            held = held["classes"]
        if isinstance(held, list | tuple) and held and isinstance(held[0], str | int):
            return {name: index for index, name in enumerate(held)}
        if isinstance(held, Mapping) and held:
            if all(isinstance(index, int) for index in held.values()):
                return dict(held)
            if all(isinstance(index, int) for index in held):
                return {name: index for index, name in held.items()}
    return None


def head_width(weights: Mapping[str, Tensor]) -> int | None:
    """Return the number of outputs of the last layer in a checkpoint, by the usual names.

    >>> head_width({"fc.weight": torch.zeros(10, 4), "fc.bias": torch.zeros(10)})
    10
    """
    for ending in HEADS:
        for name, value in weights.items():
            if (name == ending or name.endswith(f".{ending}")) and value.dim() in (2, 4):
                return int(value.shape[0])
    tables = [value for name, value in weights.items() if value.dim() == 2]
    return int(tables[-1].shape[0]) if tables else None
