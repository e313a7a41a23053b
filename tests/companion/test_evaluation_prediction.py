from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from companion import LabelledImages, predict, small_cnn
from companion.inputs import batches, device_of
from companion.states import evaluating


class Awkward(nn.Module):
    """A network whose result depends on modes: BatchNorm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(36, 3)
        self.with_gradients: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        self.with_gradients.append(torch.is_grad_enabled())
        return self.head(self.drop(self.norm(images)).flatten(1))


class Broken(Awkward):
    """A network that fails at its second batch."""

    def forward(self, images: Tensor) -> Tensor:
        if self.with_gradients:
            raise RuntimeError("out of paper")
        return super().forward(images)


@pytest.fixture
def awkward() -> Awkward:
    """The awkward network in training mode, its BatchNorm frozen."""
    torch.manual_seed(0)
    model = Awkward()
    model.train()
    model.norm.eval()
    return model


def by_hand(model: Awkward, images: Tensor) -> Tensor:
    norm = model.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scaled = (images - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    return (scaled * norm.weight + norm.bias).flatten(1) @ model.head.weight.T + model.head.bias


class TestPredict:
    @pytest.mark.parametrize("batch_size", [1, 7, 60, 512])
    def test_logits_are_those_of_evaluation_mode(
        self, awkward: Awkward, patches: LabelledImages, batch_size: int
    ) -> None:
        logits = predict(awkward, patches, batch_size=batch_size)
        assert torch.allclose(logits, by_hand(awkward, patches.images), atol=1e-5)

    def test_every_kind_of_data_gives_the_same(
        self, awkward: Awkward, patches: LabelledImages
    ) -> None:
        logits = predict(awkward, patches)
        pairs = TensorDataset(patches.images, patches.labels)
        for data in (patches.images, DataLoader(patches, 7), DataLoader(pairs, 60)):
            assert torch.allclose(predict(awkward, data), logits, atol=1e-6)

    def test_a_loader_may_give_labels_as_a_list(self, awkward: Awkward) -> None:
        batch: Any = [(torch.zeros(2, 1, 6, 6), [0, 1])]
        loader: DataLoader[Any] = DataLoader(batch, batch_size=None, collate_fn=lambda given: given)
        assert predict(awkward, loader).shape == (2, 3)

    def test_no_gradients_are_recorded(self, awkward: Awkward, patches: LabelledImages) -> None:
        logits = predict(awkward, patches, batch_size=30)
        assert awkward.with_gradients == [False, False]
        assert not logits.requires_grad

    def test_modes_are_restored_module_by_module(
        self, awkward: Awkward, patches: LabelledImages
    ) -> None:
        predict(awkward, patches)
        assert [awkward.training, awkward.norm.training, awkward.drop.training] == [
            True,
            False,
            True,
        ]

    def test_modes_are_restored_when_the_model_raises(self, patches: LabelledImages) -> None:
        model = Broken()
        model.norm.eval()
        with pytest.raises(RuntimeError, match="out of paper"):
            predict(model, patches, batch_size=30)
        assert [model.training, model.norm.training, model.drop.training] == [True, False, True]
        assert torch.is_grad_enabled()

    def test_weights_statistics_and_random_state_stay(self, patches: LabelledImages) -> None:
        model = small_cnn(3, seed=0, dropout=0.5)
        state = {name: value.clone() for name, value in model.state_dict().items()}
        random_state = torch.get_rng_state()
        predict(model, patches)
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        assert torch.equal(torch.get_rng_state(), random_state)

    @pytest.mark.parametrize(
        "data",
        [torch.zeros(0, 1, 6, 6), DataLoader(Subset(TensorDataset(torch.zeros(1)), []))],
        ids=["tensor", "loader"],
    )
    def test_no_images_are_refused(self, awkward: Awkward, data: Tensor) -> None:
        with pytest.raises(ValueError, match=r"needs an image; the data yielded none\. Look at"):
            predict(awkward, data)
        assert awkward.training

    def test_outputs_that_are_no_logits_are_refused(self, patches: LabelledImages) -> None:
        with pytest.raises(ValueError, match=r"\(N, classes\); received \(60, 1, 6, 6\)\. Flatten"):
            predict(nn.Identity(), patches)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_agrees_with_the_cpu(self, awkward: Awkward, patches: LabelledImages) -> None:
        here = predict(awkward, patches)
        there = predict(awkward.cuda(), patches)
        assert there.device.type == "cpu"
        assert torch.allclose(here, there, atol=1e-4)


class TestTools:
    def test_batches_cut_a_set_in_order(self, patches: LabelledImages) -> None:
        cut = list(batches(patches, 25))
        assert [len(images) for images, _ in cut] == [25, 25, 10]
        assert torch.equal(torch.cat([images for images, _ in cut]), patches.images)
        assert torch.equal(torch.cat([labels for _, labels in cut]), patches.labels)

    def test_device_of_is_that_of_parameters_else_of_buffers(self) -> None:
        assert device_of(nn.Linear(1, 1, device="meta")).type == "meta"
        assert device_of(nn.BatchNorm1d(1, affine=False, device="meta")).type == "meta"
        assert device_of(nn.Identity()).type == "cpu"

    def test_evaluating_restores_a_shared_module_once(self) -> None:
        shared = nn.Dropout()
        model = nn.Sequential(shared, shared)
        with evaluating(model):
            inside = [shared.training, torch.is_grad_enabled()]
        assert inside == [False, False]
        assert [shared.training, torch.is_grad_enabled()] == [True, True]
