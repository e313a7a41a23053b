"""Checks of operations on a model that do nothing: what is set, and nobody reads."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from companion.doctor.copies import copied
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.stepping import BATCH
from companion.doctor.taking import cut
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning
from companion.inputs import brief, called, device_of, dtype_of, moved
from companion.states import own_randomness

HEADS = ("fc", "head", "heads", "classifier", "last_linear", "output_layer")
MISSPELT = ("require_grad", "required_grad", "requires_gradient", "require_gradient")
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@check("MOD003", chapter="silent-surgery", needs=["model", "train"], explains=["MOD018", "OPT003"])
def never_used(pipeline: Pipeline) -> Result:
    """A part of the model takes no part in its answer.

    Fault: A new head was assigned to a name that the network does not call, `.fc` of a VGG or
    `.classifier` of a ResNet; or a part is left over.
    Evidence: The parameters of a copy that get no gradient from anything that it returns for a
    batch, in training mode and in evaluation mode, with everything thawed.
    Consequence: The network answers by its old head. Training the new one changes nothing.
    Remedy: Put it where the network looks for it: replace_head(model, 10), or find the place with
    find_head(model, images=batch).name; then assert the width of the output.
    False alarms: An error only for a module as wide as the declared classes in a model that
    answers in another width; a module that is called like a head is a warning; anything else,
    such as a branch that is rarely taken or an unused pooler, is a note.

    In code:
        model = vgg16(); model.fc = nn.Linear(4096, 10)  # a VGG's head is classifier[6]
        model(images).shape                              # (N, 1000)
    """
    idle = idle_parameters(pipeline)
    module = pipeline.module
    if not idle:
        return f"all {sum(1 for _ in module.parameters())} parameters take part"
    tops = list(dict.fromkeys(name.split(".")[0] for name in idle))
    whole = [top for top in tops if all(n in idle for n in _names_below(module, top))]
    told = f"{len(idle)} parameters take no part in the answer: {brief(idle, 4)}"
    heads = [top for top in whole if top in HEADS and top in dict(module.named_children())]
    if heads and pipeline.task == "classes":
        widths = [_width_of(module.get_submodule(name)) for name in heads]
        wide = [w for w in widths if w is not None and w != pipeline.width]
        if wide:
            return error(
                f"{told}; {heads[0]!r} has {wide[0]} outputs, and the model answers with "
                f"{pipeline.width}"
            )
    return warning(told) if heads else note(told)


def _names_below(module: nn.Module, top: str) -> list[str]:
    return [name for name, _ in module.named_parameters() if name.split(".")[0] == top]


def _width_of(module: nn.Module) -> int | None:
    layers = [x for x in module.modules() if isinstance(x, nn.Linear | nn.Conv2d)]
    return int(layers[-1].weight.shape[0]) if layers else None


def idle_parameters(pipeline: Pipeline) -> list[str]:
    """Return the names of parameters without a gradient from anything that the model returns."""
    idle: list[set[str]] = []
    for training in (True, False):
        with suppress(NotRunError):
            idle.append(idle_in(pipeline, training=training))
    if not idle:
        raise NotRunError("nothing that the model returns has a gradient")
    return [n for n, _ in pipeline.module.named_parameters() if all(n in each for each in idle)]


def idle_in(pipeline: Pipeline, *, training: bool) -> set[str]:
    """Return the names of parameters without a gradient in one of the two modes."""
    _ = pipeline.task  # that the model runs
    made = copied(pipeline.module)
    for parameter in made.parameters():
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    count = min(BATCH, 4)
    device = device_of(made)
    inputs = moved(cut(pipeline.read("train").inputs[0], count), device, dtype_of(made))
    with own_randomness(pipeline.seed, device):
        try:
            total = _total(called(made.train(training), inputs))
        except (RuntimeError, ValueError, TypeError) as error:  # a batch too small for BatchNorm
            raise NotRunError(f"the model does not run on a few images ({error})") from error
    if total is None or not total.requires_grad:
        raise NotRunError("nothing that the model returns has a gradient")
    total.backward()
    return {name for name, p in made.named_parameters() if p.requires_grad and p.grad is None}


def _total(answer: Any) -> Tensor | None:
    """Return the sum of all numbers in an answer that have gradients."""
    if isinstance(answer, Tensor):
        return answer.float().sum() if answer.requires_grad else None
    if isinstance(answer, dict):
        parts = [_total(each) for each in answer.values()]
    elif isinstance(answer, tuple | list):
        parts = [_total(each) for each in answer]
    else:
        parts = (
            [_total(each) for each in vars(answer).values()] if hasattr(answer, "__dict__") else []
        )
    there = [each for each in parts if each is not None]
    return torch.stack(there).sum() if there else None


@check("MOD004", chapter="silent-surgery", needs=["model"], explains=["MOD018"])
def attribute_and_weight(pipeline: Pipeline) -> Result:
    """A layer says another size than its weights have.

    Fault: `layer.out_features = 10` was set, which changes what is printed and nothing else.
    Evidence: The sizes that linear layers and convolutions state, against the shapes of their
    weights; and the model's own `num_classes` against its output.
    Consequence: The model prints 10 outputs and has 1000. The loss trains 990 outputs that no
    label names.
    Remedy: Assign a new layer: model.fc = nn.Linear(model.fc.in_features, 10), or call
    replace_head(model, 10).
    False alarms: None for plain layers; subclasses and parametrised layers are not looked at.
    `num_classes` that differs from the output is a warning.

    In code:
        model.fc.out_features = 10
        model.fc, model.fc.weight.shape  # Linear(…, out_features=10), (1000, 512)
    """
    found: list[Seen] = []
    layers = 0
    for name, layer in pipeline.module.named_modules():
        said: tuple[int, ...]
        if type(layer) is nn.Linear:
            said = (layer.out_features, layer.in_features)
        elif type(layer) in CONVOLUTIONS:
            one: Any = layer
            said = (one.out_channels, one.in_channels // one.groups)
        else:
            continue
        layers += 1
        own = tuple(layer.weight.shape[:2])
        if layer.weight.is_floating_point() and said != own:
            found.append(
                error(
                    f"{name or 'the model'} says {said[0]} outputs of {said[1]} inputs, and its "
                    f"weights have {own[0]} of {own[1]}"
                )
            )
    stated = vars(pipeline.module).get("num_classes")
    if type(stated) is int and stated > 1 and "train" in pipeline and not found:
        try:
            width = pipeline.width
        except NotRunError:
            width = stated
        if width != stated:
            found.append(warning(f"the model says num_classes={stated} and answers with {width}"))
    return found or f"{layers} layers have the sizes that they say"


@check("MOD005", chapter="silent-surgery", needs=["model"], explains=["OPT001", "OPT004", "MOD006"])
def plain_attribute(pipeline: Pipeline) -> Result:
    """`requires_grad` was set on a module, or misspelt, and freezes nothing.

    Fault: `module.requires_grad = False` makes an attribute of the module that nobody reads;
    `parameter.require_grad = False` makes one of the parameter.
    Evidence: Such attributes, beside the switches of the parameters below.
    Consequence: What was to be frozen is trained, or what was to be thawed stays frozen.
    Remedy: module.requires_grad_(False), with the underscore, or freeze(module), which also keeps
    BatchNorm still.
    False alarms: An attribute that agrees with every parameter below passes.

    In code:
        model.layer1.requires_grad = False                 # nothing happens
        model.layer1.requires_grad_(False)                 # frozen
    """
    found: list[Seen] = []
    for name, module in pipeline.module.named_modules():
        said = vars(module).get("requires_grad")
        against = [n for n, p in module.named_parameters() if p.requires_grad != said]
        if isinstance(said, bool) and against:
            does = "may change" if not said else "are frozen"
            found.append(
                error(
                    f"{name or 'the model'}.requires_grad is {said}, a plain attribute, and "
                    f"{len(against)} of its parameters {does}: {brief(against, 3)}"
                )
            )
    for name, parameter in pipeline.module.named_parameters():
        typos = [typo for typo in MISSPELT if typo in vars(parameter)]
        if typos and vars(parameter)[typos[0]] != parameter.requires_grad:
            found.append(
                error(
                    f"{name}.{typos[0]} was set; requires_grad is still {parameter.requires_grad}"
                )
            )
    return found or "no module or parameter has such an attribute"


@check("MOD018", chapter="wide-head", needs=["model", "train"])
def width_and_classes(pipeline: Pipeline) -> Result:
    """The model has another number of outputs than there are classes.

    Fault: The head was built for another set of classes, or was never replaced.
    Evidence: The width of the output for a batch, against the classes that the maps declare.
    Consequence: A head that is too narrow has no way to say the other names, so their accuracy is
    0. One that is too wide works, and spends probability on names that no label has.
    Remedy: replace_head(model, len(classes)).
    False alarms: Spare outputs are meant at times: a note. Too few is an error where training or
    validation images have such labels; a map that also names classes without images is a note.

    In code:
        model(images).shape[1] == len(train_data.classes)
    """
    width = pipeline.width
    known = {part: max(names.values()) + 1 for part, names in pipeline.maps.items() if names}
    if not known:
        raise NotRunError("no label map says how many classes there are: label_maps=")
    found: list[Seen] = []
    for part, count in known.items():
        if width < count and part != "test":
            told = f"{width} outputs for the {count} classes of {part}"
            if part not in pipeline.parts:  # the model's own map names more than it can say
                found.append(error(told))
                continue
            lost = int((pipeline.known_labels(part)[0] >= width).sum())
            beyond = f"{told}: {lost:,} labels are beyond"
            found.append(error(beyond) if lost else note(told))
        elif width > count and part in ("train", "model"):
            found.append(note(f"{width} outputs for the {count} classes of {part}"))
    return found or f"{width} outputs for {known} classes"
