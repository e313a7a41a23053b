from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from companion import LabelledImages, small_cnn, trained_once
from companion.training import caching

OPTIONS: dict[str, Any] = {"epochs": 1, "lr": 0.01, "seed": 0, "device": "cpu"}


def pictures(value: float = 0.0, classes: str = "ab", label: int = 1) -> LabelledImages:
    images = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + value
    return LabelledImages(images, torch.tensor([0, 1, 0, 1, 0, 1, 0, label]), list(classes))


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [values.clone() for values in model.state_dict().values()]


def once(
    folder: Path, *, network: int = 0, data: LabelledImages | None = None, **other: Any
) -> nn.Module:
    model = small_cnn(2, seed=network, widths=(4,))
    return trained_once(model, data or pictures(), folder=folder, **OPTIONS | other)


@pytest.fixture
def trained(tmp_path: Path) -> nn.Module:
    return once(tmp_path)


def same(first: nn.Module, second: nn.Module) -> bool:
    return all(map(torch.equal, weights(first), weights(second)))


def test_the_second_call_finds_what_the_first_one_trained(
    trained: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(caching, "fit", refuse)
    assert same(once(tmp_path), trained)
    assert not same(trained, small_cnn(2, seed=0, widths=(4,)))


@pytest.mark.parametrize(
    "change",
    [
        {"network": 1},
        {"data": pictures(value=1e-6)},
        {"data": pictures(label=0)},
        {"data": pictures(classes="ac")},
        {"lr": 0.02},
        {"seed": 1},
        {"epochs": 2},
        {"optimizer": "sgd"},
    ],
    ids=["weights", "pixels", "labels", "names", "lr", "seed", "epochs", "optimizer"],
)
def test_whatever_decides_the_result_has_a_key_of_its_own(
    trained: nn.Module, tmp_path: Path, change: dict[str, Any]
) -> None:
    once(tmp_path, **change)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_change_of_the_package_trains_anew(
    trained: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "package"
    other.mkdir()
    (other / "loop.py").write_text("changed = True\n")
    monkeypatch.setattr(caching, "PACKAGE", other)
    once(tmp_path)
    assert len(list(tmp_path.glob("*.pt"))) == 2


def test_another_version_of_torch_trains_anew(
    trained: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "__version__", "0.0.0")
    once(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("broken", [b"", b"no checkpoint"], ids=["empty", "text"])
def test_a_file_that_cannot_be_read_is_replaced(
    trained: nn.Module, tmp_path: Path, broken: bytes
) -> None:
    (file,) = tmp_path.iterdir()
    file.write_bytes(broken)
    assert same(once(tmp_path), trained)
    assert torch.load(file, weights_only=True).keys() == trained.state_dict().keys()


def test_off_trains_and_stores_nothing(
    trained: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPANION_CACHE", "off")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    model = trained_once(small_cnn(2, seed=0, widths=(4,)), pictures(), **OPTIONS)
    assert same(model, trained)
    assert not (tmp_path / "home").exists()


def test_the_variable_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path / "here"))
    trained_once(small_cnn(2, seed=0, widths=(4,)), pictures(), **OPTIONS)
    assert len(list((tmp_path / "here").iterdir())) == 1


def test_a_failed_run_stores_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lr must be positive"):
        once(tmp_path / "none", lr=-1.0)
    assert not (tmp_path / "none").exists()


def test_functions_have_no_key(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"received functions for loss\. Call fit"):
        once(tmp_path, loss=nn.functional.cross_entropy)
    assert list(tmp_path.iterdir()) == []
