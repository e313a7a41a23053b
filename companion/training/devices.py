"""Where to compute, and whether to show progress."""

from __future__ import annotations

import os
import sys

import torch


def default_device() -> torch.device:
    """Return `COMPANION_DEVICE` where it is set, else CUDA where there is one, else the CPU.

    Raises `ValueError` for a device that does not exist here.

    >>> default_device().type in ("cpu", "cuda")
    True
    """
    name = os.environ.get("COMPANION_DEVICE")
    if name:
        return checked_device(name)
    name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def checked_device(device: torch.device | str | None) -> torch.device:
    """Return the device, the default one for None; raise `ValueError` where it is not there.

    >>> checked_device("cpu")
    device(type='cpu')
    """
    if device is None:
        return default_device()
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"the device must exist on this machine; received {str(device)!r} "
            f"({str(error).splitlines()[0]}). Use 'cpu', or install a PyTorch build for it."
        ) from error
    return chosen


def shows_progress() -> bool:
    """Return whether somebody watches: a terminal or a notebook, unless COMPANION_PROGRESS=0.

    >>> shows_progress() in (True, False)
    True
    """
    wanted = os.environ.get("COMPANION_PROGRESS")
    if wanted is not None:
        return wanted != "0"
    return sys.stderr.isatty() or "ipykernel" in sys.modules
