"""A run of hours that is killed in the middle, and goes on as if nothing had happened."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from companion import evaluate, fit, load, small_cnn
from companion.training import TrainingRun

EPOCHS = 6


def train(file: Path | None, *, killed_in: int | None = None) -> torch.nn.Module:
    """Train a network, from its checkpoint where there is one."""
    parts = load("digits", limit=30)
    model = small_cnn(10, widths=(8, 16), dropout=0.2, seed=0)

    def look(run: TrainingRun) -> None:
        if len(run.history) == killed_in:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    fit(
        model, parts.train, validation=parts.validation, epochs=EPOCHS, lr=0.02, batch_size=32,
        augment=lambda images: images + 0.05 * torch.randn_like(images),
        monitor="loss", checkpoint=file, on_epoch=look,
    )  # fmt: skip
    return model


if __name__ == "__main__" and len(sys.argv) > 1:
    train(Path(sys.argv[1]), killed_in=4)

if __name__ == "__main__" and len(sys.argv) == 1:
    with tempfile.TemporaryDirectory() as place:
        checkpoint = Path(place) / "run.pt"
        ended = subprocess.run([sys.executable, __file__, str(checkpoint)], check=False)
        assert ended.returncode != 0, "the run was to be killed"
        stored = torch.load(checkpoint, weights_only=True)
        assert len(stored["history"]["epochs"]) == 3, "three epochs were complete"
        resumed, whole = train(checkpoint), train(None)
        for name, value in whole.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[name]), f"{name} differs"
        print(f"accuracy {evaluate(resumed, load('digits').test).accuracy:.2f}")
