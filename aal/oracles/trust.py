"""Trust in labelers: others examine their labels, and who is contradicted loses confidence (*robust*, III.B)."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from scipy.special import bdtrc
from torch import Tensor

from aal.attacks.draws import uniform
from aal.checks import refuse
from aal.oracles.crowd import NOBODY, Crowd
from aal.oracles.dawid_skene import dawid_skene
from aal.seeds import sample_seeds

ANSWERS = ("index", "round", "labeler", "label", "kind")
KINDS = ("given", "examined", "audited")  # answers to a query, to the examination of a batch, of a labeler
CASES = ("index", "labeler", "label", "verdict")
DISPUTED, UNEXAMINED = -1, -2  # verdicts that are no label: the examiners disagreed, there was none


def examiners_needed(p_one: float, p_h: float) -> int:
    """Return how many labelers make it sure enough that one of them is right (paper *robust*, Equation 3).

    Args:
        p_one: Probability that a labeler is right, above 0 and below 1.
        p_h: Probability wanted that at least one of them is, above 0 and below 1.

    Raises:
        UserError: One of them is not.
    """
    for name, value in (("p_one", p_one), ("p_h", p_h)):
        refuse(not 0 < value < 1, f"{name}: must be above 0 and below 1, got {value}")
    return math.ceil(math.log1p(-p_h) / math.log1p(-p_one) - 1e-9)  # not one more for a rounding error


@dataclass(frozen=True)
class Rules:
    """How labels are examined and labelers judged.

    Attributes:
        h: Labelers who examine a label.
        p_one: Probability that a labeler is expected to be right.
        amount: What a contradicted label costs its labeler: this much divided by the model's largest probability.
        sure: Largest probability from which on a misclassification has the labeler audited instead.
        distrust: Confidence below which a labeler is audited, however unsure the model.
        level: Probability that one audit of an honest labeler, who errs as expected, ends in distrust.
    """

    h: int
    p_one: float
    amount: float
    sure: float
    distrust: float
    level: float


class Trust:
    """Has labels examined, and keeps the confidence in each labeler and all answers (paper *robust*, Figure 3).

    Args:
        crowd: The labelers.
        rules: What is done with them.

    Attributes:
        confidence: Confidence in each labeler, from 1 down to 0, float64 ``(K,)``.
        since: The round that each was distrusted in ``(K,)``, -1 for the trusted.
        answers: Every answer so far ``(A, 5)``, columns ``ANSWERS``; the kind is a position in ``KINDS``.
        cases: Every label that was to be examined ``(E, 4)``, columns ``CASES``; the verdict is the label that its
            examiners agreed on, ``DISPUTED`` or ``UNEXAMINED``.
    """

    STATE = ("confidence", "since", "answers", "cases")

    def __init__(self, crowd: Crowd, rules: Rules) -> None:
        self.crowd, self.rules = crowd, rules
        self.confidence = torch.ones(crowd.size, dtype=torch.float64)
        self.since = torch.full((crowd.size,), -1)
        self.answers = torch.empty(0, len(ANSWERS), dtype=torch.int64)
        self.cases = torch.empty(0, len(CASES), dtype=torch.int64)

    @property
    def given(self) -> int:
        """How many answers to queries there are."""
        return int((self.answers[:, 4] == 0).sum())

    @property
    def extra(self) -> int:
        """How many answers there are beside them."""
        return len(self.answers) - self.given

    def note(self, answers: Tensor, kind: str) -> None:
        """Keep answers ``(n, 4)``, columns as of ``ANSWERS`` but for their kind."""
        kinds = torch.full((len(answers), 1), KINDS.index(kind))
        self.answers = torch.cat([self.answers, torch.cat([answers, kinds], dim=1)])

    def unexamined(self, *, round: int | None = None, labeler: int | None = None) -> Tensor:
        """Return the indices of labels given, of a round or by a labeler, that no examination has had yet ``(n,)``."""
        index, at, who, _, kind = self.answers.unbind(1)
        wanted = (kind == 0) & ~torch.isin(index, self.cases[:, 0])
        if round is not None:
            wanted &= at == round
        if labeler is not None:
            wanted &= who == labeler
        return index[wanted]

    def examine(self, indices: Tensor, *, round: int, kind: str) -> tuple[Tensor, Tensor]:
        """Have given labels examined by up to ``h`` other trusted labelers each.

        Args:
            indices: Samples whose labels were given and not examined yet ``(n,)``.
            round: The round at whose end this is.
            kind: ``examined`` or ``audited``.

        Returns:
            The cases ``(n, 4)``, and the first examiner of each ``(n,)``.
        """
        given = self.answers[self.answers[:, 4] == 0]
        place = given[:, 0].argsort()
        _, _, givers, labels, _ = given[place[torch.searchsorted(given[place, 0], indices)]].unbind(1)
        examiners = self.crowd.examiners(indices, givers, self.rules.h)
        answers = self.crowd.ask(indices, examiners)
        asked = examiners != NOBODY
        agreed = ((answers == answers[:, :1]) | ~asked).all(1)
        verdicts = torch.where(agreed, answers[:, 0], DISPUTED).where(asked[:, 0], UNEXAMINED)
        cases = torch.stack([indices, givers, labels, verdicts], dim=1)
        of = indices[:, None].expand_as(asked)[asked]
        self.note(torch.stack([of, torch.full_like(of, round), examiners[asked], answers[asked]], dim=1), kind)
        self.cases = torch.cat([self.cases, cases])
        return cases, examiners[:, 0]

    def weigh(self, cases: Tensor, probabilities: Tensor) -> list[int]:
        """Lower the confidence in labelers who were contradicted, or name them for an audit (Figure 3).

        A label is contradicted where its examiners agree on another. It costs its labeler ``amount`` divided by the
        model's largest probability; but where the model is ``sure`` and does not say what the examiners do, the
        labeler is to be audited at once. So is, however unsure the model, who has less confidence than ``distrust``,
        and (ours) who has been contradicted more often than errors explain.

        Args:
            cases: Contradicted labels ``(m, 4)``.
            probabilities: The model's probabilities for their samples ``(m, C)``.

        Returns:
            Labelers to audit, ascending.
        """
        givers, verdicts = cases[:, 1], cases[:, 3]
        largest, predicted = probabilities.double().max(1)
        alarming = (predicted != verdicts) & (largest >= self.rules.sure)
        losses = torch.where(alarming, 0.0, self.rules.amount / largest)
        self.confidence = self.confidence.index_add(0, givers, -losses).clamp(min=0)
        alarmed = {*givers[alarming].tolist(), *givers[self.confidence[givers] < self.rules.distrust].tolist()}
        trusted = givers[self.since[givers] < 0].unique().tolist()
        return [labeler for labeler in trusted if labeler in alarmed or self.convicts(labeler)]

    def to_audit(self, labeler: int, size: int) -> Tensor:
        """Draw up to ``size`` of a labeler's labels that were not examined yet, ascending ``(n,)``."""
        own = self.unexamined(labeler=labeler)
        order = uniform(sample_seeds(self.crowd.seed, "audit", own), 0, (), torch.float64).argsort(stable=True)
        return own[order[:size]].sort().values

    def convicts(self, labeler: int) -> bool:
        """Whether what is known of a labeler is more than errors: the end of an audit.

        Among the samples of a class, as the examiners have it, an honest labeler's labels are contradicted as often
        as it errs, ``1 - p_one``. Who is contradicted more often than that explains (a binomial tail below ``level``
        divided by the number of classes met), in some class, is convicted.
        """
        cases = self.cases[(self.cases[:, 1] == labeler) & (self.cases[:, 3] >= 0)]
        met = cases[:, 3].bincount()
        contradicted = cases[cases[:, 2] != cases[:, 3], 3].bincount(minlength=len(met))
        often = contradicted > 0
        tails = bdtrc((contradicted[often] - 1).numpy(), met[often].numpy(), 1 - self.rules.p_one)
        return bool((tails < self.rules.level / max(int((met > 0).sum()), 1)).any())

    def clear(self, labeler: int) -> None:
        """Restore the confidence in a labeler whose audit found no more than errors."""
        self.confidence[labeler] = 1.0

    def condemn(self, labeler: int, *, round: int, dismiss: bool) -> None:
        """Distrust a labeler from now on; with ``dismiss`` it is asked no more."""
        self.since[labeler] = round
        if dismiss:
            self.crowd.trusted[labeler] = False

    def labelers(self, truth: Tensor, num_classes: int) -> list[dict[str, Any]]:
        """Describe each labeler for the summary: what is known of it, and three estimates of its error.

        ``error_contradicted`` is the share of its examined labels that were contradicted, ``error_dawid_skene`` the
        estimate from all samples with more than one answer, ``error_true`` the share of all its answers that were
        wrong. They are ``None`` where there is nothing to estimate from.

        Args:
            truth: The true label of each answer ``(A,)``.
            num_classes: Number of classes.
        """
        index, _, who, said, kind = self.answers.unbind(1)
        k = self.crowd.size
        agreed = self.cases[self.cases[:, 3] >= 0]
        examined = agreed[:, 1].bincount(minlength=k)
        contradicted = agreed[agreed[:, 2] != agreed[:, 3], 1].bincount(minlength=k)
        _, samples, answered = index.unique(return_inverse=True, return_counts=True)
        several = answered[samples] > 1
        samples = samples[several].unique(return_inverse=True)[1]
        overlaps = (samples, who[several], said[several])
        columns = {
            "labeler": torch.arange(k),
            "given": who[kind == 0].bincount(minlength=k),
            "extra": who[kind > 0].bincount(minlength=k),
            "examined": examined,
            "contradicted": contradicted,
            "confidence": self.confidence,
            "distrusted_since": torch.where(self.since < 0, torch.nan, self.since.double()),
            "error_contradicted": contradicted.double() / examined,
            "error_dawid_skene": dawid_skene(*overlaps, num_labelers=k, num_classes=num_classes).error,
            "error_true": who[said != truth].bincount(minlength=k).double() / who.bincount(minlength=k),
        }
        lists = {name: [None if v != v else v for v in column.tolist()] for name, column in columns.items()}
        lists["distrusted_since"] = [None if v is None else int(v) for v in lists["distrusted_since"]]
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Return tensors that :meth:`load_state_dict` takes."""
        return {name: getattr(self, name).clone() for name in self.STATE} | {"trusted": self.crowd.trusted.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the state of the trust in the same crowd."""
        for name in self.STATE:
            setattr(self, name, state[name].clone())
        self.crowd.trusted = state["trusted"].clone()
