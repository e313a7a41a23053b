"""Networks that are trained once and found again, as long as nothing that made them changes."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from companion.datasets import LabelledImages
from companion.training.devices import checked_device
from companion.training.loop import fit

PACKAGE = Path(__file__).parents[1]


def trained_once(
    model: nn.Module, train: LabelledImages, *, folder: str | Path | None = None, **options: Any
) -> nn.Module:
    """Train a model with `fit`, or load the weights that the same call stored before; return it.

    The key covers everything that decides the result: the package's own code, PyTorch's version
    and the kind of device, the model's structure and initial weights, images, labels and
    classes, and `options`, which are those of `fit`. Files lie in `folder`, by default in
    `$COMPANION_CACHE` or `~/.cache/the-missing-class/networks`; `COMPANION_CACHE=off` trains
    anew and stores nothing. A file that cannot be read is replaced. Files are written whole or
    not at all, and read with `weights_only=True`.

    Mutated: the model, as by `fit`. Raises `TypeError` for options that are not plain values, as
    a function has no key, and the errors of `fit`.

    >>> from companion import digits, small_cnn
    >>> place = tempfile.mkdtemp()
    >>> first = trained_once(small_cnn(10, seed=0), digits(), folder=place, epochs=1, lr=0.01)
    >>> again = trained_once(small_cnn(10, seed=0), digits(), folder=place, epochs=1, lr=0.01)
    >>> bool((first.head.weight == again.head.weight).all()), len(list(Path(place).iterdir()))
    (True, 1)
    """
    device = checked_device(options.get("device"))
    where = _folder(folder)
    if where is None:
        fit(model, train, **options)
        return model
    file = where / f"{_key(model, train, options, device)}.pt"
    if file.is_file():
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            file.unlink()
        else:
            model.load_state_dict(state)
            return model.to(device)
    fit(model, train, **options)
    where.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=where, suffix=".part", delete=False) as part:
        torch.save(model.state_dict(), part)
    os.replace(part.name, file)  # another process may be writing the same one
    return model


def _folder(folder: str | Path | None) -> Path | None:
    named = folder or os.environ.get("COMPANION_CACHE")
    if named == "off":
        return None
    return Path(named or "~/.cache/the-missing-class/networks").expanduser()


def _key(
    model: nn.Module, train: LabelledImages, options: dict[str, Any], device: torch.device
) -> str:
    functions = sorted(name for name, value in options.items() if callable(value))
    if functions:
        raise TypeError(
            f"options must be plain values, so that the same call finds the same network; "
            f"received functions for {', '.join(functions)}. Call fit."
        )
    digest = hashlib.sha256()
    for source in sorted(PACKAGE.rglob("*.py")):
        digest.update(source.read_bytes())
    described = [torch.__version__, device.type, repr(model), list(train.classes), options]
    digest.update(json.dumps(described, sort_keys=True, default=str).encode())
    for tensor in [*model.state_dict().values(), train.images, train.labels]:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
