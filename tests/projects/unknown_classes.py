"""A detector of unknown classes for a model that is not ours: it returns more than logits."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from companion import (
    Prototypes,
    detection,
    features,
    fit,
    load,
    negative_energy,
    predict,
    threshold_keeping,
)


class Foreign(nn.Module):
    """Somebody else's classifier: called by name, answering with an object."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU())
        self.classifier = nn.Linear(64, classes)

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        """Return logits and more."""
        hidden = self.body(pixel_values)
        return SimpleNamespace(logits=self.classifier(hidden), hidden_states=(hidden,))


def loader(data: torch.utils.data.Dataset) -> DataLoader:
    """Batches in the form of a hub's data sets."""
    rows = [{"pixel_values": image, "labels": int(label)} for image, label in data]  # type: ignore[attr-defined]
    return DataLoader(rows, batch_size=64)  # type: ignore[arg-type]


torch.manual_seed(0)
train, validation, test = load("digits")
known = [str(digit) for digit in range(8)]
model = Foreign(len(known))
fit(model, loader(train.only(known)), epochs=6, lr=0.01)

seen, unseen = test.only(known), test.without(known)
threshold = threshold_keeping(negative_energy(predict(model, loader(validation.only(known)))), 0.95)
scores = {name: negative_energy(predict(model, loader(part))) for name, part in
          {"seen": seen, "unseen": unseen}.items()}  # fmt: skip
by_energy = detection(scores["seen"], scores["unseen"], keep=0.95)
assert by_energy.auroc > 0.7, by_energy
assert (scores["seen"] >= threshold).float().mean() > 0.85

few = train.only(known)
means = Prototypes(features(model, loader(few)), few.labels, few.label_map)
taken_in = train.without(known)
more = means.with_classes(features(model, loader(taken_in)), taken_in.labels, taken_in.label_map)
answers = more.logits(features(model, loader(unseen))).argmax(1)
right = [name in taken_in.classes for name in more.label_map.decode(answers)]
assert sum(right) / len(right) > 0.5
stored = torch.tensor(0.0)
print(f"AUROC {by_energy.auroc:.2f}, taken in {sum(right) / len(right):.2f}")
