from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion import LabelledImages, fit_replicas, mlp, small_cnn
from companion.replicas.chains import ELEMENTWISE, chain_of
from companion.replicas.stacks import Stack
from companion.states import seeded
from replica_runs import SHORT, Tied, agreeing, assert_same_weights, perceptron

CPU = torch.device("cpu")
IMAGES = torch.randn(3, 5, 1, 6, 6, generator=torch.Generator().manual_seed(0))  # of 3 networks


class Doubled(nn.Linear):
    """A user's own layer, which `isinstance` takes for a plain one."""

    def forward(self, images: Tensor) -> Tensor:
        return 2 * super().forward(images)


class DoubledSequence(nn.Sequential):
    """The same of a sequence."""

    def forward(self, images: Tensor) -> Tensor:
        return 2 * super().forward(images)


class HalfUsed(nn.Module):
    """A network with a head that it does not call."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with seeded(seed):
            self.head, self.spare = nn.Linear(36, 3), nn.Linear(36, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1))


def layers(*between: nn.Module, seed: int = 0, bias: bool = True) -> nn.Sequential:
    """Two linear layers for 6×6 images with others between them."""
    with seeded(seed):
        first, last = nn.Linear(36, 4, bias=bias), nn.Linear(4, 3, bias=bias)
    return nn.Sequential(nn.Flatten(), first, *between, last)


def stacked(build: Callable[[int], nn.Module]) -> Stack:
    return Stack([build(seed) for seed in range(3)], CPU)


class TestChains:
    @pytest.mark.parametrize(
        "layer",
        [
            *(kind() for kind in ELEMENTWISE),
            nn.LeakyReLU(0.3),
            nn.ELU(0.5),
            nn.GELU("tanh"),
            nn.ReLU(inplace=True),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("shared", [False, True], ids=["own images", "shared images"])
    def test_a_chain_computes_what_vmap_computes(self, layer: nn.Module, shared: bool) -> None:
        chained = stacked(lambda seed: layers(copy.deepcopy(layer), seed=seed))
        mapped = stacked(lambda seed: layers(copy.deepcopy(layer), seed=seed))
        assert chained.chain is not None
        mapped.chain = None
        images = IMAGES[0] if shared else IMAGES
        logits = [each.forward(images, shared=shared) for each in (chained, mapped)]
        torch.testing.assert_close(logits[0], logits[1], rtol=1e-5, atol=1e-6)
        gradients = [
            each.gradients(values.square().mean((1, 2)))
            for each, values in zip((chained, mapped), logits, strict=True)
        ]
        torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(
        "build",
        [
            lambda seed: layers(nn.ReLU(), nn.Tanh(), seed=seed, bias=False),
            lambda seed: nn.Sequential(nn.Flatten(), nn.Flatten(), layers(seed=seed)),
            lambda seed: nn.Sequential(nn.Flatten(), nn.Sequential(nn.Tanh(), layers(seed=seed))),
        ],
        ids=["no bias", "flat twice", "nested"],
    )
    def test_chains_of_other_forms(
        self, patches: LabelledImages, build: Callable[[int], nn.Module]
    ) -> None:
        assert agreeing(build, patches, validation=patches).stack.chain is not None

    def test_a_layer_that_stands_twice_is_computed_twice(self, patches: LabelledImages) -> None:
        def build(seed: int) -> nn.Module:
            bent = nn.GELU()
            with seeded(seed):
                first, second, third = nn.Linear(36, 4), nn.Linear(4, 4), nn.Linear(4, 3)
            return nn.Sequential(nn.Flatten(), first, bent, second, bent, third)

        replicas = agreeing(build, patches)
        assert replicas.stack.chain is not None
        assert [name for name, _ in replicas.stack.chain] == [*"012345"]

    @pytest.mark.parametrize(
        "build",
        [
            lambda seed: layers(nn.BatchNorm1d(4), seed=seed),
            lambda seed: layers(nn.Softplus(), seed=seed),
            lambda seed: layers(nn.Unflatten(1, (2, 2)), nn.Flatten(), seed=seed),
            lambda seed: nn.Sequential(nn.Flatten(0, 1), nn.Flatten(), layers(seed=seed)),
            lambda seed: small_cnn(3, widths=(4,), seed=seed),
            Tied,
        ],
        ids=["batch norm", "softplus", "unflatten", "flatten of batches", "small_cnn", "own"],
    )
    def test_other_networks_are_no_chain(
        self, patches: LabelledImages, build: Callable[[int], nn.Module]
    ) -> None:
        # Not Adam, which makes steps of the rounding errors of a bias that has no effect.
        replicas = agreeing(build, patches, validation=patches, optimizer="sgd")
        assert replicas.stack.chain is None

    def test_nor_is_one_that_begins_with_a_layer(self) -> None:
        # It would take images of any shape as rows.
        assert Stack([nn.Sequential(nn.Linear(6, 3))], CPU).chain is None
        assert chain_of(nn.Sequential(nn.Linear(6, 3))) is not None

    def test_nor_is_one_that_shares_weights(self, patches: LabelledImages) -> None:
        def build(seed: int) -> nn.Module:
            with seeded(seed):
                twice = nn.Linear(36, 36)
            return nn.Sequential(nn.Flatten(), twice, nn.Tanh(), twice, layers(seed=seed))

        assert agreeing(build, patches).stack.chain is None

    @pytest.mark.parametrize("same", [True, False], ids=["one module", "one memory"])
    def test_buffers_may_be_shared(self, patches: LabelledImages, same: bool) -> None:
        def build(seed: int) -> nn.Module:
            first, second = nn.BatchNorm1d(36, affine=False), nn.BatchNorm1d(36, affine=False)
            second.running_mean, second.running_var = first.running_mean, first.running_var
            with seeded(seed):
                between = nn.Linear(36, 36)
            norms = (first, first) if same else (first, second)
            return nn.Sequential(nn.Flatten(), norms[0], between, norms[1], layers(seed=seed))

        agreeing(build, patches, validation=patches, optimizer="sgd")

    @pytest.mark.parametrize("name", ["", "head", "features", "features.2"])
    @pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
    def test_hooks_are_called(self, patches: LabelledImages, name: str, kind: str) -> None:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], *output: Tensor) -> Any:
            return output[0] * 0.5 if output else (inputs[0] * 0.5,)

        def build(seed: int) -> nn.Module:
            model = perceptron(seed)
            getattr(model.get_submodule(name), kind)(hook)
            return model

        replicas = agreeing(build, patches)
        assert replicas.stack.chain is None
        plain = fit_replicas(perceptron, patches, seeds=(0, 1), lrs=0.01, **SHORT)
        assert not torch.allclose(plain.train_loss, replicas.train_loss, atol=1e-3)

    def test_a_module_of_a_users_own_is_called(self, patches: LabelledImages) -> None:
        def layer(seed: int) -> nn.Module:
            with seeded(seed):
                return nn.Sequential(nn.Flatten(), Doubled(36, 3))

        def whole(seed: int) -> nn.Module:
            return DoubledSequence(*perceptron(seed))

        for build in (layer, whole):
            assert agreeing(build, patches).stack.chain is None

    def test_a_forward_that_was_replaced_is_called(self, patches: LabelledImages) -> None:
        class Twice:
            """Calls a layer as a whole and doubles what it says."""

            def __init__(self, layer: nn.Linear) -> None:
                self.layer = layer

            def __call__(self, images: Tensor) -> Tensor:
                return F.linear(images, self.layer.weight, self.layer.bias) * 2

            def __deepcopy__(self, memo: dict[int, Any]) -> Twice:
                return Twice(copy.deepcopy(self.layer, memo))

        def build(seed: int) -> nn.Module:
            model = perceptron(seed)
            head: Any = model.get_submodule("head")
            head.forward = Twice(head)
            return model

        assert agreeing(build, patches).stack.chain is None


class TestStack:
    BUILDS = pytest.mark.parametrize(
        "build",
        [
            perceptron,
            Tied,
            lambda seed: small_cnn(3, widths=(4, 4), seed=seed),
            lambda seed: layers(seed=seed).requires_grad_(False).append(nn.Linear(3, 3)),
        ],
        ids=["mlp", "tied", "small_cnn", "partly frozen"],
    )

    @BUILDS
    def test_it_gives_back_the_networks_it_was_made_of(
        self, build: Callable[[int], nn.Module]
    ) -> None:
        models = [build(seed) for seed in range(3)]
        stack = Stack(models, CPU)
        assert len(stack) == 3
        for row, model in enumerate(models):
            given = stack.network(row)
            assert_same_weights(given, model, 0)
            assert {name: p.requires_grad for name, p in given.named_parameters()} == {
                name: p.requires_grad for name, p in model.named_parameters()
            }

    @BUILDS
    def test_each_network_sees_its_own_images_or_all_the_same(
        self, build: Callable[[int], nn.Module]
    ) -> None:
        models = [build(seed).eval() for seed in range(3)]
        stack = Stack(models, CPU)
        stack.template.eval()
        own, shared = stack.forward(IMAGES), stack.forward(IMAGES[1], shared=True)
        for row, model in enumerate(models):
            torch.testing.assert_close(own[row], model(IMAGES[row]), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(shared[row], model(IMAGES[1]), rtol=1e-5, atol=1e-5)

    @BUILDS
    def test_gradients_are_those_of_each_networks_own_loss(
        self, build: Callable[[int], nn.Module]
    ) -> None:
        models = [build(seed) for seed in range(3)]
        stack = Stack(models, CPU)
        gradients = stack.gradients(stack.forward(IMAGES).square().mean((1, 2)))
        assert gradients.shape == stack.weights.shape
        for row, model in enumerate(models):
            model(IMAGES[row]).square().mean().backward()
            expected = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
            torch.testing.assert_close(gradients[row], torch.cat(expected), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("count", [1, 2])
    def test_training_changes_neither_the_networks_given_nor_each_other(self, count: int) -> None:
        models = [small_cnn(3, widths=(4,), seed=seed) for seed in range(count)]
        before = copy.deepcopy(models)
        stack = Stack(models, CPU)
        stack.weights[0] += 1
        stack.forward(IMAGES[:count])  # moves the running means
        for model, old in zip(models, before, strict=True):
            assert_same_weights(model, old, 0)
        assert not torch.equal(stack.buffers["features.1.running_mean"][0], torch.zeros(4))
        if count == 2:
            changed = stack.network(1).get_parameter("head.weight")
            assert torch.equal(changed, models[1].get_parameter("head.weight"))

    def test_a_network_that_was_given_back_is_a_copy(self) -> None:
        stack = stacked(perceptron)
        before = stack.weights.clone()
        for values in stack.network(1).parameters():
            nn.init.zeros_(values)
        assert torch.equal(stack.weights, before)

    def test_a_snapshot_holds_all_that_training_changes(self) -> None:
        stack = stacked(lambda seed: small_cnn(3, widths=(4,), seed=seed))
        before, kept = [stack.network(row) for row in range(3)], stack.snapshot()
        for step in range(2):
            stack.forward(IMAGES * (step + 1))
            stack.weights += 1
        stack.restore(kept)
        for row, model in enumerate(before):
            assert_same_weights(stack.network(row), model, 0)
        stack.weights += 1
        assert not torch.equal(kept[0], stack.weights)

    @pytest.mark.parametrize("value", [torch.nan, torch.inf])
    def test_it_knows_which_networks_are_finite(self, value: float) -> None:
        stack = stacked(lambda seed: small_cnn(3, widths=(4,), seed=seed))
        assert stack.finite().tolist() == [True, True, True]
        stack.weights[0, -1] = value
        assert stack.finite().tolist() == [False, True, True]
        stack.buffers["features.1.running_var"][2, 1] = value
        assert stack.finite().tolist() == [False, True, False]


class TestRefusals:
    @pytest.mark.parametrize(
        "other",
        [
            lambda: perceptron(0),
            lambda: mlp(3, inputs=36, hidden=(4, 4), seed=0),
            lambda: layers(nn.ReLU(), bias=False),
            lambda: layers(nn.Tanh()),
            lambda: layers(nn.ReLU()).requires_grad_(False).append(nn.Linear(3, 3)),
            lambda: layers(nn.ReLU(), nn.BatchNorm1d(4, affine=False)),
            lambda: frozen_head(layers(nn.ReLU())),
            lambda: layers(type("ReLU", (nn.ReLU,), {})()),
        ],
        ids=[
            "names",
            "depth",
            "biases",
            "layers without weights",
            "length",
            "buffers",
            "frozen parts",
            "classes of one name",
        ],
    )
    def test_networks_of_two_structures(self, other: Callable[[], nn.Module]) -> None:
        message = "replicas need networks of one structure; .* Let the seed decide on initial"
        for models in ([layers(nn.ReLU()), other()], [other(), layers(nn.ReLU())]):
            with pytest.raises(ValueError, match=message):
                Stack(models, CPU)

    def test_layers_of_two_settings(self) -> None:
        with pytest.raises(ValueError, match="networks of one structure"):
            Stack([layers(nn.LeakyReLU(slope)) for slope in (0.1, 0.2)], CPU)

    def test_buffers_of_two_shapes(self) -> None:
        def build(size: int) -> nn.Module:
            model = layers()
            model.register_buffer("memory", torch.zeros(size))
            return model

        with pytest.raises(ValueError, match="networks of one structure"):
            Stack([build(1), build(2)], CPU)

    @pytest.mark.parametrize(
        "layer", [nn.Dropout(0.1), nn.Dropout2d(0.1), nn.AlphaDropout(0.1)], ids=str
    )
    def test_dropout(self, layer: nn.Module) -> None:
        message = "received dropout in 2. Build without it, or call fit for each seed"
        with pytest.raises(ValueError, match=message):
            Stack([layers(layer)], CPU)

    def test_dropout_of_nothing_is_none(self, patches: LabelledImages) -> None:
        agreeing(lambda seed: layers(nn.Dropout(0.0), seed=seed), patches)

    @pytest.mark.parametrize(
        ("hook", "name"),
        [
            (lambda m: m.register_full_backward_hook(lambda *_: None), "the network"),
            (lambda m: m[1].register_full_backward_hook(lambda *_: None), "1"),
            (lambda m: m[1].register_full_backward_pre_hook(lambda *_: None), "1"),
            (lambda m: m[1].weight.register_hook(lambda gradient: gradient), "1.weight"),
            (lambda m: m[1].bias.register_post_accumulate_grad_hook(lambda _: None), "1.bias"),
        ],
        ids=["network", "module", "module, before", "weight", "bias, after"],
    )
    def test_hooks_on_gradients(self, hook: Callable[[Any], object], name: str) -> None:
        models = [layers(), layers()]
        hook(models[1])
        with pytest.raises(ValueError, match=f"hooks on gradients .* received one on {name}. Rem"):
            Stack(models, CPU)

    def test_weights_without_a_part_in_the_loss(self, patches: LabelledImages) -> None:
        message = "depend on every weight that may change; spare.weight, spare.bias had no part"
        with pytest.raises(ValueError, match=message):
            fit_replicas(HalfUsed, patches, seeds=(0, 1), lrs=0.1, **SHORT)

    def test_unless_they_are_frozen(self, patches: LabelledImages) -> None:
        def build(seed: int) -> nn.Module:
            model = HalfUsed(seed)
            model.spare.requires_grad_(False)
            return model

        agreeing(build, patches)


def frozen_head(model: nn.Sequential) -> nn.Sequential:
    model[-1].requires_grad_(False)
    return model
