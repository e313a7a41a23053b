"""A stored number that drifts out of its tolerance fails nbval; measurement noise does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any, NamedTuple

import nbformat
import pytest

import execute
from book_files import BOOK, ROOT
from companion.teaching.claims import margin
from tolerance import check_tolerance, differences, numbers, quantities

CLAIM = "holds  The gain is real: 0.2500 [0.2200, 0.2800], at least 0.2"
SCALAR = "holds  The gain is real: 0.250, at least 0.2"


@pytest.mark.parametrize(
    ("old", "new", "tolerance"),
    [
        ("accuracy 0.84", "accuracy 0.86", None),
        ("accuracy 0.84", "accuracy 0.835", 0.005),
        ("accuracy 0.84", "accuracy 0.84", 0),
        ("84.0 % seen", "85.5 % seen", None),
        ("84 ± 2 % seen", "86 ± 1 % seen", None),
        ("84.3 ± 0.4 % seen", "84 ± 1 % seen", None),
        ("a gain of −8 ± 3 points", "a gain of −11 ± 5 points", None),
        ("84 % seen", "86 % seen", None),
        ("gain -0.004", "gain  0.004", None),
        ("gain −0.01", "gain −0.02", None),
        ("<td>0.840</td>", "<td>0.851</td>", None),
        ("'0.84 ± 0.01'", "'0.85 ± 0.02'", None),
        ("0.84 ± 0.10", "0.96 ± 0.12", None),
        ("0.840 ± 0.010", "0.850 ± 0.020", None),
        ("0.840 ± 0.010, 0.84", "0.845 ± 0.055, 0.83", None),
        ("84.0 ± 1.0 % seen", "85.0 ± 1.5 % seen", None),
        ("0.8400 [0.8200, 0.8600]", "0.8600 [0.8000, 0.9200]", None),
        ("-0.03 ± 0.00", "-0.04 ± 0.00", None),
        ("0.000 ± 0.000", "0.001 ± 0.000", None),
        ("15 ± 3", "15 ± 3", None),
        ("0.840 ± 0.010", "0.900 ± 0.010", 0.06),
        ("nan ± nan", "nan ± nan", None),
        ("1e-05", "2e-05", None),
        ("nan, inf, -inf", "nan, inf, -inf", None),
        ("99.50", " 100.00", 0.5),
        ("two\nlines 0.1", "two\nlines 0.11", None),
        (CLAIM, CLAIM.replace("0.2500 [0.2200, 0.2800]", "0.2450 [0.2110, 0.2790]"), None),
        (CLAIM, CLAIM.replace("0.2500 [0.2200, 0.2800]", "0.2900 [0.2300, 0.3500]"), None),
        ("", "", None),
    ],
)
def test_noise_passes(old: str, new: str, tolerance: float | None) -> None:
    assert differences(old, new, tolerance) == []


@pytest.mark.parametrize(
    ("old", "new", "tolerance", "says"),
    [
        ("accuracy 0.84", "accuracy 0.89", None, "0.84 became 0.89"),
        ("accuracy 0.84", "accuracy 0.85", 0.005, "0.84 became 0.85"),
        ("accuracy 0.84", "accuracy 0.8401", 0, "0.84 became 0.8401"),
        ("84.0 % seen", "87.0 % seen", None, "84.0 became 87.0 (a change of 0.03; at most 0.02 is"),
        ("84 ± 2 % seen", "89 ± 2 % seen", None, "84 ± 2 became 89 ± 2 (inf half widths"),
        ("8 ± 3 points", "13 ± 3 points", None, "8 ± 3 became 13 ± 3 (inf half widths"),
        ("8 points", "11 points", None, "8 became 11 (a change of 0.03; at most 0.02 is allowed)"),
        ("5 runs", "6 runs", 9, "5 became 6"),
        ("5 runs", "5.0 runs", 9, "'5 runs' became '5.0 runs'"),
        ("nan", "0.0", 9, "'nan' became '0.0'"),
        ("0.5", "inf", 9, "'0.5' became 'inf'"),
        ("inf", "-inf", 9, "inf became -inf"),
        ("torch 2.14.1", "torch 2.14.2", 9, "torch 2.14.2"),
        ("int64", "int32", 9, "int32"),
        ("seen 0.84", "unseen 0.84", 9, "unseen"),
        ("0.1\n0.2", "0.1", 9, "2 lines became 1"),
        ("0.1, 0.2", "0.1", 9, "became '0.1'"),
        ("0.84 %", "0.84", 9, "became '0.84'"),
        ("5 ± 3", "6 ± 3", None, "5 became 6 (integers"),
        ("0.84 ± 0.02", "0.90 ± 0.02", None, "0.84 ± 0.02 became 0.90 ± 0.02 (inf half widths"),
        ("0.84 ± 0.10", "1.04 ± 0.10", None, "(1.28 half widths of the difference; at most 1"),
        ("0.840 ± 0.010", "0.860 ± 0.010", None, "(1.28 half widths"),
        ("0.84 ± 0.01", "0.84 ± 0.20", None, "at most 5 is allowed"),
        ("0.84 ± 0.020", "0.84 ± 0.160", None, "(a half width 6.78 times larger; at most 5"),
        (
            "0.8400 [0.8200, 0.8600]",
            "0.8400 [0.8200, 0.9100]",
            9,
            "'0.8400 [0.8200, 0.8600]' became",
        ),
        ("0.84 ± 0.02", "0.84", 9, "became '0.84'"),
        ("0.8400 ± 0.0200", "0.8401 ± 0.0200", 0, "0.8400 became 0.8401"),
        ("nan ± 0.1", "0.5 ± 0.1", 9, "'nan ± 0.1' became '0.5 ± 0.1'"),
        # The nearer end may use half of the claim's margin of 0.02, whatever the cell allows.
        (
            CLAIM,
            CLAIM.replace("0.2500 [0.2200, 0.2800]", "0.2450 [0.2090, 0.2810]"),
            9,
            "(nearer to the bound by 55% of the way; at most 50% is allowed)",
        ),
        (CLAIM, CLAIM.replace("least 0.2", "least 0.19"), 9, "least 0.19"),
        (CLAIM, CLAIM.replace("real: ", "real for 0.5: "), 9, "real for 0.5"),
        (CLAIM, CLAIM.replace("holds", "fails"), 9, "fails"),
        (SCALAR, SCALAR.replace("0.250", "0.224"), 9, "(nearer to the bound by 52%"),
        (SCALAR, SCALAR.replace("0.250", "0.280"), None, "0.250 became 0.280"),
    ],
)
def test_change_is_reported(old: str, new: str, tolerance: float | None, says: str) -> None:
    found = differences(old, new, tolerance)
    assert len(found) == 1, found
    assert says in found[0]


def test_interval_whose_ends_disagree_is_none() -> None:
    """So any one of its three numbers that is changed by hand is found, however wide it is."""
    whole = "0.5000 [0.3000, 0.7000]"
    assert [each.kind for each in quantities(whole)] == ["mean", "half width"]
    for part in ("0.5000", "0.3000", "0.7000"):
        for by in (0.05, -0.05):
            edited = whole.replace(part, f"{float(part) + by:.4f}")
            assert [each.kind for each in quantities(edited)] == ["number"] * 3
            assert differences(edited, whole), edited


@pytest.mark.parametrize("half_width", [0.000, 0.004, 0.010, 0.020, 0.030, 0.040, 0.049])
@pytest.mark.parametrize("by", [0.05, -0.05])
@pytest.mark.parametrize("places", [2, 3, 4])
def test_twentieth_is_found_wherever_the_half_width_is_smaller(
    half_width: float, by: float, places: int
) -> None:
    if round(half_width, places) >= 0.05:
        pytest.skip("rounded, it is no smaller")
    stored, run = (f"{mean:.{places}f} ± {half_width:.{places}f}" for mean in (0.5 + by, 0.5))
    assert differences(stored, run)
    assert differences(f"{0.5 + by:.{places}f}", f"{0.5:.{places}f}")


def test_claim_in_these_tests_is_one() -> None:
    assert margin(CLAIM) == pytest.approx(0.02)


def test_numbers_are_read_as_written() -> None:
    read = [number.value for number in numbers("-0.5 of +2, 1e-06; [.25,3.] 2.14.1 conv2d −4.5")]
    assert read == [-0.5, 2, 1e-06, 0.25, 3, -4.5]


@pytest.mark.parametrize("tolerance", [-0.1, float("nan"), float("inf"), "0.1", True])
def test_impossible_tolerance_is_refused(tolerance: object) -> None:
    with pytest.raises(ValueError, match="finite number of at least 0"):
        check_tolerance(tolerance)


# --- the same, through nbval, on a notebook with every kind of output ---------------------------

SOURCES = {
    "stream": "print('accuracy', 0.84)",
    "count": "print(20, 'of', 100)",
    "result": "[0.84, 'seen']",
    "table": "HTML('<td>0.84</td>')",
    "glue": "glue('gain', 0.84, display=False)",
    "claim": f"print({CLAIM!r})",
    "interval": "glue('gain', '0.84 ± 0.10', display=False)",
    "figure": "plt.figure().add_subplot()\nplt.show()",
    "settings": "print(os.environ['COMPANION_PROGRESS'], 'COMPANION_DATA' in os.environ)",
    "noisy": "print('' if first_run() else 'late', file=sys.stderr, end='')",
}
SETUP = """import os, sys
from pathlib import Path
from IPython.display import HTML
from myst_nb import glue
import matplotlib.pyplot as plt

def first_run():
    mark = Path("was run")
    first = not mark.exists()
    mark.touch()
    return first"""


class Edit(NamedTuple):
    """A change to the stored output of a cell, and what the report must say (None: it passes)."""

    source: str
    old: str | None
    new: str | None
    says: str | None
    metadata: dict[str, float] = {}  # noqa: RUF012 - never changed


EDITS = {
    "nothing in the stream": Edit("stream", "", "", None),
    "nothing in the figure": Edit("figure", "", "", None),
    "nothing in the settings": Edit("settings", "", "", None),
    "noise in a stream": Edit("stream", "0.84", "0.845", None),
    "drift in a stream": Edit("stream", "0.84", "0.89", "0.89 became 0.84"),
    "noise in a strict cell": Edit("stream", "0.84", "0.845", None, {"tolerance": 0.006}),
    "drift in a strict cell": Edit(
        "stream", "0.84", "0.85", "0.85 became 0.84", {"tolerance": 0.006}
    ),
    "another count": Edit("count", "20", "21", "21 became 20"),
    "another word": Edit("stream", "accuracy", "recall", "'recall 0.84' became 'accuracy 0.84'"),
    "noise in a result": Edit("result", "0.84", "0.845", None),
    "drift in a result": Edit("result", "0.84", "0.89", "text/plain, line 1: 0.89 became 0.84"),
    "noise in a table": Edit("table", "0.84", "0.845", None),
    "drift in a table": Edit("table", "0.84", "0.89", "text/html, line 1: 0.89 became 0.84"),
    "noise in a glued value": Edit("glue", "0.84", "0.845", None),
    "drift in a glued value": Edit("glue", "0.84", "0.89", "record/text/plain, line 1: 0.89"),
    "noise in an interval": Edit("interval", "0.84 ± 0.10", "0.88 ± 0.08", None),
    "drift in an interval": Edit(
        "interval", "0.84", "1.04", "1.04 ± 0.10 became 0.84 ± 0.10 (1.28 half widths"
    ),
    "noise in a claim": Edit("claim", "0.2500 [0.2200, 0", "0.2470 [0.2140, 0", None),
    "drift in a claim": Edit("claim", "0.2500", "0.2650", "became '0.2500 [0.2200, 0.2800]'"),
    "moved bound": Edit("claim", "at least 0.2", "at least 0.1", "at least 0.1"),
    "missing output": Edit("stream", None, None, "it put out nothing; now text on stdout"),
    "missing picture": Edit("figure", None, None, "now display_data of image/png"),
    "new noise on stderr": Edit("noisy", None, None, "it wrote to stderr: 'late'"),
}


def apply(edit: Edit, outputs: list[Any]) -> None:
    """Change stored outputs as if they had been printed by another run."""
    if edit.old is None or edit.new is None:
        outputs.clear()
        return
    changed = 0
    for output in outputs:
        if output.output_type == "stream":
            changed += edit.old in output.text
            output.text = output.text.replace(edit.old, edit.new)
        for form, text in output.get("data", {}).items():
            changed += edit.old in text
            output.data[form] = text.replace(edit.old, edit.new)
    assert changed, f"{edit.old} is in no output: {outputs}"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What nbval says of a notebook that was run as the book's are and edited as above."""
    folder = tmp_path_factory.mktemp("notebooks")
    cells = [nbformat.v4.new_code_cell(SETUP)]
    for each in EDITS.values():
        metadata = dict(each.metadata)
        cells.append(nbformat.v4.new_code_cell(SOURCES[each.source], metadata=metadata))
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook = execute.run(notebook, "tiny", folder, None)
    for each, cell in zip(EDITS.values(), notebook.cells[1:], strict=True):
        apply(each, cell.outputs)
    nbformat.write(notebook, folder / "tiny.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--color=no"]
    command += ["-p", "conftest", "-p", "no:cacheprovider", "-rA", "-c", os.devnull, str(folder)]
    paths = os.pathsep.join([str(BOOK), str(ROOT)])
    settings = {"PYTHONPATH": paths, "MPLBACKEND": "Agg", "COMPANION_DATA": "of the shell"}
    result = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | settings, cwd=folder
    )
    assert result.returncode == 1, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("name", EDITS)
def test_nbval_reports_what_changed(name: str, report: str) -> None:
    edit = EDITS[name]
    number = list(EDITS).index(name) + 1
    verdict = "PASSED" if edit.says is None else "FAILED"
    assert re.search(rf"(?m)^{verdict} tiny\.ipynb::Cell {number}\b", report), report
    if edit.says is not None:
        first_line = SOURCES[edit.source].partition("\n")[0]
        where = f"tiny.ipynb, code cell {number} (`{first_line}`):"
        assert where in report
        assert edit.says in report.partition(where)[2].partition("\n\n")[0]
