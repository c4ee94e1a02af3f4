"""AutoAttack: never weaker than its parts, only survivors go on, and models that one attack alone can break."""

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import APGD, APGDT, FABT, AutoAttack, Square
from aal.errors import RunStopped, UserError
from aal.seeds import generator

QUICK = {"steps": 15, "queries": 60}


def network(classes: int, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    outputs = 1 if classes == 2 else classes
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, outputs)).double()


def runner_up(model: nn.Module, x: Tensor) -> Tensor:
    """The class with the second highest logit; for the first sample, so that there is nothing to do, the highest."""
    logits = model(x)
    logits = torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits
    ranked = logits.argsort(dim=1, descending=True)
    ranked[0, 1] = ranked[0, 0]
    return ranked[:, 1]


def batch(model: nn.Module, n: int = 60) -> tuple[Tensor, Tensor, Tensor]:
    """Samples, labels of which all but the first sample's are what the model predicts, and seeds."""
    x = torch.rand(n, 1, 4, 4, generator=generator(0, "x"), dtype=torch.float64)
    logits = model(x)
    y = (logits > 0).long().squeeze(1) if logits.shape[1] == 1 else logits.argmax(1)
    y[0] = (y[0] + 1) % max(2, logits.shape[1])
    return x, y, torch.arange(n) + 100


class Seen(nn.Module):
    """A model that counts the samples it sees."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.samples = model, 0

    def forward(self, x: Tensor) -> Tensor:
        self.samples += len(x)
        logits: Tensor = self.model(x)
        return logits


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("targeted", [False, True], ids=["untargeted", "targeted"])
def test_a_sample_gets_what_the_first_of_the_attacks_that_fools_makes_of_it(
    norm: str, classes: int, targeted: bool
) -> None:
    model = network(classes)
    x, y, seeds = batch(model)
    target = runner_up(model, x) if targeted else None
    nearest = FABT(norm=norm, steps=10)(model, x, y, target=target)
    radius = float(nearest.distance[nearest.success].median())
    ensemble = AutoAttack(radius=radius, norm=norm, **QUICK)
    seen = Seen(model)
    result = ensemble(seen, x, y, target=target, seeds=seeds)
    parts = [attack(model, x, y, target=target, seeds=seeds) for attack in ensemble.attacks]
    assert torch.equal(result.success, torch.stack([part.success for part in parts]).any(0))
    assert 5 < result.success.sum() < 55, "the case must have both"
    natural = (parts[3].queries == 1).tolist()
    assert natural[0]
    for k in range(len(x)):
        place = int(result.info["attack"][k])
        if natural[k]:
            assert place == -1, "what is wrong to begin with needs no attack"
            assert result.success[k]
            assert result.queries[k] == 1
            assert torch.equal(result.x[k], x[k])
            continue
        tried = parts[: place + 1] if place >= 0 else parts
        assert result.success[k] == (place >= 0)
        torch.testing.assert_close(result.x[k], tried[-1].x[k], rtol=0, atol=1e-12)
        assert result.queries[k] == 1 + sum(int(part.queries[k]) for part in tried), "survivors alone go on"
    assert result.queries.sum() == seen.samples


class Steps(nn.Module):
    """Nothing here has a gradient: class 1 from a mean of 0.54 on, 8 bits a pixel."""

    def forward(self, x: Tensor) -> Tensor:
        z = (x.detach().flatten(1) * 255).round().mean(1, keepdim=True) / 255 - 0.54
        return torch.cat([-z, z, -2 * z.abs() - 1], dim=1)


def test_masked_gradients_are_broken_by_square_alone() -> None:
    x = torch.full((6, 1, 16, 16), 0.5)
    result = AutoAttack(radius=0.1, steps=10, queries=1000)(Steps(), x, torch.zeros(6, dtype=torch.int64))
    assert result.success.all()
    assert result.info["attack"].tolist() == [3] * 6


class Dipole(nn.Module):
    """Square sees rounded logits with nothing to climb, but there is a gradient straight to class 1."""

    def forward(self, x: Tensor) -> Tensor:
        signs = torch.ones(256, dtype=x.dtype)
        signs[torch.randperm(256, generator=generator(0, "signs"))[:128]] = -1
        z = (x.flatten(1) - 0.5) @ signs[:, None] / 256 - 0.08
        z = z + (torch.where(z > 0, z, -1.0) - z).detach()
        return torch.cat([-z, z, torch.full_like(z, -2.0)], dim=1)


def test_a_plateau_that_square_cannot_leave_is_broken_by_the_first_attack() -> None:
    x, y = torch.full((6, 1, 16, 16), 0.5), torch.zeros(6, dtype=torch.int64)
    assert not Square(radius=0.1, queries=300)(Dipole(), x, y).success.any()
    result = AutoAttack(radius=0.1, **QUICK)(Dipole(), x, y)
    assert result.info["attack"].tolist() == [0] * 6


class Late(nn.Module):
    """Class 0 without a gradient; above a mean of 0.84, where Square alone gets, the output is not finite."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.detach().flatten(1).mean(1, keepdim=True)
        outputs = torch.cat([torch.ones_like(mean), mean / 10, 0 * mean], dim=1)
        return torch.where(mean > 0.84, torch.inf, outputs)


def test_a_sample_that_breaks_the_model_late_is_named_by_its_row_in_the_batch() -> None:
    x = torch.full((5, 1, 16, 16), 0.5)
    x[3] += 0.3
    y = torch.tensor([1, 2, 0, 0, 0])  # the first two need no attack, so that the rows of those left begin with 2
    with pytest.raises(RunStopped, match=r"not finite for samples \[3\]"):
        AutoAttack(radius=0.1, steps=2, queries=300)(Late(), x, y)


def test_the_attacks_are_those_of_the_standard_version() -> None:
    assert AutoAttack(norm="l2", radius=0.5).attacks == (
        APGD(norm="l2", radius=0.5, steps=100, loss="ce"),
        APGDT(norm="l2", radius=0.5, steps=100, targets=9),
        FABT(norm="l2", radius=0.5, steps=100, targets=9),
        Square(norm="l2", radius=0.5, queries=5000, area=0.8),
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AutoAttack(radius=-1), "radius: must be at least 0"),
        (lambda: AutoAttack(norm="l1"), "norm: must be linf or l2"),
        (lambda: AutoAttack(steps=0), "steps: must be at least 1"),
        (lambda: AutoAttack(targets=0), "targets: must be at least 1"),
        (lambda: AutoAttack(queries=1), "queries: must be at least 2"),
    ],
)
def test_values_outside_their_range_are_refused_by_name(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]
