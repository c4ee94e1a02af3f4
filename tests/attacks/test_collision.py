"""The collision attack against closed forms, a brute-force minimum and its own promises."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from torch import Tensor, nn

from aal.attacks import Adversarial, CollisionAttack
from aal.errors import RunStopped, UserError
from aal.networks import DigitBackbone


class Linear(nn.Module):
    """f(x) = A x + b on flattened samples."""

    def __init__(self, size: int, features: int) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(5)
        matrix = torch.randn(features, size, generator=draws, dtype=torch.float64)
        self.matrix = nn.Parameter(matrix / size**0.5 + 2 * torch.eye(features, size, dtype=torch.float64))
        self.offset = nn.Parameter(torch.randn(features, generator=draws, dtype=torch.float64) / 4)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, ...)`` to ``(B, features)``."""
        return x.flatten(1) @ self.matrix.T + self.offset


class Counted(nn.Module):
    """Counts the rows that pass through a model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.batches = model, []

    def forward(self, x: Tensor) -> Tensor:
        """Count, then ask the model."""
        self.batches.append(len(x))
        return self.model(x)


def digits(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor(load_digits().images[:count] / 16, dtype=dtype)[:, None]


def inside(count: int, size: int) -> Tensor:
    draws = torch.Generator().manual_seed(1)
    return 0.4 + 0.2 * torch.rand(count, size, generator=draws, dtype=torch.float64)


def attack(model: nn.Module, x: Tensor, target: Tensor | None = None, **values: float) -> Adversarial:
    return CollisionAttack(**values)(model, x, torch.zeros(len(x)), target=target)


def norms(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x.flatten(1), dim=1)


def test_it_reaches_any_vector_that_a_full_rank_map_can_produce() -> None:
    model, x = Linear(6, 6), inside(8, 6)
    mu = model(inside(8, 6).flip(0)).detach()
    one = attack(model, x, mu[0], beta=0.0, tolerance=1e-4, steps=2000)
    each = attack(model, x, mu, beta=0.0, tolerance=1e-4, steps=2000)
    assert (norms(model(one.x) - mu[0]) <= 1e-4 * norms(model(x) - mu[0])).all()
    assert (norms(model(each.x) - mu) <= 1e-4 * norms(model(x) - mu)).all()
    # A square map has one solution: the perturbation is known.
    torch.testing.assert_close(each.x, inside(8, 6).flip(0), atol=1e-2, rtol=0)
    assert each.success.all()


def test_a_large_beta_keeps_the_sample() -> None:
    x = inside(4, 6)
    kept = attack(Linear(6, 6), x, beta=1.0)  # 254 times the perturbation: no gradient of f is as steep
    assert torch.equal(kept.x, x)
    assert torch.equal(kept.info["final"], kept.info["initial"])
    assert not kept.success.any()


@pytest.mark.parametrize("beta", [1e-4, 1e-3, 2e-3])
@pytest.mark.parametrize("features", [2, 5])
def test_it_finds_the_minimum_of_equation_2(beta: float, features: int) -> None:
    model, x = Linear(3, features), inside(3, 3)
    matrix, offset = model.matrix.detach().numpy(), model.offset.detach().numpy()
    found = attack(model, x, beta=beta, tolerance=0.0, steps=2000, patience=400)
    for start, end in zip(x.numpy(), found.x.numpy(), strict=True):

        def objective(point: np.ndarray, start: np.ndarray = start) -> float:
            return np.linalg.norm(matrix @ point + offset) + beta * 254 * np.linalg.norm(point - start)

        searches = [
            minimize(
                objective, begin, bounds=[(0, 1)] * 3, method="Nelder-Mead", options={"fatol": 1e-10, "xatol": 1e-10}
            )
            for begin in (start + 0.01, np.full(3, 0.2), np.full(3, 0.8), end)
        ]
        best = min(objective(start), *(search.fun for search in searches))
        assert objective(end) <= best + 0.01 * objective(start)


def test_beta_is_in_the_units_of_the_paper() -> None:
    # The same problem stated in [0, 1] with pixels of +-127, and in [-127, 127], where a data unit is a paper unit.
    model, x = Linear(4, 4), inside(5, 4)
    wide = nn.Sequential(nn.Identity(), _Scaled(model))
    unit = CollisionAttack(beta=1e-3)(model, x, torch.zeros(5))
    paper = CollisionAttack(beta=1e-3)(wide, 254 * x - 127, torch.zeros(5), bounds=(-127.0, 127.0))
    torch.testing.assert_close(paper.x, 254 * unit.x - 127, atol=1e-6, rtol=0)
    torch.testing.assert_close(paper.distance, 254 * unit.distance, atol=1e-6, rtol=0)
    audio = CollisionAttack(beta=1e-3 * 127 / 2**15, half_range=2.0**15)(model, x, torch.zeros(5))
    torch.testing.assert_close(audio.x, unit.x, atol=1e-6, rtol=0)


class _Scaled(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model((x + 127) / 254)


def test_digits_collide_and_still_do_as_saved_images() -> None:
    backbone, x = DigitBackbone(), digits(100)
    crafted = attack(backbone, x)
    with torch.no_grad():
        before, after = norms(backbone(x)), norms(backbone(crafted.x))
        saved = norms(backbone((crafted.x * 255).round() / 255))
    torch.testing.assert_close(crafted.info["initial"], before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(crafted.info["final"], after, rtol=1e-3, atol=1e-3)
    assert (after <= 0.01 * before + 1e-4).all()
    assert saved.mean() <= 0.02 * before.mean()
    assert crafted.success.all()
    torch.testing.assert_close(crafted.distance, norms(crafted.x - x))
    assert crafted.distance.mean() < 0.5 * norms(x).mean()
    assert crafted.x.min() >= 0
    assert crafted.x.max() <= 1
    assert crafted.x.dtype == x.dtype


def test_the_box_binds() -> None:
    model, x = Linear(6, 6), inside(8, 6)
    away = model(x + 3).detach()
    held = CollisionAttack(beta=0.0)(model, x, torch.zeros(8), target=away, bounds=(0.3, 0.7))
    assert held.x.min() >= 0.3
    assert held.x.max() <= 0.7
    assert (held.info["final"] < held.info["initial"]).all()
    assert not held.success.any()


def test_the_mean_of_features_is_approached_by_every_digit() -> None:
    # 64 pixels are too few to reach 64 given features above 0, unlike zeros, which any dead unit gives.
    backbone, x = DigitBackbone(), digits(40)
    mean = backbone(digits(500)).mean(0).detach()
    crafted = attack(backbone, x, mean)
    assert (crafted.info["final"] < 0.7 * crafted.info["initial"]).all()


def test_a_sample_gets_the_same_answer_alone_as_in_a_batch() -> None:
    backbone, x = DigitBackbone().double(), digits(12, torch.float64)
    mu = backbone(digits(24, torch.float64)[12:]).detach()
    for target in (None, mu):
        batch = attack(backbone, x, target, steps=40)
        for row in range(len(x)):
            alone = attack(backbone, x[row : row + 1], None if target is None else target[row : row + 1], steps=40)
            torch.testing.assert_close(alone.x[0], batch.x[row], atol=1e-9, rtol=0)
            assert alone.info["iterations"] == batch.info["iterations"][row]
    assert torch.equal(attack(backbone, x, mu, steps=40).x, batch.x)


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Linear(64, 5), nn.ReLU())
    model[2].eval()
    model[3].weight.requires_grad_(False)
    model[3].bias.grad = torch.ones(5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, kept = digits(6), digits(6)
    with torch.inference_mode():
        attack(model, x, steps=20)
    assert torch.equal(x, kept)
    assert [module.training for module in model] == [True, True, False, True, True]
    assert [weight.requires_grad for weight in model.parameters()] == [True, True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model[3].bias.grad, torch.ones(5))
    assert model[1].weight.grad is None


def test_the_budget_of_iterations_is_kept_and_counted() -> None:
    for steps in (1, 7, 25):
        model = Counted(Linear(6, 6))
        spent = attack(model, inside(4, 6), beta=0.0, tolerance=0.0, steps=steps, patience=1000)
        assert model.batches == [4] * steps
        assert (spent.info["iterations"] == steps).all()
        assert torch.equal(spent.queries, spent.info["iterations"])
    assert torch.equal(attack(Linear(6, 6), inside(4, 6), steps=1).x, inside(4, 6))


def test_finished_samples_leave_the_batch() -> None:
    x = inside(4, 6)
    model = Linear(6, 6)
    mu = model(x.flip(0)).detach()
    mu[1] = model(x).detach()[1]  # there already
    counted = Counted(model)
    found = attack(counted, x, mu, beta=0.0)
    assert found.info["iterations"][1] == min(found.info["iterations"])
    assert sum(counted.batches) == found.info["iterations"].sum()
    assert counted.batches[0] == 4
    assert counted.batches[-1] < 4


def test_a_sample_that_cannot_move_runs_out_of_patience() -> None:
    stuck = attack(Linear(6, 6), inside(2, 6), beta=1.0, patience=40, steps=10_000)
    assert (stuck.info["iterations"] <= 60).all()


def test_features_that_are_not_finite_stop_the_run() -> None:
    class Broken(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(x[:, :1] > 1, torch.nan, super().forward(x))

    x = inside(5, 6)
    x[3, 0] = 3.0
    with pytest.raises(RunStopped, match=r"samples \[3\]"):
        CollisionAttack(steps=15)(Broken(6, 6), x, torch.zeros(5), bounds=(0.0, 4.0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beta", -1.0),
        ("beta", math.nan),
        ("half_range", 0.0),
        ("steps", 0),
        ("step_size", 0.0),
        ("momentum", 1.0),
        ("tolerance", -0.1),
        ("patience", 0),
        ("success", math.inf),
    ],
)
def test_bad_values_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"^{name}: must be"):
        CollisionAttack(**{name: value})


def test_bad_targets_and_bounds_are_refused() -> None:
    with pytest.raises(UserError, match="target: must be"):
        attack(Linear(6, 6), inside(4, 6), torch.zeros(3, 6))
    with pytest.raises(UserError, match="bounds: must be"):
        CollisionAttack()(Linear(6, 6), inside(4, 6), torch.zeros(4), bounds=(1.0, 1.0))
