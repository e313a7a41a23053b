"""Ways to fine-tune: what should learn learns, and nothing else moves, buffers included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from companion import LabelledImages, fit, freeze, parameter_groups, small_cnn, unfreeze

LAST_BLOCK = ["features.6", "features.7"]


@pytest.fixture
def data() -> LabelledImages:
    images = torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return LabelledImages(images, torch.arange(24) % 3, ["a", "b", "c"])


def moved(model: nn.Module, data: LabelledImages, **options: object) -> set[str]:
    before = {name: values.clone() for name, values in model.state_dict().items()}
    fit(model, data, epochs=2, lr=0.05, batch_size=8, device="cpu", **options)  # type: ignore[arg-type]
    return {
        name for name, values in model.state_dict().items() if not torch.equal(values, before[name])
    }


@pytest.mark.parametrize(
    "keep",
    [["head"], ["head", *LAST_BLOCK], ["head", "features"], ["features"]],
    ids=["frozen", "last block", "full", "head frozen"],
)
def test_what_is_kept_learns_and_the_rest_stands_still(
    data: LabelledImages, keep: list[str]
) -> None:
    model = freeze(small_cnn(3, seed=0), keep=keep)
    kept = {
        name for name in model.state_dict() if any(name.startswith(f"{part}.") for part in keep)
    }
    assert moved(model, data) == kept


def test_gradual_thawing_opens_one_part_after_another(data: LabelledImages) -> None:
    model = freeze(small_cnn(3, seed=0), keep=["head"])
    assert {name.split(".")[0] for name in moved(model, data)} == {"head"}
    unfreeze(model.features[6:])
    opened = {".".join(name.split(".")[:2]) for name in moved(model, data)}
    assert opened == {"head.weight", "head.bias", *LAST_BLOCK}
    assert moved(unfreeze(model), data) == set(model.state_dict())


def test_slow_features_move_less_than_fast_ones(data: LabelledImages) -> None:
    def distance(share: float) -> float:
        model = small_cnn(3, seed=0)
        before = model.features[0].weight.clone()
        groups = parameter_groups(model, 0.05, rates={"features": 0.05 * share})
        moved(model, data, optimizer=lambda _, lr: torch.optim.AdamW(groups, lr=lr))
        return (model.features[0].weight - before).norm().item()

    assert distance(0.01) < 0.1 * distance(1.0)


def test_a_model_that_is_all_frozen_is_refused(data: LabelledImages) -> None:
    with pytest.raises(ValueError, match=r"every one is frozen\. Thaw a part"):
        fit(freeze(small_cnn(3, seed=0)), data, epochs=1, lr=0.1)
