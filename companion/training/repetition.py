"""The same run over several seeds, in this process or in many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, TypeVar

from joblib import Parallel, delayed
from tqdm import tqdm

from companion.inputs import distinct
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
    randomness from its seed, and then the results do not depend on the executor. Processes share
    the cores: each computes with its part of the threads. An error in any run is raised here.

    Raises `ValueError` for no seeds, and for a seed that occurs twice: a repeated run would
    narrow the interval without adding evidence.

    >>> repeat(lambda seed: seed**2, range(4))
    [0, 1, 4, 9]
    """
    listed = distinct(seeds, "seed", "range(5)")
    show = shows_progress() if progress is None else progress

    def watched(runs: Iterable[Any]) -> Any:
        return tqdm(runs, total=len(listed), desc="seeds", disable=not show, delay=2, leave=False)

    if executor is None:
        return [run(seed) for seed in watched(listed)]
    parallel: Any = executor
    if isinstance(executor, int):
        parallel = Parallel(n_jobs=executor, return_as="generator")
    jobs = (delayed(_numbered)(place, run, seed) for place, seed in enumerate(listed))
    # Watched as they come back; a Parallel that returns a list gives them all at the end, and one
    # that returns whichever is first gives them in any order.
    return [result for _, result in sorted(watched(parallel(jobs)), key=itemgetter(0))]


def _numbered(place: int, run: Callable[[int], Result], seed: int) -> tuple[int, Result]:
    return place, run(seed)
