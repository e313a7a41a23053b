"""Three folders that differ: a class without a test image, one that is new, one renamed."""

import tempfile
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from companion import LabelMap, UnknownLabelError, evaluate, fit, image_folder, small_cnn

SHADES = {"dark": 40, "light": 210, "middle": 125, "striped": 90}


def write(folder: Path, names: list[str], each: int) -> None:
    """Write noisy grey pictures of one shade a class."""
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(each):
            noise = torch.randint(-20, 20, (12, 12)) + SHADES[name.lower()]
            Image.fromarray(noise.clamp(0, 255).byte().numpy()).save(
                folder / name / f"{number}.png"
            )


torch.manual_seed(0)
with tempfile.TemporaryDirectory() as place:
    root = Path(place)
    write(root / "train", ["dark", "light", "middle"], 10)
    write(root / "validation", ["dark", "middle"], 4)
    write(root / "test", ["Light", "dark", "striped"], 4)
    read = transforms.Compose([transforms.Grayscale(), transforms.ToTensor()])
    train = ImageFolder(root / "train", read)
    validation = ImageFolder(root / "validation", read)
    assert validation.class_to_idx["middle"] != train.class_to_idx["middle"]  # shifted, silently

    head = LabelMap(train.class_to_idx)
    assert head["middle"] == train.class_to_idx["middle"]
    validation.target_transform = head.encoder(LabelMap(validation.class_to_idx))
    model = small_cnn(len(head), widths=(8, 16), seed=0)
    fit(
        model, DataLoader(train, 10, shuffle=True), validation=DataLoader(validation, 8),
        epochs=15, lr=0.02, monitor="loss",
    )  # fmt: skip
    on_validation = evaluate(model, DataLoader(validation, 8), label_map=head, classes=head)
    assert on_validation.accuracy > 0.8, on_validation

    refused = ""
    try:
        image_folder(root / "test", classes=head)
    except UnknownLabelError as error:
        refused = str(error)
    assert "'Light' for 'light'" in refused, "a renamed class was taken"
    (root / "test" / "Light").rename(root / "test" / "light")
    test = image_folder(root / "test", classes=[*head, "striped"], size=12, colour=False)
    found = evaluate(model, test, label_map=head)
    assert found.unseen_accuracy == 0.0
    assert found.seen_accuracy > 0.8, found
    assert abs(found.seen_share - 2 / 3) < 1e-9
    print(f"seen {found.seen_accuracy:.2f} of a share of {found.seen_share:.2f}")
