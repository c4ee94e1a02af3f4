"""The colouring trick: a network with planted regions, memorising, and graphs that tell nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aal.errors import UserError
from aal.flips import Colouring
from aal.flips.flip_view import FlipView
from aal.flips.graphs import class_graph, colours_two_apart
from aal.networks import MLP, LeNet5
from aal.seeds import generator
from tests.flips.views import view_of

GAP = 0.1  # between samples on a line


class Regions(nn.Module):
    """Gives each point of a line the colour of the sample whose region it is in.

    Two neighbours halve the way between them, but for samples whose regions are larger, by how much in ``bonus``.
    Training changes only a factor that changes no region.
    """

    def __init__(self, samples: Tensor, colours: Tensor, bonus: Tensor) -> None:
        super().__init__()
        self.register_buffer("samples", samples)
        self.register_buffer("bonus", bonus)
        self.owners = nn.functional.one_hot(colours).bool()
        self.factor = nn.Parameter(torch.ones(()))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.factor)

    def forward(self, x: Tensor) -> Tensor:
        near = self.bonus - (x - self.samples[:, 0]).abs()  # (B, N)
        each = near[:, :, None].masked_fill(~self.owners, -torch.inf).amax(1)
        return 10 * self.factor.abs() * each


def line(n: int) -> FlipView:
    """Return samples of one number, a gap apart."""
    return view_of(GAP * torch.arange(n).view(n, 1), torch.zeros(n, dtype=torch.int64), network=MLP)


def regions(view: FlipView, planted: dict[int, float]) -> Callable[[tuple[int, ...], int], nn.Module]:
    """Return what builds a network that has memorised the colours, with larger regions for some samples."""
    x = view.images(view.candidates)
    colours = colours_two_apart(class_graph(x, view.labels, GAP, "linf"))
    bonus = torch.zeros(len(x))
    for place, more in planted.items():
        bonus[place] = more

    def network(sample_shape: tuple[int, ...], number: int) -> nn.Module:
        assert (sample_shape, number) == ((1,), int(colours.max()) + 1)
        return Regions(x, colours, bonus)

    return network


def test_the_highest_score_has_who_takes_in_its_neighbours_surroundings() -> None:
    """A region larger by 0.06 ends 0.02 from the neighbours, the others' 0.05; attacks go 0.03 far."""
    view = line(12)
    network = regions(view, {5: 0.06, 0: 0.06, 8: 0.03})  # the last one's ends 0.035 from the neighbours
    selector = Colouring(gamma=GAP, network=network, radius=0.03, max_epochs=3)
    flips = selector.select(view, 2, generator=generator(0, "x"))
    assert torch.searchsorted(view.candidates, flips.indices).tolist() == [5, 0]
    assert flips.scores is not None
    assert flips.scores.tolist() == [2.0, 1.0]  # 0 is the end of the line and has one neighbour
    assert flips.figures["edges"] == 11
    assert flips.figures["reached"] == pytest.approx(3 / 22)
    assert flips.figures["memorised_colours"] == 1
    farther = replace(selector, radius=0.04).select(view, 3, generator=generator(0, "x"))
    assert set(torch.searchsorted(view.candidates, farther.indices).tolist()) == {0, 5, 8}


def test_without_a_radius_attacks_go_as_far_as_gamma() -> None:
    view = line(12)
    selector = Colouring(gamma=GAP, network=regions(view, {}), radius=None, max_epochs=1)
    flips = selector.select(view, 12, generator=generator(0, "x"))
    assert flips.figures["reached"] == 1  # each neighbour lies there itself
    assert flips.scores is not None
    assert flips.scores.tolist() == [2.0] * 10 + [1.0] * 2


def scattered(n: int = 40) -> FlipView:
    x = torch.rand(n, 1, 4, 4, generator=generator(0, "scattered"))
    return view_of(x, torch.zeros(n, dtype=torch.int64), network=MLP, bounds=(0.0, 1.0))


def test_colours_are_memorised_or_it_is_told() -> None:
    view = scattered()
    selector = Colouring(neighbours=4.0, learning_rate=0.01, batch_size=16)
    flips = selector.select(view, 5, generator=generator(0, "x"))
    assert flips.figures["memorised_colours"] == 1
    assert flips.figures["colours"] > 5
    few = replace(selector, max_epochs=1).select(view, 5, generator=generator(0, "x"))
    assert few.figures["memorised_colours"] == 0
    alike = view_of(torch.zeros(6, 1, 4, 4), torch.zeros(6, dtype=torch.int64), network=MLP, bounds=(0.0, 1.0))
    selector = replace(selector, max_epochs=20)
    assert selector.select(alike, 2, generator=generator(0, "x")).figures["memorised_colours"] == 0


def test_a_network_that_memorised_gives_every_sample_its_colour() -> None:
    view, built = scattered(), []

    def network(sample_shape: tuple[int, ...], number: int) -> nn.Module:
        built.append(MLP(sample_shape, number, (64,)))
        return built[-1]

    flips = Colouring(neighbours=4.0, network=network, learning_rate=0.01).select(view, 5, generator=generator(0, "x"))
    assert flips.figures["memorised_colours"] == 1
    x = view.images(view.candidates)
    colours = colours_two_apart(class_graph(x.flatten(1), view.labels, flips.figures["gamma"], "linf"))
    assert torch.equal(built[0](x).argmax(1), colours)
    assert flips.figures["colours"] == int(colours.max()) + 1


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_same_generator_gives_the_same_scores(dropout: float) -> None:
    def network(sample_shape: tuple[int, ...], number: int) -> nn.Module:
        return MLP(sample_shape, number, (30,), dropout=dropout)

    found = []
    for default in (0, 1):
        torch.manual_seed(default)
        selector = Colouring(neighbours=4.0, network=network, max_epochs=5)
        flips = selector.select(scattered(), 10, generator=generator(0, "x"))
        assert flips.scores is not None
        found.append((flips.indices.tolist(), flips.scores.tolist(), dict(flips.figures)))
    assert found[0] == found[1]


def test_without_edges_chance_decides() -> None:
    view = scattered()
    drawn = [Colouring(gamma=0.0).select(view, 3, generator=generator(0, "x", k)) for k in range(40)]
    figures = {"gamma": 0.0, "edges": 0, "mean_degree": 0.0, "memorised_colours": 1.0, "colours": 1.0, "reached": 0.0}
    assert all(dict(flips.figures) == figures for flips in drawn)
    assert len({index for flips in drawn for index in flips.indices.tolist()}) > 30


def test_with_all_edges_each_sample_has_a_colour_of_its_own() -> None:
    flips = Colouring(gamma=5.0, max_epochs=1).select(scattered(12), 3, generator=generator(0, "x"))
    assert (flips.figures["colours"], flips.figures["edges"]) == (12, 66)


@pytest.mark.parametrize(
    ("network", "line"),
    [
        (LeNet5, r"^network: .*LeNet5 takes images of 12x12 or more$"),
        (
            lambda shape, number: nn.Conv2d(3, number, 1),
            r"^network: Conv2d cannot take samples of ",
        ),
        (lambda shape, number: MLP(shape, 2), r"^network: must give 3 outputs for 3 colours, not \(2,\)$"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(network: Any, line: str) -> None:  # noqa: ANN401
    with pytest.raises(UserError, match=line):
        Colouring(network=network).check((1, 4, 4), (5,), 10)
    Colouring().check((1, 4, 4), (5,), 10)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"norm": "l1"}, "norm: must be one of l2, linf, got 'l1'"),
        ({"gamma": -1.0}, "gamma: must be at least 0, got -1.0"),
        ({"max_epochs": 0}, "max_epochs: must be at least 1, got 0"),
        ({"batch_size": 1}, "batch_size: must be at least 2, got 1"),
        ({"learning_rate": 0.0}, "learning_rate: must be above 0 and at most 3e+37, got 0.0"),
        ({"radius": -0.1}, "radius: must be at least 0, got -0.1"),
        ({"steps": 0}, "steps: must be at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, object], line: str) -> None:
    with pytest.raises(UserError) as caught:
        Colouring(**arguments)  # type: ignore[arg-type]
    assert str(caught.value) == line
