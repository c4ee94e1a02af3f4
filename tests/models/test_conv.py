"""The classifier trained end to end: its last layer, its fresh weights, what it learns, what it refuses."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aal.errors import UserError
from aal.models import ConvClassifier
from aal.models.classifier import reset_parameters
from aal.networks import MLP, VGG8, LeNet5, ResNet18
from aal.seeds import generator
from tests.commands import EXPERIMENT, ROOT, aal, results

NETWORKS = [MLP, LeNet5, VGG8, ResNet18]
SHAPE = (1, 16, 16)


def images(n: int = 4) -> Tensor:
    return torch.rand(n, *SHAPE, generator=generator(0, "images"))


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_features_are_the_input_of_the_last_layer(network: type[nn.Module]) -> None:
    torch.manual_seed(0)
    whole = network(SHAPE, 5).eval()
    torch.manual_seed(0)
    model = ConvClassifier(network, num_classes=5, sample_shape=SHAPE).eval()  # type: ignore[arg-type]
    x = images()
    torch.testing.assert_close(model(x), whole(x))
    torch.testing.assert_close(model.last(model.features(x)), whole(x))
    assert not model.encoded
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in whole.parameters())


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_every_round_starts_from_fresh_weights(network: type[nn.Module]) -> None:
    model = ConvClassifier(network, num_classes=5, sample_shape=SHAPE)  # type: ignore[arg-type]
    before = torch.get_rng_state()
    model.renew(generator(0, "weights", 0))
    assert torch.equal(torch.get_rng_state(), before)
    first = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    model.training_step((images(), torch.arange(4)), 0).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    model.renew(generator(0, "weights", 1))
    assert not torch.equal(model.last.weight, first["last.weight"])
    model.renew(generator(0, "weights", 0))
    assert all(torch.equal(tensor, first[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("network", [VGG8, ResNet18], ids=lambda network: network.__name__)
def test_a_networks_own_initial_weights_have_the_last_word(network: type[nn.Module]) -> None:
    model = ConvClassifier(network, num_classes=5, sample_shape=SHAPE).eval()  # type: ignore[arg-type]
    x, state, features = images(), model.state_dict().keys(), model.features(images()).shape
    model.renew(generator(0, "weights", 0))
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert layers[-1] is model.last
    for layer in layers:
        fan_in = layer.weight[0].numel()
        assert float(layer.weight.detach().std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.15)
        assert layer.bias is None or not layer.bias.any()
    assert model.state_dict().keys() == state, "the last layer is out of the network again"
    assert model.features(x).shape == features
    torch.testing.assert_close(model.last(model.features(x)), model(x))


def test_a_networks_layers_alone_are_renewed_in_their_order() -> None:
    model, whole = ConvClassifier(LeNet5, num_classes=5, sample_shape=SHAPE), LeNet5(SHAPE, 5)
    model.renew(generator(0, "weights", 0))
    reset_parameters(whole, generator(0, "weights", 0))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))


def test_a_last_batch_of_one_sample_can_be_trained_on() -> None:
    model = ConvClassifier(ResNet18, num_classes=5, sample_shape=(1, 8, 8)).train()
    x, y = torch.rand(1, 1, 8, 8), torch.tensor([3])
    loss = model.training_step((x, y), 0)
    assert all(layer.training for layer in model.modules())
    torch.testing.assert_close(loss, F.cross_entropy(model.eval()(x), y))
    running = model.network.bn1.running_mean.clone()  # type: ignore[union-attr, operator]
    model.train().training_step((torch.rand(2, 1, 8, 8), torch.tensor([1, 2])), 1)
    assert not torch.equal(model.network.bn1.running_mean, running)  # type: ignore[union-attr]


def test_a_momentum_trains_by_stochastic_gradient_descent() -> None:
    model = ConvClassifier(LeNet5, 5, SHAPE, learning_rate=0.1, weight_decay=0.01, momentum=0.9)
    x, y = images(), torch.tensor([0, 1, 2, 3])
    optimizer = model.configure_optimizers()
    weight, velocity = model.last.weight, torch.zeros(())
    for step in range(2):
        optimizer.zero_grad()
        model.training_step((x, y), step).backward()
        assert weight.grad is not None
        velocity = 0.9 * velocity + weight.grad + 0.01 * weight.detach()
        expected = weight.detach() - 0.1 * velocity
        optimizer.step()
        torch.testing.assert_close(weight.detach(), expected)
    for momentum in (-0.1, 1.0, float("nan")):
        with pytest.raises(UserError, match=r"^momentum: must be in \[0, 1\), got"):
            ConvClassifier(LeNet5, 5, SHAPE, momentum=momentum)


class Scaled(nn.Module):
    """A network whose last layer is not the logits."""

    def __init__(self, sample_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(sample_shape[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = 2 * self.layer(x.flatten(1))
        return logits


def test_a_network_is_refused_before_it_is_trained() -> None:
    with pytest.raises(UserError, match=r"network: the last nn\.Linear of Scaled must give the logits of 3 classes"):
        ConvClassifier(Scaled, num_classes=3, sample_shape=(6,))
    with pytest.raises(UserError, match=r"network: Scaled cannot take samples of shape \(2, 6\)"):
        ConvClassifier(Scaled, num_classes=3, sample_shape=(2, 6))
    with pytest.raises(UserError, match=r"network: Flatten has no nn\.Linear"):
        ConvClassifier(lambda shape, classes: nn.Flatten(), num_classes=3, sample_shape=(6,))
    with pytest.raises(UserError, match=r"logits of 3 classes"):
        ConvClassifier(lambda shape, classes: MLP(shape, 4), num_classes=3, sample_shape=(6,))


@pytest.mark.slow
def test_active_learning_trains_it_through_the_command_line(tmp_path: Path) -> None:
    config = ROOT / "configs" / "model" / "mlp.yaml"
    budget = ("--query.init_args.budget=100", "--query.init_args.query_size=20")
    run = aal("fit", "--config", EXPERIMENT, "--config", config, "--poison=null", "--out", tmp_path / "run", *budget)
    assert run.returncode == 0, run.stderr
    rounds = results(tmp_path / "run")["rounds"]
    assert [record["labels"] for record in rounds] == [20, 40, 60, 80, 100, 120]
    assert rounds[-1]["accuracy"] > max(0.8, rounds[0]["accuracy"] + 0.1)
