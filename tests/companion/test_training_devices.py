from __future__ import annotations

import sys

import pytest
import torch

from companion import default_device
from companion.training.devices import checked_device, shows_progress


def test_the_default_is_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert default_device() == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert default_device() == torch.device("cpu")


def test_companion_device_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("COMPANION_DEVICE", "cpu")
    assert default_device() == checked_device(None) == torch.device("cpu")


def test_a_companion_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPANION_DEVICE", "abacus")
    with pytest.raises(ValueError, match=r"must exist on this machine; received 'abacus' \("):
        default_device()


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")], ids=["name", "device"])
def test_a_device_may_be_a_name(device: str | torch.device) -> None:
    assert checked_device(device) == torch.device("cpu")


@pytest.mark.parametrize("device", ["cuda:99", "xpu:0", "gpu"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    if device == "xpu:0" and torch.xpu.is_available():
        pytest.skip("has an Intel GPU")
    with pytest.raises(ValueError, match=rf"received '{device}' \(.+\)\. Use 'cpu', or install"):
        checked_device(device)


@pytest.mark.parametrize(("value", "expected"), [("0", False), ("1", True)])
def test_progress_can_be_asked_for_or_switched_off(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: bool
) -> None:
    monkeypatch.setenv("COMPANION_PROGRESS", value)
    assert shows_progress() is expected


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "file"])
def test_progress_is_for_terminals(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert shows_progress() is terminal


def test_progress_is_for_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", pytest)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert shows_progress()
