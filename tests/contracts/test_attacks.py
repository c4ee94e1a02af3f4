"""What every attack must hold, whichever it is: a new one is tested by being exported."""

import dataclasses
import inspect
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aal import attacks
from aal.attacks import FABT, Adversarial, Attack, CarliniWagner, DeepFool
from aal.attacks.feature_collision import FeatureCollision
from aal.attacks.training_set import NonParametric
from aal.errors import RunStopped, UserError
from aal.seeds import generator, sample_seeds

CLASSES = 5
ORDERS = {"linf": math.inf, "l2": 2.0, "l1": 1.0}
# Attacks that take long with their defaults, and what makes them short.
SHORT: dict[str, dict[str, Any]] = {
    "APGD": {"steps": 20},
    "APGDT": {"steps": 10},
    "AutoAttack": {"steps": 5, "queries": 50},
    "FABT": {"steps": 10},
    "HopSkipJump": {"queries": 300, "starts": 10},
    "OPT": {"queries": 300, "starts": 10},
    "SignOPT": {"queries": 300, "starts": 10, "directions": 50},
    "Square": {"queries": 200},
}
# What papers let leave the data's range; the table is about those that stay.
CLIPPED: dict[str, dict[str, Any]] = {"AdversarialPath": {"clip": True}, "RegionBased": {"box": True}}
# Attacks that never look at the sample itself, and what keeps them near it.
NEAR: dict[str, dict[str, Any]] = {
    "GaussianNoise": {"variance": 1e-4},
    "SpatialJitter": {"degrees": 1.0, "scale": 0.01},
}


def model() -> nn.Sequential:
    """A small network with batch norm and dropout, whose modes differ from layer to layer."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, CLASSES)
    )
    network[2].eval()
    network[1].weight.requires_grad_(False)
    return network.double()


def predicted(network: nn.Sequential, x: Tensor) -> Tensor:
    modes = [layer.training for layer in network]
    with torch.no_grad():
        found = network.eval()(x).argmax(1)
    for layer, mode in zip(network, modes, strict=True):
        layer.training = mode
    return found


def made(kind: type[Attack], **other: Any) -> Attack:
    return fitted(kind(**{**SHORT.get(kind.__name__, {}), **CLIPPED.get(kind.__name__, {}), **other}))


def fitted(attack: Attack, low: float = 0.0, high: float = 1.0) -> Attack:
    """Fit an attack on non-parametric classifiers to samples and other points, labelled by the network."""
    if not isinstance(attack, NonParametric):
        return attack
    points = torch.rand(400, 3, 2, 2, generator=generator(0, "points"), dtype=torch.float64)
    points[:6] = torch.rand(6, 3, 2, 2, generator=generator(0, "x"), dtype=torch.float64)
    return attack.fit(points * (high - low) + low, predicted(model(), points))


KINDS = [
    attack
    for attack in vars(attacks).values()
    if inspect.isclass(attack) and issubclass(attack, Attack) and attack is not Attack
]
ATTACKS = [made(kind) for kind in KINDS]
ON_CLASSIFIERS = [attack for attack in ATTACKS if not isinstance(attack, FeatureCollision)]


def names_of(kind: type[Attack]) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # every attack is a dataclass


def accepted(kind: type[Attack], norm: str) -> bool:
    try:
        made(kind, norm=norm)
    except UserError:
        return False
    return True


NORMED = [
    made(kind, norm=norm)
    for kind in KINDS
    if {"radius", "norm"} <= names_of(kind)
    for norm in ORDERS
    if accepted(kind, norm)
]


# Those of many steps: two thirds of the time of all.
LONG = {"AutoAttack", "CarliniWagner", "FABT", "KernelSubstitution", "OPT", "SignOPT", "Square"}


def every(given: list[Attack]) -> pytest.MarkDecorator:
    def marked(attack: Attack) -> Any:  # noqa: ANN401
        return pytest.param(attack, marks=pytest.mark.slow) if type(attack).__name__ in LONG else attack

    return pytest.mark.parametrize(
        "attack",
        [marked(attack) for attack in given],
        ids=lambda attack: f"{type(attack).__name__}-{getattr(attack, 'norm', '')}".rstrip("-"),
    )


def batch(n: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Samples, labels of which all but the third sample's are what the network predicts, and seeds."""
    x = torch.rand(n, 3, 2, 2, generator=generator(0, "x"), dtype=torch.float64)
    y = predicted(model(), x)
    y[2] = (y[2] + 1) % CLASSES
    return x, y, sample_seeds(0, "attack", torch.arange(n))


def run(
    attack: Attack,
    network: nn.Module,
    rows: slice = slice(None),
    *,
    dtype: torch.dtype = torch.float64,
    target: Tensor | None = None,
    n: int = 6,
) -> Adversarial:
    x, y, seeds = batch(n)
    aim = None if target is None else target[rows]
    return attack(network, x[rows].to(dtype), y[rows], target=aim, seeds=seeds[rows])


@every(ATTACKS)
class TestEveryAttack:
    def test_returns_what_the_contract_says(self, attack: Attack) -> None:
        x, _, _ = batch()
        result = run(attack, model())
        assert result.x.shape == x.shape
        assert result.x.dtype == x.dtype
        assert ((result.x >= 0) & (result.x <= 1)).all()
        assert not torch.equal(result.x, x), "nothing was attacked"
        assert result.success.dtype == torch.bool
        assert result.queries.dtype == torch.int64
        assert (result.queries > 0).all()
        assert all(tensor.shape == (len(x),) for tensor in (result.success, result.distance, result.queries))
        assert all(len(tensor) == len(x) for tensor in result.info.values())
        assert not result.x.requires_grad
        assert torch.equal(result.distance > 0, (result.x != x).flatten(1).any(1))

    def test_single_precision_stays_single_precision(self, attack: Attack) -> None:
        result = run(attack, model().float(), dtype=torch.float32)
        assert result.x.dtype == torch.float32
        assert ((result.x >= 0) & (result.x <= 1)).all()

    def test_a_sample_gets_the_same_answer_alone_as_in_a_batch(self, attack: Attack) -> None:
        together = run(attack, model(), n=256)
        for k in (0, 2, 131, 255):
            alone = run(attack, model(), slice(k, k + 1), n=256)
            torch.testing.assert_close(alone.x[0], together.x[k], rtol=0, atol=1e-9)
            assert alone.queries[0] == together.queries[k]
            assert alone.success[0] == together.success[k]

    def test_the_same_seeds_give_the_same_answer(self, attack: Attack) -> None:
        first, second = run(attack, model()), run(attack, model())
        assert torch.equal(first.x, second.x)
        assert torch.equal(first.queries, second.queries)

    def test_the_model_and_the_caller_are_left_as_they_were(self, attack: Attack) -> None:
        network = model()
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        modes = [module.training for module in network.modules()]
        wanted = [parameter.requires_grad for parameter in network.parameters()]
        (x, y, seeds), random = batch(), torch.get_rng_state()
        given = x.clone(), y.clone(), seeds.clone()
        with torch.no_grad():
            attack(network, x, y, seeds=seeds)
            assert not torch.is_grad_enabled()
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
        assert modes == [module.training for module in network.modules()]
        assert wanted == [parameter.requires_grad for parameter in network.parameters()]
        assert all(parameter.grad is None for parameter in network.parameters())
        assert not any(module._forward_hooks for module in network.modules())
        assert torch.equal(torch.get_rng_state(), random)
        assert all(torch.equal(now, then) for now, then in zip((x, y, seeds), given, strict=True))

    def test_it_works_in_inference_mode(self, attack: Attack) -> None:
        network = model()
        wanted = run(attack, network)
        with torch.inference_mode():
            found = run(attack, network)
        assert torch.equal(found.x, wanted.x)

    def test_it_works_under_autocast(self, attack: Attack) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            result = run(attack, model().float(), dtype=torch.float32)
        assert result.x.dtype == torch.float32
        assert ((result.x >= 0) & (result.x <= 1)).all()

    def test_channels_last_images_get_the_same_answer(self, attack: Attack) -> None:
        x, y, seeds = batch()
        wanted = run(attack, model())
        found = attack(model(), x.contiguous(memory_format=torch.channels_last), y, seeds=seeds)
        torch.testing.assert_close(found.x, wanted.x, rtol=0, atol=1e-9)

    @pytest.mark.parametrize(("low", "high"), [(0.0, 255.0), (-1.0, 1.0), (-32768.0, 32767.0), (2.0, 3.0)])
    def test_results_stay_in_any_bounds(self, attack: Attack, low: float, high: float) -> None:
        x, y, seeds = batch()
        scaled = (x * (high - low) + low).clamp(low, high)
        first = nn.Linear(12, 12).double()
        with torch.no_grad():
            first.weight.copy_(torch.eye(12) / (high - low))
            first.bias.fill_(-low / (high - low))
        network = nn.Sequential(nn.Flatten(), first, model())
        result = fitted(attack, low, high)(network, scaled, y, bounds=(low, high), seeds=seeds)
        assert ((result.x >= low) & (result.x <= high)).all()
        assert not torch.equal(result.x, scaled)

    def test_a_sample_that_is_not_finite_is_named(self, attack: Attack) -> None:
        for wrong in (math.nan, math.inf):
            x, y, seeds = batch()
            x[4, 0, 0, 0] = wrong
            with pytest.raises((UserError, RunStopped), match=r"\[4\].*not finite|not finite.*\[4\]"):
                attack(model(), x, y, seeds=seeds)

    def test_an_output_that_is_not_finite_is_named_by_its_sample(self, attack: Attack) -> None:
        attack = dataclasses.replace(attack, **NEAR.get(type(attack).__name__, {}))  # type: ignore[type-var]
        for wrong in (math.nan, math.inf):
            x, y, seeds = batch()
            with pytest.raises(RunStopped, match=r"not finite for samples \[3\]"):
                attack(Breaks(x[3], wrong), x, y, seeds=seeds)

    def test_samples_outside_of_the_bounds_are_named(self, attack: Attack) -> None:
        x, y, seeds = batch()
        x[1, 0, 0, 0] = 1.5
        with pytest.raises(UserError, match=r"\[1\].*outside"):
            attack(model(), x, y, seeds=seeds)
        with pytest.raises(UserError, match="bounds"):
            attack(model(), x, y, bounds=(1.0, 0.0), seeds=seeds)

    def test_no_samples_are_refused(self, attack: Attack) -> None:
        x, y, seeds = batch()
        with pytest.raises(UserError, match="empty"):
            attack(model(), x[:0], y[:0], seeds=seeds[:0])

    def test_narrower_whole_numbers_are_the_same_seeds_and_labels(self, attack: Attack) -> None:
        x, y, _ = batch()
        seeds = torch.arange(6)
        wanted = attack(model(), x, y, seeds=seeds)
        found = attack(model(), x, y.int(), seeds=seeds.int())
        assert torch.equal(found.x, wanted.x)

    def test_it_is_a_frozen_dataclass_of_keywords(self, attack: Attack) -> None:
        assert dataclasses.is_dataclass(attack)
        for field in dataclasses.fields(attack):
            assert field.kw_only, field.name
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(attack, field.name, None)

    def test_every_hyper_parameter_is_documented(self, attack: Attack) -> None:
        text = inspect.getdoc(type(attack)) or ""
        for field in dataclasses.fields(attack):  # type: ignore[arg-type]
            assert f"{field.name}: " in text, field.name
        assert "Returns:" in (inspect.getdoc(type(attack).attack) or ""), "what a call returns is documented too"


@every(ON_CLASSIFIERS)
class TestEveryAttackOnClassifiers:
    def test_success_agrees_with_predicting_again(self, attack: Attack) -> None:
        _, y, _ = batch(64)
        result, network = run(attack, model(), n=64), model()
        assert torch.equal(result.success, predicted(network, result.x) != y)
        target = (y + 1) % CLASSES
        aimed = run(attack, model(), target=target, n=64)
        assert torch.equal(aimed.success, predicted(network, aimed.x) == target)

    def test_shifted_logits_change_nothing(self, attack: Attack) -> None:
        """All logits are negative, which a margin that starts from 0 would not survive."""
        shifted = model()
        with torch.no_grad():
            shifted[5].bias -= 1000.0
        wanted, found = run(attack, model()), run(attack, shifted)
        assert torch.equal(found.success, wanted.success)
        torch.testing.assert_close(found.distance, wanted.distance, rtol=1e-3, atol=1e-6)

    @pytest.mark.slow
    @pytest.mark.parametrize(("scale", "added"), [(1e-5, 0.0), (1e-3, 0.0), (1e5, 0.0), (1.0, 1000.0), (1e-3, -7.0)])
    def test_the_units_of_the_logits_make_no_difference(self, attack: Attack, scale: float, added: float) -> None:
        other = model()
        with torch.no_grad():
            other[5].weight *= scale
            other[5].bias.mul_(scale).add_(added)
        wanted, found = run(attack, model(), n=24), run(attack, other, n=24)
        assert torch.equal(found.success, wanted.success)
        torch.testing.assert_close(found.distance, wanted.distance, rtol=1e-3, atol=1e-6)

    @pytest.mark.slow
    @pytest.mark.parametrize("low", [-20.0, -1e4, -1e9])
    def test_a_class_far_below_the_others_makes_no_difference(self, attack: Attack, low: float) -> None:
        """Such as one that a network has a logit for and never saw: every decision is the same."""
        wanted, found = run(attack, model(), n=24), run(attack, Further(low), n=24)
        assert torch.equal(found.success, wanted.success)
        torch.testing.assert_close(found.distance, wanted.distance, rtol=1e-3, atol=1e-6)

    @pytest.mark.parametrize("slope", ["zero", "none", "another's"])
    def test_a_model_without_slope_is_survived(self, attack: Attack, slope: str) -> None:
        x, y, seeds = batch()
        seen = torch.zeros((), dtype=torch.float64, requires_grad=True)  # no parameter, so nobody freezes it
        networks = {"zero": Constant(), "none": Undifferentiable(), "another's": Undifferentiable(seen)}
        network = networks[slope]
        result = attack(network, x, torch.zeros_like(y), seeds=seeds)
        assert not result.success.any()
        assert result.x.isfinite().all()
        assert result.distance.isfinite().all()

    def test_labels_that_are_no_classes_are_named(self, attack: Attack) -> None:
        x, y, seeds = batch()
        y[5] = CLASSES
        with pytest.raises(UserError, match=f"sample 5 has class {CLASSES}"):
            attack(model(), x, y, seeds=seeds)


@every([DeepFool(norm="l2"), DeepFool(norm="linf"), FABT(norm="l2", steps=10), FABT(steps=10), CarliniWagner()])
class TestTheNearestInSinglePrecision:
    """An affine model of 48 inputs and 10 classes, whose nearest boundary is at the least of ``|f| / ||w||``."""

    @pytest.mark.parametrize(
        ("scale", "added"),
        [*((scale, 0.0) for scale in (1.0, 1e-30, 1e-5, 1e-3, 1e5, 1e30)), (1.0, 1000.0)],
    )
    @pytest.mark.parametrize("low", [None, -20.0, -1e9])
    def test_is_at_the_closed_form_whatever_the_units(
        self, attack: Attack, low: float | None, scale: float, added: float
    ) -> None:
        torch.manual_seed(0)
        network, x = nn.Linear(48, 10), 0.2 + 0.6 * torch.rand(50, 48)
        weight, logits = network.weight.double(), network(x).double()
        y = logits.argmax(1)
        order = 1.0 if getattr(attack, "norm", "l2") == "linf" else 2.0
        slopes = torch.linalg.vector_norm(weight[y][:, None] - weight, order, dim=2)
        gaps = logits.gather(1, y[:, None]) - logits
        nearest = (gaps / slopes).scatter(1, y[:, None], math.inf).amin(1).detach()
        with torch.no_grad():
            network.weight *= scale
            network.bias.mul_(scale).add_(added)
        attacked = network if low is None else Further(max(low * scale + added, -1e38), network)
        result = attack(attacked, x, y)
        assert result.success.all()
        assert torch.equal(torch.cat([network(row[None]).argmax(1) for row in result.x]) != y, result.success)
        ratio = result.distance.double() / nearest
        assert ratio.min() > 0.995
        assert ratio.max() < (1.05 if added else 1.006), "added to all logits, 1000 leaves them four digits"


@every(NORMED)
class TestEveryAttackWithARadius:
    def test_the_perturbation_is_within_the_radius(self, attack: Attack) -> None:
        x, _, _ = batch(64)
        norm = attack.norm  # type: ignore[attr-defined]
        for radius in (0.01, 0.3):
            result = run(dataclasses.replace(attack, radius=radius), model(), n=64)  # type: ignore[type-var]
            sizes = torch.linalg.vector_norm((result.x - x).flatten(1), ORDERS[norm], dim=1)
            assert (sizes <= radius * (1 + 1e-12)).all()
            torch.testing.assert_close(result.distance, sizes)
            assert (sizes > 0).any()

    def test_no_radius_no_perturbation(self, attack: Attack) -> None:
        x, y, _ = batch()
        result = run(dataclasses.replace(attack, radius=0.0), model())  # type: ignore[type-var]
        assert torch.equal(result.x, x)
        assert torch.equal(result.success, predicted(model(), x) != y)
        assert torch.equal(result.distance, torch.zeros(6, dtype=torch.float64))

    def test_a_larger_radius_fools_more(self, attack: Attack) -> None:
        shares = [
            float(run(dataclasses.replace(attack, radius=radius), model(), n=64).success.double().mean())  # type: ignore[type-var]
            for radius in (0.0, 0.05, 12.0)
        ]
        assert shares[0] < shares[2]
        assert shares[0] <= shares[1] <= shares[2]


class Breaks(nn.Module):
    """A network whose output is not finite anywhere near one sample."""

    def __init__(self, sample: Tensor, wrong: float) -> None:
        super().__init__()
        self.network, self.sample, self.wrong = model(), sample.flatten(), wrong

    def forward(self, x: Tensor) -> Tensor:
        near = (x.flatten(1) - self.sample).norm(dim=1, keepdim=True) < 0.3
        outputs: Tensor = torch.where(near, self.wrong, self.network(x))
        return outputs


class Further(nn.Module):
    """A network with another class, whose logit is always the same."""

    def __init__(self, logit: float, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network, self.logit = network or model(), logit

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.network(x)
        return torch.cat([outputs, outputs.new_full((len(x), 1), self.logit)], dim=1)


class Constant(nn.Module):
    """Always the same logits, with class 0 ahead, and no slope."""

    def forward(self, x: Tensor) -> Tensor:
        ahead = torch.eye(CLASSES, dtype=x.dtype)[0]
        return ahead + 0 * x.flatten(1).sum(1, keepdim=True)


class Undifferentiable(Constant):
    """The same, out of the sight of autograd, which sees something else."""

    def __init__(self, seen: Tensor | None = None) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, x: Tensor) -> Tensor:
        outputs = super().forward(x.detach())
        return outputs if self.seen is None else outputs + self.seen
