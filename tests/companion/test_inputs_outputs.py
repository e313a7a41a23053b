"""What models are given and what they return, in the forms of other people's libraries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from companion.inputs import checked_logits, compute_logits, logits_of, moved

LOGITS, OTHER = torch.arange(6.0).reshape(2, 3), torch.zeros(2, 3)
CPU = torch.device("cpu")


class Inception(NamedTuple):
    """As torchvision's InceptionOutputs, in training."""

    logits: Tensor
    aux_logits: Tensor | None


class ModelOutput(OrderedDict):
    """As Hugging Face's: a mapping whose entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


RETURNED: dict[str, Any] = {
    "tensor": LOGITS,
    "tuple": (LOGITS, OTHER),
    "list": [LOGITS],
    "nested": ((LOGITS, OTHER), OTHER),
    "inception": Inception(LOGITS, OTHER),
    "inception-without-aux": Inception(LOGITS, None),
    "object": SimpleNamespace(logits=LOGITS, loss=None),
    "model-output": ModelOutput(loss=torch.tensor(0.5), logits=LOGITS, hidden_states=OTHER),
    "dict": {"loss": torch.tensor(0.5), "logits": LOGITS, "aux": OTHER},
    "segmentation": {"out": LOGITS, "aux": OTHER},
    "only-tensor": {"prediction": LOGITS, "name": "cat"},
}


class TestLogitsOf:
    @pytest.mark.parametrize("output", RETURNED.values(), ids=RETURNED)
    def test_logits_are_found(self, output: Any) -> None:
        assert logits_of(output, rows=2) is LOGITS

    @pytest.mark.parametrize(
        ("output", "error", "message"),
        [
            (None, TypeError, r"a classifier returns logits.*received NoneType\. Wrap the model"),
            ((), TypeError, "received tuple"),
            ({"a": OTHER, "b": LOGITS}, TypeError, r"received dict with \['a', 'b'\]\. Wrap"),
            (LOGITS.numpy(), TypeError, "received ndarray"),
            ("cat", TypeError, "received str"),
            (torch.zeros(2, 3, 4, 4), ValueError, r"received \(2, 3, 4, 4\)\. Flatten before"),
            (torch.zeros(2), ValueError, r"received \(2,\)\. Of one output x for two classes"),
            (torch.tensor(0.0), ValueError, r"received \(\)\. Of one output"),
            (torch.zeros(2, 0), ValueError, r"received \(2, 0\)"),
            (torch.zeros(1, 6), ValueError, r"each of the 2 inputs; received 1\. Keep the first"),
        ],
        ids=[
            "none", "empty", "two-tensors", "array", "text", "maps", "one-output", "number",
            "no-class", "rows",
        ],
    )  # fmt: skip
    def test_other_outputs_are_refused(
        self, output: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            logits_of(output, rows=2)

    def test_a_library_s_own_output(self) -> None:
        outputs = pytest.importorskip("torchvision.models.inception")
        assert logits_of(outputs.InceptionOutputs(LOGITS, OTHER)) is LOGITS


class Named(nn.Module):
    """A network that is called by names, as Hugging Face's are."""

    def forward(self, pixel_values: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
        return {"logits": pixel_values * scale}


class Failing(nn.Module):
    """A network that does not take what it is given."""

    def forward(self, images: Tensor) -> Tensor:
        raise RuntimeError("expected scalar type Float")


class TestComputeLogits:
    def test_a_mapping_becomes_named_arguments(self) -> None:
        assert torch.equal(compute_logits(Named(), {"pixel_values": LOGITS}), LOGITS)
        doubled = compute_logits(Named(), {"pixel_values": LOGITS, "scale": 2.0})
        assert torch.equal(doubled, 2 * LOGITS)
        assert torch.equal(compute_logits(Named(), LOGITS), LOGITS)

    def test_bytes_that_the_model_does_not_take(self) -> None:
        pictures = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
        with pytest.raises(TypeError, match=r"floating point.*uint8 and failed.*float\(\) / 255"):
            compute_logits(nn.Conv2d(1, 3, 4), pictures)

    def test_a_model_that_scales_bytes_is_given_them(self) -> None:
        class Scaling(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return images.float() / 255

        given = torch.full((2, 3), 255, dtype=torch.uint8)
        assert compute_logits(Scaling(), given).tolist() == [[1, 1, 1]] * 2

    def test_the_model_s_own_error_stays(self) -> None:
        with pytest.raises(RuntimeError, match=r"^expected scalar type Float$"):
            compute_logits(Failing(), LOGITS)


class TestMoved:
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
    def test_floats_take_the_type_and_integers_keep_theirs(self, dtype: torch.dtype) -> None:
        found = moved({"x": LOGITS, "ids": torch.tensor([1]), "name": "a"}, CPU, dtype)
        assert found["x"].dtype == dtype
        assert found["ids"].dtype == torch.int64
        assert found["name"] == "a"

    @pytest.mark.parametrize(
        ("wrap", "parts"),
        [
            (lambda x: (x, x), 2),
            (lambda x: [x], 1),
            (lambda x: Inception(x, None), 2),
            (lambda x: {"x": (x, {"y": x})}, 1),
        ],
        ids=["tuple", "list", "named", "nested"],
    )
    def test_what_holds_tensors_keeps_its_form(
        self, wrap: Callable[[Tensor], Any], parts: int
    ) -> None:
        given = wrap(LOGITS)
        found = moved(given, CPU, torch.float64)
        assert type(found) is type(given)
        assert len(found) == parts
        assert "float64" in str(found)

    def test_a_packed_sequence_goes_as_a_whole(self) -> None:
        found = moved(pack_sequence([LOGITS]), CPU)
        assert isinstance(found, PackedSequence)

    def test_nothing_is_copied_without_need(self) -> None:
        assert moved(LOGITS, CPU, torch.float32) is LOGITS

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_from_the_gpu_all_values_have_arrived(self) -> None:
        there = torch.arange(4_000_000.0, device="cuda") * 2
        assert moved(there, CPU)[-1].item() == 7_999_998.0


class TestCheckedLogits:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
    def test_arrays_are_read(self, dtype: Any) -> None:
        array = np.arange(6).reshape(2, 3).astype(dtype)
        array.flags.writeable = False
        found = checked_logits(array, rows=2, width=3)
        assert found.tolist() == array.tolist()

    @pytest.mark.parametrize(
        ("logits", "error", "message"),
        [
            (torch.zeros(2, 3).long(), TypeError, r"received torch\.int64\. Pass what the head"),
            ([[0.0, 1.0]], TypeError, "a tensor or an array; received list"),
            (torch.zeros(3), ValueError, r"shape \(N, classes\); received \(3,\)"),
            (torch.zeros(0, 3), ValueError, r"received \(0, 3\)"),
            (torch.tensor([[0.0, torch.nan]]), ValueError, r"1 of 1 images hold NaN.*columns that"),
            (torch.tensor([[0.0, -torch.inf]]), ValueError, "columns that were masked"),
        ],
        ids=["integers", "list", "1-D", "none", "nan", "masked"],
    )
    def test_other_values_are_refused(
        self, logits: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            checked_logits(logits)

    def test_masked_columns_may_be_allowed(self) -> None:
        logits = torch.tensor([[0.0, -torch.inf]])
        assert torch.equal(checked_logits(logits, masked=True), logits)
        for bad in (torch.inf, torch.nan):
            with pytest.raises(ValueError, match=r"infinity\. Look for NaN in images"):
                checked_logits(torch.tensor([[0.0, bad]]), masked=True)
        with pytest.raises(ValueError, match="needs a class that is not ruled out"):
            checked_logits(torch.full((1, 2), -torch.inf), masked=True)
