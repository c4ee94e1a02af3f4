"""AutoAttack's parts beside torchattacks' ports of the reference, on a LeNet-5: no more samples may survive ours."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import APGD, APGDT, FABT, Attack, AutoAttack, Square
from aal.networks import LeNet5
from tests.real_data import mnist

torchattacks = pytest.importorskip(
    "torchattacks", reason="torchattacks is not installed (pip install --no-deps torchattacks)"
)
pytestmark = pytest.mark.data

STEPS, QUERIES, IMAGES = 30, 400, 48
CHANCE = 2  # samples that may go either way: the random starts differ


@pytest.fixture(scope="module")
def network() -> LeNet5:
    """A LeNet-5 after one epoch on a sixth of MNIST."""
    torch.manual_seed(0)
    x, y = (tensor[:10_000] for tensor in mnist("train"))
    model = LeNet5()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for rows in torch.randperm(len(x)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def images(network: LeNet5) -> tuple[Tensor, Tensor]:
    """Test images that are classified rightly, and their labels."""
    x, y = mnist("t10k")
    right = (network(x).argmax(1) == y).nonzero().squeeze(1)[:IMAGES]
    return x[right], y[right]


def peer(name: str, network: nn.Module, norm: str, radius: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return torchattacks' attack with the settings of ours."""
    ball = {"norm": {"linf": "Linf", "l2": "L2"}[norm], "eps": radius}
    made: dict[str, Callable[[], Callable[[Tensor, Tensor], Tensor]]] = {
        "APGD": lambda: torchattacks.APGD(network, steps=STEPS, loss="ce", **ball),
        "APGDT": lambda: torchattacks.APGDT(network, steps=STEPS, n_classes=10, **ball),
        "FABT": lambda: torchattacks.FAB(network, steps=STEPS, multi_targeted=True, n_classes=10, **ball),
        "Square": lambda: torchattacks.Square(network, n_queries=QUERIES, **ball),
    }
    return made[name]()


def size(d: Tensor, norm: str) -> Tensor:
    return d.flatten(1).abs().amax(1) if norm == "linf" else d.flatten(1).norm(dim=1)


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.08), ("l2", 1.0)])
def test_no_more_samples_survive_than_with_the_peer(
    network: LeNet5, images: tuple[Tensor, Tensor], norm: str, radius: float
) -> None:
    x, y = images
    ours: list[Attack] = [
        APGD(norm=norm, radius=radius, steps=STEPS),
        APGDT(norm=norm, radius=radius, steps=STEPS),
        FABT(norm=norm, radius=radius, steps=STEPS),
        Square(norm=norm, radius=radius, queries=QUERIES),
    ]
    fooled = torch.zeros(len(x), dtype=torch.bool)
    for attack in ours:
        name = type(attack).__name__
        found = attack(network, x, y)  # type: ignore[operator]
        theirs = peer(name, network, norm, radius)(x, y).detach()
        by_peer = (network(theirs).argmax(1) != y) & (size(theirs - x, norm) <= radius * (1 + 1e-4))
        assert 0 < by_peer.sum() < len(x), f"{name}: the case must have both"
        assert found.success.sum() >= by_peer.sum() - CHANCE, name
        fooled |= by_peer
    ensemble = AutoAttack(norm=norm, radius=radius, steps=STEPS, queries=QUERIES)(network, x, y)
    assert ensemble.success.sum() >= fooled.sum() - CHANCE
