"""Checks of picture files: whether they can be read, and whether they are of one kind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from companion.doctor.folders import FolderPictures, headers_of
from companion.doctor.maps import innermost
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning
from companion.inputs import brief


def folders_in(pipeline: Pipeline) -> dict[str, FolderPictures]:
    """Return the picture folders of a pipeline by part; `NotRunError` where there is none."""
    found = {part: innermost(pipeline.given[part]) for part in pipeline.parts}
    known = {part: each for part, each in found.items() if isinstance(each, FolderPictures)}
    if not known:
        raise NotRunError("no picture folder was given: python -m companion.doctor folders")
    return known


@check("PRO020", chapter="folder-guard", needs=["train"], explains=["PRO001"])
def files_unreadable(pipeline: Pipeline) -> Result:
    """Files cannot be read as pictures, or lie where no class is.

    Fault: Downloads that broke off, files that are no pictures, pictures beside the class folders,
    class folders without any.
    Evidence: Every file below the folders, by its ending and by its header.
    Consequence: A reader raises in the middle of an epoch, or passes over them in silence, so that
    a class has fewer images than you think.
    Remedy: Repair or delete them; move pictures into the folder of their class.
    False alarms: Broken pictures are an error. Other files and empty folders are a note.

    In code:
        PIL.Image.open("data/train/cat/17.jpg").verify()
    """
    found: list[Seen] = []
    said = []
    for part, folder in folders_in(pipeline).items():
        broken = [name for name, header in headers_of(folder).items() if header is None]
        said.append(f"{part}: {len(folder.samples):,} pictures")
        if broken:
            shown = [str(Path(name).relative_to(folder.path)) for name in broken]
            found.append(
                error(
                    f"{len(broken)} of {len(folder.samples):,} pictures of {part} cannot "
                    f"be read: {brief(shown, 3)}"
                )
            )
        if folder.others:
            found.append(
                note(
                    f"{len(folder.others)} files or folders of {part} are or hold no "
                    f"pictures of a class: {brief(folder.others, 3)}"
                )
            )
    return found or "; ".join(said)


@check("PRO021", chapter="types-and-scales", needs=["train"])
def kinds_of_pictures(pipeline: Pipeline) -> Result:
    """Pictures of the parts, or of the classes, are of different kinds.

    Fault: One class was saved in grey, one part in another size or format.
    Evidence: Mode, size and format in the headers of all files.
    Consequence: The kind of file tells the class, or the judged images are prepared otherwise.
    Remedy: Convert all to one mode and size by one program.
    False alarms: A warning where each class has a mode of its own, and where two parts share no
    size, though each has one; else a note.

    In code:
        {PIL.Image.open(file).mode for file in files}
    """
    found: list[Seen] = []
    said = []
    sizes: dict[str, Counter[tuple[int, int]]] = {}
    for part, folder in folders_in(pipeline).items():
        headers = headers_of(folder)
        modes: Counter[str] = Counter()
        by_class: dict[int, set[str]] = {}
        sizes[part] = Counter()
        for name, index in folder.samples:
            header = headers[name]
            if header is not None:
                modes[header.mode] += 1
                by_class.setdefault(index, set()).add(header.mode)
                sizes[part][header.size] += 1
        said.append(f"{part}: modes {dict(modes)}, {len(sizes[part])} sizes")
        apart = len(modes) > 1 and all(len(each) == 1 for each in by_class.values())
        if apart and len(by_class) > 1:
            found.append(warning(f"in {part} the mode tells the class: {dict(modes)}"))
        elif len(modes) > 1:
            found.append(note(f"pictures of {part} have {len(modes)} modes: {dict(modes)}"))
    first = sizes.get("train", Counter())
    for part, own in sizes.items():
        if len(first) == 1 and len(own) == 1 and first.keys() != own.keys():
            found.append(
                warning(
                    f"pictures of train are {next(iter(first))}, those of {part} {next(iter(own))}"
                )
            )
    return found or "; ".join(said)
