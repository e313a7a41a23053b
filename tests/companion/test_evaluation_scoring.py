"""Reports of other people's data: loaders, pairs, arrays, and labels without images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset
from tqdm import tqdm

from companion import LabelledImages, LabelMap, Report, UnknownLabelError, evaluate, report
from companion.evaluation import label_map_of
from companion.inputs import arrays_equal

ANSWERS, TRUTH = torch.tensor([0, 2, 1, 1, 0, 2]), torch.tensor([0, 2, 2, 1, 1, 2])
LOGITS = torch.eye(3)[ANSWERS]  # four of six are right
IMAGES = LOGITS[:, None, None]  # (N, 1, 1, 3): what the lookup network says
NAMES = ("cat", "dog", "owl")


class Folder(Dataset):
    """A data set as torchvision's: items, and what its classes are called."""

    def __init__(self, images: Tensor = IMAGES, labels: Tensor = TRUTH, **facts: Any) -> None:
        self.items = [*zip(images, labels.tolist(), strict=True)]
        vars(self).update(facts)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.items[index]


class Remapped(Folder):
    """A wrapper that changes the labels on their way."""

    def __init__(self, dataset: Folder) -> None:
        super().__init__(labels=(TRUTH + 1) % 3)
        self.dataset = dataset


FOLDER = Folder(classes=[*NAMES], class_to_idx={name: i for i, name in enumerate(NAMES)})
HELD = LabelledImages(IMAGES, TRUTH, NAMES)


def loader(dataset: Any, **options: Any) -> DataLoader:
    return DataLoader(dataset, batch_size=4, **options)


def dictionaries(items: Sequence[tuple[Tensor, int]]) -> dict[str, Any]:
    images, labels = zip(*items, strict=True)
    return {"image": torch.stack(images), "label": list(labels)}


DATA: dict[str, Any] = {
    "held": HELD,
    "loader": loader(FOLDER),
    "shuffled": loader(FOLDER, shuffle=True),
    "dictionaries": loader(FOLDER, collate_fn=dictionaries),
    "loader-of-held": loader(HELD),
    "subset": loader(Subset(Subset(FOLDER, [5, 4, 3, 2, 1, 0]), range(6))),
    "joined": loader(ConcatDataset([Subset(FOLDER, [0, 1]), Subset(FOLDER, [2, 3, 4, 5])])),
    "only-classes": loader(Folder(classes=NAMES)),
    "only-class-to-idx": loader(Folder(class_to_idx={"owl": 2, "cat": 0, "dog": 1})),
    "hugging-face": loader(Folder(features={"label": SimpleNamespace(names=[*NAMES])})),
    "bar": tqdm(loader(FOLDER), disable=True),
}


class TestNamesOfTheData:
    @pytest.mark.parametrize("data", DATA.values(), ids=DATA)
    def test_names_come_from_the_data_set(self, lookup: type[nn.Module], data: Any) -> None:
        found = evaluate(lookup(3), data)
        assert found.accuracy == pytest.approx(4 / 6)
        assert found.recall == pytest.approx({"cat": 1.0, "dog": 0.5, "owl": 2 / 3})
        assert found.classes == found.head_classes == NAMES

    @pytest.mark.parametrize("data", DATA.values(), ids=DATA)
    def test_a_head_with_a_map_is_compared_by_name(
        self, lookup: type[nn.Module], data: Any
    ) -> None:
        # The same answers, if the head's third output is the dog.
        head = LabelMap(["cat", "owl", "dog"])
        right = [NAMES[t] == head.classes[a] for a, t in zip(ANSWERS, TRUTH, strict=True)]
        assert evaluate(lookup(3), data, label_map=head).accuracy == np.mean(right)

    @pytest.mark.parametrize(
        "data",
        [
            (IMAGES, TRUTH),
            (IMAGES.numpy(), TRUTH.tolist()),
            [(IMAGES, TRUTH)],
            loader(TensorDataset(IMAGES, torch.ones(6), TRUTH)),
            loader(Folder(classes=[("cat", "puss"), ("dog",), ("owl",)])),
            loader(Folder(classes=["cat", "kitten", "dog"], class_to_idx={"cat": 0, "kitten": 0})),
            loader(Folder(classes=["dog", "cat", "owl"], target_transform=lambda label: label)),
            loader(Remapped(Folder(classes=["dog", "cat", "owl"]))),
        ],
        ids=[
            "pair", "arrays", "batches", "triples", "synonyms", "shared-index", "transformed",
            "wrapped",
        ],
    )  # fmt: skip
    def test_data_without_names_are_numbered(self, lookup: type[nn.Module], data: Any) -> None:
        assert evaluate(lookup(3), data).classes == (0, 1, 2)
        named = evaluate(lookup(3), data, label_map=LabelMap(NAMES))
        assert named.classes == named.head_classes == NAMES
        narrow = evaluate(lookup(3), data, label_map=LabelMap(NAMES), classes=["owl", "dog", "cat"])
        assert narrow.classes == ("owl", "dog", "cat")

    def test_names_that_are_given_win(self, lookup: type[nn.Module]) -> None:
        found = evaluate(lookup(3), loader(FOLDER), classes=[*"abc"])
        assert (found.classes, found.accuracy) == (("a", "b", "c"), pytest.approx(4 / 6))

    def test_a_function_of_the_batch_may_number_otherwise(self, lookup: type[nn.Module]) -> None:
        found = evaluate(lookup(3), loader(FOLDER), labels=lambda batch: (batch[1] + 1) % 3)
        assert found.classes == (0, 1, 2)

    def test_parts_with_other_classes_are_refused(self, lookup: type[nn.Module]) -> None:
        joined = ConcatDataset([FOLDER, Folder(classes=["cat", "owl"])])
        with pytest.raises(ValueError, match=r"number the same classes alike; received.*classes="):
            evaluate(lookup(3), loader(joined))
        assert evaluate(lookup(3), loader(joined), classes=NAMES).accuracy == pytest.approx(4 / 6)

    def test_names_for_a_set_that_has_its_own_are_refused(self, lookup: type[nn.Module]) -> None:
        with pytest.raises(TypeError, match=r"received it with LabelledImages, which has its own"):
            evaluate(lookup(3), HELD, classes=NAMES)

    def test_nothing_is_known_of_plain_batches(self) -> None:
        assert label_map_of([(IMAGES, TRUTH)]) is None
        assert label_map_of(FOLDER) == LabelMap(NAMES)

    def test_a_folder_of_torchvision_is_evaluated(
        self, tmp_path: Path, lookup: type[nn.Module]
    ) -> None:
        datasets = pytest.importorskip("torchvision.datasets")
        transforms = pytest.importorskip("torchvision.transforms")
        image = pytest.importorskip("PIL.Image")
        for name, brightest in (("cat", 0), ("dog", 1)):
            (tmp_path / name).mkdir()
            pixels = np.eye(2, dtype=np.uint8)[[brightest]] * 255
            image.fromarray(pixels).save(tmp_path / name / "0.png")
        steps = [transforms.Grayscale(), transforms.ToTensor()]
        folder = datasets.ImageFolder(tmp_path, transforms.Compose(steps))
        found = evaluate(lookup(2), DataLoader(folder, batch_size=2, shuffle=True))
        assert found.recall == {"cat": 1.0, "dog": 1.0}
        swapped = evaluate(lookup(2), DataLoader(folder), label_map=LabelMap(["dog", "cat"]))
        assert swapped.accuracy == 0.0


class TestRefusals:
    def test_nan_is_no_answer(self) -> None:
        broken = nn.Sequential(nn.Flatten(), nn.Linear(3, 3))
        nn.init.constant_(broken[1].weight, torch.nan)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"logits must be finite; those of 6 of 6.*NaN"):
            evaluate(broken, HELD)
        assert broken.training

    @pytest.mark.parametrize("value", [torch.nan, torch.inf])
    def test_a_report_of_numbers_that_are_none(self, value: float) -> None:
        logits = LOGITS.clone()
        logits[2, 0] = value
        with pytest.raises(ValueError, match=r"must be finite; those of 1 of 6 images"):
            report(logits, TRUTH, candidates=[1, 2])

    @pytest.mark.parametrize("option", ["candidates", "seen"])
    def test_one_string_is_no_list_of_names(self, lookup: type[nn.Module], option: str) -> None:
        head = LabelMap(["1", "0", "10"])
        with pytest.raises(TypeError, match=rf"{option} must be a sequence.*the string '10'\. Put"):
            evaluate(lookup(3), (IMAGES, TRUTH), label_map=head, **{option: "10"})  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=rf"{option} must be a sequence.*the string '10'\. Put"):
            report(LOGITS, TRUTH, label_map=head, **{option: "10"})  # type: ignore[arg-type]

    def test_nothing_is_computed_for_options_that_cannot_be(self) -> None:
        class Untouched(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                raise AssertionError("computed first")

        for options in ({"candidates": "cat"}, {"seen": "cat"}, {"classes": "cat"}):
            with pytest.raises(TypeError, match="must be a sequence of names"):
                evaluate(Untouched(), (IMAGES, TRUTH), **options)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("data", "options", "error", "message"),
        [
            (IMAGES, {}, TypeError, r"a pair \(inputs, labels\).*received Tensor"),
            (FOLDER, {}, TypeError, r"received Folder\. Wrap a Dataset in a DataLoader"),
            ((IMAGES, TRUTH + 1), {}, ValueError, r"lie in 0 … 2.*of the head.*received 3\. Name"),
            (
                (IMAGES, TRUTH), {"classes": ["cat", "dog"], "label_map": LabelMap(NAMES)},
                ValueError, r"lie in 0 … 1.*those of the data.*received 2\. Name",
            ),
            ((IMAGES, TRUTH), {"label_map": ["a"]}, TypeError, r"a LabelMap; received list\. Make"),
            ((IMAGES, TRUTH.float()), {}, TypeError, r"received float32 of shape \(6,\)"),
            ((IMAGES, torch.eye(6).long()), {}, TypeError, r"Take argmax\(1\) of one-hot rows"),
            ((IMAGES, TRUTH * 0 - 100), {}, ValueError, r"needs a label; received none but those"),
            ([{"image": IMAGES}], {}, KeyError, r"the labels of a batch must be in one place"),
            (loader(FOLDER), {"inputs": "image"}, KeyError, "inputs='image' must be in"),
        ],
        ids=[
            "no-labels", "dataset", "beyond-the-head", "beyond-the-classes", "map-as-list",
            "floats", "one-hot", "all-ignored", "dict-without-labels", "missing-key",
        ],
    )  # fmt: skip
    def test_other_data_are_refused(
        self,
        lookup: type[nn.Module],
        data: Any,
        options: dict[str, Any],
        error: type[Exception],
        message: str,
    ) -> None:
        model = lookup(3)
        with pytest.raises(error, match=message):
            evaluate(model, data, **options)
        assert model.training


class TestReportOfLabels:
    def test_labels_need_no_images(self) -> None:
        found = report(LOGITS, TRUTH, classes=NAMES)
        assert found == report(LOGITS, HELD)
        assert found.predicted == ["cat", "owl", "dog", "dog", "cat", "owl"]

    @pytest.mark.parametrize(
        "logits", [LOGITS.numpy(), LOGITS.double(), LOGITS.half(), LOGITS.double().numpy()]
    )
    @pytest.mark.parametrize("labels", [TRUTH.tolist(), TRUTH.numpy(), TRUTH.int(), tuple(TRUTH)])
    def test_numbers_may_come_from_anywhere(self, logits: Any, labels: Any) -> None:
        assert report(logits, labels) == report(LOGITS, TRUTH)

    def test_labels_are_called_by_the_head_s_names(self) -> None:
        assert report(LOGITS, TRUTH, label_map=LabelMap(NAMES)) == report(LOGITS, HELD)
        assert report(LOGITS, TRUTH).recall == pytest.approx({0: 1.0, 1: 0.5, 2: 2 / 3})

    def test_a_narrow_head_on_labels_of_more_classes(self) -> None:
        found = report(LOGITS[:, :2], TRUTH, classes=NAMES, label_map=LabelMap(["cat", "dog"]))
        assert found.confusion.tolist() == [[1, 0], [1, 1], [2, 1]]
        assert found.seen_share == 0.5

    @pytest.mark.parametrize("labels", [TRUTH[:5], [], "cat"], ids=["short", "none", "text"])
    def test_other_labels_are_refused(self, labels: Any) -> None:
        with pytest.raises((TypeError, ValueError), match=r"label|logits for each of the 5 images"):
            report(LOGITS, labels)

    def test_a_loader_has_no_place_here(self) -> None:
        with pytest.raises(TypeError, match=r"received a DataLoader\. Call evaluate\(model, load"):
            report(LOGITS, loader(FOLDER))

    def test_integers_are_no_logits(self) -> None:
        with pytest.raises(TypeError, match="logits must be floating point"):
            report(LOGITS.long(), TRUTH)

    def test_classes_may_be_ruled_out(self) -> None:
        logits = LOGITS.clone()
        logits[:, 2] = -torch.inf
        assert "owl" not in report(logits, HELD).predicted
        with pytest.raises(ValueError, match=r"for 6 all logits of the candidates are −inf"):
            report(logits, HELD, candidates=["owl"])


class TestWithoutALabel:
    def test_images_without_a_label_count_nothing(self) -> None:
        labels, kept = TRUTH.clone(), torch.tensor([True, False, True, True, False, True])
        labels[~kept] = -100
        found = dict(vars(report(LOGITS, labels, classes=NAMES)))
        expected = dict(vars(report(LOGITS[kept], TRUTH[kept], classes=NAMES)))
        assert found.pop("predicted") == report(LOGITS, TRUTH, classes=NAMES).predicted
        del expected["predicted"]
        assert arrays_equal(found, expected)

    def test_they_may_come_from_a_loader(self, lookup: type[nn.Module]) -> None:
        labels = torch.tensor([0, -100, -100, 1, -100, 2])
        for data in ((IMAGES, labels), loader(Folder(labels=labels, classes=NAMES))):
            found = evaluate(lookup(3), data)
            assert (found.accuracy, int(found.confusion.sum())) == (1.0, 3)

    def test_a_map_may_have_another_index_for_them(self) -> None:
        names = LabelMap(NAMES, ignore="void", ignore_index=-100)
        assert report(LOGITS, [0, 2, -100, 1, -100, 2], classes=names).accuracy == 1.0
        head = LabelMap(NAMES)  # which ignores nothing
        assert report(LOGITS, [0, 2, -100, 1, -100, 2], classes=names, label_map=head).accuracy == 1


class TestEquality:
    def test_reports_are_equal_where_all_their_numbers_are(self) -> None:
        first, second = report(LOGITS, HELD), report(LOGITS.clone(), HELD)
        assert np.isnan(first.unseen_accuracy)
        assert first == second
        assert hash(first) == hash(second)
        assert len({first, second, report(LOGITS, HELD, candidates=["cat", "dog"])}) == 2

    @pytest.mark.parametrize(
        "other",
        [
            report(LOGITS.flip(0), HELD),
            report(LOGITS, HELD, seen=["cat"]),
            report(LOGITS, TRUTH),
            "report",
        ],
        ids=["answers", "seen", "names", "text"],
    )
    def test_others_are_not(self, other: object) -> None:
        assert report(LOGITS, HELD) != other


def test_a_loader_is_read_once(lookup: type[nn.Module]) -> None:
    def once() -> Iterator[tuple[Tensor, Tensor]]:
        yield IMAGES[:4], TRUTH[:4]
        yield IMAGES[4:], TRUTH[4:]

    assert evaluate(lookup(3), once()).accuracy == pytest.approx(4 / 6)


def test_names_that_nobody_declares_are_named_for_loaders_too(lookup: type[nn.Module]) -> None:
    with pytest.raises(UnknownLabelError, match="received 'cow' in seen"):
        evaluate(lookup(3), loader(FOLDER), seen=["cat", "cow"])


def test_the_report_is_of_the_class_that_is_promised(lookup: type[nn.Module]) -> None:
    assert type(evaluate(lookup(3), (IMAGES, TRUTH))) is Report
