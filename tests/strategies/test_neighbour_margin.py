"""The margin to a neighbour of another predicted class, against a double loop."""

import math
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from aal.errors import UserError
from aal.models import Classifier
from aal.seeds import generator
from aal.strategies import NeighbourMargin, View
from tests.strategies.views import view_of


class Network(Classifier):
    """Samples of 2 x 3 to 4 features to 3 classes."""

    def __init__(self) -> None:
        super().__init__(3)
        g = generator(0, "weights")
        self.first, self.last = nn.Linear(6, 4), nn.Linear(4, 3)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=g)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.features(x))
        return logits

    def features(self, x: Tensor) -> Tensor:
        return self.first(x.flatten(1)).tanh()


def some(n: int = 50) -> tuple[Tensor, View]:
    x = torch.randn(n, 2, 3, generator=generator(0, "samples"))
    return x, replace(view_of(Network(), x), candidates=torch.arange(10, n), labelled=torch.arange(10))


@pytest.mark.parametrize("space", ["samples", "features", "logits"])
def test_order_is_that_of_a_double_loop(space: Literal["samples", "features", "logits"]) -> None:
    x, view = some()
    with torch.no_grad():
        logits = view.module(x)
        points = {"samples": x.flatten(1), "features": view.module.features(x), "logits": logits}[space].double()
    classes, margins = logits.argmax(1).tolist(), {}
    for index in range(10, 50):
        others = [k for k in range(50) if classes[k] != classes[index]]
        margins[index] = min(float((points[index] - points[k]).norm()) for k in others)
    order = sorted(margins, key=lambda index: margins[index])
    selection = NeighbourMargin(space=space).select(view, 40, generator=generator(0, "query"))
    # float32 layers round by the batch: neighbours in the order may swap where their margins are equal but for that
    found = [margins[index] for index in selection.indices.tolist()]
    assert sorted(selection.indices.tolist()) == list(range(10, 50))
    assert found == pytest.approx([margins[index] for index in order], rel=1e-5)
    assert selection.scores is not None
    assert selection.scores.tolist() == pytest.approx(found, rel=1e-5)


def test_labelled_samples_are_neighbours_too() -> None:
    """Candidates of one predicted class, a labelled sample of another: nearest to it, nearest to the boundary."""
    x = torch.tensor([[0.0, 1.0], [5.0, 0.0], [2.0, 0.0], [9.0, 0.0], [3.0, 0.0]])

    class Given(Classifier):
        def forward(self, x: Tensor) -> Tensor:
            return x

        def features(self, x: Tensor) -> Tensor:
            return x

    selection = NeighbourMargin().select(view_of(Given(2), x), 4, generator=generator(0, "query"))
    assert selection.indices.tolist() == [2, 4, 1, 3]
    assert selection.scores is not None
    assert selection.scores.tolist() == pytest.approx([math.sqrt(position**2 + 1) for position in (2, 3, 5, 9)])


def test_one_predicted_class_is_taken_by_chance() -> None:
    _, view = some()
    with torch.no_grad():
        view.module.get_submodule("last").bias.copy_(torch.tensor([100.0, 0.0, 0.0]))
    selection = NeighbourMargin().select(view, 5, generator=generator(0, "query"))
    again = NeighbourMargin().select(view, 5, generator=generator(1, "query"))
    assert set(selection.indices.tolist()) != set(again.indices.tolist())
    assert selection.scores is not None
    assert selection.scores.isinf().all()


def test_subset_is_random_and_never_smaller_than_the_query() -> None:
    _, view = some()
    drawn = [NeighbourMargin(subset=6).select(view, 6, generator=generator(s, "query")) for s in range(5)]
    assert len({tuple(sorted(selection.indices.tolist())) for selection in drawn}) == 5
    assert len(NeighbourMargin(subset=2).select(view, 7, generator=generator(0, "query")).indices) == 7


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"subset": 0}, "subset: must be at least 1, got 0"), ({"space": "pixels"}, "space: must be one of samples")],
)
def test_senseless_values_are_refused(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=rf"^{named}"):
        NeighbourMargin(**arguments)  # type: ignore[arg-type]
