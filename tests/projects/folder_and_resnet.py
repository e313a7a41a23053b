"""A ResNet on a folder of photographs: a new head, a frozen body, later thawed by groups."""

import tempfile
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18

from companion import evaluate, fit, freeze, parameter_groups, replace_head, unfreeze

COLOURS = {"blue": (30, 40, 200), "green": (30, 180, 40), "red": (200, 40, 30)}


def write_photographs(folder: Path, each: int) -> None:
    """Write noisy pictures of one colour a class."""
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            noise = torch.randint(-30, 30, (24, 36, 3)) + torch.tensor(colour)
            picture = Image.fromarray(noise.clamp(0, 255).byte().numpy())
            picture.save(folder / name / f"{number}.jpg")


torch.manual_seed(0)
with tempfile.TemporaryDirectory() as place:
    root = Path(place)
    write_photographs(root / "train", 8)
    write_photographs(root / "validation", 3)
    usual = [transforms.Resize((32, 32)), transforms.ToTensor()]
    normalise = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    train = ImageFolder(
        root / "train", transforms.Compose([*usual, transforms.RandomHorizontalFlip(), normalise])
    )
    validation = ImageFolder(root / "validation", transforms.Compose([*usual, normalise]))
    train_loader = DataLoader(train, batch_size=8, shuffle=True)
    validation_loader = DataLoader(validation, batch_size=9)

    model = replace_head(resnet18(), len(train.classes))
    freeze(model, keep=["fc"])
    statistics = model.bn1.running_mean.clone()
    history = fit(
        model, train_loader, validation=validation_loader, epochs=3, lr=0.02,
        monitor="balanced_accuracy",
    )  # fmt: skip
    assert torch.equal(model.bn1.running_mean, statistics), "the frozen body has moved"
    assert history.best_epoch.monitored is not None

    unfreeze(model.layer4)
    fit(
        model,
        train_loader,
        validation=validation_loader,
        epochs=2,
        lr=0.003,
        optimizer=lambda parameters, lr: torch.optim.AdamW(
            parameter_groups(model, lr, rates={"layer4": lr / 10}), lr=lr
        ),
        clip_norm=1.0,
    )
    assert torch.equal(model.bn1.running_mean, statistics), "what is below layer4 has moved"
    found = evaluate(model, validation_loader)
    assert list(found.recall) == ["blue", "green", "red"]
    assert found.accuracy > 0.6, found
    print(f"balanced accuracy {found.balanced_accuracy:.2f}")
