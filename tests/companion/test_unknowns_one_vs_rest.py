from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import log_loss
from torch import Tensor, nn

from companion import (
    LabelledImages,
    LabelMap,
    OneVsRest,
    UnknownLabelError,
    against_rest,
    evaluate,
    fit,
    linear,
    mlp,
    one_vs_rest_loss,
    predict,
)


@pytest.fixture
def case() -> tuple[Tensor, Tensor]:
    """Logits of thirty images over five classes, and their labels."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(30, 5, generator=generator, dtype=torch.float64)
    return logits, torch.randint(5, (30,), generator=generator)


class TestLoss:
    def test_it_is_scikit_learns_log_loss_summed_over_columns(
        self, case: tuple[Tensor, Tensor]
    ) -> None:
        logits, labels = case
        yes = expit(logits.numpy())
        expected = sum(
            log_loss((labels == index).numpy(), yes[:, index], labels=[False, True])
            for index in range(5)
        )
        assert one_vs_rest_loss(logits, labels).item() == pytest.approx(expected)

    @given(
        rows=st.lists(
            st.tuples(st.tuples(*[st.floats(-20, 20)] * 3), st.integers(0, 2)),
            min_size=1,
            max_size=8,
        )
    )
    @settings(deadline=None, max_examples=50)
    def test_it_is_a_mean_over_images_of_a_sum_over_questions(
        self, rows: list[tuple[tuple[float, float, float], int]]
    ) -> None:
        total = 0.0
        for logits, label in rows:
            for index, logit in enumerate(logits):
                total += math.log1p(math.exp(-logit if index == label else logit))
        found = one_vs_rest_loss(
            torch.tensor([logits for logits, _ in rows], dtype=torch.float64),
            torch.tensor([label for _, label in rows]),
        )
        assert found.item() == pytest.approx(total / len(rows), rel=1e-6)

    def test_its_gradient_is_answer_minus_truth(self, case: tuple[Tensor, Tensor]) -> None:
        logits, labels = case[0].clone().requires_grad_(), case[1]
        one_vs_rest_loss(logits, labels).backward()
        expected = (torch.sigmoid(logits.detach()) - torch.eye(5)[labels]) / 30
        assert torch.allclose(logits.grad, expected)

    def test_nothing_given_is_mutated(self, case: tuple[Tensor, Tensor]) -> None:
        logits, labels = (tensor.clone() for tensor in case)
        one_vs_rest_loss(logits, labels)
        assert torch.equal(logits, case[0])
        assert torch.equal(labels, case[1])

    def test_a_network_learns_with_it(self, patches: LabelledImages, network: nn.Module) -> None:
        fit(network, patches, epochs=30, lr=0.02, loss=one_vs_rest_loss)
        assert evaluate(network, patches).accuracy > 0.9
        yes = torch.sigmoid(predict(network, patches)) > 0.5
        assert yes.sum(1).double().mean().item() == pytest.approx(1, abs=0.1)

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (torch.eye(3).long(), r"received \(3, 3\) and \(3, 3\)\. Pass indices, not one-hot"),
            (torch.zeros(3, 1).long(), r"labels \(N,\); received \(3, 3\) and \(3, 1\)"),
            (torch.zeros(2).long(), r"received \(3, 3\) and \(2,\)"),
            (torch.tensor([0, 1, 3]), r"lie in 0 … 2, or be -100; received 0 … 3\. Build"),
            (torch.tensor([2, -1, 1]), r"lie in 0 … 2, or be -100; received -1 … 2"),
        ],
        ids=["one-hot", "column", "short", "beyond", "negative"],
    )
    def test_labels_are_checked(self, labels: Tensor, message: str) -> None:
        before = labels.clone()
        with pytest.raises(ValueError, match=message):
            one_vs_rest_loss(torch.zeros(3, 3), labels)
        assert torch.equal(labels, before)

    @pytest.mark.parametrize(
        ("logits", "labels"),
        [
            (torch.zeros(2, 3), torch.tensor([0.5, 1.0])),
            (torch.zeros(2, 3), torch.tensor([True, False])),
            (torch.zeros(2, 3).long(), torch.tensor([0, 1])),
        ],
        ids=["float labels", "bool labels", "integer logits"],
    )
    def test_types_are_checked(self, logits: Tensor, labels: Tensor) -> None:
        with pytest.raises(TypeError, match=r"floating point and labels integers; received torch"):
            one_vs_rest_loss(logits, labels)

    def test_an_ignored_image_is_left_out(self) -> None:
        logits = torch.tensor([[2.0, -1.0], [0.5, 3.0], [-4.0, 1.0]], requires_grad=True)
        loss = one_vs_rest_loss(logits, torch.tensor([0, -100, 1]))
        assert loss == one_vs_rest_loss(logits[[0, 2]], torch.tensor([0, 1]))
        loss.backward()
        assert logits.grad is not None
        assert logits.grad[1].abs().sum() == 0

    def test_nothing_but_ignored_images_have_no_mean(self) -> None:
        assert one_vs_rest_loss(torch.zeros(1, 2), torch.tensor([-100])).isnan()

    @pytest.mark.parametrize("shape", [(3,), (3, 2, 2)], ids=str)
    def test_logits_are_checked(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"must be \(N, classes\) and labels \(N,\); received"):
            one_vs_rest_loss(torch.zeros(shape), torch.zeros(3).long())

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_agrees_with_the_cpu(self, case: tuple[Tensor, Tensor]) -> None:
        found = one_vs_rest_loss(case[0].cuda(), case[1].cuda())
        assert found.device.type == "cuda"
        assert found.item() == pytest.approx(one_vs_rest_loss(*case).item())


class TestAgainstRest:
    @pytest.mark.parametrize("name", ["left", "middle", "right"])
    def test_the_one_is_1_and_the_others_0(self, patches: LabelledImages, name: str) -> None:
        labels = patches.labels.clone()
        found = against_rest(patches, name)
        decoded = patches.label_map.decode(patches.labels)
        assert found.labels.tolist() == [int(other == name) for other in decoded]
        assert found.classes == ("rest", "one")
        assert torch.equal(found.images, patches.images)
        assert torch.equal(patches.labels, labels)
        assert patches.classes == ("left", "middle", "right")

    def test_classes_may_be_called_rest_and_one(self) -> None:
        data = LabelledImages(torch.zeros(2, 1, 1, 1), torch.tensor([0, 1]), ["one", "rest"])
        assert against_rest(data, "rest").label_map.decode([0, 1]) == ["rest", "one"]
        assert against_rest(data, "rest").labels.tolist() == [0, 1]

    def test_a_class_without_images_leaves_the_rest(self) -> None:
        data = LabelledImages(torch.zeros(2, 1, 1, 1), torch.tensor([0, 1]), [*"abc"])
        assert against_rest(data, "c").counts() == {"rest": 2, "one": 0}

    def test_a_class_that_nobody_declares_is_named(self, patches: LabelledImages) -> None:
        with pytest.raises(UnknownLabelError, match="received 'top' in the class to set against"):
            against_rest(patches, "top")

    def test_what_the_map_ignores_is_no_class(self) -> None:
        label_map = LabelMap(["a", "b"], ignore="void")
        data = LabelledImages(torch.zeros(2, 1, 1, 1), torch.tensor([0, 1]), label_map)
        with pytest.raises(UnknownLabelError, match="void"):
            against_rest(data, "void")


class Says(nn.Module):
    """A network that gives the same answer to every image."""

    def __init__(self, *answer: float) -> None:
        super().__init__()
        self.register_buffer("answer", torch.tensor(answer))

    def forward(self, images: Tensor) -> Tensor:
        return self.get_buffer("answer").expand(len(images), -1)


class TestOneVsRest:
    def test_the_logit_of_yes_is_yes_minus_no(self) -> None:
        networks = [Says(1.0, 3.5), Says(-2.0), Says(4.0, 1.0)]
        found = OneVsRest(networks)(torch.zeros(2, 1, 1, 1))
        assert found.tolist() == [[2.5, -2.0, -3.0]] * 2

    def test_its_sigmoid_is_the_softmax_of_each_pair(self, patches: LabelledImages) -> None:
        networks = [linear(2, inputs=36, seed=seed) for seed in range(3)]
        found = torch.sigmoid(predict(OneVsRest(networks), patches))
        expected = [torch.softmax(predict(each, patches), 1)[:, 1] for each in networks]
        assert torch.allclose(found, torch.stack(expected, 1), atol=1e-6)

    def test_binary_networks_make_a_classifier(self, patches: LabelledImages) -> None:
        networks = []
        for seed, name in enumerate(patches.classes):
            networks.append(mlp(2, inputs=36, hidden=(8,), seed=seed))
            fit(networks[-1], against_rest(patches, name), epochs=20, lr=0.02)
        assert evaluate(OneVsRest(networks), patches).accuracy > 0.9

    def test_its_networks_move_with_it(self) -> None:
        pair = OneVsRest([nn.Linear(4, 2), nn.Linear(4, 1)])
        assert len(list(pair.parameters())) == 4
        assert {p.dtype for p in pair.double().parameters()} == {torch.float64}

    def test_no_network_is_refused(self) -> None:
        with pytest.raises(ValueError, match="a network for each class; received none"):
            OneVsRest([])

    @pytest.mark.parametrize("width", [3, 4])
    def test_a_network_answers_yes_or_no(self, width: int) -> None:
        classifier = OneVsRest([nn.Linear(4, 2), nn.Linear(4, width)])
        with pytest.raises(ValueError, match=rf"received \(5, {width}\)\. Train it on against_re"):
            classifier(torch.zeros(5, 4))

    def test_an_answer_without_a_column_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"shape \(N, 1\) or \(N, 2\); received \(20,\)"):
            OneVsRest([nn.Flatten(0)])(torch.zeros(5, 4))

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_agrees_with_the_cpu(self, patches: LabelledImages) -> None:
        classifier = OneVsRest([linear(2, inputs=36, seed=0), linear(1, inputs=36, seed=1)])
        here = predict(classifier, patches)
        there = predict(classifier.cuda(), patches.to("cuda"))
        assert torch.allclose(here, there, atol=1e-3)
