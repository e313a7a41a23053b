"""Models and heads: that they run, what is dead in them, what is set and not read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from doctor_cases.cases import case
from pipelines import Named, Pictures, loader, network, pipeline, sgd, trained


class Changed(nn.Module):
    """A model around another, whose answer is changed by a function."""

    def __init__(self, change: Any, classes: int = 3) -> None:
        super().__init__()
        self.inner, self.change = Named(classes), change

    def forward(self, images: Tensor) -> Any:
        return self.change(self.inner(images))


def with_model(model: nn.Module, **changes: Any) -> dict[str, Any]:
    return pipeline(model, **changes)


@case("MOD001", "fault", "error", "on a batch of train the model raises")
def another_shape() -> dict[str, Any]:
    return with_model(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 3)))


@case("MOD001", "fault", "error", "on a batch of test the model raises")
def another_shape_in_the_test() -> dict[str, Any]:
    test = Pictures(40, seed=2, transform=lambda image: image[:, :4])
    return pipeline(test=loader(test))


@case("MOD001", "healthy")
def a_model_that_runs() -> dict[str, Any]:
    return pipeline()


@case("MOD001", "near")
def a_model_that_returns_a_tuple() -> dict[str, Any]:
    return with_model(Changed(lambda logits: (logits, logits)))


@case("MOD001", "near", word="not run", says="needs a GPU that is not there")
def a_model_that_wants_a_gpu() -> dict[str, Any]:
    def refuse(logits: Tensor) -> Tensor:
        raise AssertionError("Torch not compiled with CUDA enabled")

    return with_model(Changed(refuse))


@case("MOD002", "fault", "note", "a class for each position (segmentation)")
def a_segmentation() -> dict[str, Any]:
    model = nn.Conv2d(1, 3, 1)
    data = [(torch.zeros(2, 1, 6, 6), torch.zeros(2, 6, 6, dtype=torch.int64))]
    return with_model(model, train=data, validation=None, test=None)


@case("MOD002", "fault", "note", "multi-label")
def several_labels() -> dict[str, Any]:
    rows = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]] * 4)
    data = [(torch.zeros(8, 1, 6, 6), rows)]
    loss = nn.BCEWithLogitsLoss()
    return with_model(network(), train=data, validation=None, test=None, loss=loss)


@case("MOD002", "healthy")
def a_class_for_each_image() -> dict[str, Any]:
    return pipeline()


@case("MOD002", "near")
def a_dictionary_of_logits() -> dict[str, Any]:
    return with_model(Changed(lambda logits: {"logits": logits}))


def forgotten_head(classes: int, *, old: int) -> nn.Module:
    model = Named(old)
    model.classifier = nn.Linear(216, classes)
    return model


@case("MOD003", "fault", "error", "'classifier' has 3 outputs, and the model answers with 8")
def a_head_by_another_name() -> dict[str, Any]:
    return with_model(forgotten_head(3, old=8))


@case("MOD003", "fault", "warning", "2 parameters take no part in the answer: 'classifier.weight'")
def a_second_head_of_one_width() -> dict[str, Any]:
    return with_model(forgotten_head(3, old=3))


@case("MOD003", "healthy")
def all_take_part() -> dict[str, Any]:
    return with_model(Named())


@case("MOD003", "near")
def all_is_frozen() -> dict[str, Any]:
    return with_model(Named().requires_grad_(False))


class OnlyInTraining(Named):
    def __init__(self) -> None:
        super().__init__()
        self.aux = nn.Linear(216, 3)

    def forward(self, images: Tensor) -> Any:
        features = self.body(images)
        logits = self.fc(features)
        return (logits, self.aux(features)) if self.training else logits


@case("MOD003", "near")
def an_auxiliary_head() -> dict[str, Any]:
    return with_model(OnlyInTraining())


@case("MOD004", "fault", "error", "fc says 10 outputs of 216 inputs, and its weights have 3 of 216")
def a_number_that_is_set() -> dict[str, Any]:
    model = Named()
    model.fc.out_features = 10
    return with_model(model)


@case("MOD004", "fault", "warning", "says num_classes=10 and answers with 3")
def a_model_that_says_another_number() -> dict[str, Any]:
    model = Named()
    model.num_classes = 10
    return with_model(model)


@case("MOD004", "healthy")
def layers_as_they_say() -> dict[str, Any]:
    return with_model(Named())


@case("MOD004", "near")
def grouped_convolutions() -> dict[str, Any]:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.Linear(16, 3)
    )
    return with_model(model)


@case("MOD005", "fault", "error", "body.requires_grad is False, a plain attribute")
def a_module_frozen_by_attribute() -> dict[str, Any]:
    model = Named()
    model.body.requires_grad = False  # type: ignore[assignment]
    return with_model(model)


@case("MOD005", "fault", "error", "fc.weight.require_grad was set; requires_grad is still True")
def a_misspelt_switch() -> dict[str, Any]:
    model = Named()
    model.fc.weight.require_grad = False
    return with_model(model)


@case("MOD005", "healthy")
def frozen_by_the_method() -> dict[str, Any]:
    model = Named()
    model.body.requires_grad_(False)
    return with_model(model)


@case("MOD005", "near")
def an_attribute_that_agrees() -> dict[str, Any]:
    model = Named()
    model.body.requires_grad_(False)
    model.body.requires_grad = False  # type: ignore[assignment]
    return with_model(model)


@case("MOD006", "fault", "warning", "1 of 1 BatchNorms are frozen and in training mode")
def a_frozen_backbone() -> dict[str, Any]:
    model = Named()
    model.body.requires_grad_(False)
    return with_model(model)


@case("MOD006", "healthy")
def nothing_is_frozen() -> dict[str, Any]:
    return with_model(Named())


@case("MOD006", "near")
def frozen_and_kept_still() -> dict[str, Any]:
    from companion import freeze

    return with_model(freeze(Named(), keep=["fc"]))


class FlatNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layers(images))


@case("MOD007", "fault", "error", "the last batch of an epoch has one image")
def a_remainder_of_one() -> dict[str, Any]:
    return with_model(FlatNorm(), train=loader(Pictures(97), batch=24))


@case("MOD007", "fault", "note", "compute their means over 4 images")
def a_tiny_batch() -> dict[str, Any]:
    return with_model(Named(), train=loader(batch=4))


@case("MOD007", "healthy")
def batches_without_remainder() -> dict[str, Any]:
    return with_model(FlatNorm())


@case("MOD007", "near")
def a_remainder_that_is_dropped() -> dict[str, Any]:
    return with_model(FlatNorm(), train=loader(Pictures(97), batch=24, drop_last=True))


@case("MOD007", "near")
def one_image_with_positions() -> dict[str, Any]:
    return with_model(Named(), train=loader(Pictures(97), batch=24))


class Twice(nn.Module):
    def __init__(self, *, two: bool) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.second, self.fc = nn.Conv2d(4, 4, 3), nn.Linear(16, 3)
        self.other = nn.BatchNorm2d(4) if two else self.norm

    def forward(self, images: Tensor) -> Tensor:
        one = torch.relu(self.norm(self.first(images)))
        return self.fc(torch.relu(self.other(self.second(one))).flatten(1))


@case("MOD008", "fault", "note", "called 2 times in one pass: 'norm'")
def a_norm_in_two_places() -> dict[str, Any]:
    return with_model(Twice(two=False))


@case("MOD008", "healthy")
def a_norm_in_each_place() -> dict[str, Any]:
    return with_model(Twice(two=True))


@case("MOD008", "near", word="not run")
def no_norm_at_all() -> dict[str, Any]:
    return with_model(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)))


@case("MOD009", "fault", "error", "1 inputs of train: 120 images are not finite")
def an_image_with_nan() -> dict[str, Any]:
    data = Pictures()
    data.data[7, 0, 0, 0] = torch.nan
    return pipeline(train=loader(data))


@case("MOD009", "fault", "error", "weights or statistics are not finite: '4.weight'")
def a_weight_that_is_infinite() -> dict[str, Any]:
    model = trained()
    with torch.no_grad():
        model[4].weight[0, 0] = torch.inf
    return with_model(model)


class Log(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.log()


@case("MOD009", "fault", "error", "is not finite: 4, after minus infinity in 3")
def a_logarithm_of_zero() -> dict[str, Any]:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), Log(), nn.Linear(8, 3))
    with torch.no_grad():
        model[1].bias.fill_(-100.0)
        model[4].weight.fill_(-1.0)
    return with_model(model)


@case("MOD009", "healthy")
def all_is_finite() -> dict[str, Any]:
    return pipeline()


@case("MOD009", "near")
def a_masked_class() -> dict[str, Any]:
    mask = torch.tensor([0.0, 0.0, 0.0, -torch.inf])
    return with_model(Changed(lambda logits: logits + mask, 4))


class Barred(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = trained()
        self.register_buffer("barred", torch.tensor([0.0, -torch.inf, 0.0, -torch.inf]))

    def forward(self, images: Tensor) -> Tensor:
        logits = self.inner(images)
        return torch.stack([*logits.unbind(1), logits[:, 0]], 1)[:, [0, 3, 1, 2]] + self.barred


@case("MOD009", "near")
def a_mask_in_a_buffer() -> dict[str, Any]:
    allowed = Pictures(target_transform=lambda label: (0, 2, 2)[label])
    return with_model(Barred(), train=loader(allowed), validation=None, test=None)


@case("MOD009", "fault", "error", "weights or statistics are not finite: '1.running_mean'")
def a_statistic_of_minus_infinity() -> dict[str, Any]:
    model = trained()
    model[1].running_mean[0] = -torch.inf
    return with_model(model)


@case("MOD010", "fault", "error", "units of 1 are equal, and so are their gradients")
def weights_of_one_number() -> dict[str, Any]:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.constant_(model[1].weight, 0.1)
    nn.init.zeros_(model[1].bias)
    nn.init.constant_(model[3].weight, 0.1)
    with torch.no_grad():
        model[3].weight += torch.tensor([[0.0], [0.1], [0.2]])
    return with_model(model)


@case("MOD010", "fault", "error", "units of 1 are equal, and dead")
def twins_that_died() -> dict[str, Any]:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.constant_(model[1].weight, 0.1)
    nn.init.constant_(model[1].bias, -100.0)
    return with_model(model)


@case("MOD010", "healthy")
def weights_drawn() -> dict[str, Any]:
    return pipeline()


@case("MOD010", "near")
def a_head_of_zeros() -> dict[str, Any]:
    model = network(6)
    nn.init.zeros_(model[4].weight)
    nn.init.zeros_(model[4].bias)
    return with_model(model, train=loader(Pictures(classes=6)))


def layers(*between: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 16), *between, nn.Linear(16, 3))


@case("MOD011", "fault", "warning", "2 layers together are affine")
def without_activations() -> dict[str, Any]:
    return with_model(layers(nn.BatchNorm1d(16), nn.Dropout()))


@case("MOD011", "healthy")
def with_activations() -> dict[str, Any]:
    return with_model(layers(nn.ReLU()))


@case("MOD011", "near")
def with_a_gentle_activation() -> dict[str, Any]:
    return with_model(layers(nn.LeakyReLU(0.9)))


@case("MOD011", "near", word="not run")
def a_linear_classifier() -> dict[str, Any]:
    return with_model(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)))


@case("MOD012", "fault", "note", "1.000 of the units behind 1 ReLUs never fire")
def all_units_dead() -> dict[str, Any]:
    model = layers(nn.ReLU())
    with torch.no_grad():
        model[1].bias.fill_(-100.0)  # type: ignore[index]
    return with_model(model)


@case("MOD012", "healthy")
def units_that_fire() -> dict[str, Any]:
    return with_model(layers(nn.ReLU()))


@case("MOD012", "near")
def a_few_units_dead() -> dict[str, Any]:
    model = layers(nn.ReLU())
    with torch.no_grad():
        model[1].bias[:2] = -100.0  # type: ignore[index]
    return with_model(model)


@case("MOD013", "fault", "error", "cannot fall below 0.551")
def a_softmax_before_the_loss() -> dict[str, Any]:
    return with_model(nn.Sequential(network(), nn.Softmax(1)))


@case("MOD013", "fault", "error", "a sigmoid")
def a_sigmoid_before_the_loss() -> dict[str, Any]:
    return with_model(nn.Sequential(network(), nn.Sigmoid()))


@case("MOD013", "fault", "note", "that sum to 1")
def probabilities_without_a_loss() -> dict[str, Any]:
    return with_model(nn.Sequential(network(), nn.Softmax(1)), loss=None)


@case("MOD013", "near", "note", "the loss is logarithm_first")
def probabilities_for_a_loss_that_takes_their_logarithm() -> dict[str, Any]:
    def logarithm_first(probabilities: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.nll_loss(probabilities.log(), labels)

    return with_model(nn.Sequential(network(), nn.Softmax(1)), loss=logarithm_first)


@case("MOD013", "healthy")
def logits() -> dict[str, Any]:
    return pipeline()


@case("MOD013", "near")
def logarithms_of_probabilities() -> dict[str, Any]:
    return with_model(nn.Sequential(network(), nn.LogSoftmax(1)))


class Always(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5)


@case("MOD014", "fault", "warning", "two passes differ by up to")
def dropout_without_its_switch() -> dict[str, Any]:
    return with_model(nn.Sequential(network(), Always()))


@case("MOD014", "fault", "warning", "alone and in a batch the answers differ")
def norm_without_statistics() -> dict[str, Any]:
    model = network()
    model[1] = nn.BatchNorm2d(6, track_running_stats=False)
    return with_model(model)


@case("MOD014", "healthy")
def repeats_itself() -> dict[str, Any]:
    return pipeline()


@case("MOD014", "near")
def dropout_with_its_switch() -> dict[str, Any]:
    return with_model(nn.Sequential(nn.Dropout(0.5), network()))


def asking(mean: float, std: float) -> nn.Module:
    model = Named()
    model.pretrained_cfg = {"mean": (mean,), "std": (std,)}
    return model


class Normalize:
    """What torchvision's transform of this name keeps."""

    def __init__(self, mean: float, std: float) -> None:
        self.mean, self.std = [mean], [std]

    def __call__(self, image: Tensor) -> Tensor:
        return (image - self.mean[0]) / self.std[0]


@case("MOD015", "fault", "warning", "the training transforms use (0.485,) and (0.229,)")
def constants_of_another_family() -> dict[str, Any]:
    data = Pictures(transform=Normalize(0.485, 0.229))
    return with_model(asking(0.5, 0.5), train=loader(data))


@case("MOD015", "fault", "warning", "pixels run from")
def nothing_normalised() -> dict[str, Any]:
    data = Pictures(transform=lambda image: 255 * image.clamp(0, 1))
    return with_model(asking(0.5, 0.5), train=loader(data))


@case("MOD015", "fault", "note", "they are not scaled")
def bytes_as_numbers() -> dict[str, Any]:
    data = Pictures(transform=lambda image: 255 * image.clamp(0, 1))
    return with_model(Named(), train=loader(data))


@case("MOD015", "healthy")
def constants_of_the_model() -> dict[str, Any]:
    data = Pictures(transform=Normalize(0.5, 0.5))
    return with_model(asking(0.5, 0.5), train=loader(data))


@case("MOD015", "near")
def no_configuration() -> dict[str, Any]:
    return with_model(Named())


@case("MOD016", "fault", "error", "and test by nothing")
def normalised_in_training_alone() -> dict[str, Any]:
    clean = Pictures(60, seed=2, transform=torch.clone)
    return pipeline(train=loader(Pictures(transform=Normalize(0.5, 0.5))), test=loader(clean))


@case("MOD016", "fault", "error", "and those of test from")
def scaled_in_training_alone() -> dict[str, Any]:
    test = Pictures(60, seed=2)
    test.data *= 255
    return pipeline(test=loader(test))


@case("MOD016", "fault", "note", "torch.float32 (1, 6, 5)")
def another_size_in_the_test() -> dict[str, Any]:
    test = Pictures(60, seed=2, transform=lambda image: image[:, :, :5])
    return pipeline(test=loader(test))


@case("MOD016", "near", "note", "pixels are as spread in both")
def normalised_by_a_function() -> dict[str, Any]:
    normalise = Normalize(0.5, 0.5)
    test = Pictures(60, seed=2, transform=lambda image: normalise(image))
    return pipeline(train=loader(Pictures(transform=normalise)), test=loader(test))


@case("MOD016", "fault", "error", "train is normalised by (0.5,) / (0.5,) and test by (0.4,)")
def normalised_by_other_constants() -> dict[str, Any]:
    test = Pictures(60, seed=2, transform=Normalize(0.4, 0.5))
    return pipeline(train=loader(Pictures(transform=Normalize(0.5, 0.5))), test=loader(test))


@case("MOD016", "healthy")
def one_recipe_for_all() -> dict[str, Any]:
    return pipeline()


@case("MOD016", "near")
def augmented_in_training_alone() -> dict[str, Any]:
    train = Pictures(transform=lambda image: 1.5 * image.flip(2) + 0.2)
    return pipeline(train=loader(train))


@case("MOD017", "fault", "error", "0 of 8 tensors of the checkpoint are the model's, and 0 have")
def loaded_with_a_prefix() -> dict[str, Any]:
    stored = {f"module.{name}": value for name, value in trained().state_dict().items()}
    model = network(seed=1)
    with torch.no_grad():
        model[1].running_mean += 1
        model[1].running_var += 1
        model[1].weight += 1
        model[1].bias += 1
        model[1].num_batches_tracked += 1
    model.load_state_dict(stored, strict=False)
    return with_model(model, checkpoint={"state_dict": stored})


@case("MOD017", "healthy")
def loaded_whole() -> dict[str, Any]:
    model = trained()
    return with_model(model, checkpoint=dict(model.state_dict()))


@case("MOD017", "near", "note", "the others point the same way")
def trained_on_from_a_checkpoint_without_its_head() -> dict[str, Any]:
    stored = {name: value for name, value in trained().state_dict().items() if name[0] != "4"}
    model = trained()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01 * parameter.abs().mean()
        for buffer in (model[1].running_mean, model[1].running_var):
            buffer += 0.01
        model[1].num_batches_tracked += 1
    return with_model(model, checkpoint=stored)


@case("MOD017", "near", "note", "others are '4.weight', '4.bias'")
def loaded_with_a_new_head() -> dict[str, Any]:
    model = trained()
    stored = dict(trained().state_dict())
    model[4] = nn.Linear(216, 3)
    return with_model(model, checkpoint=stored)


@case("MOD018", "fault", "error", "2 outputs for the 3 classes of train")
def too_narrow() -> dict[str, Any]:
    return with_model(network(2))


@case("MOD018", "near", "note", "2 outputs for the 3 classes of train")
def trained_on_the_first_two_of_three() -> dict[str, Any]:
    def first_two(seed: int) -> Any:
        data = Pictures(seed=seed)
        return loader(Subset(data, [r for r, label in enumerate(data.targets) if label < 2]))

    return with_model(network(2), train=first_two(0), validation=first_two(1))


@case("MOD018", "fault", "note", "8 outputs for the 3 classes of train")
def too_wide() -> dict[str, Any]:
    return with_model(network(8))


@case("MOD018", "healthy")
def as_wide_as_the_classes() -> dict[str, Any]:
    return pipeline()


@case("MOD018", "near")
def a_test_map_of_more_classes() -> dict[str, Any]:
    names = {"left": 0, "middle": 1, "right": 2, "owl": 3}
    return pipeline(label_maps={"test": names})


__all__ = ["Changed", "Normalize", "sgd"]
