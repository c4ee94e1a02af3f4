"""The secured set: a drop of accuracy on it has the last batch of labels, and their labelers, examined."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from aal.callbacks.query_rounds import QueryRounds
from aal.callbacks.round_callback import Record, RoundCallback, data_of
from aal.callbacks.rounds import clock_of
from aal.checks import at_least, at_least_or_none, probability, refuse
from aal.data.splits import stratified
from aal.datamodules import ActiveDataModule
from aal.errors import RunStopped, UserError
from aal.models import Classifier
from aal.oracles import Crowd
from aal.oracles.trust import ANSWERS, DISPUTED, KINDS, UNEXAMINED, Rules, Trust, examiners_needed
from aal.runs.files import write_csv
from aal.seeds import generator


class SecuredSet(RoundCallback):
    """Guards against labelers who lie: checks each round's model on labelled samples that no attacker reaches.

    The samples are the datamodule's split ``secured``; they are never trained on, queried or crafted from. Where the
    accuracy on those in use is more than ``epsilon`` below the previous round's, the labels given before this round are
    examined by ``h`` other labelers each. A label that they disagree about is discarded. Who gave a label that they
    contradict loses confidence, or is audited at once (:meth:`aal.oracles.trust.Trust.weigh`): up to ``audit`` of its
    labels not examined yet are, too. If that is more than errors it is distrusted; else its confidence is whole again.
    Labels asked for to examine others are beside the budget, and counted. If labels have changed and nothing is left to
    query, one more round trains on the labels as they are now.

    A class of which the secured set in use has no sample is warned of: a drop in it is not seen, and its return after a
    refresh is no drop. With ``h = 1`` nothing can be disputed: the one examiner is believed, liar or not. A label is
    examined once, also where its examiner is distrusted later: a liar among the examiners has right labels of its class
    disputed, so that while it is trusted more of that class are discarded than of others. With fewer than ``h``
    labelers left a label is examined by those there are; with none it stays as it is. Consistent lies of a crowd that
    lies as one contradict nobody, and change nothing. When nobody is trusted any more the run ends; without ``dismiss``
    it does not, as the distrusted go on labelling and examining. The confidence in a distrusted labeler is left as it
    was when it was audited. Source: paper *robust*, section III.B and Figure 3; ``replace`` and ``dismiss`` are ours.

    Args:
        epsilon: Drop of the accuracy, from 0 to 1, above which the batch is examined; 1 for never.
        per_class: Whether the accuracy on any one class is enough to have dropped (ours); else that on all samples.
            Lies about one class may hide behind what is learned of others.
        size: Samples of the split in use at a time, stratified; ``null`` for all.
        refresh: Rounds after which others are drawn from the split, unused ones first (the paper's q); ``null`` for
            never.
        h: Labelers who examine a label; ``null``: as many as ``p_one`` and ``p_h`` ask for (Equation 3).
        p_one: Probability that a labeler is right, which also says how many errors an audit expects.
        p_h: Probability wanted that at least one of the examiners is right.
        amount: Confidence, of 1, that a contradicted label costs, divided by the model's largest probability.
        sure: Largest probability from which on a misclassification has the labeler audited instead.
        audit: Most labels that an audit examines.
        distrust: Confidence below which a labeler is audited, too.
        level: Probability that one audit of an honest labeler ends in distrust.
        replace: Whether the label that examiners agree on replaces the one given; else that stays.
        dismiss: Whether a distrusted labeler is asked no more, and all its labels that it gave to queries are examined
            that were not before. Those that it gave as an examiner stay.

    Raises:
        UserError: A number outside its range; in ``setup``, no secured set, more samples than it has, or an oracle
            that is no crowd of two or more.
        RunStopped: All labels were discarded.
    """

    STATE = ("draws", "used", "in_use", "before", "accuracy", "counts")

    def __init__(
        self,
        epsilon: float = 0.01,
        per_class: bool = False,
        size: int | None = None,
        refresh: int | None = None,
        h: int | None = None,
        p_one: float = 0.9391,
        p_h: float = 0.9995,
        amount: float = 0.05,
        sure: float = 0.9,
        audit: int = 20,
        distrust: float = 0.5,
        level: float = 0.01,
        replace: bool = True,
        dismiss: bool = True,
    ) -> None:
        probability({"epsilon": epsilon, "sure": sure, "distrust": distrust, "level": level})
        at_least(0, {"amount": amount, "audit": audit})
        at_least_or_none(1, {"size": size, "refresh": refresh, "h": h})
        refuse(
            refresh is not None and size is None,
            "refresh: all of the secured set is in use; set size, so that others can be drawn",
        )
        self.epsilon, self.per_class, self.size, self.refresh = epsilon, per_class, size, refresh
        self.audit, self.replace, self.dismiss = audit, replace, dismiss
        needed = examiners_needed(p_one, p_h)  # which checks both
        self._rules = Rules(h or needed, p_one, amount=amount, sure=sure, distrust=distrust, level=level)
        self.draws, self.accuracy = 0, 0.0
        # The accuracies to compare with, on all samples or on each class; nothing is below NaN.
        self.before = torch.tensor([torch.nan], dtype=torch.float64)
        self.counts = {"discarded": 0, "relabelled": 0, "unexamined": 0}

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Refuse what cannot be done before anything is; draw the first samples."""
        data, clock = data_of(trainer), clock_of(trainer)
        crowd = clock.oracle if isinstance(clock, QueryRounds) else None
        if not isinstance(crowd, Crowd) or crowd.size < 2:
            raise UserError("h: labels are examined by other labelers; the query's oracle must be a crowd of 2")
        available = len(data.samples.get("secured", ()))
        refuse(not available, "size: the datamodule's secured is 0; hold some samples out, or do without this callback")
        refuse((self.size or 0) > available, f"size: {self.size} samples, but the secured set has {available}")
        if self._rules.h > crowd.size - 1:
            rank_zero_warn(
                f"h: {self._rules.h} labelers are to examine each label, and "
                f"a crowd of {crowd.size} has {crowd.size - 1} others"
            )
        self.trust = Trust(crowd, self._rules)
        self.used = torch.zeros(available, dtype=torch.bool)
        self._draw(data)

    def on_labels_given(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Keep the answers to the last query."""
        self.labels_changed = False  # in the round to come; a run that goes on from here knows no more
        rows = data_of(trainer).pool.asked[self.trust.given :]
        columns = torch.tensor([(row.index, row.round, row.labeler, row.label) for row in rows], dtype=torch.int64)
        self.trust.note(columns.view(-1, 4), "given")
        self._write(trainer)

    def on_round_end(self, trainer: pl.Trainer, module: Classifier, record: Record) -> None:
        """Compare the accuracy with the round's before; examine the last batch if it has dropped."""
        data, round = data_of(trainer), record["round"]
        right = self._right(data, module)
        self.accuracy, now = float(right.double().mean()), self._compared(data, right)
        self.labels_changed = False
        if (self.before - now > self.epsilon + 1e-9).any():  # not for a rounding error
            self._examine_batch(data, module, round)
            self._write(trainer)
        self.before = now
        if self.refresh is not None and round and round % self.refresh == 0:
            self._draw(data)
            self.before = self._compared(data, self._right(data, module))
        record.update(self._columns())

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return the last round's columns, the secured set's size and cost, and what is known of each labeler."""
        data, answers = data_of(trainer), self.trust.answers
        return {
            **self._columns(),
            "unexamined": self.counts["unexamined"],
            "secured_size": len(self.in_use),
            "secured_cost": int(self.used.sum()),
            "labelers": self.trust.labelers(data.labels["pool"][answers[:, 0]], data.num_classes),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return trust, the samples in use, and what the next round is compared with."""
        return {"trust": self.trust.state_dict(), **super().state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what a checkpoint holds."""
        super().load_state_dict(state_dict)
        self.trust.load_state_dict(state_dict["trust"])

    def _draw(self, data: ActiveDataModule) -> None:
        """Put samples into use that were not yet, as long as there are any, in the classes' proportions."""
        labels, chance = data.labels["secured"], generator(data.seed, "secured set", self.draws)
        size = len(labels) if self.size is None else self.size
        new, old = (~self.used).nonzero()[:, 0], self.used.nonzero()[:, 0]
        first = min(size, len(new))
        parts = [_stratum(labels, new, first, chance), _stratum(labels, old, size - first, chance)]
        self.in_use = torch.cat(parts).sort().values
        self.used[self.in_use] = True
        self.draws += 1
        missing = [c for c in range(data.num_classes) if not (labels[self.in_use] == c).any()]
        if missing:
            rank_zero_warn(f"the secured set in use has no sample of the classes {missing}: a drop in them is not seen")

    def _right(self, data: ActiveDataModule, module: Classifier) -> Tensor:
        """Tell which of the samples in use the model classifies rightly, bool ``(n,)``."""
        predicted = data.map(lambda batch: module.classify(data.inputs("secured", batch)).argmax(1), self.in_use)
        return predicted.cpu() == data.labels["secured"][self.in_use]

    def _compared(self, data: ActiveDataModule, right: Tensor) -> Tensor:
        """Return the accuracy on all samples ``(1,)``, or on each class ``(C,)``, NaN where there are none."""
        if not self.per_class:
            return right.double().mean()[None]
        labels, size = data.labels["secured"][self.in_use], data.num_classes
        return labels[right].bincount(minlength=size).double() / labels.bincount(minlength=size)

    def _examine_batch(self, data: ActiveDataModule, module: Classifier, round: int) -> None:
        """Examine the labels that this round was the first to train on, and audit who is suspected then."""
        cases = self._examine(data, self.trust.unexamined(round=round), round, "examined")
        contradicted = cases[(cases[:, 3] >= 0) & (cases[:, 2] != cases[:, 3])]
        if not len(contradicted):
            return
        logits = data.map(lambda batch: module.classify(data.inputs("pool", batch)), contradicted[:, 0])
        for labeler in self.trust.weigh(contradicted, logits.double().softmax(1).cpu()):
            self._examine(data, self.trust.to_audit(labeler, self.audit), round, "audited")
            if self.trust.convicts(labeler):
                self.trust.condemn(labeler, round=round, dismiss=self.dismiss)
                if self.dismiss:
                    self._examine(data, self.trust.unexamined(labeler=labeler), round, "audited")
            else:
                self.trust.clear(labeler)

    def _examine(self, data: ActiveDataModule, indices: Tensor, round: int, kind: str) -> Tensor:
        """Have labels ``(n,)`` examined, discard and replace what they should not be; return the cases ``(n, 4)``."""
        cases, examiners = self.trust.examine(indices, round=round, kind=kind)
        given, verdicts = cases[:, 2], cases[:, 3]
        disputed, wrong = verdicts == DISPUTED, (verdicts >= 0) & (verdicts != given) & self.replace
        data.pool.discard(indices[disputed])
        data.pool.relabel(
            indices[wrong], verdicts[wrong], round=round + 1, strategy=type(self).__name__, labelers=examiners[wrong]
        )
        for name, these in (("discarded", disputed), ("relabelled", wrong), ("unexamined", verdicts == UNEXAMINED)):
            self.counts[name] += int(these.sum())
        self.labels_changed |= bool((disputed | wrong).any())
        refuse(
            not len(data.pool.labelled),
            f"round {round}: the examiners agreed about no label, and all were discarded",
            RunStopped,
        )
        return cases

    def _columns(self) -> Record:
        return {
            "secured_accuracy": self.accuracy,
            "extra_labels": self.trust.extra,
            "discarded": self.counts["discarded"],
            "relabelled": self.counts["relabelled"],
            "trust": float(self.trust.confidence.min()),
            "distrusted": int((self.trust.since >= 0).sum()),
        }

    def _write(self, trainer: pl.Trainer) -> None:
        """Write ``answers.csv`` anew: every answer of every labeler, in order."""
        if not trainer.is_global_zero:
            return
        *columns, kind = ANSWERS
        known = data_of(trainer).labels["pool"][self.trust.answers[:, :1]]
        rows = ((*row[:4], row[5], KINDS[row[4]]) for row in torch.cat([self.trust.answers, known], dim=1).tolist())
        write_csv(Path(trainer.default_root_dir) / "answers.csv", (*columns, "true_label", kind), rows, durable=False)


def _stratum(labels: Tensor, places: Tensor, size: int, chance: torch.Generator) -> Tensor:
    """Draw ``size`` of ``places`` in the proportions of their classes."""
    if size in (0, len(places)):
        return places[:size]
    share = size / len(places)
    return places[stratified(labels[places], (share, 1 - share), chance)[0]]
