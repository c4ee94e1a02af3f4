"""What every attack must hold, whichever it is: a new one is tested by being exported."""

import dataclasses
import inspect

import pytest
import torch
from torch import Tensor, nn

from aal import attacks
from aal.attacks import Adversarial, Attack
from aal.seeds import generator, sample_seeds

ATTACKS = [
    attack
    for attack in vars(attacks).values()
    if inspect.isclass(attack) and issubclass(attack, Attack) and attack is not Attack
]


def model() -> nn.Module:
    """A small network with batch norm and dropout, whose modes differ from layer to layer."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 5)
    )
    network[2].eval()
    network[1].weight.requires_grad_(False)
    return network.double()


def batch(n: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    x = torch.rand(n, 3, 2, 2, generator=generator(0, "x"), dtype=torch.float64)
    return x, torch.arange(n) % 5, sample_seeds(0, "attack", torch.arange(n))


def run(attack: Attack, network: nn.Module, rows: slice, *, dtype: torch.dtype = torch.float64) -> Adversarial:
    x, y, seeds = batch()
    result: Adversarial = attack(network, x[rows].to(dtype), y[rows], seeds=seeds[rows])  # type: ignore[operator]
    return result


@pytest.mark.parametrize("attack", [attack() for attack in ATTACKS], ids=lambda attack: type(attack).__name__)
class TestEveryAttack:
    def test_returns_what_the_contract_says(self, attack: Attack) -> None:
        x, _, _ = batch()
        result = run(attack, model(), slice(None))
        assert result.x.shape == x.shape
        assert result.x.dtype == x.dtype
        assert ((result.x >= 0) & (result.x <= 1)).all()
        assert not torch.equal(result.x, x), "nothing was attacked"
        assert result.success.dtype == torch.bool
        assert result.queries.dtype == torch.int64
        assert (result.queries > 0).all()
        assert all(len(tensor) == len(x) for tensor in (result.success, result.distance, result.queries))
        assert all(len(tensor) == len(x) for tensor in result.info.values())
        assert not result.x.requires_grad
        assert run(attack, model().float(), slice(None), dtype=torch.float32).x.dtype == torch.float32

    def test_a_sample_gets_the_same_answer_alone_as_in_a_batch(self, attack: Attack) -> None:
        together = run(attack, model(), slice(None))
        for k in range(6):
            alone = run(attack, model(), slice(k, k + 1))
            torch.testing.assert_close(alone.x[0], together.x[k], rtol=0, atol=1e-9)
            assert alone.queries[0] == together.queries[k]

    def test_the_model_and_the_caller_are_left_as_they_were(self, attack: Attack) -> None:
        network = model()
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        modes = [module.training for module in network.modules()]
        wanted = [parameter.requires_grad for parameter in network.parameters()]
        random, x = torch.get_rng_state(), batch()[0]
        with torch.no_grad():
            run(attack, network, slice(None))
            assert not torch.is_grad_enabled()
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
        assert modes == [module.training for module in network.modules()]
        assert wanted == [parameter.requires_grad for parameter in network.parameters()]
        assert all(parameter.grad is None for parameter in network.parameters())
        assert torch.equal(torch.get_rng_state(), random)
        assert torch.equal(batch()[0], x)

    def test_it_is_a_frozen_dataclass_of_keywords(self, attack: Attack) -> None:
        assert dataclasses.is_dataclass(attack)
        for field in dataclasses.fields(attack):
            assert field.kw_only, field.name
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(attack, field.name, None)
