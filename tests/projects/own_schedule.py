"""A schedule and a range test for an optimiser and a loop of one's own."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

from companion import predict, range_test, sharpness, simulate_schedule

torch.manual_seed(0)
inputs = torch.randn(256, 10)
labels = (inputs[:, :2].sum(1) > 0).long()
loader = DataLoader(
    TensorDataset(inputs, labels), 32, shuffle=True, generator=torch.Generator().manual_seed(0)
)
model = nn.Sequential(nn.Linear(10, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2))
optimizer = AdamW(
    [
        {"params": model[:3].parameters(), "lr": 1e-4},
        {"params": model[3].parameters(), "lr": 1e-3},
    ]
)
before = copy.deepcopy(model.state_dict())

# One peak for all groups erases their rates, and nothing says so; the simulation does.
steps = 5 * len(loader)
found = simulate_schedule(
    lambda each: OneCycleLR(each, max_lr=0.01, total_steps=steps), steps=steps, lr=[1e-4, 1e-3]
)
assert any("different rates" in str(finding) for finding in found.findings), found.findings
right = simulate_schedule(
    lambda each: OneCycleLR(each, max_lr=[1e-3, 1e-2], total_steps=steps),
    steps=steps,
    lr=[1e-3, 1e-2],
)
assert not right.findings, right.findings

measured = range_test(model, loader, optimizer=optimizer, steps=60, seeds=range(2))
for name, value in model.state_dict().items():
    assert torch.equal(value, before[name]), f"the range test has changed {name}"
assert not optimizer.state
peak = measured.suggestion()
assert 1e-4 < peak < 1.0, peak

scheduler = OneCycleLR(optimizer, max_lr=[peak / 10, peak], total_steps=steps)
for _ in range(5):
    model.train()
    for images, targets in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(images), targets).backward()
        optimizer.step()
        scheduler.step()
accuracy = (predict(model, inputs).argmax(1) == labels).float().mean().item()
assert accuracy > 0.85, accuracy
assert sharpness(model, (inputs, labels)) > 0
print(f"peak {peak:.3g}, accuracy {accuracy:.2f}")
