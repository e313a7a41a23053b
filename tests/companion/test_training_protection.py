from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from companion import LabelledImages, NonFiniteLossError, fit, small_cnn
from companion.states import modes_kept, own_randomness, weights_kept


@pytest.fixture
def model() -> nn.Module:
    """A network with weights, statistics and modes to lose: its BatchNorm is frozen."""
    network = small_cnn(3, widths=(4,), dropout=0.5, seed=0)
    next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d)).eval()
    return network


def at_call(number: int, then: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy, handed to `then` at its call of this number, the first being 1."""
    calls = 0

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        value = F.cross_entropy(logits, labels)
        return then(value) if calls == number else value

    return loss


def interrupt(value: Tensor) -> Tensor:
    raise KeyboardInterrupt


class Failing(Dataset[tuple[Tensor, Tensor]]):
    """Gives images for one epoch of twelve, and then fails."""

    given = 0

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.given += 1
        if self.given > 12:
            raise OSError("disk gone")
        return torch.rand(1, 6, 6), torch.tensor(index % 3)


def assert_trained_for_one_epoch(
    model: nn.Module, data: LabelledImages, batch_size: int, lr: float = 0.01
) -> None:
    """The model has the weights of one epoch by itself, at a constant rate."""
    alone = small_cnn(3, widths=(4,), dropout=0.5, seed=0)
    next(m for m in alone.modules() if isinstance(m, nn.BatchNorm2d)).eval()
    fit(alone, data, epochs=1, lr=lr, batch_size=batch_size, schedule="constant")
    for name, value in model.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name


@pytest.mark.parametrize(
    ("bad", "seen"), [(float("nan"), "nan"), (float("inf"), "inf")], ids=["nan", "inf"]
)
def test_a_loss_that_is_not_finite_says_where(
    patches: LabelledImages, model: nn.Module, snapshot: type[Any], bad: float, seen: str
) -> None:
    before = snapshot(model, patches)
    with pytest.raises(
        NonFiniteLossError,
        match=rf"must stay finite; it became {seen} in epoch 2, step 3, at learning rate 0\.01\. "
        r"Lower lr, or look for NaN in images and for batches .*\. The model has the weights of "
        r"epoch 1, the best of the 1 that were complete",
    ) as caught:
        fit(
            model,
            patches,
            epochs=3,
            lr=0.01,
            batch_size=16,
            schedule="constant",
            loss=at_call(7, lambda value: value * bad),  # four steps an epoch
        )
    before.check(weights=False)
    assert len(caught.value.history) == 1  # type: ignore[attr-defined]
    assert_trained_for_one_epoch(model, patches, batch_size=16)


def test_images_that_are_nan_are_found_in_a_loader(
    patches: LabelledImages, model: nn.Module, snapshot: type[Any]
) -> None:
    images = patches.images.clone()
    images[20] = float("nan")
    before = snapshot(model)
    with pytest.raises(NonFiniteLossError, match="became nan in epoch 1, step 2"):
        fit(model, DataLoader(TensorDataset(images, patches.labels), 16), epochs=1, lr=0.01)
    before.check()


def test_a_rate_far_too_high_is_named(patches: LabelledImages, snapshot: type[Any]) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    before = snapshot(model, patches)
    with pytest.raises(NonFiniteLossError, match=r"at learning rate 1e\+30"):
        fit(
            model,
            patches,
            epochs=5,
            lr=1e30,
            optimizer="sgd",
            schedule="constant",
            loss=lambda logits, labels: (logits**2).mean(),
        )
    before.check(weights=False)


def test_an_interruption_keeps_the_best_epoch_so_far(
    patches: LabelledImages, model: nn.Module, snapshot: type[Any]
) -> None:
    before = snapshot(model, patches)
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(
            model,
            patches,
            validation=patches,
            epochs=3,
            lr=0.01,
            batch_size=16,
            schedule="constant",
            loss=at_call(8, interrupt),  # one try, four steps, one validation, and then two steps
        )
    before.check(weights=False)
    assert any("epoch 1, the best of the 1" in note for note in caught.value.__notes__)
    assert len(caught.value.history) == 1  # type: ignore[attr-defined]
    assert_trained_for_one_epoch(model, patches, batch_size=16)


def test_an_interruption_of_the_first_epoch_gives_everything_back(
    patches: LabelledImages, model: nn.Module, snapshot: type[Any]
) -> None:
    before = snapshot(model, patches)
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(model, patches, epochs=3, lr=0.1, batch_size=16, loss=at_call(3, interrupt))
    before.check()
    assert any("as before the call" in note for note in caught.value.__notes__)


def test_gradients_are_as_before_an_error(patches: LabelledImages, model: nn.Module) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(model, patches, epochs=1, lr=0.1, batch_size=16, loss=at_call(3, interrupt))
    assert [p.grad for p in model.parameters()] == [None] * len(list(model.parameters()))


def test_an_error_while_validating_gives_everything_back(
    patches: LabelledImages, model: nn.Module, snapshot: type[Any]
) -> None:
    before = snapshot(model, patches)
    with pytest.raises(KeyboardInterrupt):
        # A batch tried, one training batch, then one validation batch.
        fit(
            model,
            patches,
            validation=patches,
            epochs=3,
            lr=0.1,
            batch_size=60,
            loss=at_call(3, interrupt),
        )
    before.check()
    assert torch.is_grad_enabled()


def test_an_error_of_the_augmentation_gives_everything_back(
    patches: LabelledImages, model: nn.Module, snapshot: type[Any]
) -> None:
    before = snapshot(model, patches)
    calls: list[int] = []

    def augment(images: Tensor) -> Tensor:
        calls.append(len(images))
        torch.rand(7)
        if len(calls) == 2:
            raise RuntimeError("lens cap on")
        return images.neg_()

    with pytest.raises(RuntimeError, match="lens cap on"):
        fit(model, patches, epochs=3, lr=0.1, batch_size=30, augment=augment)
    before.check()


def test_an_error_of_the_loader_keeps_the_epoch_before(
    model: nn.Module, snapshot: type[Any]
) -> None:
    before = snapshot(model)
    with pytest.raises(OSError, match="disk gone") as caught:
        fit(model, DataLoader(Failing(), batch_size=4), epochs=2, lr=0.1)
    before.check(weights=False)
    assert any("epoch 1" in note for note in caught.value.__notes__)


def test_the_same_run_succeeds_after_an_error(patches: LabelledImages) -> None:
    tried, fresh = (small_cnn(3, widths=(4,), dropout=0.5, seed=0) for _ in range(2))
    with pytest.raises(KeyboardInterrupt):
        fit(tried, patches, epochs=2, lr=0.1, batch_size=16, loss=at_call(3, interrupt))
    fit(tried, patches, epochs=2, lr=0.01)
    fit(fresh, patches, epochs=2, lr=0.01)
    pairs = zip(tried.state_dict().values(), fresh.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


class TestKeptOnError:
    def test_without_an_error_the_weights_may_change(self, model: nn.Module) -> None:
        modes = [module.training for module in model.modules()]
        with modes_kept(model), weights_kept(model, on_error_only=True):
            model.eval()
            nn.init.ones_(model.get_parameter("head.weight"))
        assert [module.training for module in model.modules()] == modes
        assert bool((model.get_parameter("head.weight") == 1).all())

    def test_the_error_comes_through(self, model: nn.Module, snapshot: type[Any]) -> None:
        before = snapshot(model)

        def spoil() -> None:
            with modes_kept(model), weights_kept(model, on_error_only=True):
                model.eval()
                nn.init.ones_(model.get_parameter("head.weight"))
                raise ZeroDivisionError("spoilt")

        with pytest.raises(ZeroDivisionError, match="spoilt"):
            spoil()
        before.check()


class TestOwnRandomness:
    def test_inside_it_is_the_seeds(self) -> None:
        torch.manual_seed(123)
        before = torch.get_rng_state()
        with own_randomness(5, torch.device("cpu")):
            inside = torch.rand(3)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(5)
        assert torch.equal(inside, torch.rand(3))

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    @pytest.mark.parametrize("device", ["cuda", "cuda:0", "cpu"])
    def test_cuda_is_given_back_too(self, device: str) -> None:
        torch.rand(1, device="cuda")
        before = torch.cuda.get_rng_state()
        with own_randomness(5, torch.device(device)):
            torch.rand(3, device=device)
        assert torch.equal(torch.cuda.get_rng_state(), before)
