"""Folders and checkpoints on disk, the command line, and the checks that only they have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from companion import LabelMap
from companion.doctor import examine, examine_checkpoint, examine_folders
from companion.doctor.command_line import main
from companion.doctor.folders import parts_of
from pipelines import Pictures, loader, network, pipeline, trained

CLASSES = ("cat", "dog", "owl")
PARTS = ("train", "validation", "test")


def write(file: Path, seed: int, *, mode: str = "RGB", side: int = 12) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(file)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three healthy parts of three classes, ten pictures each, two parts smaller."""
    seeds: Iterator[int] = iter(range(10_000))
    for part, count in zip(PARTS, (10, 6, 6), strict=True):
        for name in CLASSES:
            for number in range(count):
                write(tmp_path / part / name / f"{number}.png", next(seeds))
    return tmp_path


def codes(found: Any, severity: str = "error") -> list[str]:
    return [each.code for each in found.findings if each.severity == severity]


class TestFolders:
    def test_healthy_folders_have_no_fault(self, folders: Path) -> None:
        before = {file: file.stat().st_mtime_ns for file in folders.rglob("*")}
        found = examine_folders([folders / part for part in PARTS])
        assert codes(found) == codes(found, "warning") == []
        assert found.outcome("PRO020").word == found.outcome("PRO021").word == "fine"
        assert {file: file.stat().st_mtime_ns for file in folders.rglob("*")} == before

    def test_one_folder_stands_for_those_in_it(self, folders: Path) -> None:
        found = examine_folders([folders])
        assert [each.split(":")[0] for each in found.looked_at] == list(PARTS)

    def test_a_folder_that_is_missing_shifts_the_rest(self, folders: Path) -> None:
        for file in (folders / "test" / "cat").iterdir():
            file.unlink()
        (folders / "test" / "cat").rmdir()
        found = examine_folders([folders])
        assert codes(found)[0] == "LBL003"
        assert "2 of 2 classes that train and test share" in found.errors[0].seen

    def test_a_hidden_folder_with_pictures_is_a_class(self, folders: Path) -> None:
        write(folders / "train" / ".ipynb_checkpoints" / "1-checkpoint.png", 1)
        found = examine_folders([folders])
        assert codes(found)[:2] == ["LBL007", "LBL003"]

    def test_a_hidden_folder_without_pictures_is_a_note(self, folders: Path) -> None:
        (folders / "train" / ".ipynb_checkpoints").mkdir()
        (folders / "train" / "cat" / "notes.txt").write_text("x", encoding="utf-8")
        found = examine_folders([folders])
        assert found.ok
        seen = found.outcome("PRO020").findings[0]
        assert (seen.severity, ".ipynb_checkpoints" in seen.seen) == ("note", True)
        assert "cat/notes.txt" in seen.seen.replace(os.sep, "/")

    def test_a_file_that_broke_off_is_an_error(self, folders: Path) -> None:
        file = folders / "train" / "dog" / "3.png"
        file.write_bytes(file.read_bytes()[:60])
        found = examine_folders([folders])
        assert codes(found) == ["PRO020"]
        assert "1 of 30 pictures of train cannot be read" in found.errors[0].seen

    def test_a_copy_in_another_part_is_named(self, folders: Path) -> None:
        for number in range(3):
            source = folders / "train" / "dog" / f"{number}.png"
            (folders / "test" / "dog" / f"copy{number}.png").write_bytes(source.read_bytes())
        found = examine_folders([folders])
        assert codes(found) == ["PRO002"]
        assert "3 of 21 files of test are also in train" in found.errors[0].seen
        assert "copy" in found.errors[0].seen

    def test_a_copy_that_was_saved_again_is_a_near_double(self, folders: Path) -> None:
        with Image.open(folders / "train" / "dog" / "0.png") as picture:
            picture.save(folders / "test" / "dog" / "again.bmp")
        found = examine_folders([folders])
        assert found.outcome("PRO002").word == "fine"
        assert "near double in train" in found.outcome("PRO004").findings[0].seen

    def test_classes_in_modes_of_their_own_are_a_warning(self, folders: Path) -> None:
        for file in (folders / "train" / "owl").iterdir():
            write(file, 7 + int(file.stem), mode="L")
        found = examine_folders([folders])
        assert "in train the mode tells the class" in found.outcome("PRO021").findings[0].seen

    def test_a_few_grey_pictures_are_a_note(self, folders: Path) -> None:
        write(folders / "train" / "owl" / "0.png", 7, mode="L")
        assert examine_folders([folders]).outcome("PRO021").word == "note"

    def test_parts_of_another_size_are_a_warning(self, folders: Path) -> None:
        for number, file in enumerate((folders / "test").rglob("*.png")):
            write(file, 90_000 + number, side=16)
        found = examine_folders([folders])
        assert "pictures of train are (12, 12)" in found.outcome("PRO021").findings[0].seen

    def test_names_in_another_case_are_found(self, folders: Path) -> None:
        (folders / "test" / "owl").rename(folders / "test" / "Owls")
        (folders / "test" / "Owls").rename(folders / "test" / "OWL")
        found = examine_folders([folders])
        assert codes(found, "warning")[0] == "LBL004"

    @pytest.mark.parametrize(
        ("paths", "parts"),
        [
            (["a"], ["train"]),
            (["a", "b"], ["train", "test"]),
            (["a", "b", "c"], list(PARTS)),
            (["x/testing", "x/Train"], ["test", "train"]),
            (["x/valid", "x/train"], ["validation", "train"]),
        ],
    )
    def test_which_part_a_folder_is(self, paths: list[str], parts: list[str]) -> None:
        assert list(parts_of(paths)) == parts

    def test_what_is_no_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="which is no folder"):
            examine_folders([tmp_path / "nothing"])
        with pytest.raises(FileNotFoundError, match="found none"):
            examine_folders([tmp_path])
        with pytest.raises(ValueError, match="received 4"):
            examine_folders(["a", "b", "c", "d"])
        with pytest.raises(ValueError, match="one folder"):
            parts_of(["a/train", "b/train"])


class TestCheckpoints:
    def stored(self, path: Path, **more: Any) -> Path:
        torch.save({"state_dict": {"fc.weight": torch.zeros(3, 8)}} | more, path / "run.pt")
        return path / "run.pt"

    def test_names_in_the_same_order_are_fine(self, folders: Path, tmp_path: Path) -> None:
        place = self.stored(tmp_path, classes=LabelMap(CLASSES).to_dict())
        found = examine_checkpoint(place, folders=[folders])
        assert found.ok
        assert found.outcome("MOD019").word == "fine"

    def test_names_in_another_order_are_an_error(self, folders: Path, tmp_path: Path) -> None:
        place = self.stored(tmp_path, class_to_idx={"owl": 0, "dog": 1, "cat": 2})
        found = examine_checkpoint(place, folders=[folders])
        assert codes(found)[0] == "MOD019"
        assert (
            "2 classes have another index in the checkpoint than in train" in found.errors[0].seen
        )

    def test_a_head_that_is_too_narrow_is_an_error(self, folders: Path, tmp_path: Path) -> None:
        write(folders / "train" / "yak" / "0.png", 1)
        found = examine_checkpoint(self.stored(tmp_path), folders=[folders])
        assert "3 outputs for the 4 classes of train" in found.errors[0].seen

    def test_no_names_are_a_note(self, tmp_path: Path) -> None:
        found = examine_checkpoint(self.stored(tmp_path))
        assert found.ok
        assert codes(found, "note") == ["MOD019"]

    def test_code_in_a_file_is_not_run(self, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> Any:
                return os.mkdir, (str(tmp_path / "trapped"),)

        torch.save({"model": Trap()}, tmp_path / "trap.pt")
        found = examine_checkpoint(tmp_path / "trap.pt")
        assert found.outcome("MOD019").word == "not run"
        assert "without running code" in found.outcome("MOD019").said
        assert not (tmp_path / "trapped").exists()

    def test_a_file_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="a checkpoint is a file; received"):
            examine_checkpoint(tmp_path / "none.pt")

    def test_a_file_is_held_against_its_model(self, tmp_path: Path) -> None:
        torch.save(trained().state_dict(), tmp_path / "run.pt")
        found = examine(**pipeline(checkpoint=tmp_path / "run.pt"), select=["MOD017"])
        assert found.outcome("MOD017").word == "fine"
        other = pipeline(network(seed=1), checkpoint=tmp_path / "run.pt")
        assert examine(**other, select=["MOD017"]).outcome("MOD017").word == "fault"


class TestCommandLine:
    def test_it_ends_with_1_on_errors_alone(
        self, folders: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["folders", str(folders)]) == 0
        write(folders / "train" / "Cat" / "0.png", 1)  # a warning, and a shift
        assert main(["folders", str(folders), "--select", "LBL004"]) == 0
        assert "LBL004 warning" in capsys.readouterr().out
        assert main(["folders", str(folders), "--select", "LBL003"]) == 1
        assert "LBL003 error" in capsys.readouterr().out
        assert main(["folders", str(folders), "--select", "LBL003", "--ignore", "LBL003"]) == 0

    def test_it_ends_with_2_where_it_was_called_wrongly(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["folders", str(tmp_path / "none")]) == 2
        assert main(["checkpoint", str(tmp_path / "none.pt")]) == 2
        assert main(["explain", "LBL999"]) == 2
        written = capsys.readouterr()
        assert written.out == ""
        assert "which is no folder" in written.err
        with pytest.raises(SystemExit) as ended:
            main(["nonsense"])
        assert ended.value.code == 2

    @pytest.mark.parametrize("form", ["json", "sarif", "annotations", "table"])
    def test_every_form_is_printed(
        self, form: str, folders: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write(folders / "test" / "zebra" / "0.png", 1)
        main(["folders", str(folders), "--format", form, "--all"])
        told = capsys.readouterr().out
        if form in ("json", "sarif"):
            assert json.loads(told)
        else:
            assert "LBL010" in told

    def test_explain_prints_a_page_or_lists_all(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["explain", "lbl003"]) == 0
        assert "Two parts give a class different indices." in capsys.readouterr().out
        assert main(["explain"]) == 0
        assert "OPT112" in capsys.readouterr().out

    def test_it_is_a_module_that_runs(self, folders: Path) -> None:
        ran = subprocess.run(
            [sys.executable, "-m", "companion.doctor", "folders", str(folders)],
            capture_output=True,
            text=True,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "0 fault" in ran.stdout


class TestCleanlab:
    def test_it_is_called_where_it_is_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given: list[Any] = []
        suspects: list[int] = [3, 5]
        module = ModuleType("cleanlab.filter")

        def find_label_issues(labels: Any, probabilities: Any, **options: Any) -> Any:
            given.append((labels.shape, probabilities.shape, options))
            return np.array(suspects)

        module.find_label_issues = find_label_issues  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "cleanlab", ModuleType("cleanlab"))
        monkeypatch.setitem(sys.modules, "cleanlab.filter", module)
        outcome = examine(**pipeline(), select=["LBL016"]).outcome("LBL016")
        assert given[0][:2] == ((90,), (90, 3))
        assert "2 of 90 labels of validation are suspects: images 3, 5" in outcome.findings[0].seen
        suspects.clear()
        assert examine(**pipeline(), select=["LBL016"]).outcome("LBL016").word == "fine"
        few = pipeline(validation=loader(Pictures(30, seed=1)))
        assert examine(**few, select=["LBL016"]).outcome("LBL016").word == "not run"

    def test_without_it_the_check_is_not_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
        outcome = examine(**pipeline(), select=["LBL016"]).outcome("LBL016")
        assert (outcome.word, "not installed" in outcome.said) == ("not run", True)
