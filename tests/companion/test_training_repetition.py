from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joblib import Parallel, parallel_config

from companion import LabelledImages, LabelMap, UnknownLabelError, fit, mlp, repeat
from companion.training import repetition

# As an error this warning would end the thread that restarts workers, and everybody would wait.
pytestmark = pytest.mark.filterwarnings("ignore:A worker stopped while some jobs")


def final_loss(data: LabelledImages) -> Callable[[int], float]:
    """A run that takes all its randomness from its seed."""

    def run(seed: int) -> float:
        model = mlp(3, inputs=36, hidden=(4,), dropout=0.5, seed=seed)
        return fit(model, data, epochs=2, lr=0.05, seed=seed).curve("train_loss")[-1]

    return run


@pytest.mark.parametrize(
    "executor",
    [
        None,
        1,
        2,
        Parallel(n_jobs=2, prefer="threads"),
        Parallel(n_jobs=2, prefer="threads", return_as="generator_unordered"),
    ],
    ids=["here", "one process", "two processes", "threads", "threads, whichever is first"],
)
def test_results_come_in_the_order_of_the_seeds(
    patches: LabelledImages, executor: int | Parallel | None
) -> None:
    def slow_first(seed: int) -> int:
        time.sleep(0.2 if seed == 5 else 0.0)
        return len(patches) * seed

    assert repeat(slow_first, [5, 3, 4], executor=executor) == [300, 180, 240]


def test_processes_give_what_this_process_gives(patches: LabelledImages) -> None:
    run = final_loss(patches)
    serial = repeat(run, range(3))
    assert len(set(serial)) == 3
    assert repeat(run, range(3), executor=2) == pytest.approx(serial, abs=1e-6)


def test_runs_in_two_processes_go_on_at_the_same_time(tmp_path: Path) -> None:
    def run(seed: int) -> tuple[int, bool]:
        """Go on until the other run has begun as well."""
        (tmp_path / str(seed)).touch()
        start, other = time.monotonic(), tmp_path / str(1 - seed)
        while not other.exists() and time.monotonic() < start + 30:
            time.sleep(0.01)
        return os.getpid(), other.exists()

    (first, met), (second, met_too) = repeat(run, range(2), executor=2)
    assert met
    assert met_too
    assert len({os.getpid(), first, second}) == 3


@pytest.mark.parametrize(
    "executor",
    [None, 2, Parallel(n_jobs=2, prefer="threads", return_as="generator")],
    ids=["here", "two processes", "threads"],
)
def test_progress_counts_runs_as_they_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: int | Parallel | None
) -> None:
    counted = tmp_path / "counted"

    def bar(runs: Iterable[Any], *, total: int, disable: bool, **options: Any) -> Iterator[Any]:
        assert (total, disable) == (2, False)
        for each in runs:
            yield each
            counted.touch()

    def run(seed: int) -> bool:
        """The second run goes on until the first has been counted, and no further."""
        start = time.monotonic()
        while seed == 1 and not counted.exists() and time.monotonic() < start + 30:
            time.sleep(0.01)
        return counted.exists()

    monkeypatch.setattr(repetition, "tqdm", bar)
    assert repeat(run, range(2), executor=executor, progress=True) == [False, True]


def failing(seed: int) -> int:
    if seed == 1:
        LabelMap([*"ab"]).encode(["z"], source=f"seed {seed}")
    return seed


@pytest.mark.parametrize("executor", [None, 2], ids=["here", "two processes"])
def test_an_error_in_a_run_is_raised_here(executor: int | None) -> None:
    # An error with arguments of its own has to survive the way between processes.
    with pytest.raises(UnknownLabelError, match="received 'z' in seed 1") as caught:
        repeat(lambda seed: failing(seed), range(3), executor=executor)
    assert caught.value.unknown == ["z"]


def test_seeds_may_be_an_iterator() -> None:
    assert repeat(lambda seed: seed, iter([2, 1])) == [2, 1]


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([], r"at least one seed is needed; received none\. Pass range\(5\)"),
        ([1, 2, 1], r"may occur once; received \[1, 2, 1\]\. Leave out"),
    ],
    ids=["none", "twice"],
)
def test_bad_seeds_are_refused_before_anything_runs(seeds: list[int], message: str) -> None:
    ran: list[int] = []
    with pytest.raises(ValueError, match=message):
        repeat(ran.append, seeds)
    assert ran == []


def test_no_processes_are_not_this_one() -> None:
    with pytest.raises(ValueError, match="n_jobs == 0"):
        repeat(lambda seed: seed, range(2), executor=0)


def test_progress_goes_to_the_error_stream_and_only_when_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    repeat(lambda seed: seed, range(3), progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Dask cluster of two processes of this machine, which joblib finds by itself."""
    distributed = pytest.importorskip(
        "distributed", reason="needs Dask: pip install -e '.[cluster]'"
    )
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=":0",  # any free port: another run may hold the usual one
            local_directory=str(tmp_path_factory.mktemp("dask")),
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield


@pytest.mark.usefixtures("cluster")
class TestDask:
    @pytest.mark.parametrize(
        "options", [{}, {"return_as": "generator"}], ids=["all at once", "one by one"]
    )
    def test_it_gives_what_this_process_gives(
        self, patches: LabelledImages, options: dict[str, str]
    ) -> None:
        run = final_loss(patches)
        with parallel_config(backend="dask"):
            there = repeat(
                lambda seed: (os.getpid(), run(seed)), [2, 0, 1], executor=Parallel(**options)
            )
        assert os.getpid() not in {process for process, _ in there}
        assert [loss for _, loss in there] == pytest.approx(repeat(run, [2, 0, 1]), abs=1e-6)

    def test_an_error_in_a_run_is_raised_here(self) -> None:
        with (
            parallel_config(backend="dask"),
            pytest.raises(UnknownLabelError, match="received 'z' in seed 1") as caught,
        ):
            repeat(lambda seed: failing(seed), range(3), executor=Parallel())
        assert caught.value.unknown == ["z"]
