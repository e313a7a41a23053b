"""More of the tools that the ward is shown to; importing this registers them."""

from __future__ import annotations

import inspect
import tempfile
import textwrap
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from companion.inputs import called, logits_of
from companion.ward import Patient
from doctor_patients import SPEED, Alarm, CannotTakeError, taken
from doctor_tools import at, tool, unless_it_failed

OF_ITS_AUTHORS = (DeprecationWarning, FutureWarning)  # nothing that a user does


def raised_in(error: BaseException, package: str) -> bool:
    """Return whether a package itself raised an exception, and not what it called."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and f"/{package}/" in frames[-1].filename.replace("\\", "/")


@tool(
    "neural-observatory",
    package="neural_observatory",
    asked="watch around 60 training steps, then report",
    error="critical",
    warning="warning",
)
def neural_observatory(patient: Patient, made: dict[str, Any]) -> list[Alarm]:
    """Let neural-observatory watch some training."""
    from neural_observatory import Observatory

    it = taken(patient, made)
    observatory, failed, place = Observatory(it.model), None, 0
    observatory.watch()
    try:
        observatory.step(step=0, epoch=0)
        for place, _ in enumerate(it.run(), start=1):
            observatory.step(step=place, epoch=0)
    except CannotTakeError:
        raise
    except Exception as error:
        failed = error
    observatory.stop()
    found = observatory.report().results
    alarms = [
        a for each in found for a in at(each.status, "CRITICAL", "WARNING", each.analyzer_name)
    ]
    return unless_it_failed(failed, alarms)


@tool(
    "preflight-ml",
    package="preflight",
    asked="run_checks with the training loader, model, loss, and the held-out loader",
    error="FATAL",
    warning="WARN",
)
def preflight(patient: Patient, made: dict[str, Any]) -> list[Alarm]:
    """Ask preflight about loaders and model."""
    from preflight.runner import run_checks

    it = taken(patient, made)
    _ = it.plain_batch
    config = {} if it.validation is None else {"val_dataloader": it.validation}
    found = run_checks(it.train, it.model, it.value, config)
    return [
        a
        for each in found
        if not each.passed
        for a in at(each.severity, "FATAL", "WARN", each.name)
    ]


@tool(
    "mldoct",
    package="mldoctor",
    asked="the linter on the source of the function that makes the patient",
    error="CRITICAL, ERROR",
    warning="WARNING",
)
def mldoct(patient: Patient, made: dict[str, Any]) -> list[Alarm]:
    """Let mldoct read the source, which is all that its linter looks at."""
    from mldoctor.linter import lint_script

    with tempfile.TemporaryDirectory() as place:
        script = Path(place) / "script.py"
        script.write_text(textwrap.dedent(inspect.getsource(patient.make)))
        found, _ = lint_script(str(script))
    alarms = [a for e in found for a in at(e["severity"], "CRITICAL|ERROR", "WARNING", e["type"])]
    return [Alarm(SPEED, a.rule) if a.rule == "cpu_bottleneck" else a for a in alarms]


@tool(
    "torcheck",
    package="torcheck",
    asked="what learns changes, what is frozen does not, no NaN or infinity, no softmax at the end",
    error="an exception of its own",
    warning="",
)
def torcheck(patient: Patient, made: dict[str, Any]) -> list[Alarm]:
    """Let torcheck watch some training with all of its checks."""
    import torcheck as checker

    it = taken(patient, made)
    try:
        checker.register(it.optimizer)
        held = {id(p) for group in it.optimizer.param_groups for p in group["params"]}
        for name, parameter in it.model.named_parameters():
            if parameter.requires_grad:
                checker.add_tensor_changing_check(parameter, name)
            elif id(parameter) in held:
                checker.add_tensor_unchanging_check(parameter, name)
            if id(parameter) in held:
                checker.add_tensor_nan_check(parameter, name)
                checker.add_tensor_inf_check(parameter, name)
        checker.add_module_output_range_check(it.model, (0, 1), negate_range=True)
        for _ in it.run():
            pass
    except RuntimeError as error:
        if raised_in(error, "torcheck"):
            return [Alarm("error", str(error).splitlines()[-1][:60])]
        raise
    return []


@tool(
    "torchtest",
    package="torchtest",
    asked="what learns changes, what is frozen does not, no NaN, no infinity; one batch",
    error="an exception of its own",
    warning="",
)
def torchtest(patient: Patient, made: dict[str, Any]) -> list[Alarm]:
    """Ask torchtest about one step of training."""
    import torchtest as tester

    it = taken(patient, made)
    frozen = [pair for pair in it.model.named_parameters() if not pair[1].requires_grad]
    try:
        tester.test_suite(
            it.model,
            it.value,
            it.optimizer,
            it.plain_batch,
            non_train_vars=frozen or None,
            test_vars_change=True,
            test_nan_vals=True,
            test_inf_vals=True,
        )
    except Exception as error:
        if raised_in(error, "torchtest") and type(error).__module__.startswith("torchtest"):
            return [Alarm("error", type(error).__name__)]
        raise
    return []


@tool(
    "cleanlab Datalab",
    distribution="cleanlab",
    package="cleanlab",
    asked="find_issues on held-out images: the model's probabilities, the pixels as features",
    error="",
    warning="an issue",
)
def datalab(patient: Patient, made: dict[str, Any]) -> list[Alarm]:
    """Ask Datalab about the images that the model was not trained on, else about the others."""
    from cleanlab import Datalab

    it = taken(patient, made)
    pairs = [it.split(batch) for batch in it.validation or it.train]
    if not all(isinstance(x, Tensor) and isinstance(y, Tensor) for x, y in pairs):
        raise CannotTakeError("batches are no pairs of tensors")
    it.model.eval()
    with torch.no_grad():
        outputs = [called(it.model, inputs) for inputs, _ in pairs]
        rows = torch.cat([(o if isinstance(o, Tensor) else logits_of(o)) for o in outputs])
    labels = torch.cat([targets for _, targets in pairs])
    if labels.ndim != 1 or labels.is_floating_point():
        raise CannotTakeError("labels are no class numbers")
    features = torch.cat([inputs.flatten(1) for inputs, _ in pairs]).float().numpy()
    lab = Datalab({"label": labels.numpy()}, label_name="label", verbosity=0)
    lab.find_issues(pred_probs=rows.softmax(1).numpy(), features=features)
    summary = lab.get_issue_summary()
    return [Alarm("warning", row.issue_type) for row in summary.itertuples() if row.num_issues]


@tool(
    "Lightning",
    distribution="lightning",
    package="lightning",
    asked="fast_dev_run with detect_anomaly, then overfit_batches=1 for 100 epochs",
    error="an exception in one of the runs",
    warning="its warnings; one batch not learnt to a tenth of its loss, as we read it",
)
def lightning(patient: Patient, made: dict[str, Any]) -> list[Alarm]:
    """Put the patient into Lightning's dry run and its test of one batch."""
    from lightning import LightningModule, Trainer

    it = taken(patient, made)
    losses: list[float] = []

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = it.model

        def training_step(self, batch: Any, _: int) -> Tensor:
            inputs, targets = it.split(batch)
            value = it.value(called(self.model, inputs), targets)
            losses.append(float(value.detach()))
            return value

        def configure_optimizers(self) -> Any:
            return it.optimizer

    class Validated(Module):
        def validation_step(self, batch: Any, _: int) -> None:
            inputs, targets = it.split(batch)
            it.value(called(self.model, inputs), targets)

    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    quiet: dict[str, Any] = {"accelerator": "cpu"} | dict.fromkeys(off, False)
    dry = (Module(), it.train) if it.validation is None else (Validated(), it.train, it.validation)
    alarms: list[Alarm] = []
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            Trainer(fast_dev_run=True, detect_anomaly=True, **quiet).fit(*dry)
        losses.clear()
        Trainer(overfit_batches=1, max_epochs=100, **quiet).fit(Module(), it.train)
    except Exception as error:
        alarms.append(Alarm("error", type(error).__name__))
    alarms += [
        Alarm(SPEED if "worker" in str(each.message) else "warning", str(each.message)[:60])
        for each in said
        if "lightning" in each.filename and not issubclass(each.category, OF_ITS_AUTHORS)
    ]
    if losses and not min(losses) <= max(0.1 * losses[0], 0.01):
        alarms.append(Alarm("warning", "overfit_batches"))
    return alarms
