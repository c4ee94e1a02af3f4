"""The dense heads: their layers, names and limits."""

import pytest
import torch
from torch import nn

from aal.errors import UserError
from aal.networks import DenseHead


def kinds(layers: nn.Sequential) -> list[str]:
    return [type(layer).__name__ for layer in layers]


def test_nn1_is_one_layer_on_the_features() -> None:
    layers = DenseHead().build(7, 3)
    assert kinds(layers) == ["Linear"]
    assert kinds(DenseHead(dropout=0.5).build(7, 3)) == ["Dropout", "Linear"]
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layers(x), x @ layers[0].weight.T + layers[0].bias)


def test_nn2_has_a_hidden_layer_before_the_output() -> None:
    assert kinds(DenseHead(hidden=4).build(7, 3)) == ["Linear", "ReLU", "Linear"]
    layers = DenseHead(hidden=4, dropout=0.25).build(7, 3)
    assert kinds(layers) == ["Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert [layers[1].out_features, layers[-1].in_features, layers[-1].out_features] == [4, 4, 3]
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.25, 0.25]


def test_heads_carry_the_names_of_the_paper() -> None:
    assert DenseHead().name == "NN1"
    assert DenseHead(hidden=1).name == "NN2"


@pytest.mark.parametrize(("name", "value"), [("hidden", -1), ("dropout", -0.1), ("dropout", 0.6)])
def test_bad_values_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{name}: must be"):
        DenseHead(**{name: value})
