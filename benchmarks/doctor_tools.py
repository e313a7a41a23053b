"""The tools that the ward is shown to: what each is given, and what it says.

Each is used as its documentation says, at its defaults. Imports are inside the functions, as every
tool but our own may be missing. Advice on speed alone (tensor cores, memory layout, precision,
workers of a loader) is no alarm, whatever level a tool gives it.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import companion.doctor
from companion.inputs import called
from companion.ward import Patient
from doctor_patients import SPEED, Alarm, CannotTakeError, taken


@dataclass(frozen=True)
class Tool:
    """A tool: what pip calls it, what Python imports, how it was asked, what it says of a patient.

    `error` and `warning` are the tool's own words for the two levels; "" where it has none.
    """

    name: str
    distribution: str
    package: str
    asked: str
    error: str
    warning: str
    ask: Callable[[Patient, dict[str, Any]], list[Alarm]]


TOOLS: dict[str, Tool] = {}


def tool(
    name: str, *, distribution: str = "", package: str, asked: str, error: str, warning: str
) -> Callable[..., Any]:
    """Register a function that asks a tool about a patient."""

    def registered(ask: Callable[[Patient, dict[str, Any]], list[Alarm]]) -> Any:
        TOOLS[name] = Tool(name, distribution or name, package, asked, error, warning, ask)
        return ask

    return registered


def at(level: Any, error: str, warning: str, rule: str) -> list[Alarm]:
    """Return an alarm where a level is one of the two that count."""
    told = str(getattr(level, "name", level)).upper()
    found = {word.upper(): "error" for word in error.split("|")} | {
        word.upper(): "warning" for word in warning.split("|")
    }
    return [Alarm(found[told], rule)] if told in found else []


@tool(
    "companion.doctor",
    distribution="the-missing-class",
    package="companion",
    asked="examine, examine_folders or examine_checkpoint with all that the patient has",
    error="error",
    warning="warning",
)
def companion_doctor(patient: Patient, made: dict[str, Any]) -> list[Alarm]:
    """Ask our own check-up."""
    if patient.entry == "examine":
        found = companion.doctor.examine(**made, progress=False)
    elif patient.entry == "examine_folders":
        found = companion.doctor.examine_folders(made, progress=False)
    else:
        folders = [made["folders"]] if "folders" in made else None
        found = companion.doctor.examine_checkpoint(made["file"], folders=folders, progress=False)
    return [Alarm(each.severity, each.code) for each in found.findings if each.severity != "note"]


@tool(
    "torchtest2",
    package="torchtest2",
    asked="check_model with model, a batch, loss and optimiser",
    error="FAIL",
    warning="WARN",
)
def torchtest2(patient: Patient, made: dict[str, Any]) -> list[Alarm]:
    """Ask torchtest2 about one batch."""
    from torchtest2 import check_model

    it = taken(patient, made)
    inputs, targets = it.batch
    answer = called(it.model, inputs) if not isinstance(inputs, Tensor) else None
    loss = it.loss if answer is None or isinstance(answer, Tensor) else it.value
    optimizer = made.get("optimizer")
    report = check_model(it.model, inputs, targets, loss_fn=loss, optimizer=optimizer)
    return [a for each in report for a in at(each.status, "FAIL", "WARN", each.name)]


@tool(
    "torch-audit",
    package="torch_audit",
    asked="autopatch, static and initial rules, then every step of 60 training steps",
    error="ERROR, FATAL",
    warning="WARN",
)
def torch_audit(patient: Patient, made: dict[str, Any]) -> list[Alarm]:
    """Let torch-audit watch some training."""
    from torch_audit import autopatch

    it = taken(patient, made)
    auditor = autopatch(it.model, optimizer=it.optimizer, every_n_steps=1)
    failed: Exception | None = None
    try:
        for _ in it.run():
            pass
    except CannotTakeError:
        raise
    except Exception as error:
        failed = error
    found = auditor.finish(report=False).findings
    alarms = [a for each in found for a in at(each.severity, "ERROR|FATAL", "WARN", each.rule_id)]
    return unless_it_failed(failed, without_speed(alarms, {"TA200", "TA201", "TA203"}))


def without_speed(alarms: list[Alarm], rules: set[str]) -> list[Alarm]:
    """Return alarms with advice on speed marked as such."""
    return [Alarm(SPEED, each.rule) if each.rule in rules else each for each in alarms]


def unless_it_failed(failed: Exception | None, alarms: list[Alarm]) -> list[Alarm]:
    """Return alarms; raise what the training raised where there are none."""
    if failed is not None and not any(each.level != SPEED for each in alarms):
        raise failed
    return alarms


@tool(
    "torchmortem",
    package="torchmortem",
    asked="Autopsy around 60 training steps",
    error="CRITICAL",
    warning="WARNING",
)
def torchmortem(patient: Patient, made: dict[str, Any]) -> list[Alarm]:
    """Let torchmortem look back at some training."""
    from torchmortem import Autopsy

    it = taken(patient, made)
    autopsy, failed = Autopsy(it.model, optimizer=it.optimizer), None
    autopsy.attach()
    try:
        for loss in it.run():
            autopsy.step(**({} if loss is None else {"loss": loss}))
    except CannotTakeError:
        raise
    except Exception as error:
        failed = error
    autopsy.detach(is_complete=failed is None)
    report = autopsy.get_report()
    found = [] if report is None else report.findings
    alarms = [a for each in found for a in at(each.severity, "CRITICAL", "WARNING", each.category)]
    return unless_it_failed(failed, alarms)


@tool(
    "torchdiag",
    package="torchdiag",
    asked="summary, verify_step, check_gradients, check_dead_neurons with a batch",
    error="FAILED, CRITICAL, no parameter changed",
    warning="any other issue",
)
def torchdiag(patient: Patient, made: dict[str, Any]) -> list[Alarm]:
    """Ask torchdiag's four questions; it prints what it thinks, a line for each issue."""
    import torchdiag as diag

    it = taken(patient, made)
    inputs, targets = it.plain_batch
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        diag.summary(it.model)
        it.model.train()
        step = diag.verify_step(it.model, it.optimizer, it.value, inputs, targets)
        if all(not str(each).startswith("FAILED") for each in step.values()):
            diag.check_gradients(it.model)
            diag.check_dead_neurons(it.model, inputs)
    text = said.getvalue()
    alarms = [Alarm("warning", line[4:40]) for line in text.splitlines() if line[:4] == "  • "]
    failed = any(word in text for word in ("FAILED", "CRITICAL"))
    if failed or not step.get("params_updated", 1):
        alarms.append(Alarm("error", "failed"))
    return alarms


@tool(
    "model-clinic",
    package="model_clinic",
    asked="diagnose with the model's state",
    error="ERROR",
    warning="WARN",
)
def model_clinic(patient: Patient, made: dict[str, Any]) -> list[Alarm]:
    """Ask model-clinic about the weights, which are all that it looks at."""
    from model_clinic import diagnose

    if patient.entry == "examine_checkpoint":
        state = torch.load(made["file"], weights_only=True)
        state = state.get("model", state.get("state_dict", state))
    else:
        state = taken(patient, made).model.state_dict()
    found = diagnose({name: t for name, t in state.items() if isinstance(t, Tensor)})
    return [a for each in found for a in at(each.severity, "ERROR", "WARN", each.condition)]
