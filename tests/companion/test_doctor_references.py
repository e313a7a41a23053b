"""Healthy scripts that many people start from are found healthy, before a run and during one."""

from __future__ import annotations

from typing import Any

import pytest

from companion.doctor import examine
from companion.doctor.examining import BROKEN
from reference_pipelines import SCRIPTS, Script
from untouched import differences, snapshot

AT_THE_START = ("step", "checkpoint")  # made for a model that is new
IN_THE_MIDDLE = (
    *("reference_at_its_defaults", "reference_for_a_vision_transformer", "timm_at_its_defaults"),
    *("hugging_face_with_a_trainer", "mnist_example", "cifar_tutorial"),
    *("weights_averaged_at_the_end", "a_fixed_feature_extractor", "the_whole_network_fine_tuned"),
    *("a_higher_rate_for_the_new_head", "a_student_of_stored_answers"),
)

# False alarms that are known: warnings of healthy scripts, by what they have in common.
SHARED = ("timm_on_the_first_of_two_processes", "reference_on_the_first_of_two_processes")
REPEATED = (
    *("reference_with_the_new_recipe", "reference_watched_as_it_steps"),
    "reference_s_average_of_the_weights",
)
KNOWN: dict[str, set[str]] = {
    # set_epoch is called in a loop that nobody sees, and no process group is there to be asked
    **{name: {"SMP104", "PRO008"} for name in SHARED},
    **{name: {"SMP104", "SMP109"} for name in REPEATED},  # one image several times in a row
    "timm_with_a_binary_loss_and_lamb": {"SMP116"},  # the rate of a warm-up's first step
    "quickstart": {"SMP116"},  # a rate that is slow, and does lower the loss
    "weights_averaged_at_the_end": {"OPT108"},  # a rate that is to stay high
}
IN_A_RUN = {"OPT007"}  # a loss near zero doubles easily


def trained_for_a_while(given: dict[str, Any], *, steps: int = 60) -> dict[str, Any]:
    """Train a pipeline as its script does, and return it without what was made for its start."""
    model, optimizer, loss = given["model"], given["optimizer"], given.get("loss")
    model.train()
    left = steps
    while left > 0:
        for batch in given["train"]:
            optimizer.zero_grad()
            named = isinstance(batch, dict)
            value = model(**batch).loss if named else loss(model(batch[0]), batch[1])
            value.backward()
            optimizer.step()
            left -= 1
    optimizer.zero_grad()
    return {name: each for name, each in given.items() if name not in AT_THE_START}


def warnings_of(given: dict[str, Any]) -> set[str]:
    before = snapshot(given)
    found = examine(**given, progress=False)
    assert [str(finding) for finding in found.errors] == []
    assert [str(finding) for finding in found.findings if finding.code == BROKEN] == []
    assert differences(before, snapshot(given)) == []
    return {finding.code for finding in found.findings if finding.severity == "warning"}


@pytest.mark.parametrize("each", SCRIPTS.values(), ids=lambda each: each.name)
def test_a_script_before_its_run_is_healthy(each: Script) -> None:
    found = warnings_of(each.make())
    assert found - KNOWN.get(each.name, set()) == {*each.warnings}


@pytest.mark.parametrize("name", IN_THE_MIDDLE)
def test_a_script_in_the_middle_of_its_run_is_healthy(name: str) -> None:
    each = SCRIPTS[name]
    found = warnings_of(trained_for_a_while(each.make()))
    assert found - KNOWN.get(name, set()) - IN_A_RUN == {*each.warnings}
