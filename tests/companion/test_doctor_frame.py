"""The frame of the check-up: words, order, forms, what is selected, what breaks."""

from __future__ import annotations

import json
import pickle
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
import torch
from torch import nn

from companion.doctor import CHECKS, Examination, FaultError, Outcome, compare, examine, registry
from companion.doctor.examining import BROKEN, run_check
from companion.doctor.ordering import causes_first
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import Check, check, find_check, selected
from companion.doctor.words import NotRunError, error, note
from companion.findings import Finding
from doctor_cases.labels import six
from pipelines import Pictures, loader, network, pipeline, sgd, trained
from untouched import differences, snapshot

READ = {"train": 120, "validation": 90, "test": 120}


def made(run: Any, code: str = "LBL099") -> Check:
    return Check(code, run, CHECKS["LBL003"].page)


class TestWords:
    def test_each_check_ends_in_one_of_four_words(self) -> None:
        found = examine(**pipeline(test=loader(Pictures(30, seed=2))), select=["LBL", "PRO011"])
        assert {each.word for each in found.outcomes} == {"fine", "note", "not run"}
        assert sum(found.counts().values()) == len(found.outcomes)

    def test_what_was_not_given_is_named(self) -> None:
        outcome = examine(network(), train=loader(), select=["OPT101"]).outcome("OPT101")
        assert outcome.said == "scheduler= and total_steps= were not given"

    def test_a_reason_is_told(self) -> None:
        def refuse(_: Pipeline) -> Any:
            raise NotRunError("too dark")

        assert run_check(made(refuse), Pipeline()).said == "too dark"

    def test_the_page_speaks_where_the_finding_is_silent(self) -> None:
        outcome = run_check(made(lambda _: error("3 of 4")), Pipeline())
        page = CHECKS["LBL003"].page
        assert outcome.findings[0].why == page.consequence
        assert outcome.findings[0].remedy == page.remedy
        own = run_check(made(lambda _: [note("3", why="why", remedy="what")]), Pipeline())
        assert (own.findings[0].why, own.findings[0].remedy) == ("why", "what")


class TestABrokenCheck:
    def broken(self, _: Pipeline) -> Any:
        raise ZeroDivisionError("oh\nno")

    def test_it_becomes_a_finding_about_the_check(self) -> None:
        outcome = run_check(made(self.broken), Pipeline())
        assert outcome.word == "not run"
        (found,) = outcome.findings
        assert (found.code, found.severity) == (BROKEN, "note")
        assert found.seen == "LBL099 could not be completed: ZeroDivisionError: oh"

    def test_it_stops_no_other_and_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def spoil(patient: Pipeline) -> Any:
            with torch.no_grad():
                patient.module[4].weight.add_(1.0)  # type: ignore[index,operator,union-attr]
            patient.module.eval()
            torch.manual_seed(1)
            raise ZeroDivisionError

        monkeypatch.setitem(CHECKS, "LBL003", made(spoil, "LBL003"))
        given = pipeline()
        before = snapshot(given)
        found = examine(**given, select=["LBL003", "LBL004"])
        assert [each.code for each in found.findings] == [BROKEN]
        assert found.outcome("LBL004").word == "fine"
        assert found.ok
        assert differences(before, snapshot(given)) == []

    @pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
    def test_an_interrupt_goes_through_and_changes_nothing(
        self, stop: type[BaseException], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(patient: Pipeline) -> Any:
            next(iter(patient["train"]))
            patient.module.train(False)
            nn.init.zeros_(patient.module[4].weight)  # type: ignore[index,arg-type]
            patient["optimizer"].param_groups[0]["lr"] = 7.0
            raise stop

        monkeypatch.setitem(CHECKS, "LBL020", made(interrupted, "LBL020"))
        model = trained()
        generator = torch.Generator().manual_seed(3)
        train = loader(shuffle=True, generator=generator)
        given = pipeline(model, train=train, optimizer=sgd(model))
        before = snapshot(given)
        with pytest.raises(stop):
            examine(**given)
        assert differences(before, snapshot(given)) == []


class TestOrder:
    def finding(self, code: str, severity: str) -> Finding:
        return Finding(code, severity, "seen", why="It matters.")

    def test_errors_first_and_causes_before_their_effects(self) -> None:
        found = [
            self.finding("PRO032", "note"),
            self.finding("LBL020", "error"),
            self.finding("LBL004", "warning"),
            self.finding("LBL003", "error"),
            self.finding("OPT005", "error"),
        ]
        ordered = causes_first(found)
        # LBL004 may be the cause of LBL003, and stands in front of it though it is milder.
        codes = [each.code for each in ordered]
        assert codes == ["LBL004", "LBL003", "OPT005", "LBL020", "PRO032"]
        assert ordered[3].why == "It may follow from LBL003: look there first. It matters."
        assert ordered[0].why == "It matters."

    def test_a_note_explains_nothing(self) -> None:
        found = [self.finding("LBL003", "note"), self.finding("LBL020", "error")]
        assert [each.code for each in causes_first(found)] == ["LBL020", "LBL003"]

    def test_no_check_explains_itself_or_a_code_that_is_not_there(self) -> None:
        for code, each in CHECKS.items():
            assert code not in each.explains
            assert [other for other in each.explains if other not in CHECKS] == [], code

    def test_a_shifted_map_is_named_before_what_follows_from_it(self) -> None:
        test = Pictures(120, seed=2, classes=6)
        order = [3, 4, 5, 0, 1, 2]
        test.classes = [test.classes[index] for index in order]
        test.targets = [order[label] for label in test.targets]
        found = examine(**pipeline(trained(6), **six(test=loader(test))))
        codes = [each.code for each in found.errors]
        assert codes == ["LBL003", "LBL003", "LBL020"]
        assert "It may follow from LBL003" in found.errors[-1].why


class TestSelection:
    def test_codes_and_how_they_begin(self) -> None:
        codes = [each.code for each in selected(["lbl00", "OPT001"], ["LBL003"])]
        assert "LBL001" in codes
        assert "OPT001" in codes
        assert "LBL003" not in codes
        assert not [code for code in codes if code.startswith("MOD")]

    @pytest.mark.parametrize("name", ["select", "ignore"])
    def test_what_no_code_begins_with_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"{name} takes codes.*'XYZ'"):
            examine(network(), train=loader(), **{name: ["XYZ"]})
        with pytest.raises(TypeError, match="received the string 'LBL'"):
            examine(network(), train=loader(), **{name: "LBL"})

    def test_a_code_that_is_not_there_is_refused_with_its_neighbours(self) -> None:
        with pytest.raises(ValueError, match=r"received 'LBL999'. There are LBL001"):
            find_check("LBL999")

    def test_a_code_is_taken_once_and_has_a_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry, "CHECKS", {})
        with pytest.raises(ValueError, match="lacks Fault, Evidence"):
            check("LBL001", chapter="stripe")(lambda _: "fine")
        with pytest.raises(ValueError, match="received 'ABC001'"):
            check("ABC001", chapter="stripe")(lambda _: "fine")


class TestForms:
    def examined(self) -> Examination:
        # a title with signs that HTML and workflow commands have a meaning for
        names = {".<b>, 100%": 0, "cat": 1, "dog": 2}
        return examine(**pipeline(label_maps={"train": names}), select=["LBL007", "LBL011"])

    def test_json_has_everything(self) -> None:
        found = self.examined()
        told = json.loads(found.to_json())
        assert told["ok"] is False
        assert told["findings"][0] == found.findings[0].to_dict()
        assert [each["word"] for each in told["checks"]] == ["fine", "fault"]
        assert told["facts"]["map of train"]["cat"] == 1
        assert told["looked_at"] == [
            "train: 120 images",
            "validation: 90 images",
            "test: 120 images",
        ]

    def test_sarif_has_a_rule_for_each_result(self) -> None:
        told = json.loads(self.examined().to_sarif(file="data"))
        run = told["runs"][0]
        (result,) = run["results"]
        assert (
            run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"]
            == result["ruleId"]
            == "LBL007"
        )
        assert result["level"] == "error"
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "data"

    def test_annotations_are_one_line_each_and_escaped(self) -> None:
        told = self.examined().annotations(file="a,b")
        assert told.startswith("::error file=a%2Cb,title=LBL007::train has classes that are hidden")
        assert "100%25" in told
        assert len(told.splitlines()) == 1

    def test_the_table_says_what_why_and_what_to_do(self) -> None:
        found = self.examined()
        told = found.table(everything=True)
        assert told.startswith("LBL007 error: train has classes that are hidden folders")
        assert "1 finding in 2 checks: 1 fault, 0 note, 1 fine, 0 not run" in told
        assert "looked at train: 120 images; validation: 90 images; test: 120 images" in told
        assert "fine    LBL011  Labels are ignored by the loss. no label is -100" in told
        assert str(found) == found.table()

    def test_the_notebook_s_table_is_html_that_shows_names_as_they_are(self) -> None:
        told = self.examined()._repr_html_()
        ElementTree.fromstring(told)  # closed tags, escaped signs
        assert "&lt;b&gt;" in told

    def test_errors_are_raised_and_nothing_else_is(self) -> None:
        with pytest.raises(FaultError, match="a pipeline must have no errors; LBL007") as caught:
            self.examined().raise_for_errors()
        assert pickle.loads(pickle.dumps(caught.value)).findings == caught.value.findings
        warned = Outcome("LBL001", "x", "fault", "", (Finding("LBL001", "warning", "seen"),))
        Examination((warned,)).raise_for_errors()
        assert Examination((warned,)).ok

    def test_an_outcome_that_was_not_asked_for_is_a_key_error(self) -> None:
        with pytest.raises(KeyError, match="PRO001 is none of the 2 checks"):
            self.examined().outcome("PRO001")


class TestProgress:
    def test_the_bar_names_the_check_on_stderr_alone(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        examine(**pipeline() | {"progress": True}, select=["LBL", "PRO", "MOD"])
        written = capsys.readouterr()
        assert written.out == ""
        examine(**pipeline(), select=["LBL"])
        assert capsys.readouterr().err == ""


class TestAgainstARunThatWorks:
    def test_the_same_pipeline_differs_in_nothing(self) -> None:
        one, other = (examine(**pipeline(), select=["LBL001"]) for _ in range(2))
        assert compare(one, other) == ()
        found = examine(**pipeline(), reference=one, select=["PRO040"]).outcome("PRO040")
        assert found.word == "fine"

    def test_what_differs_is_named(self) -> None:
        model = trained()
        model[1].eval()
        changed = pipeline(
            model, optimizer=sgd(model, 0.5), train=loader(Pictures(transform=torch.abs))
        )
        one = examine(**pipeline(), select=["LBL001"])
        other = examine(**changed, select=["LBL001"])
        told = [each.seen for each in compare(one, other)]
        assert "groups 0: lr is 0.05 in the first and 0.5 in the second" in told
        assert "transforms of train is [] in the first and ['abs'] in the second" in told
        assert any(each.startswith("evaluating is") and "'1'" in each for each in told)
        codes = {each.code for each in examine(**changed, reference=one, select=["PRO04"]).findings}
        assert codes == {"PRO040"}

    def test_only_examinations_are_compared(self) -> None:
        with pytest.raises(TypeError, match="two examinations; received dict"):
            compare(Examination(()), {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "error_type", "message"),
    [
        ({"model": "resnet18"}, TypeError, "examine looks at a torch.nn.Module; received str"),
        (
            {"label_maps": ["cat"]},
            TypeError,
            "label_maps is a dict from part to map; received list",
        ),
        ({"label_maps": {"val": {}}}, ValueError, "train, validation, test; received 'val'"),
        ({"label_maps": {"train": 3}}, TypeError, "received int for 'train'"),
        ({"sample": 0}, ValueError, "sample must be a whole number of at least 1"),
        ({"total_steps": 1.5}, TypeError, "total_steps must be a whole number"),
        ({"accumulate": 0}, ValueError, "accumulate must be a whole number"),
    ],
)
def test_arguments_that_are_none_are_refused(
    given: dict[str, Any], error_type: type[Exception], message: str
) -> None:
    with pytest.raises(error_type, match=message):
        examine(**{"model": network(), "train": loader()} | given)
