"""Broken: heads that are not what they seem, and outputs that are bent after the head."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from companion.ward.model_parts import adam, batches, fitted, handed, patterns, plain_cnn
from companion.ward.parts import NAMES, Net, Photos, loaders, pictures, seeded, trained
from companion.ward.patients import Made, patient


def _doubled(classes: int) -> list:
    parts = []
    for seed, count in enumerate((96, 48, 64)):
        images, labels = pictures(count, classes, seed=seed)
        large = nn.functional.interpolate(images, scale_factor=2)
        parts.append(batches(large, labels, batch=32, shuffle=seed == 0))
    return parts


@patient("broken", "model and head", source="facebookresearch/ConvNeXt#110")
def out_features_set_by_hand(folder: Path) -> Made:
    """The head's attribute is set to six classes, and its weights are those of a thousand.

    Printed, the network looks right; it still chooses among a thousand outputs.
    """
    model = seeded(lambda: models.resnet18())
    model.fc.out_features = 6
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return handed(model, _doubled(6), optimizer=optimizer)


@patient("broken", "model and head", source="pitfalls A3.2")
def new_fc_beside_the_real_classifier(folder: Path) -> Made:
    """A MobileNet is given a new `fc`, as one does with a ResNet; its head is `classifier`.

    The new layer is never called, and the network keeps its thousand outputs.
    """
    model = seeded(lambda: models.mobilenet_v3_small())
    model.fc = seeded(lambda: nn.Linear(1024, 5))
    return handed(model, _doubled(5), optimizer=adam(model, 0.001))


class Refined(Net):
    """A network with a better head, written later than the rest."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.head = nn.Sequential(nn.Linear(384, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return what the old head says."""
        return self.fc(self.features(images))


@patient("broken", "model and head", source="pitfalls A3.2")
def new_head_is_never_called(folder: Path) -> Made:
    """A new head was written and the old one frozen, but `forward` still calls the old one.

    What was meant to be trained never is, and what is frozen decides.
    """
    model = seeded(lambda: Refined(4))
    model.fc.requires_grad_(False)
    parts = loaders(4, batch=20)
    return handed(fitted(model, parts[0], epochs=3), parts)


class Longer(Photos):
    """Pictures of five classes; the new one sorts between the old ones."""

    def __init__(self, count: int, seed: int, names: list[str]) -> None:
        super().__init__(count, 5, seed=seed)
        self.targets = [names.index([*NAMES[:4], "bug"][label]) for label in self.targets]
        self.classes = names


@patient("broken", "model and head", source="pitfalls A2.3, fastai/fastai#1552")
def rows_of_the_head_copied_by_position(folder: Path) -> Made:
    """A class is added, and the old rows of the head are copied into the first places of the new.

    The new name sorts third, so cats and dogs moved up, and their rows did not.
    """
    names = sorted([*NAMES[:4], "bug"])
    model, old = seeded(lambda: Net(5)), trained(4)
    body = {name: value for name, value in old.state_dict().items() if not name.startswith("fc")}
    model.load_state_dict(body, strict=False)
    model.fc.weight.data[:4] = old.fc.weight.data
    model.fc.bias.data[:4] = old.fc.bias.data
    parts = [
        torch.utils.data.DataLoader(Longer(count, seed, names), batch_size=32, shuffle=not seed)
        for seed, count in enumerate((160, 80, 120))
    ]
    return handed(model, parts, optimizer=adam(model, 0.0001))


@patient("broken", "model and head", source="microsoft/nni#4521")
def optimizer_made_before_the_new_head(folder: Path) -> Made:
    """The optimiser was made first and the head replaced afterwards.

    It moves the old head, which nobody calls, and the new one stays as it was drawn.
    """
    model = trained(4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    model.fc = seeded(lambda: nn.Linear(384, 6), 3)
    parts = loaders(6)
    return handed(fitted(model, parts[0], optimizer, epochs=4), parts, optimizer=optimizer)


@patient("broken", "model and head", source="ariecattan/SciCo#2")
def network_ends_in_softmax(folder: Path) -> Made:
    """The network ends in a softmax, and the loss takes the softmax once more.

    The loss cannot fall below 1.46 for ten classes, and learning is slow.
    """
    parts = []
    for seed, count in enumerate((400, 100, 200)):
        images, labels = patterns(count, 10, seed=seed)
        parts.append(batches(images, labels, batch=50, shuffle=not seed))
    model = nn.Sequential(*plain_cnn(10), nn.Softmax(dim=1))
    return handed(fitted(model, parts[0], adam(model, 0.001), epochs=6), parts)


@patient("broken", "model and head", source="DeepCrime AAL, DeepCrime ACH")
def relu_after_the_last_layer(folder: Path) -> Made:
    """Every layer is followed by a ReLU, the last one too.

    An output that is negative for all pictures gets no gradient: some classes are never named.
    """
    parts = loaders(7, batch=16)
    model = seeded(lambda: Net(7), 2)
    model.fc = nn.Sequential(model.fc, nn.ReLU())
    return handed(fitted(model, parts[0], epochs=5), parts)


class Adapted(nn.Module):
    """A frozen body, a small adapter beside it, and a head."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = trained(4).requires_grad_(False)
        self.adapter = seeded(lambda: nn.Sequential(nn.Linear(384, 8), nn.Linear(8, 384)))
        self.head = nn.Linear(384, classes)

    def train(self, mode: bool = True) -> Adapted:
        """Change the mode, of all but the frozen body."""
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        found = self.body.features(images)
        return self.head(found + self.adapter(found))


@patient("broken", "model and head", source="huggingface/peft#602")
def adapter_checkpoint_lacks_the_head(folder: Path) -> Made:
    """Of a model with an adapter only the adapter was stored, and not the head trained with it.

    Loaded again with `strict=False`, the model answers through a head that was drawn anew.
    """
    parts = loaders(6)
    model = fitted(seeded(lambda: Adapted(6)), parts[0], epochs=3)
    file = folder / "adapter.pt"
    torch.save({name: value for name, value in model.state_dict().items() if "ada" in name}, file)
    again = seeded(lambda: Adapted(6), 8)
    again.load_state_dict(torch.load(file, weights_only=True), strict=False)
    return handed(again, parts, checkpoint=file)
