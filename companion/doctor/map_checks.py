"""Checks of the maps between class names and indices, which need no image and no model."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from companion.doctor.maps import Map
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning
from companion.inputs import brief
from companion.labels import look_alikes

HIDDEN = ("__macosx", "__pycache__", "thumbs.db", "lost+found", "$recycle.bin")
SPLITS = ("train", "training", "validation", "val", "valid", "test", "testing")


def maps_of(pipeline: Pipeline) -> dict[str, Map]:
    """Return the maps of a pipeline; `NotRunError` for none.

    >>> maps_of(Pipeline(label_maps={"train": {"cat": 0}}))
    {'train': {'cat': 0}}
    """
    if not pipeline.maps:
        raise NotRunError("no part has a label map: label_maps={'train': data.class_to_idx}")
    return pipeline.maps


@check(
    "LBL003",
    chapter="folder-order",
    explains=["LBL019", "LBL020", "LBL010", "PRO032", "SMP115", "PRO035"],
)
def maps_differ(pipeline: Pipeline) -> Result:
    """Two parts give a class different indices.

    Fault: Indices come from the sorted names of whatever folders are there, so a folder that one
    part lacks, has in addition, or spells otherwise, shifts those behind it; a checkpoint may
    number the classes in an order of its own.
    Evidence: The maps of model, training, validation and test, name by name, without regard to
    case: for each pair the classes that both have and whose indices differ.
    Consequence: Right answers count as wrong, often for most classes: accuracy is at chance or
    below, and nothing raises.
    Remedy: Number every part by one map, by name: ImageFolder(path,
    target_transform=LabelMap(train.class_to_idx).encoder(ImageFolder(path).class_to_idx)).
    False alarms: Different names for one class are not compared. A wrapper that translates the
    labels itself is not read through, and its map is not known.

    In code:
        ImageFolder("train").class_to_idx  # {'0': 0, '180': 1, '270': 2, '90': 3}
        ImageFolder("test").class_to_idx   # {'0': 0, '270': 1, '90': 2}: no folder 180
    """
    maps = maps_of(pipeline)
    if len(maps) < 2:
        raise NotRunError(f"only {next(iter(maps))} has a label map: there is nothing to compare")
    found: list[Seen] = []
    for one, other in combinations(maps, 2):
        first, second = _folded(maps[one]), _folded(maps[other])
        shared = [name for name in first if name in second]
        moved = [name for name in shared if first[name] != second[name]]
        if moved:
            example = moved[0]
            found.append(
                error(
                    f"{len(moved)} of {len(shared)} classes that {one} and {other} share have "
                    f"different indices: {example!r} is {first[example]} in {one} and "
                    f"{second[example]} in {other}"
                )
            )
        elif not shared:
            found.append(
                warning(
                    f"{one} and {other} have no class name in common: "
                    f"{brief([*maps[one]], 3)} against {brief([*maps[other]], 3)}",
                    why="Whether their indices mean the same classes cannot be seen.",
                    remedy="Call each class by one name in all parts.",
                )
            )
    return found or f"{', '.join(maps)} agree on {len(next(iter(maps.values())))} classes"


def _folded(names: Map) -> dict[Any, int]:
    """Return a map by names without case; as it is where that would merge classes."""
    folded = {_fold(name): index for name, index in names.items()}
    return folded if len(folded) == len(names) else dict(names)


def _fold(name: Any) -> Any:
    return str(name).casefold().strip() if isinstance(name, str | int) else name


@check("LBL004", chapter="folder-guard", explains=["LBL010", "LBL003"])
def names_alike(pipeline: Pipeline) -> Result:
    """Class names differ only in case, spaces or the form of Unicode.

    Fault: "Owl" and "owl " are two folders, in one part or in two, copied between systems that
    treat them as one.
    Evidence: The names of all maps, compared without case and spaces and in one form of Unicode.
    Consequence: One class is split in two, or counts as unseen in the other part; both halves
    have fewer images.
    Remedy: Rename the folders, or map both names to one index.
    False alarms: Single letters come in two cases on purpose and pass.

    In code:
        look_alikes(["owl", "cat", "Owl "])  # [['owl', 'Owl ']]
    """
    maps = maps_of(pipeline)
    names = list(dict.fromkeys(name for each in maps.values() for name in each))
    # A Hugging Face configuration often shouts: there the case of every name differs.
    model = {*maps.get("model", {})}
    groups = [
        group
        for group in look_alikes(names)
        if len(group[0].strip()) > 1 and len({*group} - model) != 1
    ]
    if groups:
        return warning(f"{len(groups)} groups of class names look alike: {brief(groups, 3)}")
    return f"{len(names)} names differ in more than case and spaces"


@check("LBL005", chapter="map-trial")
def names_share_an_index(pipeline: Pipeline) -> Result:
    """Several classes have one index.

    Fault: Labels are folded into the head's range, by `labels % n` or by a map that gives two
    names one index.
    Evidence: Each map, name by name; and whether the indices are just the classes' numbers
    modulo the number of indices, or there are as many places as names and some are left empty.
    Consequence: The network is asked to call two classes one thing; by a modulo these are classes
    that have nothing in common, and the score means nothing.
    Remedy: Give each class an output: LabelMap(classes). Classes that are meant to be one share a
    name, say which in the map.
    False alarms: Superclasses by design are a note. Only a plain modulo is a warning, and a map
    with an empty place for each name that shares one; a class that was merged on purpose and
    whose place was kept looks the same.

    In code:
        torch.tensor([0, 3, 10, 13, 20]) % 5  # 0, 3, 0, 3, 0: five classes become two
    """
    found: list[Seen] = []
    maps = maps_of(pipeline)
    for part, names in maps.items():
        held = [*names.values()]
        if len({*held}) == len(held):
            continue
        count = max(held) + 1
        folded = all(index == place % count for place, index in enumerate(held))
        unused = sorted({*range(count)} - {*held})
        slipped = count == len(held) and min(held) >= 0
        shared = [[n for n, own in names.items() if own == index] for index in sorted({*held})]
        example = next(group for group in shared if len(group) > 1)
        told = f"{len(held)} classes of {part} share {len({*held})} indices: {brief(example, 3)}"
        if folded:
            found.append(warning(f"{told} are one, as by a modulo of {count}"))
        elif slipped:
            found.append(
                warning(
                    f"{told} are one, and of {count} places {brief(unused, 3)} is left empty, as "
                    "by a slip of the pen"
                )
            )
        else:
            found.append(note(f"{told} are one, as superclasses are"))
    return found or f"each class of {', '.join(maps)} has an index of its own"


@check("LBL006", chapter="folder-order", explains=["LBL019"])
def sorted_as_text(pipeline: Pipeline) -> Result:
    """Classes that are numbers are in the order of text.

    Fault: Folder names sort as strings, so "10" comes before "2" and has the smaller index.
    Evidence: The maps whose names are all whole numbers, in the order of their indices.
    Consequence: Whoever takes an output's position for the number in the name, in a submission or
    a table of names, calls most classes by another's name.
    Remedy: Go through the map: LabelMap(train.class_to_idx).decode(indices). Or name folders with
    leading zeros.
    False alarms: A note, as nothing is wrong where every part goes through the same map.

    In code:
        sorted(["0", "2", "10"])  # ['0', '10', '2']
    """
    maps = maps_of(pipeline)
    found: list[Seen] = []
    numbers = 0
    for part, names in maps.items():
        ordered = sorted(names, key=lambda name: names[name])
        if not all(str(name).isdecimal() for name in ordered):
            continue
        numbers += 1
        values = [int(name) for name in ordered]
        wrong = [place for place, value in enumerate(values) if value != sorted(values)[place]]
        if wrong and values == [int(x) for x in sorted(map(str, values))]:
            place = wrong[0]
            found.append(
                note(
                    f"the classes of {part} are numbers in the order of text: index {place} is "
                    f"{ordered[place]!r}, and {len(wrong)} of {len(values)} are not where their "
                    "number would be"
                )
            )
    if not numbers:
        raise NotRunError("no part calls its classes by numbers")
    return found or f"the numbers of {numbers} maps are in their own order"


@check("LBL007", chapter="hidden-folder", explains=["LBL003", "LBL009", "LBL020", "LBL019"])
def phantom_classes(pipeline: Pipeline) -> Result:
    """A folder that nobody made counts as a class.

    Fault: `.ipynb_checkpoints`, `__MACOSX` and their like lie beside the class folders, or a
    split's folder does, and the reader takes each for a class.
    Evidence: Names in the maps that begin with a dot, are known to be made by programs, or are
    those of splits.
    Consequence: A hidden folder sorts first and shifts every index by one; the head has an output
    for nothing.
    Remedy: Delete the folder, or read with companion's image_folder, which passes over hidden
    ones.
    False alarms: "test" and "train" may be the names of classes: a warning.

    In code:
        ImageFolder("data/train").classes  # ['.ipynb_checkpoints', 'cat', 'dog']
    """
    found: list[Seen] = []
    maps = maps_of(pipeline)
    for part, names in maps.items():
        texts = [name for name in names if isinstance(name, str)]
        hidden = [n for n in texts if n.startswith(".") or n.casefold() in HIDDEN]
        splits = [n for n in texts if n.casefold() in SPLITS]
        if hidden:
            found.append(error(f"{part} has classes that are hidden folders: {brief(hidden)}"))
        if splits:
            told = f"{part} has classes that are called like splits: {brief(splits)}"
            found.append(warning(told, remedy="Move the folder, if it is a split."))
    return found or f"no class of {', '.join(maps)} is called like a hidden folder or a split"
