"""Whether attacks work on a model: every check has a planted model to find fault with, and a sound one to pass."""

import copy
import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from aal.errors import UserError
from aal.seeds import generator
from aal.selftest import CHECKS, Examinee, selftest

Function = Callable[[Tensor], Tensor]


class Around(nn.Module):
    """A network with something before and after it."""

    def __init__(self, network: nn.Module, before: Function = lambda x: x, after: Function = lambda z: z) -> None:
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.network(self.before(x)))


class Reversed(torch.autograd.Function):
    """The identity, with the gradient of its opposite."""

    @staticmethod
    def forward(context: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return -gradient


class Scattered(torch.autograd.Function):
    """The identity, with another random gradient each time."""

    @staticmethod
    def forward(context: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return torch.randn_like(gradient)


class Peaks(nn.Module):
    """One pixel; class 1 on the highest of many peaks alone, and the gradient leads to the nearest one."""

    def forward(self, x: Tensor) -> Tensor:
        away = x.flatten(1)[:, :1] - 0.7
        return (1 - away.abs()) * torch.cos(40 * away) - 0.95


def half_detached(x: Tensor) -> Tensor:
    return torch.cat([x[..., :4], x[..., 4:].detach()], dim=-1)


def rippled(x: Tensor) -> Tensor:
    return x + 0.02 * torch.sin(200 * x)


@pytest.fixture(scope="module")
def sound() -> Examinee:
    """A small network trained on digits."""
    images, digits = load_digits(return_X_y=True)
    x, y = torch.tensor(images).float().reshape(-1, 1, 8, 8) / 16, torch.tensor(digits)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)
        )
        optimizer = torch.optim.Adam(network.parameters(), 3e-3)
        for _ in range(8):
            for rows in torch.randperm(1200).split(32):
                optimizer.zero_grad()
                F.cross_entropy(network(x[rows]), y[rows]).backward()
                optimizer.step()
        optimizer.zero_grad()
    return subject(network, x[1200:1300], y[1200:1300], radius=0.1)


def subject(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    bounds: tuple[float, float] = (0.0, 1.0),
    radius: float | None = None,
    norm: str = "linf",
) -> Examinee:
    seeds = torch.arange(len(x))
    return Examinee(model=model, x=x, y=y, bounds=bounds, norm=norm, chosen_radius=radius, seeds=seeds, batch_size=40)


def around(sound: Examinee, before: Function = lambda x: x, after: Function = lambda z: z) -> Examinee:
    return dataclasses.replace(sound, model=Around(sound.model, before, after))


def moons(model: nn.Module) -> Examinee:
    """Two classes of points in the plane, and a model that tells them apart by their first coordinate."""
    x = torch.randn(60, 2, generator=generator(0, "moons"))
    return subject(model, x, (x[:, 0] > 0).long(), bounds=(-math.inf, math.inf), radius=0.2)


def coordinate(*after: nn.Module) -> nn.Module:
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[4.0, 1.0]]))
        layer.bias.zero_()
    return nn.Sequential(layer, *after)


def peaks(sound: Examinee) -> Examinee:
    x = torch.linspace(0.45, 0.6, 60).view(-1, 1)
    return subject(Peaks(), x, torch.zeros(60, dtype=torch.int64), radius=0.3)


# For each check what it must find fault with, how it must say so, and a word of why.
PLANTED: dict[str, tuple[Callable[[Examinee], Examinee], str, str]] = {
    "bounds": (lambda s: dataclasses.replace(s, bounds=(0.0, 255.0)), "failed", "other units"),
    "logits": (lambda s: around(s, after=lambda z: z.softmax(1)), "failed", "return logits"),
    "repeatable": (lambda s: around(s, before=lambda x: F.dropout(x, 0.3, training=True)), "failed", "random"),
    "accuracy": (lambda s: dataclasses.replace(s, y=s.y.roll(7)), "warned", "guessing"),
    "gradient": (lambda s: around(s, before=lambda x: (15 * x).round() / 15), "failed", "zero for 100 %"),
    "slope": (lambda s: around(s, before=Reversed.apply), "failed", "not the model's"),
    "steps": (lambda s: around(s, before=rippled), "failed", "more steps do worse"),
    "radius": (lambda s: around(s, before=rippled), "failed", "a larger radius"),
    "unbounded": (lambda s: around(s, after=lambda z: z.clamp(-2, 2)), "failed", "because attacks fail"),
    "restarts": (peaks, "failed", "luck"),
    "random search": (lambda s: around(s, before=Reversed.apply), "failed", "masked"),
    "planted": (lambda s: around(s, before=Reversed.apply), "failed", "masked"),
}

# What else the checks tell apart.
MORE: list[tuple[str, Callable[[Examinee], Examinee], str, str]] = [
    ("bounds", lambda s: dataclasses.replace(s, bounds=(0.0, 0.5)), "failed", "leave the bounds"),
    ("bounds", lambda s: dataclasses.replace(s, bounds=(-1.0, 1.0)), "warned", "no data lie"),
    ("bounds", lambda s: dataclasses.replace(s, bounds=(-math.inf, math.inf)), "passed", "open"),
    ("bounds", lambda s: dataclasses.replace(s, bounds=(0.0, math.inf)), "passed", "open"),
    ("logits", lambda s: around(s, after=lambda z: z.log_softmax(1)), "passed", "no probabilities"),
    ("logits", lambda s: around(s, after=torch.sigmoid), "warned", "if they are probabilities"),
    ("logits", lambda s: moons(coordinate()), "passed", "no probabilities"),
    ("logits", lambda s: moons(coordinate(nn.Sigmoid())), "passed", "no probabilities"),
    ("logits", lambda s: moons(Around(coordinate(), after=torch.sigmoid)), "failed", "or end in nn.Sigmoid"),
    ("repeatable", lambda s: around(s, before=lambda x: x - x.mean(0)), "failed", "depends on the others"),
    ("repeatable", lambda s: around(s, after=nn.BatchNorm1d(10, track_running_stats=False)), "failed", "the others"),
    ("repeatable", lambda s: around(s, after=nn.BatchNorm1d(10)), "passed", "whatever batch"),
    ("gradient", lambda s: around(s, before=Tensor.detach), "failed", "no way"),
    ("gradient", lambda s: around(s, before=Tensor.sqrt), "failed", "not finite"),
    ("gradient", lambda s: around(s, after=lambda z: 100 * z), "warned", "cross entropy"),
    ("slope", lambda s: around(s, before=half_detached), "failed", "not the model's"),
    ("slope", lambda s: around(s, before=Tensor.detach), "failed", "no way"),
    ("slope", lambda s: around(s, after=lambda z: 0 * z), "warned", "too little"),
    ("slope", lambda s: around(s, after=lambda z: 100 * z), "passed", "agree"),
    ("steps", lambda s: around(s, before=Tensor.round), "failed", "do not raise"),
    ("steps", lambda s: moons(coordinate()), "warned", "linear"),
    ("radius", lambda s: around(s, before=Tensor.round), "failed", "nothing is attacked"),
    ("unbounded", lambda s: moons(coordinate()), "passed", "100 %"),
    ("restarts", lambda s: moons(coordinate()), "warned", "one peak"),
    ("restarts", lambda s: around(s, before=Scattered.apply), "failed", "other outputs"),
    ("planted", lambda s: around(s, after=lambda z: 0 * z), "warned", "one class"),
    ("planted", lambda s: dataclasses.replace(s, norm="l2", chosen_radius=0.4), "passed", "100 %"),
    ("planted", lambda s: dataclasses.replace(s, norm="l1", chosen_radius=2.0), "passed", "100 %"),
]


@pytest.mark.parametrize("check", CHECKS)
class TestEveryCheck:
    @pytest.mark.slow
    def test_finds_fault_with_a_planted_model(self, check: str, sound: Examinee) -> None:
        plant, status, word = PLANTED[check]
        verdict = CHECKS[check](plant(sound))
        assert (verdict.check, verdict.status) == (check, status), verdict
        assert word in verdict.meaning

    def test_passes_a_sound_model(self, check: str, sound: Examinee) -> None:
        verdict = CHECKS[check](sound)
        assert (verdict.check, verdict.status) == (check, "passed"), verdict

    def test_says_what_it_found_in_one_sentence(self, check: str, sound: Examinee) -> None:
        verdict = CHECKS[check](sound)
        assert verdict.meaning.endswith(".")
        assert "\n" not in verdict.meaning
        assert verdict.figures
        assert all(math.isfinite(figure) for figure in verdict.figures.values())


@pytest.mark.slow
@pytest.mark.parametrize(("check", "plant", "status", "word"), MORE, ids=lambda value: str(value)[:12])
def test_what_else_is_told_apart(
    check: str, plant: Callable[[Examinee], Examinee], status: str, word: str, sound: Examinee
) -> None:
    verdict = CHECKS[check](plant(sound))
    assert verdict.status == status, verdict
    assert word in verdict.meaning


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "radius"), [("linf", None), ("l2", 0.5), ("l1", 3.0)])
def test_a_sound_model_fails_nothing_in_any_norm_scale_or_precision(
    norm: str, radius: float | None, sound: Examinee
) -> None:
    in_bytes, in_double = Around(sound.model, before=lambda x: x / 255), copy.deepcopy(sound.model).double()
    for model, scale, dtype in ((in_bytes, 255.0, torch.float32), (in_double, 1.0, torch.float64)):
        x = sound.x.to(dtype) * scale
        chosen = radius and radius * scale
        verdicts = selftest(model, x, sound.y, bounds=(0.0, scale), norm=norm, radius=chosen)
        assert [verdict.check for verdict in verdicts] == list(CHECKS)
        assert not [verdict for verdict in verdicts if verdict.status == "failed"]


def test_the_model_and_the_generators_are_left_as_they_were(sound: Examinee) -> None:
    before = {name: tensor.clone() for name, tensor in sound.model.state_dict().items()}
    random = torch.get_rng_state()
    sound.model.train()
    sound.model[3].eval()
    first = selftest(sound.model, sound.x[:30], sound.y[:30])
    assert [module.training for module in sound.model] == [True, True, True, False, True, True, True]
    assert all(parameter.requires_grad and parameter.grad is None for parameter in sound.model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in sound.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert first == selftest(sound.model, sound.x[:30], sound.y[:30])


def test_a_check_that_cannot_be_run_has_failed(sound: Examinee) -> None:
    def hole(x: Tensor) -> Tensor:
        return torch.where(x.mean((1, 2, 3), keepdim=True) > sound.x[50].mean() - 1e-6, torch.nan, x)

    undefined = selftest(Around(sound.model, before=hole), sound.x[50:], sound.y[50:], batch_size=20)
    assert [verdict.check for verdict in undefined] == list(CHECKS)
    assert undefined[1].status == "failed"
    assert undefined[1].meaning.startswith("The check could not be run: the model's output is not finite for samples [")
    assert undefined[2].meaning == "The check could not be run either, as logits."


def test_a_model_without_gradients_fails_what_follows_them(sound: Examinee) -> None:
    verdicts = selftest(Around(sound.model, before=Tensor.detach), sound.x, sound.y, radius=0.1)
    failed = [verdict.check for verdict in verdicts if verdict.status == "failed"]
    assert failed == ["gradient", "slope", "steps", "radius", "unbounded", "random search", "planted"]


def test_rows_are_counted_over_all_batches(sound: Examinee) -> None:
    def hole(x: Tensor) -> Tensor:
        known = (x == sound.x[25]).flatten(1).all(1)
        return torch.where(known.view(-1, 1, 1, 1), torch.nan, x)

    verdicts = selftest(Around(sound.model, before=hole), sound.x[:30], sound.y[:30], batch_size=20)
    assert "samples [5], counted from sample 20" in verdicts[1].meaning


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"norm": "l7"}, "norm"),
        ({"radius": 0.0}, "radius"),
        ({"radius": math.nan}, "radius"),
        ({"batch_size": 0}, "batch_size"),
        ({"bounds": (1.0, 0.0)}, "bounds"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], named: str, sound: Examinee) -> None:
    with pytest.raises(UserError, match=named):
        selftest(sound.model, sound.x, sound.y, **arguments)  # type: ignore[arg-type]


def test_samples_that_cannot_be_attacked_are_refused(sound: Examinee) -> None:
    holed = sound.x.clone()
    holed[[3, 7], 0, 0, 0] = math.nan
    with pytest.raises(UserError, match=r"samples \[3, 7\] are not finite"):
        selftest(sound.model, holed, sound.y)
    with pytest.raises(UserError, match="x: the batch is empty"):
        selftest(sound.model, sound.x[:0], sound.y[:0])
    with pytest.raises(UserError, match="one for each of 100 samples"):
        selftest(sound.model, sound.x, sound.y[1:])
    with pytest.raises(UserError, match="floating point"):
        selftest(sound.model, sound.x.long(), sound.y)
