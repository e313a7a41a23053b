from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from joblib import Parallel

from companion import LabelledImages, LabelMap, UnknownLabelError, fit, mlp, repeat

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
    [None, 1, 2, Parallel(n_jobs=2, prefer="threads")],
    ids=["here", "one process", "two processes", "threads"],
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


@pytest.mark.parametrize("executor", [None, 2], ids=["here", "two processes"])
def test_an_error_in_a_run_is_raised_here(executor: int | None) -> None:
    def run(seed: int) -> int:
        if seed == 1:
            LabelMap([*"ab"]).encode(["z"], source=f"seed {seed}")
        return seed

    # An error with arguments of its own has to survive the way between processes.
    with pytest.raises(UnknownLabelError, match="received 'z' in seed 1") as caught:
        repeat(run, range(3), executor=executor)
    assert caught.value.unknown == ["z"]


def test_seeds_may_be_an_iterator() -> None:
    assert repeat(lambda seed: seed, iter([2, 1])) == [2, 1]


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([], r"at least one seed; received none\. Pass range\(5\)"),
        ([1, 2, 1], r"may occur once; received \[1, 2, 1\]\. Use range"),
    ],
    ids=["none", "twice"],
)
def test_bad_seeds_are_refused_before_anything_runs(seeds: list[int], message: str) -> None:
    ran: list[int] = []
    with pytest.raises(ValueError, match=message):
        repeat(ran.append, seeds)
    assert ran == []


def test_progress_goes_to_the_error_stream_and_only_when_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    repeat(lambda seed: seed, range(3), progress=False)
    assert capsys.readouterr() == ("", "")
