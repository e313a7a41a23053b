"""Healthy: pretrained bodies, frozen, thawed and loaded as they should be."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from companion.ward.model_freezing import with_new_head
from companion.ward.model_parts import adam, fitted, handed, parts_of
from companion.ward.parts import Net, Photos, loaders, seeded, trained
from companion.ward.patients import Made, patient


class Frozen(nn.Module):
    """A frozen body whose BatchNorm stays in evaluation mode, and a head."""

    def __init__(self, classes: int, head: nn.Module | None = None) -> None:
        super().__init__()
        self.body = trained(4).requires_grad_(False)
        self.body.fc = nn.Identity()  # type: ignore[assignment]
        self.head = head or nn.Linear(384, classes)

    def train(self, mode: bool = True) -> Frozen:
        """Change the mode of the head alone."""
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.body(images))


@patient("healthy", "model and head", source="chemprop/chemprop#952")
def frozen_body_with_its_batchnorm_in_evaluation(folder: Path) -> Made:
    """The body is frozen, statistics and all, and only the head is trained and in the optimiser."""
    parts = loaders(6)
    model = seeded(lambda: Frozen(6))
    optimizer = torch.optim.Adam(model.head.parameters(), lr=0.003)
    return handed(fitted(model, parts[0], optimizer, epochs=6), parts, optimizer=optimizer)


@patient("healthy", "model and head", source="doctor-anchors 2 (M11)")
def probe_of_low_rank_on_frozen_features(folder: Path) -> Made:
    """On frozen features stand two linear layers with nothing between: a head of rank 16."""
    parts = loaders(8, counts=(240, 80, 120))
    head = seeded(lambda: nn.Sequential(nn.Linear(384, 16, bias=False), nn.Linear(16, 8)))
    model = Frozen(8, head)
    optimizer = adam(model, 0.003)
    return handed(fitted(model, parts[0], optimizer, epochs=6), parts, optimizer=optimizer)


@patient("healthy", "model and head", source="pitfalls D8")
def new_head_on_a_pretrained_body(folder: Path) -> Made:
    """The head was replaced a moment ago and nothing trained yet; the optimiser was made last."""
    model = with_new_head(5)
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in model.named_parameters() if "fc" not in n], "lr": 1e-4},
            {"params": model.fc.parameters(), "lr": 1e-2},
        ]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [1e-4, 1e-2], total_steps=50)
    return handed(model, loaders(5), optimizer=optimizer, scheduler=schedule, total_steps=50)


@patient("healthy", "model and head", source="pitfalls D8")
def checkpoint_without_the_head_on_purpose(folder: Path) -> Made:
    """The pretrained file has no head, since the classes are others; a new one was trained."""
    file = folder / "backbone.pth"
    weights = trained(4).state_dict()
    torch.save({name: value for name, value in weights.items() if name[:2] != "fc"}, file)
    model = seeded(lambda: Net(7))
    missing = model.load_state_dict(torch.load(file, weights_only=True), strict=False).missing_keys
    assert missing == ["fc.weight", "fc.bias"]
    parts = loaders(7, counts=(210, 80, 120))
    return handed(fitted(model, parts[0], epochs=4), parts, checkpoint=file)


@patient("healthy", "model and head", source="pytorch/examples#1029")
def module_prefix_taken_off_before_loading(folder: Path) -> Made:
    """The weights were stored by several GPUs; their prefix was taken off and all were loaded."""
    file = folder / "checkpoint.pth"
    torch.save({f"module.{name}": value for name, value in trained(6).state_dict().items()}, file)
    stored = torch.load(file, weights_only=True)
    model = seeded(lambda: Net(6))
    model.load_state_dict({name.removeprefix("module."): value for name, value in stored.items()})
    return handed(model.eval(), loaders(6, batch=60), checkpoint=file)


class MonteCarlo(Net):
    """A network that averages over dropout in evaluation, to know how sure it is."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, in evaluation the mean of sixteen draws."""
        draws = 1 if self.training else 16
        found = self.features(images)
        return torch.stack([self.fc(functional.dropout(found, 0.2)) for _ in range(draws)]).mean(0)


@patient("healthy", "model and head", source="pitfalls D24")
def monte_carlo_dropout_in_evaluation(folder: Path) -> Made:
    """Dropout stays on in evaluation on purpose, and sixteen draws are averaged."""
    parts = loaders(4)
    return handed(fitted(seeded(lambda: MonteCarlo(4)), parts[0]), parts)


class Modern(nn.Module):
    """GroupNorm, GELU, no biases, a learnt temperature."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 16, 4, stride=2, bias=False),
            nn.GroupNorm(4, 16),
            nn.GELU(),
            nn.Conv2d(16, 32, 3, bias=False),
            nn.GroupNorm(4, 32),
            nn.GELU(),
            nn.Flatten(),
        )
        self.prototypes = nn.Parameter(torch.randn(classes, 800))
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, images: Tensor) -> Tensor:
        """Return scaled cosines between features and prototypes."""
        found = functional.normalize(self.net(images), dim=1)
        return self.scale * found @ functional.normalize(self.prototypes, dim=1).T


@patient("healthy", "model and head", source="doctor-anchors 5.1")
def cosines_to_prototypes_in_place_of_a_head(folder: Path) -> Made:
    """No linear layer at the end: the logits are cosines to prototypes that are learnt, scaled."""
    parts = parts_of(lambda count, seed: Photos(count, 5, seed=seed), batch=16)
    model = seeded(lambda: Modern(5))
    return handed(fitted(model, parts[0], adam(model, 0.003), epochs=6), parts)
