"""Colouring: flip labels whose surroundings a network that memorises every single sample gives over to them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aal.attacks.base import frozen
from aal.attacks.pgd import PGD
from aal.checks import FROM_0, FROM_1, FROM_2, or_none, rate, refuse
from aal.distances import full
from aal.errors import RunStopped
from aal.flips.base import FlipSelector, highest_flips
from aal.flips.class_graph import OF_GRAPHS, graph_of
from aal.flips.flip_view import FlipView
from aal.flips.graphs import Graph, colours_two_apart
from aal.flips.near_pairs import Distance
from aal.flips.rehearsal import Build, built, try_out
from aal.models.classifier import reset_parameters
from aal.networks import MLP
from aal.seeds import seed_device
from aal.strategies.base import Selection

COLOURS = 3  # the number that a network is tried with before there is a graph


@dataclass(frozen=True)
class Colouring(FlipSelector):
    """Colour the class-graph, have a network memorise the colours, and flip what many neighbours can be pushed to.

    Neighbours have different colours in the graph, and so have second neighbours: each neighbour of a sample sees that
    sample's colour only there. A sample's score is the number of its neighbours from which a targeted attack, which
    begins at the neighbour, reaches its colour; so there are as many attacks as neighbours of all samples. A graph
    without edges has one colour and tells nothing: chance decides then. Source: paper *noise*, section 6.2, which does
    not say how far its attacks go.

    Args:
        norm: The norm of distances and attacks: ``l2`` or ``linf``.
        gamma: Largest distance of neighbours, in the units of the samples; ``null`` for the distance within which
            samples have about ``neighbours`` others of their class.
        neighbours: How many neighbours samples shall have on average, above 0, where ``gamma`` is ``null``.
        network: Builds the network from a sample's shape and the number of colours, such as
            :class:`aal.networks.MLP`; it is trained from fresh weights for every selection.
        max_epochs: Most epochs for the colours; what is not memorised by then is attacked as it is.
        batch_size: Samples a training step, at least 2.
        learning_rate: Adam's step size.
        radius: Largest perturbation of an attack, in the units of the samples; ``null`` for ``gamma``, within which
            nearly every attack succeeds, so that scores are hardly more than degrees.
        steps: Steps of an attack.

    Raises:
        UserError: A value outside its range; in :meth:`check`, a network that cannot take the samples.
    """

    norm: Distance = "linf"
    gamma: float | None = None
    neighbours: float = 10.0
    network: Build = MLP
    max_epochs: int = 500
    batch_size: int = 64
    learning_rate: float = 1e-3
    radius: float | None = 0.1
    steps: int = 20
    ranges = OF_GRAPHS | {
        **dict.fromkeys(("max_epochs", "steps"), FROM_1),
        "batch_size": FROM_2,
        "learning_rate": rate,
        "radius": or_none(FROM_0),
    }

    def check(self, samples: tuple[int, ...], inputs: tuple[int, ...], classes: int) -> None:
        """Refuse a network that cannot take the samples, or has not as many outputs as there are colours."""
        try_out(self.network, samples, COLOURS, f"outputs for {COLOURS} colours")

    def select(self, view: FlipView, n: int, *, generator: torch.Generator) -> Selection:
        """Choose the ``n`` candidates whose colour most neighbours are pushed to."""
        graph, figures = graph_of(
            self, view, full(view.images(view.candidates).cpu()), (self.norm, self.gamma, self.neighbours), generator
        )
        scores, figures["memorised_colours"] = torch.zeros(graph.vertices, dtype=torch.float64), 1.0
        colours = colours_two_apart(graph)
        if graph.edges:
            network = built(self.network, tuple(view.images(view.candidates[:1]).shape[1:]), int(colours.max()) + 1)
            reset_parameters(network, generator)
            network.to(view.module.device)
            figures["memorised_colours"] = float(self._memorise(network, view, colours, generator))
            scores = self._reached(network, view, graph, colours, figures["gamma"])
        figures["colours"] = float(colours.max()) + 1
        figures["reached"] = float(scores.sum()) / max(1, 2 * graph.edges)
        return replace(highest_flips(self, view, scores, n, generator), figures=figures)

    def _memorise(self, network: nn.Module, view: FlipView, colours: Tensor, generator: torch.Generator) -> bool:
        """Train until every candidate is classified as it is coloured; return whether it came to that."""
        device, optimizer = view.module.device, torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        batches = min(-(-len(colours) // self.batch_size), len(colours) // 2)  # one sample has no statistics of its own
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            view.progress.task("memorising colours", self.max_epochs) as task,
        ):
            seed_device(int(torch.randint(2**62, (), generator=generator)), device)  # for dropout
            for _ in range(self.max_epochs):
                network.train()
                for batch in torch.randperm(len(colours), generator=generator).tensor_split(batches):
                    loss = F.cross_entropy(network(view.images(view.candidates[batch])), colours[batch].to(device))
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                refuse(
                    not loss.isfinite(),
                    f"Colouring: the training loss is {loss.item()}; nothing was flipped",
                    RunStopped,
                )
                with frozen(network):
                    found = view.map(
                        lambda batch: network(view.images(batch)).argmax(1), view.candidates, lambda _: None
                    )
                if torch.equal(found.cpu(), colours):
                    return True
                task.advance(1)
        return False

    def _reached(self, network: nn.Module, view: FlipView, graph: Graph, colours: Tensor, gamma: float) -> Tensor:
        """Return from how many neighbours of each candidate an attack reaches its colour, float64 ``(U,)``."""
        attack = PGD(
            radius=gamma if self.radius is None else self.radius,
            norm=self.norm,
            steps=self.steps,
            random_start=False,
            early_stop=True,
        )
        neighbours, owners = graph.neighbours, torch.arange(graph.vertices).repeat_interleave(graph.degrees)

        def reached(edges: Tensor) -> Tensor:
            begin = neighbours[edges]
            x, own, goal = view.images(view.candidates[begin]), colours[begin], colours[owners[edges]]
            return attack(network, x, own.to(x.device), target=goal.to(x.device), bounds=view.bounds).success.long()

        with view.progress.task("attacking neighbours", len(owners)) as task:
            hits = view.map(reached, torch.arange(len(owners)), task.advance)
        return torch.zeros(graph.vertices, dtype=torch.float64).index_add_(0, owners, hits.double().cpu())
