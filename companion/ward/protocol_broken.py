"""Broken splits: what is held out is not, or is of another kind."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import (
    DataLoader,
    random_split,
)
from torchvision import transforms

from companion.ward.optimiser_parts import (
    dense,
    held_out,
    held_out_patterns,
    patterns,
    pipeline,
    practised,
)
from companion.ward.parts import NAMES, Net, Photos, pictures, seeded, trained, write_folders
from companion.ward.patients import Made, patient
from companion.ward.protocol_parts import Pictures, films


@patient(
    "broken", "protocol", expects=("PRO002",), source="UMLAUT study, validation = training images"
)
def validation_is_the_training_set(folder: Path) -> Made:
    """The validation loader was made from the training set by a slip of the pen.

    Validation says that all is well while the network only knows 40 noisy pictures by heart.
    """
    train = Photos(40, 4, noise=0.6)
    loader = DataLoader(train, batch_size=10, shuffle=True)
    validation = DataLoader(train, batch_size=40)
    test = held_out(noise=0.6)["test"]
    model = practised(seeded(lambda: Net(4)), loader, epochs=12)
    return pipeline(model, loader, {"validation": validation, "test": test})


@patient(
    "broken",
    "protocol",
    expects=("PRO002",),
    source="huggingface.co/dima806/facial_emotions_image_detection/discussions/3",
)
def rare_classes_copied_before_the_split(folder: Path) -> Made:
    """The rare classes were filled up with copies and the set was split afterwards.

    Most of their validation pictures are in the training part as well.
    """
    images, labels = pictures(120, 4, shares=(9, 1, 1, 1), noise=0.55, seed=2)
    copies = [labels == 0] + [labels == rare for rare in (1, 2, 3) for _ in range(9)]
    whole = Pictures(
        torch.cat([images[rows] for rows in copies]), torch.cat([labels[rows] for rows in copies])
    )
    cut = [len(whole) - 120, 60, 60]
    train, validation, test = random_split(whole, cut, torch.Generator().manual_seed(3))
    loader = DataLoader(train, batch_size=40, shuffle=True)
    held = {"validation": DataLoader(validation, 30), "test": DataLoader(test, 30)}
    model = practised(seeded(lambda: Net(4)), loader, epochs=8)
    return pipeline(model, loader, held)


@patient("broken", "protocol", expects=("PRO002", "PRO003"), source="TensorAuto/OpenTau#498")
def split_is_drawn_again_for_validation(folder: Path) -> Made:
    """The training script and the validation script each split the set, with seeds of their own.

    Three quarters of the validation pictures were trained on.
    """
    whole = patterns(160, 10, noise=0.5, seed=4)
    train, _ = random_split(whole, [0.75, 0.25], torch.Generator().manual_seed(0))
    _, validation = random_split(whole, [0.75, 0.25], torch.Generator().manual_seed(1))
    loader = DataLoader(train, batch_size=20, shuffle=True)
    model = practised(dense(64, 10, width=96), loader, epochs=40)
    held = {"validation": DataLoader(validation, batch_size=20)}
    return pipeline(model, loader, {**held, "test": held_out_patterns(noise=0.5)["test"]})


@patient("broken", "protocol", expects=("PRO005",), source="udacity/deep-learning-v2-pytorch#132")
def validation_shares_the_augmentation(folder: Path) -> Made:
    """One set with random erasing and flips was split in two.

    So validation pictures are damaged at random as well: the number is too low, and another one
    each time.
    """
    damage = transforms.Compose(
        [
            transforms.RandomErasing(p=1.0, scale=(0.3, 0.6)),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.6, 0.6, 0.6, 0.5),
        ]
    )
    whole = Photos(300, 4, transform=damage, seed=8)
    train, validation = random_split(whole, [200, 100], torch.Generator().manual_seed(0))
    loader = DataLoader(train, batch_size=40, shuffle=True)
    held = {"validation": DataLoader(validation, batch_size=50), "test": held_out()["test"]}
    return pipeline(trained(4), loader, held)


@patient(
    "broken", "protocol", expects=("PRO004",), source="Lightning-Universe/lightning-Covid19#11"
)
def frames_of_one_film_on_both_sides(folder: Path) -> Made:
    """Single frames of twenty films were split at random.

    For every validation frame, training holds others of the same animal, and validation does not
    say how a new one would be judged.
    """
    frames = films(20, 10)
    train, validation = random_split(frames, [150, 50], torch.Generator().manual_seed(0))
    loader = DataLoader(train, batch_size=30, shuffle=True)
    model = practised(seeded(lambda: Net(4)), loader, epochs=8)
    return pipeline(model, loader, {"validation": DataLoader(validation, batch_size=50)})


class ForeverDropping(Net):
    """A network that drops features whenever it is asked, training or not."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.fc(functional.dropout(self.features(images), 0.6))


@patient("broken", "protocol", expects=("MOD014",), source="huggingface/transformers#33844")
def dropout_stays_on_in_evaluation(folder: Path) -> Made:
    """Dropout was called as a function without saying whether the network is training.

    It drops six features in ten in evaluation too, and each pass gives another number.
    """
    loader = DataLoader(Photos(160, 8), batch_size=32, shuffle=True)
    model = practised(seeded(lambda: ForeverDropping(8, channels=6)), loader, epochs=6)
    return pipeline(model, loader, held_out(8))


@patient("broken", "protocol", expects=("MOD016",), source="mr-eggplant/FOA#2")
def validation_is_not_normalised(folder: Path) -> Made:
    """Training pictures are normalised by mean and spread.

    And those of validation and test are not: the network is judged on pictures of a kind that it
    never saw.
    """
    normal = transforms.Normalize([0.3, 0.3, 0.3], [0.08, 0.08, 0.08])
    loader = DataLoader(Photos(160, 4, transform=normal), batch_size=32, shuffle=True)
    model = practised(seeded(lambda: Net(4)), loader, epochs=6)
    return pipeline(model, loader, held_out())


@patient("broken", "protocol", expects=("PRO002",), entry="examine_folders")
def validation_files_were_copied_not_moved(folder: Path) -> Made:
    """A third of the training files was to be moved into the validation folder and was copied.

    Every validation picture is trained on.
    """
    train = write_folders(folder / "train", NAMES[:5], 15)
    for place in sorted(train.glob("*/1?.png")):
        target = folder / "validation" / place.parent.name
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(place, target / place.name)
    test = write_folders(folder / "test", NAMES[:5], 8, seed=2)
    return {"train": train, "validation": folder / "validation", "test": test}


def by_camera(count: int, *, seed: int, cameras: int = 4) -> Pictures:
    """Return noisy pictures whose class shows in the tint of a border, as cameras leave it."""
    images, labels = pictures(count, 4, seed=seed, noise=0.5)
    tint = torch.tensor([0.05, 0.35, 0.65, 0.95])[labels % cameras]
    images[:, :, :2] = tint[:, None, None, None]
    return Pictures(images, labels)


@patient("broken", "protocol", expects=("PRO036",), source="Humbatova 2020, wrong features")
def each_class_has_its_own_camera(folder: Path) -> Made:
    """Each class was photographed with a camera of its own, whose border shows in the pictures.

    It does so in training and validation alike; the network reads the border, and fails where all
    pictures come from one camera.
    """
    loader = DataLoader(by_camera(200, seed=0), batch_size=25, shuffle=True)
    held = {
        "validation": DataLoader(by_camera(100, seed=1), batch_size=50),
        "test": DataLoader(by_camera(100, seed=2, cameras=1), batch_size=50),
    }
    return pipeline(practised(seeded(lambda: Net(4)), loader, epochs=6), loader, held)
