"""Measure `fit_replicas` and `repeat` against the same runs one after the other.

Prints every comparison and ends with status 1 when one misses its target.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from companion import default_device, digits, fit, fit_replicas, mlp, repeat
from timing import compare

REPLICAS, EPOCHS = 16, 5
RUNS, LONG = 4, 50  # runs, and their epochs: about a second each
PROCESSES = 2
AT_LEAST_ONE_BY_ONE, AT_LEAST_ONE_PROCESS = 8.0, 1.5


def build(seed: int) -> torch.nn.Module:
    """A network so small that its steps are mostly overhead."""
    return mlp(10, inputs=64, hidden=(32,), seed=seed)


def main() -> int:
    """Run both comparisons; 0 when they meet their targets."""
    device, data = default_device(), digits()
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads")
    print(f"{len(data)} images of {tuple(data.images.shape[1:])}, batches of 32")
    options: dict[str, Any] = {"batch_size": 32, "progress": False}

    def run(seed: int, epochs: int = LONG) -> float:
        history = fit(build(seed), data, epochs=epochs, lr=1e-3, seed=seed, **options)
        return history.curve("train_loss")[-1]

    results = [
        compare(
            f"{REPLICAS} networks at once, {EPOCHS} epochs, against one after the other",
            lambda: fit_replicas(
                build, data, seeds=range(REPLICAS), lrs=1e-3, epochs=EPOCHS, **options
            ),
            lambda: [run(seed, EPOCHS) for seed in range(REPLICAS)],
            names=("fit_replicas", "fit for each"),
            amount=REPLICAS,
            unit="networks",
            target=AT_LEAST_ONE_BY_ONE,
            device=device,
        ),
        compare(
            f"{RUNS} runs of {LONG} epochs over {PROCESSES} processes, against this one",
            # The first call, which is not timed, starts the processes; they stay for the others.
            lambda: repeat(run, range(RUNS), executor=PROCESSES, progress=False),
            lambda: repeat(run, range(RUNS), progress=False),
            names=(f"repeat with {PROCESSES} processes", "repeat in this process"),
            amount=RUNS,
            unit="runs",
            target=AT_LEAST_ONE_PROCESS,
            device=device,
        ),
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
