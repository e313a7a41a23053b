"""The examination: every check in its order, in a pipeline that is put back afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from companion.doctor.describing import facts_of
from companion.doctor.examination import Examination
from companion.doctor.keeping import pipeline_kept
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import Check, false_error_rate, selected
from companion.doctor.samples import Sample
from companion.doctor.words import NotRunError, Outcome, Result, Seen, word_of
from companion.findings import Finding
from companion.inputs import Selector, whole_number
from companion.training import shows_progress

BROKEN = "DOC001"
"""The code of a finding about a check that failed itself."""


def examine(
    model: nn.Module,
    *,
    train: Any,
    validation: Any = None,
    test: Any = None,
    loss: Any = None,
    optimizer: Any = None,
    scheduler: Any = None,
    total_steps: int | None = None,
    label_maps: Mapping[str, Any] | None = None,
    history: Any = None,
    checkpoint: Any = None,
    step: Callable[[], Any] | None = None,
    accumulate: int | None = None,
    reference: Examination | None = None,
    select: Iterable[str] | None = None,
    ignore: Iterable[str] | None = None,
    inputs: Selector = None,
    labels: Selector = None,
    sample: int = 512,
    seed: int = 0,
    progress: bool | None = None,
) -> Examination:
    """Return what is wrong with a classifier and with what it is trained on and judged by.

    `model` is any `nn.Module`; `train`, `validation` and `test` are whatever `fit` takes: a
    `LabelledImages`, a pair of tensors, any iterable of batches, in which `inputs` and `labels`
    say what is what where it is not obvious. `loss(logits, labels)`, `optimizer` and `scheduler`
    are those of the training; `total_steps` is how often the loop steps the scheduler (the
    optimiser, where there is none). `label_maps` takes any of "model", "train", "validation" and
    "test", each a `LabelMap` or a dict from name to index. `history` is a `History`, or a dict of
    curves such as {"train_loss": […], "validation_accuracy": […]}; `checkpoint` a file, or a
    state, that the model was loaded from; `step` a function that makes one step of the training
    loop, of which some are watched, with gradients of `accumulate` steps taken together.
    `reference` is the examination of a run that works, to be held against this one.
    `select` and `ignore` take codes, or how they begin: "LBL".

    At most `sample` images of each part are read. Every check ends in one of four words: fault,
    note, fine, not run, and why. An *error* means that the result is wrong. What is random comes
    from `seed`.

    Nothing is changed, whatever happens, an interruption included: weights, gradients, modes,
    optimiser, scheduler, random states and the loaders' generators are put back bit for bit, and
    only copies are trained. What other people's code raises becomes a finding; so does an
    exception in a check itself.

    Raises `TypeError` for a model that is none, for maps that are none, and for a single string in
    `select`; `ValueError` for codes that no check has and for numbers below 1.

    >>> from companion import digits, small_cnn
    >>> data = digits()
    >>> found = examine(small_cnn(10, seed=0), train=data, select=["LBL"], sample=128)
    >>> found.ok, found.looked_at
    (True, ('train: 128 of 1,797 images',))
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"examine looks at a torch.nn.Module; received {type(model).__name__}. Pass the model "
            "itself; folders alone are examined by examine_folders."
        )
    checks = selected(select, ignore)
    pipeline = Pipeline(
        model,
        sample=whole_number(sample, "sample"),
        seed=seed,
        train=train,
        validation=validation,
        test=test,
        loss=loss,
        optimizer=optimizer,
        scheduler=scheduler,
        total_steps=None if total_steps is None else whole_number(total_steps, "total_steps"),
        label_maps=label_maps,
        history=history,
        checkpoint=checkpoint,
        step=step,
        accumulate=None if accumulate is None else whole_number(accumulate, "accumulate"),
        reference=reference,
        inputs=inputs,
        labels=labels,
    )
    parts = [pipeline.given[part] for part in pipeline.parts]
    with pipeline_kept(model, optimizer=optimizer, scheduler=scheduler, parts=parts):
        return run_checks(pipeline, checks, progress=progress)


def run_checks(
    pipeline: Pipeline, checks: Iterable[Check], *, progress: bool | None = None
) -> Examination:
    """Return the outcomes of some checks of a pipeline, which is not put back here.

    >>> run_checks(Pipeline(nn.Linear(2, 2)), []).ok
    True
    """
    chosen = list(checks)
    show = shows_progress() if progress is None else progress
    outcomes = []
    with warnings.catch_warnings(), torch.inference_mode(False), torch.enable_grad():
        warnings.simplefilter("ignore")  # what matters of them is a finding
        with tqdm(chosen, disable=not show, leave=False, delay=0.5) as bar:
            for each in bar:
                bar.set_description(each.code, refresh=False)
                outcomes.append(run_check(each, pipeline))
    looked_at = [
        found.said
        for part in pipeline.parts
        if isinstance(found := pipeline.facts.get(f"sample of {part}"), Sample)
    ]
    return Examination(
        tuple(outcomes), tuple(looked_at), facts_of(pipeline), false_error_rate(chosen)
    )


def run_check(check: Check, pipeline: Pipeline) -> Outcome:
    """Return the outcome of one check; what it raises becomes a finding about it.

    >>> from companion.doctor.registry import find_check
    >>> run_check(find_check("OPT001"), Pipeline(nn.Linear(2, 2))).said
    'optimizer= was not given'
    """
    lacking = [name for name in check.needs if name not in pipeline]
    if lacking:
        given = " and ".join(f"{name}=" for name in lacking)
        was = "was" if len(lacking) == 1 else "were"
        return Outcome(check.code, check.title, "not run", f"{given} {was} not given")
    try:
        result: Result = check.run(pipeline)
    except NotRunError as reason:
        return Outcome(check.code, check.title, "not run", str(reason))
    except Exception as error:
        told = str(error).splitlines()[0] if str(error) else ""
        broken = Finding(
            BROKEN,
            "note",
            f"{check.code} could not be completed: {type(error).__name__}: {told}",
            why="Of what it looks for nothing is known; everything else was looked at.",
            remedy=f"Leave it out, ignore=[{check.code!r}], and report what you passed.",
            link=check.link,
        )
        return Outcome(check.code, check.title, "not run", broken.seen, (broken,))
    if isinstance(result, str):
        return Outcome(check.code, check.title, "fine", result)
    listed = [result] if isinstance(result, Seen) else result
    findings = tuple(
        Finding(
            check.code,
            seen.severity,
            seen.text,
            why=seen.why or check.page.consequence,
            remedy=seen.remedy or check.page.remedy,
            link=check.link,
        )
        for seen in listed
    )
    return Outcome(check.code, check.title, word_of(findings), "", findings)
