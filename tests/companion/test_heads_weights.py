"""The two lines that start from torchvision's weights, on a file of the form that it downloads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision

from companion import find_head, replace_head

NAME = "squeezenet1_1"  # the smallest file of all


@pytest.fixture
def downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A checkpoint where torchvision looks before it downloads."""
    url = torchvision.models.get_model_weights(NAME).DEFAULT.url
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    state = torchvision.models.get_model(NAME, weights=None).state_dict()
    torch.save(state, folder / url.rsplit("/", 1)[1])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return state


def test_pretrained_features_stay_and_the_head_is_new(downloaded: dict[str, torch.Tensor]) -> None:
    model = torchvision.models.get_model(NAME, weights="DEFAULT")
    model = replace_head(model, 7, images=torch.zeros(1, 3, 64, 64))
    head = find_head(model)
    assert head.num_classes == 7
    for name, values in model.state_dict().items():
        if not name.startswith(f"{head.name}."):
            assert torch.equal(values, downloaded[name])


def test_the_weights_bring_their_own_transforms() -> None:
    transforms = torchvision.models.get_model_weights(NAME).DEFAULT.transforms()
    assert transforms(torch.zeros(3, 100, 80)).shape == (3, 224, 224)
