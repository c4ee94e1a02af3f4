"""A crowd of labelers, most of them honest, who err, and some of whom lie (paper *robust*, section I.A)."""

from typing import Literal

import torch
from torch import Tensor

from aal.attacks.draws import uniform
from aal.checks import at_least, class_number, probability, refuse
from aal.oracles.base import Oracle, Truth
from aal.pool import UNLABELLED
from aal.seeds import sample_seeds

NOBODY = -1  # in the place of a labeler where there is none


class Crowd(Oracle):
    """Draws a labeler for each query. An honest labeler errs now and then; a malicious one flips a class consistently.

    Labelers are numbered, honest ones first. What a labeler answers, and who is drawn, are functions of the run's
    seed, the labeler and the sample: a labeler who is asked twice says the same, and neither a resume nor the number
    of ranks changes anything. Of an honest labeler's errors each other class has an equal share. A malicious one
    gives ``target`` to every sample of ``source`` (airplane -> frog) and is right about other classes.

    Args:
        honest: Number of honest labelers.
        malicious: Number of malicious labelers.
        error: Probability that an honest labeler errs, in [0, 1].
        source: Class that malicious labelers flip: a number counts from 0, a text is a name. In a file a bare ``2`` is
            the number and ``"2"`` the name; the command line's 2 is the name where any class is called by digits.
        target: Class that they say instead.
        malicious_error: Probability that a malicious labeler errs about a sample of another class.
        malicious_share: Probability that a query goes to one of the malicious labelers while one is trusted;
            ``null``: each labeler is as likely as another.
        share_from: The first round whose labels ``malicious_share`` holds for: 1 for all queries, 0 for the initial
            labels too. Before it each labeler is as likely as another.
        draw: Whether a labeler is drawn for each ``query``, or one for each ``batch`` of queries and for the initial
            labels.

    Attributes:
        size: Number of labelers K.
        trusted: Who is still asked, bool ``(K,)``.

    Raises:
        UserError: A negative number of labelers, or none at all; a probability outside [0, 1]; a liar without a class
            to flip; in ``prepare``, classes that there are not, or that are equal.
    """

    def __init__(
        self,
        honest: int = 10,
        malicious: int = 1,
        error: float = 0.05,
        source: str | int | None = None,
        target: str | int | None = None,
        malicious_error: float = 0.0,
        malicious_share: float | None = None,
        share_from: int = 1,
        draw: Literal["query", "batch"] = "query",
    ) -> None:
        at_least(0, {"honest": honest, "malicious": malicious, "share_from": share_from})
        refuse(not honest + malicious, "honest: must be at least 1 where malicious is 0, got 0")
        share = 0.0 if malicious_share is None else malicious_share
        probability({"error": error, "malicious_error": malicious_error, "malicious_share": share})
        refuse(
            share and not malicious,
            "malicious_share: nobody of this crowd is malicious; set malicious, or leave it out",
        )
        for name, given in (("source", source), ("target", target)):
            refuse(
                malicious and given is None,
                f"{name}: a malicious labeler needs a class; name one, or set malicious to 0",
            )
        self.size, self.honest, self.source, self.target = honest + malicious, honest, source, target
        self.malicious_share, self.share_from, self.draw = malicious_share, share_from, draw
        self.errors = torch.tensor([error] * honest + [malicious_error] * malicious, dtype=torch.float64)
        self.trusted = torch.ones(self.size, dtype=torch.bool)

    def prepare(self, truth: Truth, *, num_classes: int, names: tuple[str, ...] | None, seed: int) -> None:
        """Look the classes up; arguments as of :meth:`aal.oracles.Oracle.prepare`."""
        super().prepare(truth, num_classes=num_classes, names=names, seed=seed)
        self.num_classes, self.seed = num_classes, seed
        self._flip = (NOBODY, NOBODY)  # no class is that
        if self.size > self.honest:
            source, target = (
                class_number(given, num_classes, names, key)
                for key, given in (("source", self.source), ("target", self.target))
            )
            refuse(source == target, f"target: {self.target!r} is the class source itself, which would be no lie")
            self._flip = (source, target)

    @property
    def exhausted(self) -> bool:
        """Whether nobody is trusted any more."""
        return not self.trusted.any()

    def label(self, indices: Tensor, *, round: int = 0) -> tuple[Tensor, Tensor]:
        """Have a labeler, or for each of the samples ``(n,)`` one, answer; somebody must still be trusted."""
        asked = indices if self.draw == "query" else indices[:1]
        chances = uniform(sample_seeds(self.seed, "labelers", asked), 0, (), torch.float64)
        shares = self._shares(round)
        labelers = torch.searchsorted(shares.cumsum(0), chances, right=True)
        labelers = labelers.clamp(max=int(shares.nonzero()[-1])).expand(len(indices))  # the sum may fall short of 1
        return self.ask(indices, labelers), labelers

    def ask(self, indices: Tensor, labelers: Tensor) -> Tensor:
        """Have labelers answer, trusted or not.

        Args:
            indices: The samples ``(n,)``.
            labelers: Who is asked about each, ``(n,)`` or ``(n, h)``; ``NOBODY`` where nobody is.

        Returns:
            Labels in the shape of ``labelers``, ``UNLABELLED`` where nobody was asked.
        """
        asked = labelers if labelers.ndim == 2 else labelers[:, None]
        who = asked.clamp(min=0)
        chances = uniform(sample_seeds(self.seed, "answers", indices), 0, (self.size, 2), torch.float64)
        errs, which = chances.gather(1, who[..., None].expand(-1, -1, 2)).unbind(-1)
        truth = self.truth(indices)[:, None].expand_as(who)
        other = (which * (self.num_classes - 1)).long()  # of the classes without the true one
        answers = torch.where(errs < self.errors[who], other + (other >= truth).long(), truth)
        source, target = self._flip
        answers = torch.where((who >= self.honest) & (truth == source), target, answers)
        return torch.where(asked == NOBODY, UNLABELLED, answers).view(labelers.shape)

    def examiners(self, indices: Tensor, others_than: Tensor, h: int) -> Tensor:
        """Draw independent labelers for each sample.

        Args:
            indices: The samples ``(n,)``.
            others_than: The labeler who labelled each, who is not drawn, ``(n,)``.
            h: How many are wanted for each sample.

        Returns:
            Distinct trusted labelers ``(n, min(h, K))``; fewer than wanted are followed by ``NOBODY``.
        """
        order = uniform(sample_seeds(self.seed, "examiners", indices), 0, (self.size,), torch.float64)
        order[:, ~self.trusted] = torch.inf
        order.scatter_(1, others_than[:, None], torch.inf)
        order, labelers = order.sort(dim=1, stable=True)
        return torch.where(order.isinf(), NOBODY, labelers)[:, :h]

    def _shares(self, round: int) -> Tensor:
        """Return the probability that a query goes to each labeler ``(K,)``."""
        trusted = self.trusted.double()
        if self.malicious_share is None or round < self.share_from:
            return trusted / trusted.sum()
        honest, malicious = trusted[: self.honest], trusted[self.honest :]
        share = self.malicious_share if honest.any() else 1.0
        share = share if malicious.any() else 0.0
        parts = (honest * (1 - share) / honest.sum().clamp(min=1), malicious * share / malicious.sum().clamp(min=1))
        return torch.cat(parts)
