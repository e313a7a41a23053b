from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from companion import AmbiguousHeadError, LabelMap, extend_head, find_head, replace_head, small_cnn
from small_models import Backwards, WithAux

IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return list(model.named_modules())


def quantised() -> nn.Module:
    kind = type("Linear", (nn.Module,), {"__module__": "torch.ao.nn.quantized.modules.linear"})
    return nn.Sequential(nn.Linear(4, 4), kind())


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.Sequential(nn.Linear(4, 3)))


def sharded() -> nn.Module:
    """What `fully_shard` makes of a class, without the processes that it needs."""
    model = Backwards()
    model.__class__ = type("FSDPBackwards", (FSDPModule, Backwards), {})
    return model


def distributed() -> nn.Module:
    return type("DistributedDataParallel", (nn.Module,), {})()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: torch.compile(small_cnn(3, seed=0)), "change the head, then compile"),
        (scripted, "change the head, then script it"),
        (quantised, "received '1' quantised"),
        (distributed, "a DistributedDataParallel has"),
        (sharded, "change the head, then wrap it"),
        (lambda: nn.Sequential(nn.LazyLinear(3)), "'0.weight' is lazy and has none yet"),
        (lambda: "resnet18", "a model is a torch.nn.Module; received str"),
        (lambda: nn.Linear, "a model is a torch.nn.Module; received type"),
    ],
    ids=["compiled", "scripted", "quantised", "ddp", "fsdp2", "lazy", "a name", "a class"],
)
def test_a_model_that_cannot_be_changed_is_refused(build: Callable[[], Any], message: str) -> None:
    model, old = build(), LabelMap(["a", "b", "c"])
    for change in (find_head, lambda m: replace_head(m, 2), lambda m: extend_head(m, old, old)):
        with pytest.raises(TypeError, match=message):
            change(model)


def test_a_model_that_is_a_layer_is_found_but_not_changed() -> None:
    layer, old = nn.Linear(4, 3), LabelMap(["a", "b", "c"])
    for model in (layer, nn.DataParallel(layer)):
        assert find_head(model).layer is layer
        with pytest.raises(ValueError, match="assign the new layer yourself"):
            replace_head(model, 2)
        with pytest.raises(ValueError, match="wrap the model"):
            extend_head(model, old, old)


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        (0, ValueError),
        (-1, ValueError),
        (2.5, TypeError),
        (True, TypeError),
        ("10", TypeError),
        (np.float64(3), TypeError),
        (np.int64(0), ValueError),
        (torch.tensor(3.0), TypeError),
        (None, TypeError),
    ],
)
def test_a_number_of_classes_that_is_none_is_refused(classes: Any, kind: type[Exception]) -> None:
    model = small_cnn(3, seed=0)
    before = modules(model)
    with pytest.raises(kind, match=r"num_classes must be .*Pass len\(classes\)"):
        replace_head(model, classes)
    assert modules(model) == before


@pytest.mark.parametrize("head", ["Linear", "", "transformer", None])
def test_an_unknown_head_is_refused(head: Any) -> None:
    with pytest.raises(ValueError, match=f"one of linear, bottleneck, mlp.*received {head!r}"):
        replace_head(small_cnn(3, seed=0), 5, head=head)


@pytest.mark.parametrize("images", [None, IMAGES], ids=["no images", "images"])
def test_a_function_that_makes_no_module_is_refused(images: Tensor | None) -> None:
    model = small_cnn(3, seed=0)
    before = modules(model)
    with pytest.raises(TypeError, match=r"returns a torch\.nn\.Module; received Tensor"):
        replace_head(model, 5, head=lambda *_: torch.zeros(2), images=images)  # type: ignore[arg-type, return-value]
    assert modules(model) == before


def raising(before: int, after: int) -> nn.Module:
    head = nn.Linear(before, after)
    head.register_forward_hook(lambda *_: 1 / 0)
    return head


def interrupting(before: int, after: int) -> nn.Module:
    head = nn.Linear(before, after)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    head.register_forward_hook(interrupt)
    return head


@pytest.mark.parametrize(
    ("head", "name", "error"),
    [
        (lambda before, after: nn.Linear(before, after + 1), None, ValueError),
        (lambda before, after: nn.Linear(before + 1, after), None, RuntimeError),
        (raising, None, ZeroDivisionError),
        (interrupting, None, KeyboardInterrupt),
        ("linear", "body", RuntimeError),
        ("linear", "aux", ValueError),
        ("linear", "nowhere", AmbiguousHeadError),
    ],
    ids=["too wide", "other features", "raises", "interrupted", "body", "aux", "unknown"],
)
def test_after_an_error_the_model_is_as_before(
    head: Any, name: str | None, error: type[BaseException], snapshot: type[Any]
) -> None:
    model = WithAux()
    before, state = modules(model), snapshot(model)
    with pytest.raises(error):
        replace_head(model, 5, head=head, name=name, images=torch.zeros(2, 4))
    assert modules(model) == before
    assert model.num_classes == 3
    state.check()


def test_an_output_of_another_width_is_explained() -> None:
    with pytest.raises(ValueError, match=r"must make 5 outputs; the model has 6\. 'fc', 'aux\.2'"):
        replace_head(WithAux(), 5, head=lambda a, b: nn.Linear(a, b + 1), images=torch.zeros(2, 4))
