"""An imbalanced set with a loader of its own: find the mistake, correct once, judge fairly."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler, random_split

from companion import (
    LogitAdjustedLoss,
    audit_sampler,
    balanced_sampler,
    class_counts,
    class_weights,
    double_correction,
    evaluate,
    fit,
    labels_of,
)

torch.manual_seed(0)
labels = torch.tensor([0] * 360 + [1] * 40)
features = torch.randn(400, 8) + 1.2 * labels[:, None]
everything = TensorDataset(features, labels)
train, test = random_split(everything, [0.7, 0.3], torch.Generator().manual_seed(0))
assert torch.equal(labels_of(train), labels[list(train.indices)])

# What tutorials get wrong: a weight for each class where one for each image is meant.
wrong = WeightedRandomSampler(class_weights(train).tolist(), len(train))
findings = audit_sampler(wrong, train).findings
assert any(finding.severity == "error" for finding in findings), findings

sampler = balanced_sampler(train, seed=0)
assert not audit_sampler(sampler, train).findings
loader = DataLoader(train, batch_size=32, sampler=sampler)
counts = class_counts(train)
assert double_correction(sampler, LogitAdjustedLoss(counts), labels=train) is not None


def network() -> nn.Module:
    """A small classifier of eight numbers."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))


plain, drawn, adjusted = network(), network(), network()
usual = DataLoader(train, batch_size=32, shuffle=True)
fit(plain, usual, epochs=4, lr=0.01)
fit(drawn, loader, epochs=4, lr=0.01)
fit(adjusted, usual, epochs=4, lr=0.01, loss=LogitAdjustedLoss(counts))
scores = {}
for name, model in {"plain": plain, "drawn": drawn, "adjusted": adjusted}.items():
    found = evaluate(model, DataLoader(test, batch_size=64), classes=["common", "rare"])
    scores[name] = found.recall["rare"]
assert scores["drawn"] >= scores["plain"], scores
assert scores["adjusted"] >= scores["plain"], scores
print({name: round(score, 2) for name, score in scores.items()})
