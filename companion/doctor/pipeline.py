"""What the checks look at: a pipeline, and the facts about it, each found once when asked for."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.doctor.copies import unwrapped
from companion.doctor.facts import fact, kept
from companion.doctor.label_forms import SINGLE
from companion.doctor.maps import (
    PARTS,
    Map,
    dataset_of,
    map_kept_by,
    map_kept_by_model,
    outputs_of,
    read_maps,
)
from companion.doctor.rows import drawn_rows
from companion.doctor.samples import Sample, read_sample
from companion.doctor.taking import cut, tensor_in
from companion.doctor.words import NotRunError
from companion.heads import Head, find_head
from companion.inputs import (
    BatchReader,
    called,
    device_of,
    dtype_of,
    is_held,
    is_pair,
    logits_of,
    moved,
    refuse_unready,
)
from companion.sampling import stored_labels_of
from companion.states import evaluating, randomness_kept

ABSENT_GPU = ("CUDA", "NVIDIA", "cuda")


class Pipeline:
    """A model, its data, and what it is trained with, as the checks see them.

    Facts are found when a check asks for them, and kept. A fact that this pipeline has not raises
    `NotRunError` with the reason, which the check hands on.
    """

    def __init__(self, model: Any = None, *, sample: int = 512, seed: int = 0, **given: Any):
        self.given_model, self.size, self.seed = model, sample, seed
        self.model: Any = unwrapped(model)
        self.given = {name: value for name, value in given.items() if value is not None}
        self.facts: dict[str, Any] = {}
        self.maps: dict[str, Map] = read_maps(given.get("label_maps"))
        for part in self.parts:
            found = map_kept_by(self.given[part]) if part not in self.maps else None
            if found is not None:
                self.maps[part] = found
        own = map_kept_by_model(self.model)
        if own is not None and outputs_of(self.model) in (None, len(own)):
            self.maps.setdefault("model", own)

    def __contains__(self, name: str) -> bool:
        return name in self.given or (name == "model" and self.model is not None)

    def __getitem__(self, name: str) -> Any:
        """Return what was given under a name; `NotRunError` where it was not."""
        if name not in self.given:
            raise NotRunError(f"{name}= was not given")
        return self.given[name]

    @property
    def parts(self) -> list[str]:
        """The parts of the data that were given."""
        return [part for part in PARTS if part in self.given]

    @property
    def held_out(self) -> list[str]:
        """The parts that were given and are not trained on."""
        return [part for part in self.parts if part != "train"]

    def sample(self, part: str) -> Sample:
        """Return some batches of a part, read once."""

        def read() -> Sample:
            selectors = self.given.get("inputs"), self.given.get("labels")
            return read_sample(
                part,
                self[part],
                most=self.size,
                reader=BatchReader(*selectors),
                names=self.maps.get(part, self.maps.get("train")),
            )

        return kept(self.facts, f"sample of {part}", read)

    def read(self, part: str) -> Sample:
        """Return the sample of a part with at least one batch; `NotRunError` for none."""
        found = self.sample(part)
        if not found.inputs:
            raise NotRunError(f"no batch of {part} could be read (PRO001)")
        return found

    def labels(self, part: str) -> Tensor:
        """Return the indices of the labels in the sample of a part, int64 (N,)."""
        found = self.read(part)
        if found.labels is None:
            raise NotRunError(f"the labels of {part} could not be read (LBL001)")
        if found.labels.indices is None:
            raise NotRunError(f"the labels of {part} are {found.labels.form} (LBL001)")
        return found.labels.indices

    def known_labels(self, part: str) -> tuple[Tensor, bool]:
        """Return all labels of a part where it stores them, else those of the sample; and which."""

        def stored() -> tuple[Tensor, bool]:
            sample, data = self.labels(part), self.given[part]
            if is_held(data):
                return data.labels.cpu().long(), True
            items, whole = self.sample(part).items, self.sample(part).ended
            if is_pair(data) or "labels" in self.given:
                return sample, whole
            found, rows = stored_labels_of(dataset_of(data)), drawn_rows(data)
            if found is not None and rows is not None:
                found = found[torch.tensor(rows, dtype=torch.int64)]
                if {*sample.tolist()} <= {*found.tolist()}:
                    return found, True
            return sample, whole and items in (None, len(sample))

        return kept(self.facts, f"labels of {part}", stored)

    @fact
    def module(self) -> nn.Module:
        """The model, where it is one that can compute."""
        if not isinstance(self.model, nn.Module):
            raise NotRunError("no model was given")
        try:
            refuse_unready(self.model)
        except TypeError as error:
            raise NotRunError(str(error)) from error
        return self.model

    @fact
    def answer(self) -> Any:
        """What the model returns for a batch in evaluation mode, or the exception that it raises.

        An exception for want of a GPU is no fault of the model's.
        """
        inputs = self.head_of("train", 8)
        try:
            with randomness_kept(device_of(self.module)), evaluating(self.module):
                return called(self.module, inputs)
        except Exception as error:  # other people's code runs here
            if any(word in str(error) for word in ABSENT_GPU) and not torch.cuda.is_available():
                raise NotRunError(f"the model needs a GPU that is not there ({error})") from error
            return error

    def head_of(self, part: str, count: int) -> Any:
        """Return the inputs of the first `count` images of a part, where the model is."""
        inputs = cut(self.read(part).inputs[0], count)
        return moved(inputs, device_of(self.module), dtype_of(self.module))

    @fact
    def task(self) -> str:
        """What the model answers: "classes", "two classes by one number", or something else."""
        answer = self.answer
        if isinstance(answer, Exception):
            raise NotRunError("the model does not run on a batch (MOD001)")
        form = self.read("train").labels
        found = tensor_in(answer)
        if found is None:
            return f"a {type(answer).__name__} without logits"
        if found.dim() > 2 or (form is not None and form.form == "masks"):
            return "a class for each position (segmentation)"
        loss = type(self.given.get("loss")).__name__
        multi = form is not None and form.form == "multi-label rows"
        if multi or "MultiLabel" in loss:
            return "several labels for each image (multi-label)"
        if form is not None and form.form not in SINGLE:
            return f"labels that are {form.form}"
        if found.dim() == 1 or found.shape[1] == 1:
            return "two classes by one number"
        return "classes"

    @fact
    def width(self) -> int:
        """How many outputs the model has."""
        if self.task != "classes":
            raise NotRunError(f"the model answers {self.task}, not one of several classes (MOD002)")
        return int(logits_of(self.answer).shape[1])

    def logits(self, part: str) -> Tensor:
        """Return the model's logits for the sample of a part, float32 (N, outputs) on the CPU."""

        def computed() -> Tensor:
            width, rows = self.width, self.read(part)
            found = []
            device, dtype = device_of(self.module), dtype_of(self.module)
            with randomness_kept(device), evaluating(self.module):
                for inputs, size in zip(rows.inputs, rows.sizes, strict=True):
                    try:
                        output = called(self.module, moved(inputs, device, dtype))
                        found.append(logits_of(output, rows=size).float().cpu())
                    except Exception as error:  # other people's code runs here
                        raise NotRunError(f"the model does not run on {part} (MOD001)") from error
            if any(each.shape[1] != width for each in found):
                raise NotRunError("the model's width depends on the batch")
            return torch.cat(found)

        return kept(self.facts, f"logits of {part}", computed)

    def judged(self, part: str) -> tuple[Tensor, Tensor]:
        """Return logits and labels of the images of a sample whose label is one of the outputs."""
        logits, labels = self.logits(part), self.labels(part)
        inside = (labels >= 0) & (labels < logits.shape[1])
        logits, labels = logits[inside], labels[inside]
        if not len(labels) or not bool(logits.isfinite().all()):
            raise NotRunError(f"no finite logits of labelled images of {part}")
        return logits, labels

    @fact
    def classes(self) -> int:
        """How many classes are declared, by the model's map, else the training data's."""
        for part in ("model", "train"):
            if part in self.maps:
                return max(self.maps[part].values()) + 1
        raise NotRunError("no label map says how many classes there are: label_maps=")

    @fact
    def head(self) -> Head:
        """The model's classifier."""
        with suppress(ValueError, TypeError, AttributeError):
            return find_head(self.module)
        try:
            return find_head(self.module, images=self.head_of("train", 2))
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            raise NotRunError(f"no head was found ({error})") from error

    @property
    def loss(self) -> Any:
        """The loss that was given, else cross-entropy."""
        return self.given.get("loss", F.cross_entropy)
