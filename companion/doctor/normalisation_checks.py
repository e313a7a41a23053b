"""Checks of BatchNorm: what it does to a frozen network, to small batches, and called twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from companion.doctor.copies import copied
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.taking import cut
from companion.doctor.words import NotRunError, Result, error, note, warning
from companion.inputs import brief, called, device_of, dtype_of, moved
from companion.states import evaluating, own_randomness, randomness_kept

SMALL_BATCH = 8


def norms_of(pipeline: Pipeline) -> dict[str, Any]:
    """Return the batch normalisations of a model by name; `NotRunError` for none."""
    found: dict[str, Any] = {
        name: each for name, each in pipeline.module.named_modules() if isinstance(each, _BatchNorm)
    }
    if not found:
        raise NotRunError("the model has no BatchNorm")
    return found


@check("MOD006", chapter="frozen-batchnorm", needs=["model"], explains=["OPT004"])
def drifting_statistics(pipeline: Pipeline) -> Result:
    """BatchNorm's statistics move in a frozen part.

    Fault: `requires_grad=False` stops weights, and not running means and variances; the next
    `.train()` undoes an `.eval()` of the part.
    Evidence: Which BatchNorms are in training mode in a copy after `.train()`, have frozen
    weights, and stand behind frozen parameters alone; with training data, how far their
    statistics move on the sampled batches.
    Consequence: Features drift away from what the frozen weights were made for; the old task gets
    worse though no weight moves.
    Remedy: freeze(model.backbone), which keeps them in evaluation mode for good, or override
    train() to call .eval() on the part.
    False alarms: A warning: AdaBN adapts the statistics by design, and a loop may call .eval() on
    the part after each .train(), which cannot be seen from outside.

    In code:
        model.requires_grad_(False); model.train()
        model(images); model.bn1.num_batches_tracked  # 1, and bn1.running_mean has moved
    """
    module = pipeline.module
    norms = norms_of(pipeline)
    before = {id(p): i for i, p in enumerate(module.parameters())}
    flags = [p.requires_grad for p in module.parameters()]
    frozen = [
        name
        for name, norm in norms.items()
        if norm.track_running_stats and norm.weight is not None and not norm.weight.requires_grad
        if not any(flags[: before[id(norm.weight)]])
    ]
    if not frozen:
        return f"none of {len(norms)} BatchNorms is in a frozen part"
    made = copied(module).train()
    inner = dict(made.named_modules())
    live = [name for name in frozen if inner[name].training]
    if not live:
        return f"{len(frozen)} BatchNorms of the frozen part stay in evaluation mode"
    told = f"{len(live)} of {len(norms)} BatchNorms are frozen and in training mode after .train()"
    if "train" in pipeline:
        name = live[-1]
        norm: Any = inner[name]
        first, spread = norm.running_mean.clone(), norm.running_var.sqrt().mean()
        device, dtype = device_of(made), dtype_of(made)
        try:
            with torch.no_grad(), own_randomness(pipeline.seed, device):
                for inputs in pipeline.read("train").inputs[:4]:
                    called(made, moved(inputs, device, dtype))
        except Exception:  # other people's code runs here: MOD001 tells
            return warning(f"{told}: {brief(live, 3)}")
        far = float((norm.running_mean - first).abs().mean() / spread)
        told += f"; the mean of {name} moves by {far:.3f} standard deviations in a few batches"
    return warning(f"{told}: {brief(live, 3)}")


@check("MOD007", chapter="types-and-scales", needs=["model", "train"])
def batch_of_one(pipeline: Pipeline) -> Result:
    """BatchNorm gets a batch of one image, or of a few.

    Fault: The batch size is one, or leaves a remainder of one; or it is so small that each
    batch's mean is mostly noise.
    Evidence: The sizes of the training batches, the number of images that the sampler draws, and
    one image put through a copy in training mode.
    Consequence: Where BatchNorm has one value per channel, one image raises in the middle of an
    epoch. With a few images training works, and evaluation differs from it.
    Remedy: drop_last=True in the training loader, a batch size without a remainder of 1, or
    GroupNorm.
    False alarms: An error only where one image raises; fewer than 8 images a batch are a note.

    In code:
        DataLoader(train_data, batch_size=64, shuffle=True, drop_last=True)
    """
    norms = norms_of(pipeline)
    live = [each for each in norms.values() if each.training or not each.track_running_stats]
    sizes = pipeline.read("train").sizes
    loader = pipeline["train"]
    last = sizes[-1] if pipeline.read("train").ended else None
    if isinstance(loader, DataLoader) and loader.batch_size and not loader.drop_last:
        try:
            drawn = len(loader.sampler)  # type: ignore[arg-type]
            last = drawn % loader.batch_size or loader.batch_size
        except TypeError:
            pass
    if 1 in (last, sizes[0]) and _one_raises(pipeline):
        where = "every batch has" if sizes[0] == 1 else "the last batch of an epoch has"
        return error(f"{where} one image, and in training mode the model raises for one")
    if sizes[0] < SMALL_BATCH and live:
        return note(f"{len(live)} BatchNorms compute their means over {sizes[0]} images")
    return f"batches of {sizes[0]}" + (f", the last of {last}" if last else "")


def _one_raises(pipeline: Pipeline) -> bool:
    made = copied(pipeline.module).train()
    device = device_of(made)
    one = moved(cut(pipeline.read("train").inputs[0], 1), device, dtype_of(made))
    try:
        with torch.no_grad(), own_randomness(pipeline.seed, device):
            called(made, one)
    except ValueError as raised:
        return "BatchNorm" in str(raised) or "more than 1 value" in str(raised)
    except Exception:  # other people's code runs here: MOD001 tells
        return False
    return False


@check("MOD008", chapter="frozen-batchnorm", needs=["model", "train"])
def norm_called_twice(pipeline: Pipeline) -> Result:
    """One BatchNorm is called several times for a batch.

    Fault: A layer was made once and used in two places, where two layers were meant.
    Evidence: How often each BatchNorm is called in one pass.
    Consequence: Its running statistics are a mixture that fits neither place, so that evaluation
    differs from training.
    Remedy: Make one for each place.
    False alarms: A note: networks that read two images with the same weights do it by design.

    In code:
        x = F.relu(self.bn(self.conv1(x))); x = F.relu(self.bn(self.conv2(x)))
    """
    norms = norms_of(pipeline)
    calls = calls_of(pipeline, norms)
    twice = [name for name, count in calls.items() if count > 1]
    if twice:
        return note(f"called {calls[twice[0]]} times in one pass: {brief(twice, 4)}")
    return f"{len(norms)} BatchNorms are called once"


def calls_of(pipeline: Pipeline, modules: dict[str, nn.Module]) -> Counter[str]:
    """Return how often modules are called in one pass in evaluation mode."""
    counts: Counter[str] = Counter()
    _ = pipeline.task  # that the model runs
    handles = [
        each.register_forward_hook(lambda *_, name=name: counts.update([name]))
        for name, each in modules.items()
    ]
    try:
        with randomness_kept(device_of(pipeline.module)), evaluating(pipeline.module):
            called(pipeline.module, pipeline.head_of("train", 2))
    finally:
        for handle in handles:
            handle.remove()
    return counts
