"""Healthy: folders that look strange, and are read as they should be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional

from companion.ward.folders_broken import in_memory, read, stored, three_folders
from companion.ward.model_parts import adam, fitted, handed
from companion.ward.parts import NAMES, Net, seeded, trained, write_folders
from companion.ward.patients import Made, patient


class Numbered(ImageFolder):
    """Folders whose names are numbers, in the order of the numbers."""

    def find_classes(self, directory: Any) -> tuple[list[str], dict[str, int]]:
        """Return the classes as `ImageFolder` wants them."""
        names = sorted((each.name for each in Path(directory).iterdir()), key=int)
        return names, {name: int(name) for name in names}


@patient("healthy", "labels", source="modestyachts/ImageNetV2#10")
def numbered_folders_sorted_as_numbers(folder: Path) -> Made:
    """Twelve folders are called 0 to 11 and sorted as numbers on purpose, in all parts alike."""
    places = three_folders(folder, tuple(str(number) for number in range(12)))
    photos = [Numbered(str(place), transform=functional.to_tensor) for place in places]
    in_ram = DataLoader(in_memory(photos[0]), batch_size=36, shuffle=True)
    model = seeded(lambda: Net(12))
    fitted(model, in_ram, adam(model, 0.003), epochs=7)
    parts: list[DataLoader] = [
        DataLoader(each, batch_size=36, shuffle=each is photos[0]) for each in photos
    ]
    return handed(model, parts)


@patient("healthy", "labels", source="ultralytics/ultralytics#13936")
def empty_folder_kept_for_its_number(folder: Path) -> Made:
    """No bee was left for the test, and an empty folder is kept so that numbers stay the same."""
    places = three_folders(folder)
    shutil.rmtree(places[2] / "bee")
    (places[2] / "bee").mkdir()
    train = DataLoader(read(places[0]), batch_size=16, shuffle=True)
    rest = [DataLoader(read(place, allow_empty=True), batch_size=16) for place in places[1:]]
    return handed(trained(4), (train, *rest))


@patient("healthy", "labels", source="pytorch/pytorch#22566", entry="examine_folders")
def folders_with_notes_beside_the_pictures(folder: Path) -> Made:
    """A text file lies beside the class folders, and folders have different numbers of pictures."""
    places = three_folders(folder, NAMES[:7])
    for place in places:
        (place / "SOURCES.txt").write_text("Photographed by ourselves.\n")
    for number in range(6):
        (places[0] / "bee" / f"{number}.png").unlink()
    return dict(zip(("train", "validation", "test"), places, strict=True))


@patient("healthy", "labels", source="facebookresearch/deit#130", entry="examine_checkpoint")
def checkpoint_with_names_in_the_order_of_the_folders(folder: Path) -> Made:
    """The checkpoint holds weights, the epoch and the names, in the order of the folders."""
    order = {name: index for index, name in enumerate(NAMES[:6])}
    file = stored(trained(6), folder / "best.pt", epoch=16, class_to_idx=order)
    return {"file": file, "folders": write_folders(folder / "photos", NAMES[:6], 8, seed=2)}
