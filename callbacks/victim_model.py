"""The victim of a run: a classifier trained on its own data, whose labels the adversary is answered with."""

from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from aal.callbacks.round_callback import Record, RoundCallback, data_of
from aal.callbacks.rounds import clock_of
from aal.checks import argument, one_of, refuse
from aal.datamodules import ActiveDataModule
from aal.models import Classifier, InstanceClassifier
from aal.models.fitting import agreement, predict, train
from aal.oracles import Victim
from aal.oracles.victim import LABELS
from aal.runs.files import digest_of, read_tensors, refuse_changed, write_tensors
from aal.seeds import key

FILE = "victim.safetensors"
ANSWERS = ("labels", "probabilities")


class VictimModel(RoundCallback):
    """Trains a victim, as the clock trains its rounds, and has it answer the oracle's queries (paper *shadow*).

    Its training set is the datamodule's split ``victim``, with the true labels. It is trained before the first label is
    given, and its weights are the file ``victim.safetensors`` of the run. From then on what the pool's samples are
    called is what the victim calls them; the ledger keeps the true labels beside.

    Args:
        model: The victim; the CLI takes it from the key ``victim``.
        answers: ``labels``, or ``probabilities``, on which the shadow is trained then, with the cross entropy; a label
            that a labeler gives instead of the victim's stays a label. The CLI takes it from ``victim_answers``.

    Attributes:
        victim: Answers and counts, once the run has begun.

    Raises:
        UserError: In ``setup``, a clock that asks nobody, a datamodule without a split ``victim``; when the run starts,
            a victim that trains with a Trainer alone; where it goes on, the victim's file is gone or another. A shadow
            that takes its training set in, where the victim gives probabilities.
    """

    STATE = ("digest", "queries", "epochs")
    columns = ("fidelity", "queries_labels", "queries_attack")

    def __init__(self, model: Classifier, answers: str = "labels") -> None:
        one_of(ANSWERS, {"answers": answers})
        self.model, self.gives_probabilities = model, answers == ANSWERS[1]
        self.digest = ""
        self.epochs = 0
        self.queries: dict[str, int] = {}
        self.labels: dict[str, Tensor] = {}  # the victim's, of splits

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Refuse data without a split for the victim; answer for the pool from now on."""
        data, clock = data_of(trainer), clock_of(trainer)
        refuse(not clock.asks, f"victim: {type(clock).__name__} asks nobody for labels; set victim: null")
        refuse(
            "victim" not in data.samples,
            f"victim: {data.name} has no split victim that one could be trained on; HalfMoons, Abalone and others have",
        )
        refuse(
            self.gives_probabilities and isinstance(module, InstanceClassifier),
            f"victim_answers: {type(module).__name__} takes in labels, not probabilities; set it to labels",
        )
        self.victim = Victim(self.model, data.samples["pool"].__getitem__, data.scoring_batch_size)
        data.answers = partial(self._answers, data)

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Train the victim, or take the one that the run began with."""
        data, path = data_of(trainer), Path(trainer.default_root_dir) / FILE
        x, labels = whole(data, "victim")
        self.model.to(data.device)
        if self.digest:
            refuse_changed(path, self.digest, "put it back, or begin another run")
            self.model.load_state_dict(read_tensors(path))
            self.victim.queries = dict(self.queries)
        else:
            clock = clock_of(trainer)
            with argument("victim"):
                self.epochs = train(
                    self.model,
                    x,
                    labels,
                    seed=key(data.seed, "victim"),
                    batch_size=data.batch_size,
                    max_epochs=clock.max_epochs,
                    patience=clock.patience,
                    min_delta=clock.min_delta,
                )
            if trainer.is_global_zero:
                write_tensors(path, {name: value.contiguous() for name, value in self.model.state_dict().items()})
            trainer.strategy.barrier("victim written")
            self.digest = digest_of(path)
        test, truth = whole(data, "test")
        logits = predict(self.model, test, data.scoring_batch_size)
        self.labels["test"] = logits.argmax(1).cpu()
        self.accuracy = agreement(logits, truth)
        self.train_accuracy = agreement(predict(self.model, x, data.scoring_batch_size), labels)

    def answer(self, x: Tensor) -> Tensor:
        """Return the labels ``(B,)``, or probabilities ``(B, C)``, of samples ``(B, ...)``, as queries for labels."""
        return (self.victim.probabilities if self.gives_probabilities else self.victim.predict)(x, LABELS)

    def _answers(self, data: ActiveDataModule, indices: Tensor) -> Tensor:
        """Return the labels ``(n,)`` of indices ``(n,)`` of the pool; probabilities are kept beside them."""
        found = self.answer(data.samples["pool"][indices]).cpu()
        if self.gives_probabilities:
            data.extras.soften(indices.cpu(), found)
            found = found.argmax(1)
        return found.to(indices.device)

    def on_round_end(self, trainer: pl.Trainer, module: Classifier, record: Record) -> None:
        """Add the fidelity, the share of test samples to which both give one label, and what was asked so far."""
        data, labels = data_of(trainer), self.labels["test"]
        found = data.map(lambda batch: module.classify(data.inputs("test", batch)).argmax(1), torch.arange(len(labels)))
        record["fidelity"] = float((found.cpu() == labels).double().mean())
        record |= self._counts()

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return what the victim is, how good, and what it was asked."""
        return {
            "victim": type(getattr(self.model, "network", self.model)).__name__,
            "victim_samples": len(data_of(trainer).samples["victim"]),
            "victim_epochs": self.epochs,
            "victim_answers": ANSWERS[self.gives_probabilities],
            "victim_accuracy": self.accuracy,
            "victim_train_accuracy": self.train_accuracy,
            "knows": known_truth(data_of(trainer)),
            **self._counts(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the victim's digest and what it was asked so far."""
        self.queries = dict(self.victim.queries)
        return super().state_dict()

    def _counts(self) -> dict[str, int]:
        return {f"queries_{purpose}": count for purpose, count in self.victim.queries.items()}


def known_truth(data: ActiveDataModule) -> list[str]:
    """Return, in words, which true labels the adversary has: those of samples held out of its pool."""
    return [f"the true labels of the split {split}" for split in ("val", "secured") if split in data.samples]


def whole(data: ActiveDataModule, split: str) -> tuple[Tensor, Tensor]:
    """Return all samples ``(N, ...)`` of a split and their true labels ``(N,)``, on the classifier's device."""
    x = data.samples[split][torch.arange(len(data.samples[split]))]
    return x.to(data.device), data.labels[split].to(data.device)
