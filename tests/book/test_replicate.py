"""``make replicate`` runs chapters as somebody else would have, and keeps what became of claims."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import execute
import replicate
import replication_records as records
import runs
import where_it_holds
from execute import ChapterError
from replicate import lock, read_folders, read_replications
from variations import Variation, choose, environment_for

CHAPTER = """---
kernelspec:
  name: python3
  display_name: X
  language: python
---

# A chapter

```{code-cell} ipython3
import torch
from companion import mean_interval
from companion.teaching import claim

drawn = [float(torch.rand(1, generator=torch.Generator().manual_seed(s))) for s in range(5)]
rate = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1).param_groups[0]["lr"]
print(f"{drawn[0]:.4f} {rate:.1f}")
claim("A rate is a tenth", mean_interval([rate + 0.001 * d for d in drawn]), at_most=0.15)
claim("Draws are positive", mean_interval(drawn), at_least=-1)
```

```{code-cell} ipython3
assert rate < 0.15, "not with this rate"
```
"""
PLACE = {"instructions": "AVX2", "cuda": None, "torch": "2.6.0"}
SAME = Variation("same", "nothing is changed", replicate.TOLD, vary={"widths": 1})
FASTER = Variation("faster", "rates doubled, seeds moved", replicate.TOLD)._replace(
    vary={"rates": 2.0, "seeds": 5}
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of a small chapter, and their records."""
    folder = tmp_path_factory.mktemp("replicated")
    source = folder / "01-tiny.md"
    source.write_text(CHAPTER, encoding="utf-8")
    tasks = [
        runs.Task(source, each, sys.executable, runs.key_of(source, each, PLACE), PLACE, folder)
        for each in (SAME, FASTER)
    ]
    assert runs.carry_out(tasks, jobs=2) == []
    assert runs.carry_out(tasks, jobs=2) == []  # nothing is done twice
    for task in tasks:
        run = execute.kept_run(task.target)
        assert run is not None
        about = replicate.about(task.variation)
        records.update(task.variation.name, about, {"01-tiny": run}, folder / "records")
    return folder


def test_a_chapter_runs_with_what_was_changed(kept: Path) -> None:
    printed = []
    for name in ("same", "faster"):
        run = execute.kept_run(kept / name / "01-tiny.ipynb")
        assert run is not None
        assert "varied" not in run.cells[1].source  # what set it up is not kept
        printed.append(run.cells[1].outputs[0].text.split()[:2])
    assert printed == [["0.4963", "0.1"], ["0.8303", "0.2"]]


def test_what_became_of_each_claim_is_on_record(kept: Path) -> None:
    found = records.read_records(kept / "records")
    states = {
        name: [each.state for each in record["chapters"]["01-tiny"]["claims"]]
        for name, record in found.items()
    }
    assert states == {"same": ["holds", "holds"], "faster": ["reversed", "holds"]}
    assert found["same"]["chapters"]["01-tiny"]["failed"] == []
    [failed] = found["faster"]["chapters"]["01-tiny"]["failed"]
    assert failed.endswith("AssertionError: not with this rate")
    assert found["faster"]["vary"] == {"rates": 2.0, "seeds": 5}


def test_a_change_decides_about_what_is_kept(kept: Path) -> None:
    source = kept / "01-tiny.md"
    keys = {
        runs.key_of(source, SAME._replace(vary=vary, data=data), PLACE)
        for vary, data in (
            (None, None), ({"rates": 2.0}, None), ({"rates": 0.5}, None), (None, str(kept)),
        )
    }  # fmt: skip
    assert len(keys) == 4


def test_what_cannot_be_set_up_is_said(kept: Path) -> None:
    source = kept / "01-tiny.md"
    wrong = SAME._replace(name="wrong", vary={"colour": 1})
    task = runs.Task(source, wrong, sys.executable, "k", PLACE, kept)
    [failure] = runs.carry_out([task], jobs=1)
    assert "wrong could not be set up: 'colour'" in failure
    assert not task.target.exists()


def test_every_described_variation_is_read(tmp_path: Path) -> None:
    found = read_replications({"photographs": tmp_path, "mine": tmp_path})
    names = [each.name for each in found]
    assert {"seeds-1", "no-signal", "photographs", "mine"} <= set(names)
    assert "digits-of-mnist" not in names  # whose folder was not given
    by_name = {each.name: each for each in found}
    assert by_name["photographs"].data == by_name["mine"].data == str(tmp_path)
    assert by_name["double-rates"].leave_out == ("08", "10")
    assert all(each.environment == replicate.TOLD for each in found)


def test_a_chapter_about_what_is_changed_is_left_out(tmp_path: Path) -> None:
    sources = [tmp_path / "07-imbalance.md", tmp_path / "08-learning-rate.md"]
    for each in sources:
        each.write_text(CHAPTER, encoding="utf-8")
    double = choose(read_replications({}), ["double-rates"])
    planned = [task.source.stem for task in runs.plan(sources, double, {}, tmp_path)]
    assert planned == ["07-imbalance"]


@pytest.mark.parametrize("pair", ["photographs", "=.", "a/b=.", "photographs=/not/there"])
def test_a_folder_that_is_none_is_refused(pair: str) -> None:
    with pytest.raises(ChapterError, match="takes NAME=PATH of a folder"):
        read_folders([pair])


def test_a_folder_named_as_another_variation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChapterError, match="'seeds-1' is a variation without a folder"):
        read_replications({"seeds-1": tmp_path})


def test_an_unknown_variation_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert replicate.main(["--only", "brighter"]) == 1
    assert "No variation is named 'brighter'" in capsys.readouterr().err


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(ChapterError, match="Another replication writes to"):
        lock(tmp_path)
    with lock(tmp_path):
        pass


def test_kernels_tell_claims_and_have_one_thread() -> None:
    environment = environment_for(SAME)
    assert (environment["COMPANION_CLAIMS"], environment["OMP_NUM_THREADS"]) == ("told", "1")
    assert "COMPANION_CLAIMS" not in execute.kernel_environment()


ON_IMAGES = (
    CHAPTER[: CHAPTER.index("# A chapter")]
    + """# A chapter

```{code-cell} ipython3
gain = "0.3000 [0.2000, 0.4000], at least 0.1"
print("holds  It gains:", gain)
```

## Gone

```{code-cell} ipython3
gain = [].pop()
```

## Built on it

```{code-cell} ipython3
print("holds  An old value is no new one:", gain)
```
"""
)


def test_a_chapter_that_fails_in_part_on_images_is_recorded_with_what_it_has(
    tmp_path: Path,
) -> None:
    source = tmp_path / "01-tiny.md"
    source.write_text(ON_IMAGES, encoding="utf-8")
    (tmp_path / "images").mkdir()
    [mine] = choose(read_replications({"mine": tmp_path / "images"}), ["mine"])
    task = runs.Task(source, mine, sys.executable, "k", PLACE, tmp_path)
    assert runs.carry_out([task], jobs=1) == []
    run = execute.kept_run(task.target)
    assert run is not None
    records.update("mine", replicate.about(mine), {"01-tiny": run}, tmp_path / "records")
    found = records.read_records(tmp_path / "records")
    chapter = found["mine"]["chapters"]["01-tiny"]
    assert [(each.statement, each.state) for each in chapter["claims"]] == [("It gains", "holds")]
    assert chapter["failed"] == [
        "Gone: IndexError: pop from empty list",
        "Built on it: it builds on the section Gone, which was left out",
    ]
    assert chapter["run"]["place"] == PLACE
    assert "1 holds, 0 weaker, 0 open, 0 reversed; 2 cells or parts failed" in records.summary(
        found
    )
    table = where_it_holds.drawn({"01-tiny": where_it_holds.chapter_of(run)}, found)
    assert '<th scope="col" class="holds-variation" title="your own images"><span>mine' in table
    assert 'title="mine: holds: 0.3 [0.2, 0.4], at least 0.1"' in table
