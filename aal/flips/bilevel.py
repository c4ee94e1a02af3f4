"""Bilevel: flips found by gradient ascent through the training of a small network (paper *noise*, chapter 5)."""

from dataclasses import dataclass, replace
from functools import reduce
from operator import mul

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from aal.checks import FROM_1, below_one, positive, rate, refuse
from aal.errors import RunStopped
from aal.flips.base import FlipSelector, highest_flips
from aal.flips.flip_view import FlipView
from aal.flips.rehearsal import Training, rehearsing, try_out
from aal.strategies.base import Selection

AT_ONCE = 2**20  # numbers of the draws that are held at a time
AVERAGED = 5  # figures are averaged over the first and the last fifth of the outer steps


@dataclass(frozen=True)
class Bilevel(Training, FlipSelector):
    """Flip the labels that a small network's adversarial loss says hurt most, by its gradient through training.

    Every candidate has a flip logit. An outer step relaxes the choice of ``n`` of them to soft labels, trains a small
    network on these from fresh weights, attacks clean candidates towards their targets, and moves the logits by Adam
    so that the attack fares better. In the end the highest logits are flipped; they are the scores.

    A step of training looks at ``subset`` of the candidates and at as many of the other samples trained on, in an
    order in which all get their turn; its loss is weighted to be the whole training set's on average. Memory is
    bounded by twice what one step computes for ``2 * subset`` inputs, the network's weights ``2 * inner_steps`` times,
    and some tens of MiB for the draws, whatever the size of a sample and the budget.

    Source: paper *noise*, chapter 5 and Figure 5.1, which gives no algorithm that could be run. The relaxed choice of
    many at once combines one Gumbel-softmax draw for each, as in Chen, Song, Wainwright and Jordan, "Learning to
    Explain", but takes the chance that any draw is the candidate instead of the largest.

    Args:
        network: Builds the small network from the shape of what the classifier takes, samples or a frozen backbone's
            features, and the number of classes, as :class:`aal.networks.MLP` does; ``null``: the classifier itself,
            trained on from its clean weights.
        attack: The attack on the small network, in the units of the samples.
        temperature: Of the Gumbel-softmax; the lower, the closer are soft labels to hard ones.
        outer_steps: Steps of the logits.
        outer_rate: Adam's step size for them.
        inner_steps: Steps of training that an outer step differentiates through.
        inner_rate: Their step size.
        momentum: Share of the last step's direction that the next keeps, in [0, 1).
        subset: Candidates looked at in a step of training, or attacked in an outer step.
        recompute: Whether to compute what a step of training holds again instead of holding it (gradient
            checkpointing); else memory grows ``inner_steps`` times, and time shrinks.

    Raises:
        UserError: A value outside its range; in ``check``, a network that cannot take the inputs.
    """

    temperature: float = 0.5
    outer_steps: int = 50
    outer_rate: float = 0.1
    ranges = FlipSelector.ranges | {
        **dict.fromkeys(("outer_steps", "inner_steps", "subset"), FROM_1),
        "temperature": positive,
        **dict.fromkeys(("outer_rate", "inner_rate"), rate),
        "momentum": below_one,
    }

    def check(self, samples: tuple[int, ...], inputs: tuple[int, ...], classes: int) -> None:
        """Refuse a small network that cannot take the classifier's inputs, or has not as many logits as it."""
        if self.network is not None:
            try_out(self.network, inputs, classes, "logits a sample")

    def select(self, view: FlipView, n: int, *, generator: torch.Generator) -> Selection:
        """Choose the ``n`` candidates with the highest logits.

        Raises:
            RunStopped: The adversarial loss or its gradient is not finite.
        """
        averaged = max(self.outer_steps // AVERAGED, 1)
        with (
            rehearsing(view, self, generator) as rehearsal,
            view.progress.task("rehearsing flips", self.outer_steps) as task,
        ):
            logits = torch.zeros(len(view.candidates), dtype=rehearsal.dtype, device=view.module.device)
            logits.requires_grad_()
            optimizer = torch.optim.Adam([logits], lr=self.outer_rate, maximize=True)
            losses, mass = torch.zeros(self.outer_steps), torch.zeros_like(logits)
            for step in range(self.outer_steps):
                flips = chosen_softly(logits, n, self.temperature, generator)
                loss = rehearsal.loss(flips, *rehearsal.draw())
                (logits.grad,) = torch.autograd.grad(loss, logits)
                losses[step] = loss.detach()
                refuse(
                    not (losses[step].isfinite() and logits.grad.isfinite().all()),
                    f"Bilevel: loss or gradient of outer step {step} is not finite; lower the rates, or raise "
                    "temperature",
                    RunStopped,
                )
                if step >= self.outer_steps - averaged:
                    mass += flips.detach() / averaged
                optimizer.step()
                task.advance(1)
        chosen = highest_flips(self, view, logits.detach(), n, generator)
        figures = {
            "outer_start": float(losses[:averaged].mean()),
            "outer_end": float(losses[-averaged:].mean()),
            "flip_mass": float(mass[torch.searchsorted(view.candidates, chosen.indices)].mean()),
        }
        return replace(chosen, figures=figures)


def chosen_softly(logits: Tensor, n: int, temperature: float, generator: torch.Generator) -> Tensor:
    """Return how far each candidate's label is flipped ``(U,)`` when ``n`` are drawn, differentiable by the logits.

    Args:
        logits: Flip logits ``(U,)``.
        n: Number of draws.
        temperature: Of the Gumbel-softmax.
        generator: The source of the draws.
    """
    together = max(1, AT_ONCE // len(logits))
    sizes = [min(together, n - start) for start in range(0, n, together)]
    parts = [
        checkpoint(_spared, logits, temperature, size, seed, use_reentrant=False, preserve_rng_state=False)
        for size, seed in zip(sizes, torch.randint(2**62, (len(sizes),), generator=generator).tolist(), strict=True)
    ]
    return 1 - reduce(mul, parts)


def _spared(logits: Tensor, temperature: float, draws: int, seed: int) -> Tensor:
    """Return how little each candidate is drawn ``(U,)``, which the backward pass computes again: nothing is held."""
    noise = gumbel(draws, len(logits), torch.Generator().manual_seed(seed))
    return 1 - relaxed(logits, noise.to(logits), temperature)


def gumbel(draws: int, candidates: int, generator: torch.Generator) -> Tensor:
    """Return standard Gumbel noise, float64 ``(b, U)``."""
    exponential = torch.empty(draws, candidates, dtype=torch.float64).exponential_(generator=generator)
    return -exponential.clamp_min_(torch.finfo(torch.float64).tiny).log_()


def relaxed(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """Return how far each candidate's label is flipped, ``(U,)`` from 0 to 1: whether any of the draws is it, relaxed.

    Args:
        logits: Flip logits ``(U,)``.
        noise: Gumbel noise, a row a draw ``(b, U)``.
        temperature: Towards 0 each draw is one candidate, with probability by the softmax of the logits.
    """
    return 1 - (1 - ((logits + noise) / temperature).softmax(1)).prod(0)
