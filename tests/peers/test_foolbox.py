"""Attacks beside Foolbox's on a LeNet-5 and a ResNet-20: the same where both do the same, else no worse."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aal.attacks import BIM, FGSM, PGD, CarliniWagner, DeepFool
from aal.attacks.ascent import climbed, own_units
from aal.attacks.norms import NORMS
from aal.networks import LeNet5, ResNet20
from tests.real_data import cifar10, data, mnist

foolbox = pytest.importorskip("foolbox", reason="Foolbox is not installed (extra peers)")
pytestmark = pytest.mark.data


class InOwnUnits(nn.Module):
    """A network whose logits are brought to the units that attacks take them in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits / own_units(logits)


@dataclass(frozen=True)
class Case:
    """A network, images that it classifies rightly, and radii that fool it on some of them.

    Attributes:
        network: Maps images to logits.
        x: The images.
        y: Their labels.
        radii: By norm.
        carlini: Settings of Carlini and Wagner's attack with which Foolbox's does well.
    """

    network: nn.Module
    x: Tensor
    y: Tensor
    radii: dict[str, float]
    carlini: dict[str, float]

    def foolbox(self, attack: object, radius: float | None) -> Tensor:
        """Return what an attack of Foolbox makes of the images; ``None``: no limit.

        Those within a radius follow the cross entropy, which ours take in the logits' own units.
        """
        network = self.network if radius is None else InOwnUnits(self.network)
        seen = foolbox.PyTorchModel(network.eval(), bounds=(0, 1), device=self.x.device)
        attacked: Tensor = attack(seen, self.x, self.y, epsilons=radius)[1]  # type: ignore[operator]
        return attacked

    def fooled(self, x: Tensor) -> Tensor:
        """Return whether each image ``x`` is misclassified."""
        with torch.no_grad():
            return self.network(x).argmax(1) != self.y

    def loss(self, x: Tensor) -> Tensor:
        """Return the log-odds against the label for each image ``x``, in the logits' own units, times that unit."""
        with torch.no_grad():
            return climbed(self.network(x), self.y)


def case(network: nn.Module, x: Tensor, y: Tensor, size: int, **settings: dict[str, float]) -> Case:
    """Take the first ``size`` images that the network classifies rightly, and go over to double precision.

    In single precision rounding decides the sign of small gradients, and the attacks part ways.
    """
    network, x = network.eval().double(), x.double()
    with torch.no_grad():
        right = (network(x).argmax(1) == y).nonzero().squeeze(1)[:size]
    assert len(right) == size
    return Case(network, x[right], y[right], **settings)


def lenet5() -> Case:
    torch.manual_seed(0)
    x, y = mnist("train")
    network = LeNet5()
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(2):
        for batch in torch.randperm(10_000).split(50):
            optimizer.zero_grad()
            F.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
    x, y = mnist("t10k")
    carlini = {"binary_search_steps": 6, "steps": 100, "stepsize": 0.05, "initial_const": 1.0}
    return case(network, x[:120], y[:120], 100, radii={"linf": 0.1, "l2": 1.5, "l1": 15.0}, carlini=carlini)


def resnet20() -> Case:
    network = ResNet20(weights=str(data("pretrained/cifar10_resnet20-12fca82f.th")))
    x, y = cifar10(3)
    carlini = {"binary_search_steps": 4, "steps": 50, "stepsize": 0.01, "initial_const": 0.01}
    return case(network, x, y, 20, radii={"linf": 0.5 / 255, "l2": 0.06, "l1": 2.0}, carlini=carlini)


@pytest.fixture(scope="module", params=[lenet5, resnet20], ids=["LeNet5", "ResNet20"])
def on(request: pytest.FixtureRequest) -> Case:
    made: Callable[[], Case] = request.param
    return made()


@pytest.mark.parametrize(("norm", "peer"), [("linf", "LinfFastGradientAttack"), ("l2", "L2FastGradientAttack")])
def test_fgsm_is_the_same(on: Case, norm: str, peer: str) -> None:
    radius = on.radii[norm]
    ours = FGSM(radius=radius, norm=norm)(on.network, on.x, on.y)
    theirs = on.foolbox(getattr(foolbox.attacks, peer)(), radius)
    torch.testing.assert_close(ours.x, theirs, rtol=0, atol=1e-7)
    assert 0 < ours.success.sum() < len(on.y), "the radius must fool some"


@pytest.mark.parametrize(
    ("attack", "peer"),
    [
        (PGD(norm="linf", random_start=False), "LinfProjectedGradientDescentAttack"),
        (BIM(norm="l2"), "L2BasicIterativeAttack"),
    ],
    ids=["PGD-linf", "BIM-l2"],
)
def test_iterations_fool_every_image_that_foolbox_fools(on: Case, attack: PGD | BIM, peer: str) -> None:
    """Both take the same steps; Foolbox returns the last point, aal the best one."""
    ours, theirs = iterated(on, attack, peer)
    assert (on.fooled(ours) >= on.fooled(theirs)).all()
    assert (on.loss(ours) >= on.loss(theirs) - 1e-6).all()


def test_iterations_in_l1_fool_no_fewer_images_than_those_of_foolbox(on: Case) -> None:
    """Here the steps differ: Foolbox's go along the gradient, aal's are the steepest."""
    ours, theirs = iterated(on, PGD(norm="l1", random_start=False), "L1ProjectedGradientDescentAttack")
    assert on.fooled(ours).sum() >= on.fooled(theirs).sum()


@pytest.mark.parametrize(("norm", "peer"), [("l2", "L2DeepFoolAttack"), ("linf", "LinfDeepFoolAttack")])
def test_deepfool_needs_no_larger_perturbations(on: Case, norm: str, peer: str) -> None:
    ours = DeepFool(norm=norm)(on.network, on.x, on.y)
    theirs = on.foolbox(getattr(foolbox.attacks, peer)(), None)
    assert on.fooled(ours.x).all()
    assert on.fooled(theirs).all()
    assert ours.distance.mean() <= 1.001 * NORMS[norm].size(theirs - on.x).mean()


def test_carlini_wagner_needs_no_larger_perturbations_at_the_same_budget(on: Case) -> None:
    constants, steps = int(on.carlini["binary_search_steps"]), int(on.carlini["steps"])
    ours = CarliniWagner(binary_steps=constants, steps=steps)(on.network, on.x, on.y)
    theirs = on.foolbox(foolbox.attacks.L2CarliniWagnerAttack(**on.carlini), None)
    assert on.fooled(ours.x).all()
    assert ours.queries.max() <= constants * steps, "DeepFool's start counts too"
    both = on.fooled(theirs)
    assert both.double().mean() >= 0.9, "the settings must suit Foolbox"
    assert ours.distance[both].mean() <= NORMS["l2"].size(theirs - on.x)[both].mean()


def iterated(on: Case, attack: PGD | BIM, peer: str) -> tuple[Tensor, Tensor]:
    """Return what an attack and its peer make of the images in 10 steps of a fourth of the radius."""
    radius = on.radii[attack.norm]
    ours = dataclasses.replace(attack, radius=radius, steps=10, step_size=radius / 4)(on.network, on.x, on.y).x
    made = getattr(foolbox.attacks, peer)(steps=10, abs_stepsize=radius / 4, random_start=False)
    theirs = on.foolbox(made, radius)
    assert 0 < on.fooled(theirs).sum() < len(on.y), "the radius must fool some"
    return ours, theirs
