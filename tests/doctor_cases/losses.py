"""Losses: arguments, sign, scale, weights; and whether a batch can be learnt."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Subset

from companion import LogitAdjustedLoss
from doctor_cases.cases import case
from pipelines import Pictures, loader, network, pipeline, sgd, trained


def with_loss(loss: Any, **changes: Any) -> dict[str, Any]:
    return pipeline(network(), loss=loss, **changes)


@case("SMP111", "fault", "error", "loss is the class CrossEntropyLoss")
def a_class_for_a_loss() -> dict[str, Any]:
    return with_loss(nn.CrossEntropyLoss)


@case("SMP111", "fault", "error", "on a batch the loss raises")
def a_loss_that_raises() -> dict[str, Any]:
    return with_loss(lambda logits, labels: F.cross_entropy(logits, labels[:1]))


@case("SMP111", "fault", "note", "the other way round")
def labels_first() -> dict[str, Any]:
    return with_loss(lambda labels, logits: F.cross_entropy(logits, labels))


@case("SMP111", "near", "note", "takes rows of (8, 3) that the loop may make of them")
def rows_made_in_the_loop() -> dict[str, Any]:
    return with_loss(nn.BCEWithLogitsLoss())


@case("SMP113", "near")
@case("SMP112", "near")
def rows_that_the_loop_makes() -> dict[str, Any]:
    return with_loss(nn.BCEWithLogitsLoss())


@case("SMP113", "near", word="not run")
def labels_first_is_not_tried_with_rows() -> dict[str, Any]:
    return labels_first()


@case("SMP111", "fault", "note", "takes other arguments")
def three_arguments() -> dict[str, Any]:
    return with_loss(lambda logits, labels, features: F.cross_entropy(logits, labels))


@case("SMP111", "healthy")
def a_loss_that_runs() -> dict[str, Any]:
    return pipeline()


@case("SMP111", "near")
def a_function_for_a_loss() -> dict[str, Any]:
    return with_loss(F.cross_entropy)


class Answering(nn.Sequential):
    """A network whose answer is a dictionary with the logits in it."""

    def forward(self, images: torch.Tensor) -> Any:
        return {"features": images.flatten(1), "logits": super().forward(images)}


def answered(loss: Any) -> dict[str, Any]:
    model = Answering(*network())
    return pipeline(model, loss=loss, optimizer=sgd(model))


@case("SMP115", "near")
@case("SMP112", "near")
@case("SMP111", "near")
def a_loss_of_whole_answers() -> dict[str, Any]:
    return answered(lambda answer, labels: F.cross_entropy(answer["logits"], labels))


@case("SMP111", "fault", "error", "on a batch the loss raises KeyError")
def a_loss_of_other_answers() -> dict[str, Any]:
    def loss(answer: Any, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy({"logits": answer}["scores"], labels)

    return answered(loss)


@case("SMP112", "fault", "error", "returns a float, which has no gradient")
def a_loss_without_gradient() -> dict[str, Any]:
    return with_loss(lambda logits, labels: F.cross_entropy(logits, labels).item())


@case("SMP112", "fault", "error", "a tensor without a gradient")
def a_detached_loss() -> dict[str, Any]:
    return with_loss(lambda logits, labels: F.cross_entropy(logits.detach(), labels))


@case("SMP112", "fault", "note", "a tensor of shape (8,)")
def a_loss_for_each_image() -> dict[str, Any]:
    return with_loss(nn.CrossEntropyLoss(reduction="none"))


@case("SMP112", "healthy")
def one_number() -> dict[str, Any]:
    return pipeline()


@case("SMP112", "near")
def one_number_of_a_mean() -> dict[str, Any]:
    return with_loss(lambda x, y: F.cross_entropy(x, y, reduction="none").mean())


@case("SMP113", "fault", "error", "for 3 of 3 classes the loss falls when the right logit falls")
def the_wrong_sign() -> dict[str, Any]:
    return with_loss(lambda logits, labels: -F.cross_entropy(logits, labels))


@case("SMP113", "fault", "error", "the loss falls when the right logit falls")
def one_hot_swapped() -> dict[str, Any]:
    def swapped(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(F.one_hot(labels, 3).float(), logits)

    return with_loss(swapped)


@case("SMP113", "healthy")
def cross_entropy() -> dict[str, Any]:
    return pipeline()


@case("SMP113", "near")
def label_smoothing() -> dict[str, Any]:
    return pipeline(trained(), loss=nn.CrossEntropyLoss(label_smoothing=0.3))


@case("SMP113", "near")
def a_focal_loss() -> dict[str, Any]:
    def focal(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        each = F.cross_entropy(logits, labels, reduction="none")
        return ((1 - (-each).exp()) ** 2 * each).mean()

    return pipeline(trained(), loss=focal)


@case("SMP113", "near")
def logit_adjustment() -> dict[str, Any]:
    return pipeline(trained(), loss=LogitAdjustedLoss(torch.tensor([90, 9, 1])))


@case("SMP113", "near", "note", "does not depend on the right logit for classes [2]")
def a_weight_of_zero() -> dict[str, Any]:
    weights = torch.tensor([1.0, 1.0, 0.0])
    return with_loss(lambda x, y: F.cross_entropy(x, y, weight=weights, reduction="sum") / len(x))


def summed(lr: float, **changes: Any) -> dict[str, Any]:
    model = network()
    loss = nn.CrossEntropyLoss(reduction="sum")
    return pipeline(model, loss=loss, optimizer=sgd(model, lr), **changes)


@case("SMP114", "fault", "warning", "the rate is as one of 12 for a mean without momentum")
def a_sum() -> dict[str, Any]:
    return summed(0.05)


@case("SMP114", "near", "note", "and of the same images twice")
def a_sum_with_a_small_rate() -> dict[str, Any]:
    return summed(0.05 / 24)


@case("SMP114", "near", "note", "and of the same images twice")
def a_sum_under_adam() -> dict[str, Any]:
    model = network()
    return summed(0.05) | {"model": model, "optimizer": torch.optim.Adam(model.parameters())}


@case("SMP114", "healthy")
def a_mean() -> dict[str, Any]:
    return with_loss(nn.CrossEntropyLoss())


@case("SMP114", "near")
def a_weighted_mean() -> dict[str, Any]:
    return with_loss(nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 20.0])))


@case("SMP115", "fault", "error", "reads logarithms of probabilities; the outputs are none")
def likelihood_of_logits() -> dict[str, Any]:
    return with_loss(nn.NLLLoss())


@case("SMP115", "fault", "note", "of a batch is -")
def a_negative_loss_of_ones_own() -> dict[str, Any]:
    return with_loss(lambda logits, labels: F.cross_entropy(logits, labels) - 100)


@case("SMP115", "healthy")
def a_positive_loss() -> dict[str, Any]:
    return pipeline()


@case("SMP115", "near")
def likelihood_of_logarithms() -> dict[str, Any]:
    model = nn.Sequential(network(), nn.LogSoftmax(1))
    return pipeline(model, loss=nn.NLLLoss())


@case("SMP116", "fault", "warning", "in 40 steps on one batch the loss goes, with the given")
def the_optimiser_does_not_learn() -> dict[str, Any]:
    model = network()
    return pipeline(model, optimizer=sgd(model, 1e-9))


class Severed(nn.Sequential):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) * 1e-12


@case("SMP116", "fault", "warning", "with Adam at 0.001")
def nothing_learns() -> dict[str, Any]:
    model = Severed(*network())
    return pipeline(model, optimizer=sgd(model))


@case("SMP116", "healthy")
def one_batch_is_learnt() -> dict[str, Any]:
    return pipeline(network())


@case("SMP116", "near")
def one_batch_is_known() -> dict[str, Any]:
    return pipeline()


@case("SMP116", "near", says="already")
def a_loss_at_its_floor() -> dict[str, Any]:
    model, loss, data = trained(), nn.CrossEntropyLoss(label_smoothing=0.3), Pictures()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        loss(model(data.data), torch.tensor(data.targets)).backward()
        optimizer.step()
    return pipeline(model, loss=loss)


@case("SMP116", "fault", "warning", "for all images to 0.215: the loss is the cause")
def a_loss_that_compares_all_with_all() -> dict[str, Any]:
    def squares(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (logits[:, :1].sigmoid() - (labels > 0).float()).pow(2).mean()

    return pipeline(network(), loss=squares, train=loader())


@case("SMP116", "fault", "warning", "the optimiser is the cause")
def decay_without_its_exponent() -> dict[str, Any]:
    model = network()
    return pipeline(model, optimizer=torch.optim.SGD(model.parameters(), 0.1, weight_decay=5.0))


@case("SMP116", "near")
def learning_with_dropout() -> dict[str, Any]:
    model = nn.Sequential(*network()[:4], nn.Dropout(0.7), nn.Linear(216, 3))
    return pipeline(model)


@case("SMP117", "fault", "warning", "label_smoothing=0.1 together with weights in the ratio 100")
def smoothed_and_weighted() -> dict[str, Any]:
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 10.0, 100.0]), label_smoothing=0.1)
    return with_loss(loss)


@case("SMP117", "fault", "error", "batches have one image, so that the mean cancels its weight")
def weights_that_cancel() -> dict[str, Any]:
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 10.0, 100.0]))
    return with_loss(loss, train=loader(batch=1))


@case("SMP117", "healthy")
def weighted_alone() -> dict[str, Any]:
    return with_loss(nn.CrossEntropyLoss(weight=torch.tensor([1.0, 10.0, 100.0])))


@case("SMP117", "near", "note", "in the ratio 2")
def smoothed_and_hardly_weighted() -> dict[str, Any]:
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.5, 2.0]), label_smoothing=0.1)
    return with_loss(loss)


@case("SMP118", "fault", "note", "ln K is 1.1")
def weights_far_too_large() -> dict[str, Any]:
    model = network()
    with torch.no_grad():
        model[4].weight *= 100
    return pipeline(model)


@case("SMP118", "healthy")
def a_new_network() -> dict[str, Any]:
    return pipeline(network())


@case("SMP118", "near")
def a_trained_network() -> dict[str, Any]:
    return pipeline()


TAIL = {0: 1, 1: 3, 2: 12}  # of each class every so many pictures are kept


def on_a_tail(loss: Any) -> dict[str, Any]:
    data = Pictures(360)
    rows = [row for row, label in enumerate(data.targets) if row // 3 % TAIL[label] == 0]
    kept = Subset(data, rows)
    counts = torch.bincount(torch.tensor([data.targets[row] for row in rows])).float()
    return pipeline(train=loader(kept), loss=loss(counts))


class Adjusted(nn.Module):
    """A logit adjustment, with a sign."""

    def __init__(self, counts: torch.Tensor, sign: float) -> None:
        super().__init__()
        self.register_buffer("shift", sign * (counts / counts.sum()).log())

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits + self.shift, labels)


@case("SMP121", "fault", "warning", "(inverse frequency) in another order")
def weights_in_order_of_frequency() -> dict[str, Any]:
    return on_a_tail(lambda n: nn.CrossEntropyLoss(weight=(1 / n).flip(0)))


@case("SMP121", "fault", "warning", "they grow with the number of images, as its power 1")
def counts_for_weights() -> dict[str, Any]:
    return on_a_tail(lambda n: nn.CrossEntropyLoss(weight=n / n.mean()))


@case("SMP121", "fault", "warning", "they grow with the number of images, as its power 1")
def adjusted_with_the_wrong_sign() -> dict[str, Any]:
    return on_a_tail(lambda n: Adjusted(n, -1.0))


@case("SMP121", "healthy")
def weights_of_the_classes() -> dict[str, Any]:
    return on_a_tail(lambda n: nn.CrossEntropyLoss(weight=1 / n))


@case("SMP121", "near")
def adjusted_with_the_right_sign() -> dict[str, Any]:
    return on_a_tail(lambda n: Adjusted(n, 1.0))


@case("SMP121", "near")
def costs_of_ones_own() -> dict[str, Any]:
    return on_a_tail(lambda n: nn.CrossEntropyLoss(weight=torch.tensor([3.0, 1.0, 1.0])))


@case("SMP122", "fault", "warning", "and numbers added to the images by 1.1")
def softmax_over_the_images() -> dict[str, Any]:
    return with_loss(lambda x, y: F.nll_loss(F.log_softmax(x, 0), y))


def of_one_number(loss: Any, *, trained_for: int = 0) -> dict[str, Any]:
    data = Pictures(classes=2)
    model = network(1)
    labels = torch.tensor(data.targets).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(trained_for):
        optimizer.zero_grad()
        F.mse_loss(model(data.data)[:, 0], labels).backward()
        optimizer.step()
    optimizer.zero_grad()
    parts = {"validation": None, "test": None, "optimizer": None}
    return pipeline(model, train=loader(data), loss=loss, **parts)


def squared(answers: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return ((answers - labels) ** 2).mean()


@case("SMP122", "fault", "warning", "answers of (8, 1) and labels of (8,)")
def answers_against_all_labels() -> dict[str, Any]:
    return of_one_number(squared)


@case("SMP122", "healthy")
def softmax_over_the_classes() -> dict[str, Any]:
    return pipeline()


@case("SMP122", "near")
def labels_in_the_shape_of_answers() -> dict[str, Any]:
    return of_one_number(lambda x, y: squared(x, y.reshape(x.shape)))


@case("SMP122", "near", "note", "answers of (8, 1) and labels of (8,)")
def labels_that_the_loop_shapes() -> dict[str, Any]:
    return of_one_number(squared, trained_for=60)


@case("SMP122", "near")
def margins() -> dict[str, Any]:
    return with_loss(nn.MultiMarginLoss())


__all__ = ["Pictures"]
