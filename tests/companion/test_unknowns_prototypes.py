from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestCentroid
from torch import Tensor

from companion import LabelledImages, LabelMap, Prototypes, UnknownLabelError, report

NAMES = ["cat", "dog", "owl", "yak"]


def clouds(count: int, *, classes: int = 4, width: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features around a point for each class, far from the origin, and unequal numbers of them."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(classes, width, generator=torch.Generator().manual_seed(9))
    labels = torch.randint(classes, (count,), generator=generator)
    labels[:classes] = torch.arange(classes)
    labels[classes : count // 2] = 0
    features = 3 + points[labels] + 0.7 * torch.randn(count, width, generator=generator)
    return features.double(), labels


def unit(row: np.ndarray) -> np.ndarray:
    return row / math.sqrt(sum(value**2 for value in row))


def class_means(rows: np.ndarray, labels: Tensor, classes: int) -> np.ndarray:
    return np.stack([rows[labels.numpy() == index].mean(0) for index in range(classes)])


def nearness(rows: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The negative squared distance of each row to each mean, pair by pair."""
    return np.array([[-sum((row - mean) ** 2) for mean in means] for row in rows])


class TestPlain:
    def test_it_is_scikit_learns_nearest_centroid(self) -> None:
        features, labels = clouds(60)
        known = Prototypes(features, labels, NAMES, normalise=False)
        expected = NearestCentroid().fit(features.numpy(), labels.numpy())
        others = clouds(300, seed=1)[0]
        assert np.allclose(known.means.numpy(), expected.centroids_)
        found = known.logits(others).argmax(1).numpy()
        assert np.array_equal(found, expected.predict(others.numpy()))
        assert set(found) == {0, 1, 2, 3}

    def test_logits_are_negative_squared_distances(self) -> None:
        features, labels = clouds(30)
        known = Prototypes(features, labels, NAMES, normalise=False)
        others = clouds(12, seed=1)[0]
        expected = nearness(others.numpy(), class_means(features.numpy(), labels, 4))
        assert np.allclose(known.logits(others).numpy(), expected)

    @given(shift=st.integers(-20, 20))
    @settings(deadline=None, max_examples=20)
    def test_moving_everything_changes_nothing(self, shift: int) -> None:
        features, labels = clouds(30)
        for normalise in (False, True):
            here = Prototypes(features, labels, NAMES, normalise=normalise)
            there = Prototypes(features + shift, labels, NAMES, normalise=normalise)
            assert torch.allclose(here.logits(features), there.logits(features + shift))

    def test_the_order_of_the_examples_does_not_matter(self) -> None:
        features, labels = clouds(30)
        known = Prototypes(features, labels, NAMES)
        turned = Prototypes(features.flip(0), labels.flip(0), NAMES)
        assert torch.allclose(known.means, turned.means)


class TestSimpleShot:
    def test_it_centres_scales_and_averages(self) -> None:
        features, labels = clouds(40)
        rows = features.numpy()
        centre = sum(rows) / len(rows)
        means = class_means(np.stack([unit(row - centre) for row in rows]), labels, 4)
        known = Prototypes(features, labels, NAMES)
        assert np.allclose(known.centre.numpy(), centre)
        assert np.allclose(known.means.numpy(), means)
        others = clouds(100, seed=1)[0].numpy()
        expected = nearness(np.stack([unit(row - centre) for row in others]), means)
        assert np.allclose(known.logits(torch.from_numpy(others)).numpy(), expected)

    def test_it_is_the_default_and_differs_from_plain_means(self) -> None:
        features, labels = clouds(40)
        default, plain = (
            Prototypes(features, labels, NAMES),
            Prototypes(features, labels, NAMES, normalise=False),
        )
        assert (default.normalise, plain.normalise) == (True, False)
        assert torch.equal(plain.centre, torch.zeros(5))
        others = clouds(300, seed=1)[0]
        assert not torch.equal(default.logits(others).argmax(1), plain.logits(others).argmax(1))

    def test_the_length_of_a_centred_feature_does_not_matter(self) -> None:
        features, labels = clouds(40)
        known = Prototypes(features, labels, NAMES)
        others = clouds(20, seed=1)[0]
        further = known.centre + 7 * (others - known.centre)
        assert torch.allclose(known.logits(others), known.logits(further))


class TestNewClasses:
    @pytest.mark.parametrize("normalise", [True, False], ids=["normalised", "plain"])
    def test_the_old_centre_moves_the_new_means(self, normalise: bool) -> None:
        features, labels = clouds(60)
        old, new = labels < 2, labels >= 2
        known = Prototypes(features[old], labels[old], NAMES[:2], normalise=normalise)
        more = known.with_classes(features[new], labels[new] - 2, NAMES[2:])
        rows = features.numpy()
        if normalise:
            centre = features[old].numpy().mean(0)
            rows = np.stack([unit(row - centre) for row in rows])
        assert np.allclose(more.means.numpy(), class_means(rows, labels, 4))
        assert more.label_map.classes == tuple(NAMES)
        assert torch.equal(more.centre, known.centre)
        assert more.normalise is normalise
        expected = nearness(rows, class_means(rows, labels, 4))
        assert np.allclose(more.logits(features).numpy(), expected)

    def test_the_present_object_stays(self) -> None:
        features, labels = clouds(20, classes=2)
        known = Prototypes(features, labels, NAMES[:2])
        means, centre, logits = known.means.clone(), known.centre.clone(), known.logits(features)
        more = known.with_classes(features + 2, labels, LabelMap(NAMES[2:]))
        assert torch.equal(known.means, means)
        assert torch.equal(known.centre, centre)
        assert known.label_map.classes == ("cat", "dog")
        assert torch.equal(more.logits(features)[:, :2], logits)

    def test_classes_may_come_one_after_the_other(self) -> None:
        features, labels = clouds(30, classes=3)
        known = Prototypes(features[labels == 0], labels[labels == 0], ["cat"])
        for index, name in [(1, "dog"), (2, "owl")]:
            chosen = features[labels == index]
            known = known.with_classes(chosen, torch.zeros(len(chosen)).long(), [name])
        assert known.label_map.classes == ("cat", "dog", "owl")
        centre = features[labels == 0].numpy().mean(0)
        rows = np.stack([unit(row - centre) for row in features.numpy()])
        assert np.allclose(known.means.numpy(), class_means(rows, labels, 3))

    @pytest.mark.parametrize("names", [["dog", "emu"], ["dog"]], ids=["one-of-two", "alone"])
    def test_a_class_that_is_there_is_refused(self, names: list[str]) -> None:
        features, labels = clouds(20, classes=2)
        known = Prototypes(features, labels, NAMES[:2])
        means = known.means.clone()
        with pytest.raises(ValueError, match=r"there already; received \['dog'\]\. To move the"):
            known.with_classes(features, labels.clamp(max=len(names) - 1), names)
        assert torch.equal(known.means, means)

    def test_new_features_are_checked(self) -> None:
        features, labels = clouds(20, classes=2)
        known = Prototypes(features, labels, NAMES[:2])
        with pytest.raises(ValueError, match=r"shape \(N, 5\), as the ones.*received \(20, 4\)"):
            known.with_classes(features[:, :4], labels, NAMES[2:])
        with pytest.raises(ValueError, match=r"needs an example; \['emu'\] have none"):
            known.with_classes(features, labels, [*NAMES[2:], "emu"])
        with pytest.raises(UnknownLabelError, match="received 1 in labels"):
            known.with_classes(features, labels, ["emu"])


class TestUse:
    def test_logits_take_part_in_a_report(self) -> None:
        features, labels = clouds(80)
        known = Prototypes(features, labels, NAMES)
        data = LabelledImages(torch.zeros(80, 1, 1, 1), labels, NAMES)
        result = report(known.logits(features), data, label_map=known.label_map)
        assert result.accuracy > 0.7

    def test_nothing_given_is_mutated(self) -> None:
        features, labels = clouds(20)
        kept, given_ = features.clone(), labels.clone()
        known = Prototypes(features, labels, NAMES)
        known.with_classes(features[labels == 0], labels[labels == 0], ["emu"]).logits(features)
        assert torch.equal(features, kept)
        assert torch.equal(labels, given_)

    def test_labels_may_be_small_integers(self) -> None:
        features, labels = clouds(20)
        small = Prototypes(features, labels.to(torch.uint8), NAMES)
        assert torch.equal(small.means, Prototypes(features, labels, NAMES).means)

    def test_many_features_of_half_precision_do_not_overflow(self) -> None:
        features = torch.full((2000, 3), 100.0, dtype=torch.float16)
        known = Prototypes(features, torch.zeros(2000).long(), ["cat"], normalise=False)
        assert known.means.float().flatten().tolist() == pytest.approx([100.0] * 3, rel=0.01)

    @pytest.mark.parametrize("where", ["cpu", "cuda"])
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_agrees_with_the_cpu(self, where: str) -> None:
        features, labels = clouds(40)
        old = labels < 3
        new = torch.zeros(int((~old).sum())).long()
        here = Prototypes(features[old], labels[old], NAMES[:3])
        there = Prototypes(features[old].cuda(), labels[old].to(where), NAMES[:3])
        assert there.means.device.type == "cuda"
        assert torch.allclose(there.logits(features.to(where)).cpu(), here.logits(features))
        assert torch.equal(here.to("cuda").means.cpu(), here.means)
        assert torch.allclose(there.to("cpu").logits(features), here.logits(features))
        longer = there.with_classes(features[~old].to(where), new.to(where), NAMES[3:])
        expected = here.with_classes(features[~old], new, NAMES[3:])
        assert torch.allclose(longer.means.cpu(), expected.means)


def assert_same(found: Prototypes, expected: Prototypes) -> None:
    assert found.label_map == expected.label_map
    assert found.normalise is expected.normalise
    for name in ("centre", "means"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=0)


class TestForms:
    def test_features_and_labels_may_be_arrays(self) -> None:
        features, labels = clouds(30)
        expected = Prototypes(features, labels, NAMES)
        for given_ in (labels.numpy(), labels.tolist(), labels.numpy().astype(np.uint8)):
            assert_same(Prototypes(features.numpy(), given_, NAMES), expected)
        assert torch.equal(expected.logits(features.numpy()), expected.logits(features))
        more = expected.with_classes(features.numpy()[:2], np.array([0, 0]), ["emu"])
        assert_same(more, expected.with_classes(features[:2], torch.tensor([0, 0]), ["emu"]))

    def test_what_has_no_label_does_not_count(self) -> None:
        features, labels = clouds(30)
        far = torch.cat([features, features[:5] + 100])
        without = torch.cat([labels, torch.full((5,), -100)])
        assert_same(Prototypes(far, without, NAMES), Prototypes(features, labels, NAMES))

    def test_new_means_have_the_type_of_the_old(self) -> None:
        features, labels = clouds(20)
        known = Prototypes(features.float(), labels, NAMES)
        more = known.with_classes(features, labels * 0, ["emu"])
        assert more.means.dtype == torch.float32

    def test_gradients_go_through_features_and_means(self) -> None:
        features, labels = clouds(20)
        support, query = features.clone().requires_grad_(), features.clone().requires_grad_()
        Prototypes(support, labels, NAMES).logits(query).sum().backward()
        for each in (support, query):
            assert each.grad is not None
            assert bool(each.grad.any())


class TestStorage:
    @pytest.mark.parametrize("normalise", [True, False], ids=["normalised", "plain"])
    @pytest.mark.parametrize(
        "label_map", [LabelMap(NAMES), LabelMap(range(4)), LabelMap(NAMES, ignore="void")], ids=str
    )
    def test_a_file_gives_back_what_was_stored(
        self, tmp_path: Path, normalise: bool, label_map: LabelMap
    ) -> None:
        features, labels = clouds(30)
        known = Prototypes(features, labels, label_map, normalise=normalise)
        torch.save(known.to_dict(), tmp_path / "prototypes.pt")
        found = Prototypes.from_dict(torch.load(tmp_path / "prototypes.pt", weights_only=True))
        assert_same(found, known)
        assert torch.equal(found.logits(features), known.logits(features))
        assert_same(
            found.with_classes(features[:1], [0], [9 if 0 in label_map else "emu"]),
            known.with_classes(features[:1], [0], [9 if 0 in label_map else "emu"]),
        )

    def test_what_is_stored_is_a_copy(self) -> None:
        known = Prototypes(*clouds(20), NAMES)
        before = known.means.clone()
        stored = known.to_dict()
        made = Prototypes.from_dict(stored)
        stored["means"].zero_()
        assert torch.equal(known.means, before)
        assert torch.equal(made.means, before)

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"means": None}, TypeError, "means must be floating point"),
            ({"means": torch.zeros(3, 5)}, ValueError, r"means \(4, D\).*\(5,\) and \(3, 5\)"),
            ({"means": torch.zeros(4, 6)}, ValueError, r"received \(5,\) and \(4, 6\)"),
            ({"centre": torch.zeros(1, 5)}, ValueError, r"received \(1, 5\) and \(4, 5\)"),
            ({"centre": torch.full((5,), math.nan)}, ValueError, "centre must be finite"),
            ({"label_map": {"names": NAMES}}, KeyError, "a stored label map has the key 'classes'"),
            ({"more": 1}, KeyError, "stored prototypes have the keys.*'more'"),
        ],
        ids=["none", "few", "wide", "rows", "nan", "map", "key"],
    )
    def test_what_was_not_stored_so_is_refused(
        self, change: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        stored = Prototypes(*clouds(20), NAMES).to_dict() | change
        with pytest.raises(error, match=message):
            Prototypes.from_dict(stored)

    def test_a_missing_key_is_named(self) -> None:
        stored = Prototypes(*clouds(20), NAMES).to_dict()
        del stored["centre"]
        with pytest.raises(KeyError, match="received 'label_map', 'normalise', 'means'"):
            Prototypes.from_dict(stored)

    def test_it_moves_and_the_present_one_stays(self) -> None:
        known = Prototypes(*clouds(20), NAMES)
        moved = known.to("meta")
        assert (moved.means.device.type, moved.centre.device.type) == ("meta", "meta")
        assert (known.means.device.type, known.centre.device.type) == ("cpu", "cpu")
        assert_same(known.to("cpu"), known)


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"features": torch.ones(4, 2).long()}, TypeError, r"floating point, .*torch\.int64\."),
            ({"features": torch.ones(4, 2, 1)}, ValueError, r"received \(4, 2, 1\)\. Flatten"),
            ({"features": torch.ones(4)}, ValueError, r"\(N, D\), a row for each.*\(4,\)\."),
            ({"features": torch.ones(3, 2)}, ValueError, r"shape \(3,\).*received \(4,\)"),
            ({"labels": torch.eye(4).long()}, TypeError, r"received int64 of shape \(4, 4\)"),
            ({"features": torch.full((4, 2), math.nan)}, ValueError, "must be finite; some are"),
            ({"features": torch.full((4, 2), math.inf)}, ValueError, "must be finite; some are"),
            ({"labels": torch.tensor([0, 1, 2, 3])}, UnknownLabelError, "received 3 in labels"),
            ({"labels": torch.tensor([0, 1, 2, -1])}, ValueError, "or -100 for none; received -1"),
            ({"labels": torch.tensor([0.0, 1, 2, 2])}, TypeError, "received float32 of shape"),
            ({"labels": torch.tensor([0, 0, 2, 2])}, ValueError, r"\['dog'\] have none\. Add one"),
            ({"labels": torch.zeros(4).long()}, ValueError, r"example; \['dog', 'owl'\] have none"),
            ({"features": torch.ones(0, 2), "labels": torch.arange(0)}, ValueError, "one label"),
            ({"labels": torch.full((4,), -100)}, ValueError, r"\['cat', 'dog', 'owl'\] have none"),
        ],
        ids=[
            "int", "3-D", "1-D", "short", "one-hot", "nan", "inf", "beyond", "negative", "float",
            "one-without", "two-without", "empty", "unlabelled",
        ],
    )  # fmt: skip
    def test_examples_are_checked(
        self, change: dict[str, Tensor], error: type[Exception], message: str
    ) -> None:
        given_ = {"features": torch.eye(4)[:, :2], "labels": torch.tensor([0, 1, 2, 2])} | change
        before = {name: value.clone() for name, value in given_.items()}
        with pytest.raises(error, match=message):
            Prototypes(**given_, classes=NAMES[:3])
        for name, value in given_.items():
            torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)

    @pytest.mark.parametrize("shape", [(2, 4), (2, 6), (5,), (2, 5, 1)], ids=str)
    def test_logits_need_the_width_of_the_means(self, shape: Any) -> None:
        known = Prototypes(*clouds(20), NAMES)
        with pytest.raises(ValueError, match=r"shape \(N, 5\).*received.*Take both from the same"):
            known.logits(torch.zeros(shape))


def test_features_to_classify_are_finite() -> None:
    means = Prototypes(torch.eye(2), torch.tensor([0, 1]), ["a", "b"])
    with pytest.raises(ValueError, match="features must be finite"):
        means.logits(torch.tensor([[float("nan"), 0.0]]))


def test_images_are_classified_alike_in_pieces_and_at_once() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(600, 4, generator=generator)
    means = Prototypes(features[:9], torch.arange(9) % 3, ["a", "b", "c"])
    each = torch.cat([means.logits(row.unsqueeze(0)) for row in features])
    assert torch.allclose(means.logits(features), each, atol=1e-6)
