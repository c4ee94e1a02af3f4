"""What a known share of each class says of a classifier: its expected accuracy, beside the area where it is right."""

import pytorch_lightning as pl
import torch

from aal.callbacks.round_callback import Record, RoundCallback, data_of
from aal.checks import refuse
from aal.datamodules.beta_sampling import BetaSampling
from aal.models import Classifier
from aal.models.choosing_classifier import ChoosingClassifier


class KnownEta(RoundCallback):
    """Adds what a known eta says of a round, and which arguments a :class:`ChoosingClassifier` chose in it.

    ``accuracy`` of a run on :class:`aal.datamodules.BetaSampling` is the share of uniform samples at which the
    classifier is the Bayes classifier. ``accuracy_drawn`` is its expected accuracy at the same samples on labels that
    are drawn from eta, ``accuracy_bayes`` that of the Bayes classifier.

    Raises:
        UserError: In ``setup``, data whose eta is not known.
    """

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Refuse data whose eta is not known."""
        data = data_of(trainer)
        refuse(
            not isinstance(data, BetaSampling),
            f"data: the eta of {type(data).__name__} is not known; take BetaSampling",
        )

    def on_round_end(self, trainer: pl.Trainer, module: Classifier, record: Record) -> None:
        """Add the columns."""
        data = data_of(trainer)
        assert isinstance(data, BetaSampling)
        indices = torch.arange(len(data.labels["test"]))
        said = data.map(lambda batch: module.classify(data.inputs("test", batch)).argmax(1), indices).cpu()
        eta = data.eta(data.samples["test"][indices])
        record["accuracy_drawn"] = float(torch.where(said == 1, eta, 1 - eta).mean())
        record["accuracy_bayes"] = float(torch.maximum(eta, 1 - eta).mean())
        if isinstance(module, ChoosingClassifier):
            record.update(module.figures)
