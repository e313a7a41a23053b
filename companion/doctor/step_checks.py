"""Checks of what one step of training does to a copy: the head moves, what is frozen does not."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import nn

from companion.doctor.copies import copied, pairs_of, shadow_of
from companion.doctor.optimizer_checks import head_names
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.stepping import BATCH, loss_of, one_step, targets_of
from companion.doctor.taking import cut
from companion.doctor.words import NotRunError, Result, error, note, warning
from companion.inputs import brief, called, device_of, dtype_of, moved
from companion.states import own_randomness


@check(
    "OPT003", chapter="silent-surgery", needs=["model", "train", "optimizer"], explains=["SMP116"]
)
def head_stays(pipeline: Pipeline) -> Result:
    """One step of training leaves the head as it is.

    Fault: The head is frozen, gets no gradient, or is not held by the optimiser.
    Evidence: The head of a copy before and after one step of the given optimiser on a batch.
    Consequence: The answers stay random however long it trains; or the features bend to a random
    head.
    Remedy: Thaw it, unfreeze(model.fc), and make the optimiser after that.
    False alarms: A rate of 0, as before a warm-up, is replaced for this step. A loss of exactly 0
    asks for nothing and passes, as margins do that are met; so does a head whose features are zero
    in the first step and not in the next two. A copy of the network that training does not call,
    as an average of its weights, is not looked at. A head that is frozen on purpose is a warning;
    one with a gradient that does not move is an error.

    In code:
        before = model.fc.weight.clone(); step(); torch.equal(before, model.fc.weight)
    """
    names = head_names(pipeline)
    if not names:
        raise NotRunError("no head was found")
    step = one_step(pipeline)
    if not step.stepped:
        raise NotRunError("no step could be made")
    place = pipeline.head.name
    weights = [n for n in names if n.endswith("weight")] or names
    if any(step.moved(name) for name in weights):
        return f"{place!r} moves in one step"
    flowing = [n for n in weights if n in step.gradients and bool((step.gradients[n] != 0).any())]
    if flowing:
        return error(f"{place!r} has a gradient and does not move in one step")
    if not _called_in_training(pipeline, place):
        raise NotRunError(f"{place!r} is not called in training mode")
    own = dict(pipeline.module.named_parameters())
    if not any(own[name].requires_grad for name in weights):
        return warning(f"{place!r} is frozen and does not move")
    others = any(bool((g != 0).any()) for g in step.gradients.values())
    if not others and float(step.loss) == 0:
        return "the loss of a batch is 0: it asks for no change"
    if others and _moves_later(pipeline, weights):
        return f"{place!r} has no gradient in the first step, and moves in the next two"
    told = f"{place!r} gets no gradient from a batch"
    return error(told) if others else warning(f"{told}, and neither does anything else")


def _called_in_training(pipeline: Pipeline, place: str) -> bool:
    """Return whether the forward pass of a copy in training mode calls a module."""
    made = copied(pipeline.module).train()
    seen: list[bool] = []
    made.get_submodule(place).register_forward_pre_hook(lambda *_: seen.append(True))
    inputs = cut(pipeline.read("train").inputs[0], BATCH)
    with own_randomness(pipeline.seed, device_of(made)), suppress(Exception), torch.no_grad():
        called(made, moved(inputs, device_of(made), dtype_of(made)))
    return bool(seen)


def _moves_later(pipeline: Pipeline, names: list[str]) -> bool:
    """Return whether any of some parameters moves in three steps on one batch."""
    made = copied(pipeline.module).train()
    before = {name: p.detach().clone() for name, p in made.named_parameters() if name in names}
    stepper = shadow_of(pipeline["optimizer"], pairs_of(pipeline.module, made))
    device = device_of(made)
    count = min(BATCH, pipeline.read("train").sizes[0])
    inputs = moved(cut(pipeline.read("train").inputs[0], count), device, dtype_of(made))
    with own_randomness(pipeline.seed, device):
        for _ in range(3):
            for parameter in made.parameters():
                parameter.grad = None
            loss_of(pipeline, called(made, inputs), targets_of(pipeline, count)).backward()
            stepper.step()
    now = dict(made.named_parameters())
    return any(not torch.equal(now[name].detach(), value) for name, value in before.items())


@check("OPT004", chapter="frozen-batchnorm", needs=["model", "train"])
def frozen_stays(pipeline: Pipeline) -> Result:
    """Something that is frozen changes in one step of training.

    Fault: A module writes to its weights or statistics when it is called, or an optimiser steps
    without gradients.
    Evidence: Frozen parameters, and the buffers of modules without trainable parameters, before
    and after one step on a copy; BatchNorm's statistics are left to MOD006.
    Consequence: Freezing does not hold: what was learnt is lost slowly.
    Remedy: Write to buffers under `if self.training` alone, and call .eval() on what is frozen.
    False alarms: An error for parameters; counters and running averages of frozen modules are a
    note.

    In code:
        def forward(self, x): self.scale.data.mul_(0.99); return x * self.scale
    """
    step = one_step(pipeline)
    frozen = [name for name, p in pipeline.module.named_parameters() if not p.requires_grad]
    if not frozen:
        raise NotRunError("nothing is frozen")
    wrong = [name for name in frozen if step.moved(name)]
    if wrong:
        return error(
            f"{len(wrong)} of {len(frozen)} frozen parameters changed in one step: "
            f"{brief(wrong, 3)}"
        )
    now = dict(step.model.named_buffers())
    holders = dict(step.model.named_modules())
    changed = []
    for name, before in step.buffers.items():
        place = name.rpartition(".")[0]
        own = list(holders[place].parameters())
        batch_norm = isinstance(holders[place], nn.modules.batchnorm._NormBase)
        same = now[name].shape == before.shape and bool((now[name] == before).all())
        if not batch_norm and not same and own and not any(p.requires_grad for p in own):
            changed.append(name)
    if changed:
        return note(f"buffers of frozen modules changed in one step: {brief(changed, 3)}")
    return f"{len(frozen)} frozen parameters stayed as they are"
