"""The same run over several seeds, in this process or in many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from joblib import Parallel, delayed
from tqdm import tqdm

from companion.training.devices import shows_progress

Result = TypeVar("Result")


def repeat(
    run: Callable[[int], Result],
    seeds: Iterable[int],
    *,
    executor: int | Parallel | None = None,
    progress: bool | None = None,
) -> list[Result]:
    """Return `run(seed)` for every seed, in the order of the seeds.

    `executor` is None for one after the other in this process, a number of processes, or a
    configured `joblib.Parallel`, whose back end may be a cluster. Each run must take all its
    randomness from its seed. An error in any run is raised here.

    Raises `ValueError` for no seeds, and for a seed that occurs twice: a repeated run would
    narrow the interval without adding evidence.

    >>> repeat(lambda seed: seed**2, range(4))
    [0, 1, 4, 9]
    """
    listed = list(seeds)
    if not listed:
        raise ValueError("repeat needs at least one seed; received none. Pass range(5).")
    if len(set(listed)) < len(listed):
        raise ValueError(f"each seed may occur once; received {listed}. Use range(5).")
    show = shows_progress() if progress is None else progress
    bar: Any = tqdm(listed, desc="seeds", disable=not show, delay=2, leave=False)
    if executor is None:
        return [run(seed) for seed in bar]
    parallel = Parallel(n_jobs=executor) if isinstance(executor, int) else executor
    return list(parallel(delayed(run)(seed) for seed in bar))
