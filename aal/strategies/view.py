"""What a strategy may look at: computed when first asked for, in batches, over all ranks."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from aal.models.classifier import Classifier
from aal.models.dropout import dropping
from aal.seeds import key, seed_device
from aal.sharding import Results, Shard


def _alone(result: Tensor) -> Tensor:
    return result


@dataclass(frozen=True)
class View:
    """The learner's view of the pool at the end of a round.

    Attributes:
        module: The classifier as trained in this round.
        candidates: Unlabelled indices, ascending, int64 ``(U,)`` on the CPU.
        labelled: Labelled indices, ascending, int64 ``(L,)`` on the CPU.
        inputs: Gives what the classifier takes for indices ``(B,)``: features under a frozen backbone, else samples.
        images: Gives the samples themselves ``(B, ...)`` for indices ``(B,)``.
        map: Applies a function of indices ``(B,)``, to a tensor or several by name, to all of ``(N,)``: in eval mode,
            without gradients, in batches and shared out over the ranks.
        record: The columns of this round's record so far.
        budget_left: Labels that may still be asked for.
        bounds: The data's range (low, high).
        agree: Gives every rank what the first rank has of a result; for work whose outcome depends on a clock.
        report: Shows one line to the person at the terminal.
        labelled_labels: The labels that the labelled samples were given, int64 ``(L,)`` on the CPU.
        perturbed: Sources of the adversarial copies that were crafted for this round, indices ``(M,)`` on the CPU;
            empty where nothing is crafted.
        perturbations: L2 norms of their minimal perturbations, finite, float ``(M,)`` on the CPU.
    """

    module: Classifier
    candidates: Tensor
    labelled: Tensor
    inputs: Callable[[Tensor], Tensor]
    images: Callable[[Tensor], Tensor]
    map: Callable[[Callable[[Tensor], Results], Tensor], Results]
    record: dict[str, Any]
    budget_left: int
    bounds: tuple[float, float] = (0.0, 1.0)
    agree: Callable[[Tensor], Tensor] = Shard().first
    report: Callable[[str], None] = field(default=lambda line: None)
    labelled_labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    perturbed: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    perturbations: Tensor = field(default_factory=lambda: torch.empty(0))
    _scores: dict[Callable[[Tensor], Tensor], Tensor] = field(default_factory=dict, init=False)

    def among(self, size: int | None, n: int, generator: torch.Generator) -> "View":
        """Return a view of ``size`` candidates drawn at random, but of no fewer than ``n``; ``None`` is for all."""
        if size is None or (size := max(size, n)) >= len(self.candidates):
            return self
        return self.only(torch.randperm(len(self.candidates), generator=generator)[:size].sort().values)

    def only(self, places: Tensor) -> "View":
        """Return a view of the candidates at ``places``, ``(K,)`` or bool ``(U,)``."""
        return replace(self, candidates=self.candidates[places])

    def score(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a function of logits ``(B, C)`` in float64 to all candidates, in the memory of a batch, ``(U,)``."""
        if function not in self._scores:
            self._scores[function] = self.map(
                lambda batch: function(self.module.classify(self.inputs(batch)).double()), self.candidates
            )
        return self._scores[function]

    def draws(self, k: int, generator: torch.Generator, function: Callable[[Tensor], Tensor] = _alone) -> Tensor:
        """Class probabilities under ``k`` draws of the module's dropout, or a function of them, for all candidates.

        A batch's draws depend on the generator and on the batch alone, so they are alike on any number of ranks.

        Args:
            k: Draws a sample; which units are dropped is drawn anew for each sample and draw.
            generator: Seeds the draws; the default generators are left as they were.
            function: Takes a batch's probabilities ``(B, k, C)`` in float64 and returns ``(B, ...)``, so that no more
                than that is held of a large pool.

        Returns:
            What ``function`` returned ``(U, ...)``; without one the probabilities ``(U, k, C)``.
        """
        seed = int(torch.randint(2**62, (), generator=generator))

        def drawn(batch: Tensor) -> Tensor:
            device, inputs = self.module.device, self.inputs(batch)
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), dropping(self.module):
                seed_device(key(seed, "dropout", int(batch[0])), device)
                logits = torch.stack([self.module.classify(inputs) for _ in range(k)], dim=1)
            return function(logits.double().softmax(-1))

        return self.map(drawn, self.candidates)

    @cached_property
    def logits(self) -> Tensor:
        """Logits of the candidates ``(U, C)``."""
        return self.map(lambda batch: self.module.classify(self.inputs(batch)), self.candidates)

    @cached_property
    def probabilities(self) -> Tensor:
        """Class probabilities of the candidates ``(U, C)``."""
        return self.logits.softmax(-1)

    @cached_property
    def features(self) -> Tensor:
        """Inputs of the classifier's last layer for the candidates ``(U, D)``."""
        return self.map(lambda batch: self.module.embed(self.inputs(batch)), self.candidates)

    @cached_property
    def labelled_logits(self) -> Tensor:
        """Logits of the labelled samples ``(L, C)``."""
        return self.map(lambda batch: self.module.classify(self.inputs(batch)), self.labelled)

    @cached_property
    def labelled_features(self) -> Tensor:
        """Inputs of the classifier's last layer for the labelled samples ``(L, D)``."""
        return self.map(lambda batch: self.module.embed(self.inputs(batch)), self.labelled)
