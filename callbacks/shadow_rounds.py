"""Shadow rounds: an adversary makes a training set with a victim's help, and trains a shadow of the victim on it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from aal.attacks import Attack, CarliniWagner
from aal.attacks.training_set import NonParametric
from aal.callbacks.adversarial_retraining import AdversarialRetraining
from aal.callbacks.poisoning import Poisoning
from aal.callbacks.round_callback import Record, data_of, round_callbacks
from aal.callbacks.rounds import Rounds
from aal.callbacks.secured_set import SecuredSet
from aal.callbacks.victim_model import VictimModel, known_truth, whole
from aal.checks import at_least, refuse
from aal.datamodules import ActiveDataModule
from aal.errors import RunStopped
from aal.models import Classifier
from aal.models.fitting import agreement, predict
from aal.report.run_page import PAGES
from aal.report.shadow_figure import FIGURE, shadow_figure
from aal.report.shadow_page import shadow_page
from aal.report.style import render
from aal.runs.files import write_bytes
from aal.synthesis import Adversary, Made, Synthesis
from aal.synthesis.boundary_distance import boundary_distance

ALONE = {"poison": Poisoning, "secured": SecuredSet, "retraining": AdversarialRetraining}
NAME = "synthesis"  # in the ledger

PAGES.append(shadow_page)


class ShadowRounds(Rounds):
    """Steals a model: a round for each size of the training set that synthesis makes (paper *shadow*, section 4).

    The victim is the key ``victim``, the shadow the key ``model``. Each round trains the shadow from fresh weights on
    the samples of the rounds before it and on those that it adds.

    Args:
        synthesis: What the shadow is trained on.
        budgets: Samples that synthesis makes in all, in each round: ascending. Those of the victim's training set that
            are kept are beside it. Where an attack fails, or sources are right or of the test split and the victim gets
            fewer right, there are fewer; with each source's own sample kept an odd budget makes one less.
        max_epochs: Most epochs a round, of the victim too.
        patience: Epochs without a lower loss after which a round has converged, and the victim.
        min_delta: Least decrease of the loss, in nats, that counts as one.

    Raises:
        UserError: Budgets that are not ascending or below 1; in ``setup``, no victim, a callback that changes the
            training set, more samples than there are sources for, more answers for a substitute than the pool has
            samples, an attack that needs bounds where the samples have none.
    """

    counted = "budget"
    asks = True
    STATE = (*Rounds.STATE, "failed", "moved", "l2", "linf")

    def __init__(
        self,
        synthesis: Synthesis,
        budgets: Sequence[int] = (100,),
        max_epochs: int = 100,
        patience: int = 10,
        min_delta: float = 1e-3,
    ) -> None:
        super().__init__(max_epochs, patience, min_delta)
        refuse(not budgets, "budgets: name at least one, such as [100]")
        at_least(synthesis.each, {"budgets": min(budgets, default=None)})
        rising = all(one < other for one, other in pairwise(budgets))
        refuse(not rising, f"budgets: must be ascending, got {list(budgets)}")
        self.synthesis, self.budgets = synthesis, tuple(budgets)
        self.failed, self.moved = 0, 0  # sources that no point, and that a point, was made of
        self.l2, self.linf = 0.0, 0.0  # how far the points are from their sources, in sum
        self._made: Made | None = None  # of all sources, where their order asked for it

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Refuse what the data and the other callbacks cannot give."""
        callbacks, data = round_callbacks(trainer), data_of(trainer)
        victims = [callback for callback in callbacks if isinstance(callback, VictimModel)]
        refuse(not victims, "victim: a shadow is one of a victim; say which classifier it is")
        self._victim = victims[0]
        for name, kind in ALONE.items():
            there = any(isinstance(callback, kind) for callback in callbacks)
            refuse(there, f"{name}: changes what is trained on, as the synthesis does; set {name}: null")
        asked, bounds = self.synthesis.substitute_labels, data.samples["pool"].bounds
        own = len(data.samples["pool"])
        refuse(asked > own, f"synthesis: substitute_labels: {asked} samples, but the pool has {own}")
        refuse(
            isinstance(self.synthesis.attack, CarliniWagner) and not math.isfinite(bounds[1] - bounds[0]),
            f"synthesis: CarliniWagner needs bounds, and {data.name} has none; give the data a box",
        )
        most = len(data.samples[self.synthesis.of]) * self.synthesis.each
        refuse(self.budgets[-1] > most, f"budgets: {self.budgets[-1]} samples, but {data.name} gives {most} at most")

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """See what the adversary has, and in which order it is used; then as every clock."""
        data, victim = data_of(trainer), self._victim.victim
        samples = data.samples["pool"]
        self._adversary = Adversary(
            victim=victim,
            own=lambda places: samples[places].to(data.device),
            own_labels=data.labels["pool"],
            victim_set=whole(data, "victim"),
            test_set=whole(data, "test"),
            bounds=samples.bounds,
            num_classes=data.num_classes,
            seed=data.seed,
            batch_size=data.scoring_batch_size,
        )
        self.synthesis = synthesis = self.synthesis.fitted(self._adversary)
        asked = dict(victim.queries)
        self._attacked = synthesis.attacked(self._adversary)
        if synthesis.order == "random":
            self._order = synthesis.sources(self._adversary)
        else:
            self._order, self._made = synthesis.by_confidence(self._adversary, self._attacked)
        if self._begun(data):
            victim.queries = asked  # a run that goes on has asked all this before
        super().on_fit_start(trainer, module)

    def first_labels(self, trainer: pl.Trainer) -> None:
        """Make the samples of the first round."""
        data = data_of(trainer)
        if self._begun(data):
            return  # a run that goes on, in which no sample of the pool was asked about
        if self.synthesis.keep == "victim":
            data.extras.kept = "victim"
        self._grow(data, 0, self.budgets[0], 0)

    def to_reach(self, trainer: pl.Trainer) -> int:
        """Return the last round's budget."""
        return self.budgets[-1]

    def is_last(self, trainer: pl.Trainer, record: Record) -> bool:
        """Whether there is no further budget."""
        return self.round + 1 >= len(self.budgets)

    def next_round(self, trainer: pl.Trainer, module: Classifier, record: Record) -> int:
        """Make the samples that the next round adds; return how many that may be, 0 at the end of the run."""
        if self.is_last(trainer, record):
            self.ended_by = "budget"
            return 0
        first, last = self.budgets[self.round : self.round + 2]
        self._grow(data_of(trainer), first, last, self.round + 1)
        return last - first

    def judge(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Draw the plane as the round's shadow and the victim see it, where samples are points of the plane."""
        data = data_of(trainer)
        if data.sample_shape == (2,) and trainer.is_global_zero:
            labelled, victim_set = data.pool.labelled, self._adversary.victim_set
            parts = [victim_set] if data.extras.kept else []
            parts.append((data.samples["pool"][labelled], data.pool.labels[labelled]))
            parts.append((data.extras.synthetic, data.extras.synthetic_labels))
            points, labels = (torch.cat([part.to(data.device) for part in each]) for each in zip(*parts, strict=True))
            title = f"{self.synthesis.called}, {self.figures['budget']} samples"
            figure = shadow_figure(self._victim.model, module, victim_set[0], points, labels.cpu(), title)
            path = Path(trainer.default_root_dir) / FIGURE.format(self.round)
            write_bytes(path, render(figure), durable=False)
        return {}

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return what was made and how, and how far from the victim's boundary it is."""
        data, synthesis = data_of(trainer), self.synthesis
        made = torch.cat([data.samples["pool"][data.pool.labelled], data.extras.synthetic])
        return {
            "strategy": synthesis.called,
            "budget": self.budgets[-1],
            "made": len(made),
            "pool": len(data.samples["pool"]),
            "knows": [*synthesis.knows, *known_truth(data)],
            **self._substitute(),
            **self.figures,
            **boundary_distance(self._victim.model, made, self._adversary.bounds, data.device, data.seed),
            "ended_by": self.ended_by,
        }

    def _substitute(self) -> Record:
        """Return how good a substitute is: how often it agrees with the victim on test samples, and its loss."""
        if self.synthesis.substitute is None:
            return {}
        assert isinstance(self._attacked, Classifier)
        logits = predict(self._attacked, self._adversary.test_set[0], self._adversary.batch_size)
        return {
            "substitute_fidelity": agreement(logits, self._victim.labels["test"]),
            "substitute_loss": self._attacked.train_loss,
        }

    def _begun(self, data: ActiveDataModule) -> bool:
        return bool(data.pool.ledger or data.extras.kept) or len(data.extras.synthetic) > 0

    def _grow(self, data: ActiveDataModule, first: int, last: int, round: int) -> None:
        """Add the samples from a budget to another to what is trained on."""
        synthesis, adversary = self.synthesis, self._adversary
        places = torch.arange(first // synthesis.each, min(last // synthesis.each, len(self._order)))
        sources = self._order[places]
        with data.progress.task("making samples", len(sources)) as task:
            adversary = replace(adversary, advance=task.advance)
            labels = self._label(data, sources, None, round) if synthesis.keep == "sources" else None
            if self._made is None:
                made = synthesis.make(adversary, self._attacked, sources, labels)
            else:
                made = self._made.at(places)
        kept = made.success
        if synthesis.attack is None and synthesis.of == "pool":
            self._label(data, sources, self._known(made), round)
        elif synthesis.labels == "source":
            data.extras.synthesize(made.x[kept], synthesis.true_labels(adversary, sources[kept]), round=round)
        else:
            x, known = made.x[kept], self._known(made)
            answers = self._victim.answer(x.to(data.device)) if known is None else known[kept]
            data.extras.synthesize(x, answers, round=round)
        refuse(
            not len(data.pool.labelled) and not len(data.extras.synthetic) and not data.extras.kept,
            f"round {round}: {synthesis.called} made none of {len(sources)} samples, and there is nothing to train on; "
            f"{remedy(synthesis.attack)}",
            RunStopped,
        )
        self.failed += int((~kept).sum())
        self.moved += int(kept.sum())
        self.l2 += float(made.distance[kept].double().sum())
        self.linf += float(made.farthest[kept].double().sum())
        self.figures = {"budget": last, "failed": self.failed}
        if synthesis.attack is not None and self.moved:
            self.figures |= {"perturbation_l2": self.l2 / self.moved, "perturbation_linf": self.linf / self.moved}

    def _known(self, made: Made) -> Tensor | None:
        """Return the victim's answers, where it was asked about all that was made: labels, or probabilities."""
        if not made.probabilities.shape[1]:
            return None
        return made.probabilities if self._victim.gives_probabilities else made.probabilities.argmax(1)

    def _label(self, data: ActiveDataModule, indices: Tensor, answers: Tensor | None, round: int) -> Tensor:
        """Give samples of the pool the victim's labels, which are asked for where they are not known; return them."""
        if answers is None:
            labels = data.answers(indices).cpu()
        elif answers.ndim == 2:
            data.extras.soften(indices, answers)
            labels = answers.argmax(1)
        else:
            labels = answers
        data.pool.label(indices, labels, round=round, strategy=NAME, labelers=torch.zeros_like(indices))
        return labels


def remedy(attack: Attack | None) -> str:
    """Return what may help where an attack could make nothing."""
    if isinstance(attack, NonParametric):
        return "is the attack told what the victim is, such as its k?"
    return "of a classifier without gradients it needs a substitute"
