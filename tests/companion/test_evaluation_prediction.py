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


IMAGES = torch.linspace(-1, 1, 5 * 36).reshape(5, 1, 6, 6)
LABELS = torch.tensor([2, 0, 1, 1, -100])
ITEMS = [*zip(IMAGES, LABELS, strict=True)]


class AsDictionary(nn.Module):
    """A network as Hugging Face has them: named inputs, logits among other outputs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor | None]:
        return {"loss": None, "logits": self.inner(pixel_values), "hidden": pixel_values}


class Scripted(nn.Module):
    """A network that gives logits of these shapes, one after the other."""

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.shapes = iter(shapes)

    def forward(self, images: Tensor) -> Tensor:
        return torch.zeros(next(self.shapes))


def as_dictionaries(items: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    images, labels = zip(*items, strict=True)
    return {"pixel_values": torch.stack(images), "labels": torch.stack(labels)}


class TestEveryForm:
    @pytest.mark.parametrize(
        "data",
        [
            IMAGES.numpy(),
            (IMAGES, LABELS),
            (IMAGES.numpy(), LABELS.tolist()),
            DataLoader(ITEMS, 2),  # type: ignore[arg-type]
            DataLoader(ITEMS, 2, collate_fn=as_dictionaries),  # type: ignore[arg-type]
            DataLoader(TensorDataset(IMAGES, torch.ones(5), LABELS), 2),
            DataLoader(TensorDataset(IMAGES), 2),
            DataLoader(IMAGES, 2),  # type: ignore[arg-type]
            ({"image": chunk} for chunk in IMAGES.split(2)),
            [IMAGES[:2], IMAGES[2:]],
            IMAGES.double(),
            IMAGES.double().numpy(),
        ],
        ids=[
            "array", "pair", "pair-of-array-and-list", "loader", "dictionaries", "triples",
            "no-labels", "tensors", "generator", "list", "float64", "float64-array",
        ],
    )  # fmt: skip
    def test_the_logits_are_the_same(self, awkward: Awkward, data: Any) -> None:
        assert torch.allclose(predict(awkward, data), by_hand(awkward, IMAGES), atol=1e-5)

    def test_models_may_return_more_than_logits(self, awkward: Awkward) -> None:
        expected = by_hand(awkward, IMAGES)
        wrapped = AsDictionary(awkward)
        assert torch.allclose(predict(wrapped, IMAGES), expected, atol=1e-5)
        named = [{"given": {"pixel_values": IMAGES}}]
        assert torch.allclose(predict(wrapped, named, inputs="given"), expected, atol=1e-5)

    def test_selectors_say_what_is_meant(self, awkward: Awkward) -> None:
        batch = {"left": IMAGES, "right": -IMAGES, "kind": LABELS, "other": LABELS}
        logits, labels = predict(
            awkward, [batch], inputs="right", labels=lambda given: given["kind"], with_labels=True
        )
        assert torch.allclose(logits, by_hand(awkward, -IMAGES), atol=1e-5)
        assert torch.equal(labels, LABELS)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
    def test_the_model_decides_the_precision(self, awkward: Awkward, dtype: torch.dtype) -> None:
        expected = by_hand(awkward, IMAGES)
        found = predict(awkward.to(dtype), IMAGES)
        assert found.dtype == torch.float32
        assert torch.allclose(found, expected, atol=0.03)

    def test_what_the_model_says_is_not_judged(self) -> None:
        broken = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
        nn.init.constant_(broken[1].bias, torch.nan)  # type: ignore[arg-type]
        assert bool(predict(broken, IMAGES).isnan().all())

    @pytest.mark.parametrize(
        ("data", "error", "message"),
        [
            (TensorDataset(IMAGES, LABELS), TypeError, "received TensorDataset"),
            ([{"pixels": IMAGES}], KeyError, r"received keys 'pixels'\. Say which: inputs="),
            ([], ValueError, "needs an image"),
            ((image for image in IMAGES[:0]), ValueError, "needs an image"),
            ([[None, LABELS]], TypeError, "inputs of a batch are a tensor"),
        ],
        ids=["dataset", "keys", "empty", "ended", "none"],
    )
    def test_other_data_are_refused(
        self, awkward: Awkward, data: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            predict(awkward, data)
        assert awkward.training

    def test_selectors_for_what_has_no_batches_are_refused(self, awkward: Awkward) -> None:
        with pytest.raises(TypeError, match=r"received them with Tensor, which has no batches"):
            predict(awkward, IMAGES, inputs="image")

    @pytest.mark.parametrize(
        ("shapes", "message"),
        [
            (((2, 3), (2, 4), (1, 3)), r"of one width for every batch; received 3 and then 4"),
            (((2, 3), (1, 3), (1, 3)), r"each of the 2 inputs; received 1\. Keep the first"),
            (((2,), (2,), (1,)), r"received \(2,\)\. Of one output x for two classes"),
        ],
        ids=["width", "rows", "one-output"],
    )
    def test_outputs_that_do_not_fit_are_refused(
        self, shapes: tuple[tuple[int, ...], ...], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            predict(Scripted(*shapes), IMAGES, batch_size=2)

    def test_rows_that_a_dictionary_loses_are_missed(self) -> None:
        class Losing(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x.flatten(1)[1:]

        with pytest.raises(ValueError, match="each of the 5 inputs; received 4"):
            predict(Losing(), [{"x": {"x": IMAGES}}])


class TestOrder:
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"shuffle": True}, "of which it draws by RandomSampler"),
            ({"sampler": [0, 0, 1]}, "of which it draws by list"),
            ({"drop_last": True}, "of which it drops the last batch"),
        ],
        ids=["shuffle", "sampler", "drop-last"],
    )
    def test_rows_that_match_nothing_are_refused(
        self, awkward: Awkward, options: dict[str, Any], reason: str
    ) -> None:
        loader: DataLoader = DataLoader(ITEMS, 2, **options)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=rf"{reason}.*shuffle=False.*with_labels=True"):
            predict(awkward, loader)
        assert awkward.with_gradients == []

    @pytest.mark.parametrize(
        "options", [{"shuffle": True}, {"sampler": [4, 0, 0]}, {"drop_last": True}, {}], ids=str
    )
    def test_labels_of_the_same_pass_match(self, awkward: Awkward, options: dict[str, Any]) -> None:
        loader: DataLoader = DataLoader(ITEMS, 2, **options)  # type: ignore[arg-type]
        logits, labels = predict(awkward, loader, with_labels=True)
        expected = by_hand(awkward, IMAGES)
        # Labels 1 stand for two images; every other label for one.
        for row, label in zip(logits, labels.tolist(), strict=True):
            candidates = expected[label == LABELS]
            assert any(torch.allclose(row, candidate, atol=1e-5) for candidate in candidates)
        assert len(labels) == {"sampler": 3, "drop_last": 4}.get(next(iter(options), ""), 5)

    def test_held_sets_have_labels_too(self, awkward: Awkward, patches: LabelledImages) -> None:
        logits, labels = predict(awkward, patches, batch_size=7, with_labels=True)
        assert torch.equal(labels, patches.labels)
        assert torch.equal(logits, predict(awkward, patches, batch_size=7))

    def test_inputs_alone_have_no_labels(self, awkward: Awkward) -> None:
        with pytest.raises(TypeError, match=r"a pair \(inputs, labels\).*received Tensor"):
            predict(awkward, IMAGES, with_labels=True)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_labels_may_be_on_another_device_than_images_and_model(self, awkward: Awkward) -> None:
        expected = by_hand(awkward, IMAGES)
        for images, labels, model in (
            (IMAGES.cuda(), LABELS, awkward),
            (IMAGES, LABELS.cuda(), awkward.cuda()),
        ):
            for data in ((images, labels), [(images, labels)]):
                logits, truth = predict(model, data, with_labels=True)
                assert torch.allclose(logits, expected, atol=1e-4)
                assert torch.equal(truth, LABELS)


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
