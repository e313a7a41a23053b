"""What a range test takes, and what its result says, shows and compares."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from companion import LabelledImages, RangeTest, Sweep, mlp, range_test, small_cnn

FEW: dict[str, Any] = {"low": 1e-3, "high": 1.0, "steps": 12, "smoothing": 0.5, "seeds": [0, 1]}
LRS = torch.logspace(-4, 0, 41, dtype=torch.float64)
VALLEY = 1.5 + torch.tanh(torch.linspace(4, -2, 41)) * (torch.arange(41) < 35)


def network() -> nn.Module:
    return mlp(3, inputs=36, hidden=(8,), seed=0)


def found(*curves: Any) -> RangeTest:
    table = torch.stack([torch.as_tensor(curve, dtype=torch.float64) for curve in curves])
    return RangeTest(LRS, table, table, tuple(range(len(curves))))


class Dressed(nn.Module):
    """A network that takes named inputs and gives an object, as those of Hugging Face."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, pixel_values: Tensor) -> Any:
        return SimpleNamespace(logits=self.inner(pixel_values))


class TestData:
    def test_a_pair_is_drawn_as_labelled_images_are(self, patches: LabelledImages) -> None:
        expected = range_test(network(), patches, batch_size=16, **FEW)
        for pair in (
            (patches.images, patches.labels),
            (patches.images.numpy(), patches.labels.numpy().astype(np.uint8)),
        ):
            assert range_test(network(), pair, batch_size=16, **FEW) == expected

    def test_loaders_may_give_what_they_like(self, patches: LabelledImages) -> None:
        images, labels, extra = patches.images, patches.labels, torch.zeros(60, 2)
        expected = range_test(network(), DataLoader(patches, 20), **FEW)
        parts = [torch.arange(20) + start for start in (0, 20, 40)]
        forms: dict[str, tuple[Any, dict[str, Any]]] = {
            "list": ([(images[rows], labels[rows]) for rows in parts], {}),
            "triples": (DataLoader(TensorDataset(images, extra, labels), 20), {}),
            "dictionaries": ([{"image": images[r], "label": labels[r]} for r in parts], {}),
            "own names": (
                [{"a": images[r], "b": labels[r]} for r in parts],
                {"inputs": "a", "labels": lambda batch: batch["b"]},
            ),
        }
        for name, (data, reading) in forms.items():
            assert range_test(network(), data, **FEW, **reading) == expected, name

    def test_models_may_take_and_return_what_they_like(self, patches: LabelledImages) -> None:
        batch = {"pixel_values": patches.images, "labels": patches.labels}
        given = range_test(
            Dressed(), [batch], inputs=lambda b: {"pixel_values": b["pixel_values"]}, **FEW
        )
        assert given == range_test(network(), [(patches.images, patches.labels)], **FEW)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
    def test_images_take_the_type_of_the_weights(
        self, patches: LabelledImages, dtype: torch.dtype
    ) -> None:
        other = LabelledImages(patches.images.to(dtype), patches.labels, patches.label_map)
        same = LabelledImages(other.images.float(), patches.labels, patches.label_map)
        assert range_test(network(), other, **FEW) == range_test(network(), same, **FEW)
        double = range_test(network().double(), patches, **FEW)
        assert double.losses[0, 0].item() == pytest.approx(
            range_test(network(), patches, **FEW).losses[0, 0].item(), rel=1e-5
        )

    def test_a_last_batch_of_one_is_left_out(self, patches: LabelledImages) -> None:
        # At 1×1 BatchNorm has one value a channel for one image, and nothing to normalise by.
        tiny = LabelledImages(patches.images[:, :, :1, :1], patches.labels, patches.label_map)
        model = small_cnn(3, widths=(4,), seed=0)
        given = range_test(model, tiny.at(range(33)), batch_size=16, **FEW | {"high": 0.01})
        assert given.losses.isfinite().all()

    def test_counts_may_be_numpys(self, patches: LabelledImages) -> None:
        options = FEW | {"steps": np.int64(12), "seeds": np.arange(2)}
        given = range_test(network(), patches, batch_size=np.int32(16), **options)
        assert given == range_test(network(), patches, batch_size=16, **FEW)
        assert given.seeds == (0, 1)

    @pytest.mark.parametrize(
        ("data", "options", "error", "message"),
        [
            (lambda d: DataLoader(d, 8), {"batch_size": 8}, ValueError, "batch_size=8 would be ig"),
            (lambda d: iter([d.batch(torch.arange(8))]), {}, TypeError, "received a list_iterator"),
            (lambda d: 3, {}, TypeError, "data are a LabelledImages, a pair .* received int"),
            (lambda d: TensorDataset(d.images), {}, TypeError, "Wrap a Dataset in a DataLoader"),
            (lambda d: [{"a": d.images}], {}, KeyError, "labels of a batch must be in one place"),
            (lambda d: [(d.images, d.labels)], {"labels": 7}, KeyError, "labels=7 must be in"),
            (lambda d: (d.images, d.labels + 1), {}, ValueError, r"lie in 0 … 2, .* received 3"),
            (lambda d: d, {"seeds": 5}, TypeError, r"received 5. Pass range\(5\)"),
            (lambda d: d, {"steps": 20.0}, TypeError, r"steps must be .* received 20\.0"),
            (lambda d: d, {"loss": nn.CrossEntropyLoss}, TypeError, "received the class Cross"),
        ],
        ids=lambda value: value[:22] if isinstance(value, str) else "",
    )
    def test_what_is_no_data_is_refused_and_nothing_changed(
        self,
        patches: LabelledImages,
        snapshot: type[Any],
        data: Callable[[LabelledImages], Any],
        options: dict[str, Any],
        error: type[Exception],
        message: str,
    ) -> None:
        model = network()
        before = snapshot(model, patches)
        with pytest.raises(error, match=message):
            range_test(model, data(patches), **FEW | options)
        before.check()


class TestFindings:
    def test_a_valley_has_none(self) -> None:
        assert found(VALLEY, VALLEY).findings == ()

    def test_a_loss_that_still_falls_at_the_highest_rate(self) -> None:
        still = torch.cat([torch.full((10,), 2.0), torch.linspace(2, 1, 31)])
        (finding,) = found(still, still).findings
        assert str(finding) == "OPT203 warning: the loss was lowest at the highest rate, 1"
        assert finding.remedy == "Raise high."
        assert found(still, VALLEY).findings == ()

    def test_a_loss_that_falls_fastest_at_the_lowest_rate(self) -> None:
        at_once = (torch.arange(41) / 40 - 0.8) ** 2
        (finding,) = found(at_once).findings
        assert str(finding) == "OPT204 warning: the loss fell fastest at the lowest rate, 0.0001"


class TestEquality:
    def test_the_same_numbers_are_the_same_result(self) -> None:
        gap = VALLEY.clone()
        gap[30:] = math.nan
        assert found(VALLEY, gap) == found(VALLEY, gap)
        assert found(VALLEY) != found(VALLEY + 1e-6)
        assert found(VALLEY) != found(VALLEY, VALLEY)
        assert found(VALLEY) != "curves"

    def test_of_a_sweep_too(self) -> None:
        assert table() == table()
        assert table() != table(0.7)


def table(best: float = 0.9) -> Sweep:
    accuracy = torch.tensor([[0.2, 0.3], [best, 0.8], [1 / 3, 1 / 3]], dtype=torch.float64)
    gone = torch.tensor([[False, False], [False, False], [True, True]])
    return Sweep((1e-3, 1e-2, 1e-1), (0, 1), accuracy, 1 - accuracy, gone)


class TestFigures:
    def test_a_range_test_shows_each_run_their_mean_and_the_suggestion(self) -> None:
        gap = VALLEY.clone()
        gap[30:] = math.nan
        test = found(VALLEY, gap)
        ax = test.plot()
        first, second, mean, line = ax.get_lines()
        assert np.allclose(first.get_ydata(), VALLEY)
        assert len(second.get_ydata()) >= 30
        assert np.allclose(mean.get_ydata()[:30], VALLEY[:30])
        assert mean.get_linewidth() > first.get_linewidth()
        assert line.get_xdata()[0] == pytest.approx(test.suggestion())
        assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "learning rate")
        assert ax.get_ylabel() == "training loss"
        assert [text.get_text() for text in ax.texts] == [f"steepest, {test.suggestion():.2g}"]

    def test_an_explosion_does_not_hide_the_valley(self) -> None:
        burst = VALLEY.clone()
        burst[-1] = 1e20
        assert found(burst).plot().get_ylim()[1] < 5

    def test_a_flat_one_is_drawn_without_a_suggestion(self) -> None:
        ax = found(torch.ones(41)).plot()
        assert len(ax.get_lines()) == 2
        assert not ax.texts

    def test_a_sweep_shows_each_seed_the_mean_and_the_best(self) -> None:
        ax = table().plot()
        solid = [line for line in ax.get_lines() if len(line.get_xdata()) == 3]
        assert [line.get_ydata()[1] for line in solid] == pytest.approx([0.9, 0.8, 0.85])
        crosses = [line for line in ax.get_lines() if line.get_marker() == "x"]
        assert [line.get_xdata().tolist() for line in crosses] == [[0.1], [0.1]]
        assert ax.get_lines()[-1].get_xdata()[0] == 1e-2
        assert (ax.get_xscale(), ax.get_ylabel()) == ("log", "validation accuracy")

    @pytest.mark.parametrize("result", [found(VALLEY), table()], ids=["range test", "sweep"])
    def test_axes_that_are_given_are_drawn_on(
        self, result: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(plt, "show", lambda: pytest.fail("nobody asked to show it"))
        _, ax = plt.subplots()
        assert result.plot(ax=ax) is ax
        assert len(plt.get_fignums()) == 1
