"""Expected gradient length against plain autograd, one sample and class at a time."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from aal.errors import UserError
from aal.models import Classifier, ConvClassifier, TransferClassifier
from aal.networks import MLP, Backbone, DenseHead, LeNet5
from aal.seeds import generator
from aal.strategies import EGL, egl
from aal.strategies.egl import last_layer_lengths, network_lengths, trained
from tests.strategies.views import view_of

IMAGES = torch.rand(7, 1, 28, 28, generator=generator(0, "images"))
SMALL = IMAGES[:, :, :8, :8]


class Normed(nn.Sequential):
    """A convolution with batch norm and a dense layer without bias."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        dense = nn.Linear(5 * 6 * 6, classes, bias=False)
        super().__init__(nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace=True), nn.Flatten(), dense)


class Backed(Backbone):
    """A trainable backbone."""

    feature_size = 6

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


class Branching(MLP):
    """A network that looks at the values to decide what to compute."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)  # type: ignore[no-any-return]


class Counting(MLP):
    """A network that keeps a sum of what it has seen."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__(shape, classes)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add_(x.sum())  # type: ignore[operator]
        return super().forward(x)  # type: ignore[no-any-return]


def ready(module: Classifier) -> Classifier:
    """Return the classifier with sharper predictions and statistics that are not those of an untrained batch norm."""
    module.renew(generator(0, "weights"))
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-1, 1, generator=generator(0, "means"))  # type: ignore[union-attr]
            layer.running_var.uniform_(0.5, 2, generator=generator(0, "variances"))  # type: ignore[union-attr]
    with torch.no_grad():
        [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1].weight.mul_(5)
    return module.double().eval()


def backed(freeze: bool) -> Classifier:
    return ready(TransferClassifier(Backed(), DenseHead(hidden=4), 3, freeze=freeze))


def by_autograd(module: Classifier, parameters: list[nn.Parameter], inputs: Tensor) -> Tensor:
    """Take the expected length by a backward pass for each sample and class."""
    lengths = torch.zeros(len(inputs), dtype=torch.float64)
    for row, x in enumerate(inputs):
        probabilities = module.classify(x[None]).softmax(-1).squeeze(0).detach()
        for label, probability in enumerate(probabilities):
            loss = cross_entropy(module.classify(x[None]), torch.tensor([label]))
            gradients = torch.autograd.grad(loss, parameters)
            lengths[row] += probability * torch.cat([g.flatten() for g in gradients]).norm()
    return lengths


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (lambda: ready(ConvClassifier(LeNet5, 10, (1, 28, 28))), IMAGES[:3]),
        (lambda: ready(ConvClassifier(Normed, 4, (1, 8, 8))), SMALL),
        (lambda: backed(freeze=False), SMALL),
    ],
    ids=["LeNet5", "batch norm", "unfrozen"],
)
def test_lengths_of_the_whole_network_are_those_of_autograd(build: Callable[[], Classifier], inputs: Tensor) -> None:
    module = build()
    expected = by_autograd(module, list(module.parameters()), inputs.double())
    assert expected.min() > 0.01
    assert expected.max() > 1.01 * expected.min()
    torch.testing.assert_close(network_lengths(module, trained(module), inputs.double()), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (lambda: ready(ConvClassifier(LeNet5, 10, (1, 28, 28))), IMAGES[:3]),
        (lambda: ready(ConvClassifier(Normed, 4, (1, 8, 8))), SMALL),  # no bias
        (lambda: backed(freeze=False), SMALL),
    ],
    ids=["LeNet5", "no bias", "unfrozen"],
)
def test_lengths_of_the_last_layer_are_those_of_autograd(build: Callable[[], Classifier], inputs: Tensor) -> None:
    module = build()
    layer = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
    expected = by_autograd(module, list(layer.parameters()), inputs.double())
    assert expected.min() > 0.01
    torch.testing.assert_close(last_layer_lengths(module, inputs.double()), expected, rtol=1e-9, atol=0)


def test_under_a_frozen_backbone_only_the_head_is_differentiated() -> None:
    module = backed(freeze=True)
    assert isinstance(module, TransferClassifier)
    features = torch.randn(7, 6, generator=generator(0, "features")).double()
    expected = by_autograd(module, list(module.head.parameters()), features)
    selection = EGL(scope="network").select(view_of(module, features), 6, generator=generator(0, "query"))
    order = expected[1:].argsort(descending=True)
    assert torch.equal(selection.indices, order + 1)
    assert selection.scores is not None
    torch.testing.assert_close(selection.scores, expected[1:][order], rtol=1e-9, atol=0)


@pytest.mark.parametrize("scope", ["network", "last_layer"])
def test_the_longest_come_first_and_the_module_stays(scope: str) -> None:
    module = ready(ConvClassifier(Normed, 4, (1, 8, 8)))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    layers = list(module.parameters() if scope == "network" else module.last.parameters())  # type: ignore[union-attr]
    expected = by_autograd(module, layers, SMALL.double())[1:]
    strategy = EGL(scope=scope)  # type: ignore[arg-type]
    selection = strategy.select(view_of(module, SMALL.double()), 3, generator=generator(0, "query"))
    assert torch.equal(selection.indices, expected.argsort(descending=True)[:3] + 1)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("gradients", [0.5, 1, 2, 5, 9, 1000])
def test_lengths_do_not_depend_on_how_many_gradients_fit(gradients: float, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ready(ConvClassifier(Normed, 4, (1, 8, 8)))
    whole = network_lengths(module, trained(module), SMALL.double())
    size = sum(parameter.numel() for parameter in module.parameters())
    monkeypatch.setattr(egl, "FLOATS", {"cpu": int(gradients * size)})
    torch.testing.assert_close(network_lengths(module, trained(module), SMALL.double()), whole, rtol=1e-12, atol=0)


def test_no_more_gradients_are_held_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen from the passes through a layer: how many samples are differentiated together."""
    module = ready(ConvClassifier(Normed, 4, (1, 8, 8)))
    size = sum(parameter.numel() for parameter in module.parameters())
    chunks: list[int | None] = []
    original = egl.vmap

    def watched(function: Callable[..., Tensor], chunk_size: int | None = None) -> Callable[..., Tensor]:
        chunks.append(chunk_size)
        return original(function, chunk_size=chunk_size)

    monkeypatch.setattr(egl, "vmap", watched)
    for gradients, samples, labels in ((0.5, 1, 1), (3.5, 1, 3), (13.5, 3, 4), (1000, 5, 4)):
        chunks.clear()
        monkeypatch.setattr(egl, "FLOATS", {"cpu": int(gradients * size)})
        network_lengths(module, trained(module), SMALL.double().repeat(3, 1, 1, 1))
        assert (chunks[0], set(chunks[1:])) == (samples, {labels})


def test_a_nearly_sure_prediction_keeps_its_length() -> None:
    """Where 1 - p and p^2 have no digits left, and squares in float32 would be 0."""
    module = ready(ConvClassifier(lambda shape, classes: MLP(shape, classes, widths=()), 2, (3,))).float()
    last = module.last
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([60.0, 0.0]))
    x, p = torch.tensor([[2.0, 1.0, 2.0]]), torch.tensor(-60.0).double().exp()
    expected = 2 * p * 2**0.5 * (9 + 1) ** 0.5  # p times a gradient of 1, and 1 times one of p
    torch.testing.assert_close(last_layer_lengths(module, x), expected.reshape(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(network_lengths(module, trained(module), x), expected.reshape(1), rtol=1e-6, atol=0)


@pytest.mark.parametrize("network", [Branching, Counting])
def test_a_network_that_cannot_be_differentiated_sample_by_sample_is_named(network: type[MLP]) -> None:
    module = ConvClassifier(network, 3, (6,)).eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    x = torch.randn(5, 6, generator=generator(0, "samples"))
    told = f"scope: {network.__name__} cannot be differentiated sample by sample ("
    with pytest.raises(UserError, match=re.escape(told)):
        EGL(scope="network").select(view_of(module, x), 2, generator=generator(0, "query"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert len(EGL().select(view_of(module, x), 2, generator=generator(0, "query")).indices) == 2


def test_values_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UserError, match=r"^scope: must be one of last_layer, network"):
        EGL(scope="head")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^subset: must be at least 1"):
        EGL(subset=0)
