"""Replay of a ledger: another network is trained on the labels, and crafted copies, that a finished run chose."""

import csv
import io
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from aal.callbacks.round_callback import Record, data_of
from aal.callbacks.rounds import Rounds
from aal.checks import at_least, refuse
from aal.errors import UserError
from aal.models.classifier import Classifier
from aal.pool import ORIGINS, STATUSES
from aal.runs.files import read_bytes, read_tensors, refuse_changed
from aal.runs.reading import read_summary

NONE = torch.empty(0, dtype=torch.int64)
NUMBERS = ("index", "label", "labeler", "round")  # columns of a ledger that are replayed
COLUMNS = (*NUMBERS, "strategy", "origin", "status")  # that are read


class ReplayLedger(Rounds):
    """Trains on the labels of a finished run, in the order in which they were given (paper *dfal*, section 4.4).

    Each round gives the labels up to the next number of ``at`` and trains from fresh weights. Crafted copies of that
    run are trained on from the round on that they came with; its pseudo-labels, which are another network's
    predictions, are not, nor are synthetic samples and the probabilities that a victim gave. Labels that were replaced
    or discarded in the end are left out.

    Args:
        run: Folder of the run: its ``ledger.csv``, ``summary.json`` and, where there is one, ``crafted.safetensors``.
        at: Numbers of labels to train with, ascending; ``null`` for those of the run's rounds.
        max_epochs: Most epochs a round.
        patience: Epochs without a lower loss after which a round has converged.
        min_delta: Least decrease of the loss, in nats, that counts as one.
        warm_start: Whether a round goes on from the weights of the last instead of fresh ones.

    Raises:
        UserError: ``at`` is not ascending; in ``setup``, no finished run in the folder, one on other data, that
            labelled poisons or whose ledger was altered, or fewer labels than ``at`` asks for; where this run goes on,
            another ledger than the one that it began with.
    """

    crafts = True  # as the run may have that is replayed

    def __init__(
        self,
        run: str,
        at: list[int] | None = None,
        max_epochs: int = 100,
        patience: int = 10,
        min_delta: float = 1e-3,
        warm_start: bool = False,
    ) -> None:
        super().__init__(max_epochs, patience, min_delta, warm_start)
        if at is not None:
            at_least(1, {"at": min(at, default=0)})
            refuse(at != sorted(set(at)), f"at: must be ascending, got {at}")
        self.run, self.at = run, at

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Read the run's files."""
        assert isinstance(module, Classifier)
        data = data_of(trainer)
        natural = len(data.pool.of_origin("natural"))
        self.ledger = read_ledger(Path(self.run), data.fingerprint, natural, module.num_classes)
        self.inputs = {f"the run that is replayed, its {name}": digest for name, digest in self.ledger.digests.items()}
        rounds = self.ledger.labels["round"]
        self.sizes = self.at or [*(rounds.diff().nonzero()[:, 0] + 1).tolist(), len(rounds)]
        refuse(self.sizes[-1] > len(rounds), f"at: {self.sizes[-1]} labels, but {self.run} has {len(rounds)}")

    def first_labels(self, trainer: pl.Trainer) -> None:
        """Give the labels of the first round."""
        self._give(trainer, 0)

    def to_reach(self, trainer: pl.Trainer) -> int:
        """Return how many samples are labelled when the run ends."""
        return self.sizes[-1]

    def is_last(self, trainer: pl.Trainer, record: Record) -> bool:
        """Whether all labels have been given."""
        return self.round == len(self.sizes) - 1

    def next_round(self, trainer: pl.Trainer, module: Classifier, record: Record) -> int:
        """Give the labels up to the next size; return how many they were, 0 when all have been given."""
        if self.is_last(trainer, record):
            self.ended_by = "ledger"
            return 0
        return self._give(trainer, self.round + 1)

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return what chose the labels and how many of them it queried."""
        data = data_of(trainer)
        initial = min(self.ledger.initial, len(data.pool.ledger))
        return {
            "strategy": self.ledger.strategy,
            "budget": len(data.pool.ledger) - initial,
            "pool": len(data.pool.of_origin("natural")) - initial,
            **data.extras.counts,
            "ended_by": self.ended_by,
        }

    def _give(self, trainer: pl.Trainer, round: int) -> int:
        """Give the labels and copies that the round ``round`` adds; return the number of labels."""
        data, ledger = data_of(trainer), self.ledger
        start, end = self.sizes[round - 1] if round else 0, self.sizes[round]
        between = min(max(start, ledger.initial), end)
        for first, last, strategy in ((start, between, "initial"), (between, end, ledger.strategy)):
            if first < last:
                given, labels, labelers = (ledger.labels[name][first:last] for name in ("index", "label", "labeler"))
                data.pool.label(given, labels, round=round, strategy=strategy, labelers=labelers)
        came = ledger.copies_until(end) & ~ledger.copies_until(start)
        if came.any():
            data.extras.craft(ledger.copies["x"][came], ledger.copies["source"][came], round=round)
        return end - start


@dataclass(frozen=True)
class Ledger:
    """What a run labelled, in order, and crafted.

    Attributes:
        strategy: What chose.
        initial: How many of the labels were initial.
        labels: ``index`` in the pool, ``label``, ``labeler`` and the ``round`` that first trained on each label,
            ascending, ``(L,)`` each.
        copies: Crafted copies ``x`` ``(M, ...)``, the index ``source`` that each was made from, and the ``round`` that
            first trained on it ``(M,)``.
        digests: SHA-256 of the files that this was read from, by their names.
    """

    strategy: str
    initial: int
    labels: dict[str, Tensor]
    copies: dict[str, Tensor]
    digests: dict[str, str]

    def copies_until(self, labels: int) -> Tensor:
        """Tell which copies came with the first ``labels`` labels, bool ``(M,)``."""
        latest = self.labels["round"][labels - 1] if labels else -1
        return torch.isin(self.copies["source"], self.labels["index"][:labels]) & (self.copies["round"] <= latest)


def read_ledger(run: Path, fingerprint: str, pool: int, classes: int) -> Ledger:
    """Read what a finished run labelled and crafted.

    Args:
        run: The run's folder.
        fingerprint: SHA-256 of the data that it must have been of.
        pool: Natural samples of these data's pool.
        classes: Classes that labels may be of.

    Raises:
        UserError: A file is missing, is not a run's, or not as that run left it; every row that cannot be replayed is
            named. The run had other data, or labelled poisons.
    """
    refuse(not (run / "summary.json").is_file(), f"run: {run}: no finished run there")
    summary, path, crafted = read_summary(run), run / "ledger.csv", run / "crafted.safetensors"
    refuse(
        summary.get("environment", {}).get("data_fingerprint") != fingerprint,
        f"run: {run}: that run had other data, or another seed that drew its splits",
    )
    try:
        table = csv.DictReader(io.StringIO(read_bytes(path).decode(), newline=""))
        refuse(not {*COLUMNS} <= {*(table.fieldnames or ())}, f"{path}: not the ledger of a run")
        rows = dict((table.line_num, row) for row in table)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not the ledger of a run ({error})") from None
    faults = [f"line {line}: {what}" for line, what in sorted(_faults(rows, pool, classes))]
    refuse(faults, f"{path}: altered since the run ended: {'; '.join(faults)}")
    rows = {line: row for line, row in rows.items() if row["status"] == "kept"}
    initial = sum(row["strategy"] == "initial" for row in rows.values())
    poisons = sum(row["origin"] != "natural" for row in rows.values())
    refuse(not rows, f"{path}: has no labels to replay")
    refuse(poisons, f"run: {run}: {poisons} of its {len(rows)} labels are of poisons, which cannot be replayed")
    digests = {name: digest for name, digest in summary.get("files", {}).items() if name in (path.name, crafted.name)}
    for file in (path, crafted):
        if file == path or file.name in digests:
            refuse_changed(file, digests.get(file.name), "replay another run, or run that one anew")
    labels = {name: torch.tensor([int(row[name]) for row in rows.values()]) for name in NUMBERS}
    none = {"x": torch.empty(0), "source": NONE, "round": NONE}
    copies = read_tensors(crafted) if crafted.name in digests else none
    return Ledger(summary["strategy"], initial, labels, copies, digests)


def _faults(rows: Mapping[int, Mapping[str, str]], pool: int, classes: int) -> Iterator[tuple[int, str]]:
    """Tell what is wrong with the rows of a ledger, and with those that are to be replayed, with the line of each."""
    numbers = {}
    for line, row in rows.items():
        if None in row or None in row.values():
            yield line, "has not as many fields as there are columns"
            continue
        for name, known in (("status", STATUSES), ("origin", ORIGINS)):
            if row[name] not in known:
                yield line, f"{name} {row[name]!r} is none of {', '.join(known)}"
        if row["status"] == "kept" and row["origin"] == "natural":
            try:
                numbers[line] = tuple(int(row[name]) for name in NUMBERS)
            except ValueError:
                yield line, "lacks a whole number"
    seen, in_order = set(), _ascending([round for *_, round in numbers.values()])
    for place, (line, (index, label, labeler, round)) in enumerate(numbers.items()):
        wrong = {
            f"index {index} is outside the pool of {pool}": not 0 <= index < pool,
            f"index {index} is given twice": index in seen,
            f"there is no class {label} among {classes}": not 0 <= label < classes,
            f"round {round} is out of order": place not in in_order or not 0 <= round < 2**31,
            f"there is no labeler {labeler}": not -1 <= labeler < 2**31,
        }
        yield from ((line, what) for what, there in wrong.items() if there)
        seen.add(index)


def _ascending(values: Sequence[int]) -> set[int]:
    """Return the places of a longest sequence among values that nowhere descends: the others are out of order."""
    lasts: list[int] = []  # of the sequences of each length, the lowest last value; its place, and the one before it
    places: list[int] = []
    before: list[int] = []
    for place, value in enumerate(values):
        length = bisect_right(lasts, value)
        before.append(places[length - 1] if length else -1)
        lasts[length : length + 1], places[length : length + 1] = [value], [place]
    place, found = places[-1] if places else -1, set()
    while place >= 0:
        found.add(place)
        place = before[place]
    return found
