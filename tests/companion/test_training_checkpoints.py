from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, OneCycleLR
from torch.utils.data import DataLoader

from companion import CheckpointError, LabelledImages, balanced_sampler, fit, mlp, small_cnn
from companion.training import TrainingRun, read_checkpoint, write_checkpoint


class KilledError(Exception):
    """What ends a run in the middle."""


def killed_after(epochs: int) -> Any:
    def kill(run: TrainingRun) -> None:
        if len(run.history) > epochs:
            raise KilledError

    return kill


def shaken(images: Tensor) -> Tensor:
    """An augmentation that draws from all three global generators."""
    shift = np.random.normal() + random.random()
    return images + 0.01 * shift + 0.1 * torch.randn_like(images)


def model() -> nn.Module:
    return small_cnn(3, widths=(4, 4), dropout=0.3, seed=0)


KINDS: dict[str, Any] = {
    "adamw, one cycle": lambda data: {},
    "sgd, torch's one cycle": lambda data: {
        "optimizer": "sgd",
        "schedule": lambda optimizer: OneCycleLR(optimizer, 0.05, total_steps=40),
    },
    "restarts by the epoch": lambda data: {
        "schedule": lambda optimizer: CosineAnnealingWarmRestarts(optimizer, 2),
        "schedule_every": "epoch",
    },
    "augmented": lambda data: {"augment": shaken},
    "balanced": lambda data: {"sampler": balanced_sampler(data, seed=1)},
    "float16, clipped, accumulated": lambda data: {
        "precision": "float16",
        "clip_norm": 1.0,
        "accumulate": 2,
        "device": "cpu",
    },
    "shuffled loader": lambda data: {"train": DataLoader(data, 16, shuffle=True)},
    "loader with a generator": lambda data: {
        "train": DataLoader(data, 16, shuffle=True, generator=torch.Generator().manual_seed(5))
    },
    "early stopping": lambda data: {"patience": 2, "monitor": "loss"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_resumed_is_bit_for_bit_the_run_that_was_not_interrupted(
    patches: LabelledImages, more_patches: LabelledImages, tmp_path: Path, kind: str
) -> None:
    def options() -> dict[str, Any]:
        given = {"train": patches, "validation": more_patches, "epochs": 6, "lr": 0.01}
        extra = KINDS[kind](patches)
        return given | ({} if "train" in extra else {"batch_size": 16}) | extra

    whole, parted = model(), model()
    expected = fit(whole, **options())
    file = tmp_path / "run.pt"
    with pytest.raises(KilledError):
        fit(parted, **options(), checkpoint=file, on_epoch=killed_after(2))
    torch.manual_seed(99)  # another process
    other = model()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    found = fit(other, **options(), checkpoint=file)
    assert found == expected
    for name, value in whole.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_what_modules_and_losses_keep_besides_is_resumed(
    patches: LabelledImages, tmp_path: Path
) -> None:
    class Counting(nn.Module):
        """Counts its steps in what only `get_extra_state` knows, and computes with the number."""

        def __init__(self) -> None:
            super().__init__()
            self.inner, self.calls = mlp(3, inputs=36, seed=0), 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += self.training
            return self.inner(images) * (1 + 0.3 * self.calls)

        def get_extra_state(self) -> dict[str, int]:
            return {"calls": self.calls}

        def set_extra_state(self, state: dict[str, int]) -> None:
            self.calls = state["calls"]

    class Fading(nn.Module):
        """A loss that changes with the number of its calls."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
            self.calls += 1
            return nn.functional.cross_entropy(logits * (1 + 0.5 * self.calls), labels)

    options: dict[str, Any] = {"epochs": 5, "lr": 0.01, "batch_size": 20}
    file, whole, resumed = tmp_path / "run.pt", Counting(), Counting()
    fit(whole, patches, loss=Fading(), **options)
    with pytest.raises(KilledError):
        fit(
            Counting(), patches, loss=Fading(), checkpoint=file, on_epoch=killed_after(2), **options
        )
    fit(resumed, patches, loss=Fading(), checkpoint=file, **options)
    assert resumed.calls == whole.calls == 15
    pairs = zip(whole.parameters(), resumed.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_run_that_is_complete_is_not_trained_again(
    patches: LabelledImages, tmp_path: Path
) -> None:
    file = tmp_path / "run.pt"
    first, second = model(), model()
    options: dict[str, Any] = {"epochs": 2, "lr": 0.01, "checkpoint": file}
    one = fit(first, patches, **options)
    written = file.read_bytes()
    two = fit(second, patches, **options)
    assert one == two
    assert file.read_bytes() == written
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_anybody_can_read_the_weights(patches: LabelledImages, tmp_path: Path) -> None:
    file = tmp_path / "run.pt"
    trained, fresh = model(), model()
    fit(trained, patches, epochs=1, lr=0.01, checkpoint=file)
    state = torch.load(file, weights_only=True)
    fresh.load_state_dict(state["model"])
    assert torch.equal(fresh.get_parameter("head.weight"), trained.get_parameter("head.weight"))
    assert state["label_map"]["classes"] == list(patches.classes)


class TestBadFiles:
    @pytest.fixture
    def file(self, patches: LabelledImages, tmp_path: Path) -> Path:
        """The checkpoint of a run that was killed in its second epoch."""
        path = tmp_path / "run.pt"
        with pytest.raises(KilledError):
            fit(
                model(), patches, epochs=3, lr=0.01, checkpoint=path, on_epoch=killed_after(1)
            )  # fmt: skip
        return path

    def refused(self, patches: LabelledImages, file: Path, message: str, **options: Any) -> None:
        given: dict[str, Any] = {"model": model(), "epochs": 3, "lr": 0.01} | options
        network = given.pop("model")
        before = {name: value.clone() for name, value in network.state_dict().items()}
        written = file.read_bytes()
        with pytest.raises(CheckpointError, match=message):
            fit(network, patches, checkpoint=file, **given)
        assert file.read_bytes() == written
        for name, value in network.state_dict().items():
            assert torch.equal(value, before[name]), name

    def test_cut_off_in_the_middle(self, patches: LabelledImages, file: Path) -> None:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        self.refused(patches, file, "must be a whole file that fit wrote; .* cannot be read")

    def test_empty(self, patches: LabelledImages, file: Path) -> None:
        file.write_bytes(b"")
        self.refused(patches, file, "Delete it to begin anew")

    def test_of_another_model(self, patches: LabelledImages, file: Path) -> None:
        other = mlp(3, inputs=36, seed=0)
        self.refused(patches, file, "in .*run.pt model is 'Sequential of .*and now", model=other)

    def test_of_another_rate(self, patches: LabelledImages, file: Path) -> None:
        self.refused(patches, file, r"lr is 0\.01, and now it is 0\.02", lr=0.02)

    def test_of_other_data(self, patches: LabelledImages, file: Path) -> None:
        self.refused(patches.at(range(59)), file, "train is '60 images .*and now it is '59")

    def test_of_another_activation(self, patches: LabelledImages, file: Path) -> None:
        other = model()
        other.features[2] = nn.Tanh()  # type: ignore[operator, union-attr, index]
        self.refused(patches, file, "model is 'Sequential of .*and now", model=other)

    def test_of_another_validation_set(self, patches: LabelledImages, file: Path) -> None:
        self.refused(patches, file, "validation is 'none', and now", validation=patches)

    def test_with_bits_turned(self, patches: LabelledImages, file: Path) -> None:
        content = bytearray(file.read_bytes())
        middle = len(content) // 3
        for place in range(middle, middle + 200):  # more than the padding between two tensors
            content[place] ^= 1
        file.write_bytes(bytes(content))
        self.refused(patches, file, "must be a whole file that fit wrote")

    def test_without_an_optimiser(self, patches: LabelledImages, file: Path) -> None:
        state = torch.load(file, weights_only=True)
        del state["optimizer"]
        torch.save(state, file)
        self.refused(patches, file, "lacks optimizer")

    def test_of_another_version(self, patches: LabelledImages, file: Path) -> None:
        torch.save(torch.load(file, weights_only=True) | {"format": 0}, file)
        self.refused(patches, file, "has the format 1; .* has 0: it was written by another version")

    def test_of_something_else(self, patches: LabelledImages, file: Path) -> None:
        torch.save(model().state_dict(), file)
        self.refused(patches, file, "has None: it was written by another version, or by something")

    def test_code_in_a_file_is_not_run(self, patches: LabelledImages, file: Path) -> None:
        torch.save({"format": 1, "run": Path("surprise")}, file)
        self.refused(patches, file, "cannot be read")


class TestWriting:
    def test_what_could_not_be_read_is_not_written(self, tmp_path: Path) -> None:
        file = tmp_path / "run.pt"
        with pytest.raises(CheckpointError, match="readable without running code"):
            write_checkpoint({"path": Path("x")}, file)
        assert list(tmp_path.iterdir()) == []

    def test_an_error_while_writing_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "run.pt"
        write_checkpoint({"epoch": 1}, file)

        def fail(*_: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("os.fsync", fail)
        with pytest.raises(KeyboardInterrupt):
            write_checkpoint({"epoch": 2}, file)
        assert read_checkpoint(file)["epoch"] == 1
        assert list(tmp_path.iterdir()) == [file]

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"lies in a folder that is there.*Make"):
            write_checkpoint({}, tmp_path / "missing" / "run.pt")

    def test_optimisers_of_any_kind_are_readable(
        self, patches: LabelledImages, tmp_path: Path
    ) -> None:
        for number, kind in enumerate((SGD, torch.optim.RMSprop, torch.optim.NAdam)):
            file = tmp_path / f"{number}.pt"
            fit(model(), patches, epochs=1, lr=0.01, optimizer=kind, checkpoint=file)
            assert read_checkpoint(file)["history"]["best"] == 0


def test_the_history_is_plain() -> None:
    from companion.training import Epoch

    assert all(
        value is None or isinstance(value, float)
        for value in dataclasses.asdict(Epoch(1.0, 0.5, 0.1, None, None)).values()
    )
