"""The contract of what happens at the end of a round, besides the clock itself."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytorch_lightning as pl

from aal.checks import refuse
from aal.datamodules.base import ActiveDataModule
from aal.errors import RunStopped
from aal.models.classifier import Classifier

Record = dict[str, Any]


class RoundCallback(pl.Callback):
    """A callback that the clock tells of each round's end.

    Attributes:
        STATE: Names of the attributes that a checkpoint keeps: tensors, numbers, lists and maps of them.
        labels_changed: Whether labels that the last round was trained on were changed at its end. Then a round that
            trains on the new ones comes, even if there is nothing left to query.
        columns: Columns that it may add to a record, though not to every one.
        inputs: Digests of what it reads besides data and weights, by what a user calls it; known after ``setup``.
        class_maps: Which class is to be taken for which, by the name that ``targets`` of an evaluation has for the map;
            known after ``setup``.
        new_classes: Number of classes beyond the data's that it gives labels of; the classifier gets a logit for each.
        coming: Number of samples that it is yet to add to the pool before round 0, known after ``setup``.
    """

    STATE: tuple[str, ...] = ()
    labels_changed = False
    columns: tuple[str, ...] = ()
    inputs: Mapping[str, str] = MappingProxyType({})
    class_maps: Mapping[str, dict[int, int]] = MappingProxyType({})
    new_classes = 0
    coming = 0

    def on_round_end(self, trainer: pl.Trainer, module: Classifier, record: Record) -> None:
        """See a round's record, and add columns to it, after training and evaluation and before the next query."""

    def on_labels_given(self, trainer: pl.Trainer, module: Classifier) -> None:
        """See the pool after labels were given, at the start of the run too."""

    def remark(self, record: Record) -> str:
        """Return what else the display says of a round, told its record; may be empty."""
        return ""

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return what this callback adds to the run's summary."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {name: getattr(self, name) for name in self.STATE}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what a checkpoint holds."""
        for name in self.STATE:
            setattr(self, name, state_dict[name])


def refuse_columns(record: Record, before: Record, called: str) -> None:
    """Refuse what a callback made of a record that is none: columns have texts or finite numbers, and are only added.

    Raises:
        RunStopped: Names the callback, as it is ``called``, and the column.
    """
    for column in before:
        refuse(record.get(column) != before[column], f"{called}: changed the column {column}", RunStopped)
    for column, value in record.items():
        plain = isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value))
        refuse(
            not plain or not isinstance(column, str),
            f"{called}: the column {column} is {value!r}, no text and no finite number",
            RunStopped,
        )


def round_callbacks(trainer: pl.Trainer) -> list[RoundCallback]:
    """Return the Trainer's round callbacks in order."""
    return [callback for callback in callbacks_of(trainer) if isinstance(callback, RoundCallback)]


def callbacks_of(trainer: pl.Trainer) -> list[pl.Callback]:
    """Return all of the Trainer's callbacks in order."""
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning's connector sets it
    return callbacks


def data_of(trainer: pl.Trainer) -> ActiveDataModule:
    """Return the Trainer's datamodule."""
    datamodule = trainer.datamodule  # type: ignore[attr-defined]  # Lightning's connector sets it
    assert isinstance(datamodule, ActiveDataModule)
    return datamodule
