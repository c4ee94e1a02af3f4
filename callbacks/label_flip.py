"""Label flips: a round on clean labels, then rounds that each flip one selection and are trained from fresh weights."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from aal.callbacks.adversarial_retraining import AdversarialRetraining
from aal.callbacks.poisoning import Poisoning
from aal.callbacks.round_callback import Record, data_of, round_callbacks
from aal.callbacks.rounds import Rounds
from aal.callbacks.secured_set import SecuredSet
from aal.checks import at_least, class_map, refuse
from aal.flips import CleanSet, FlipSelector, FlipView, Suspects, TooFew
from aal.flips.suspects import write_paths, write_suspects
from aal.flips.trials import ALL, Places, check_budget, flips_of, trials_of
from aal.models import Classifier, TransferClassifier, holding
from aal.report.flip_figures import draw_regions, draw_suspects
from aal.report.flip_outcomes import selection_of
from aal.report.flips_page import flips_page
from aal.report.run_page import PAGES
from aal.robustness import next_class
from aal.strategies import Selection

ALONE = {"poison": Poisoning, "secured": SecuredSet, "retraining": AdversarialRetraining}
HONEST, ATTACKER = 0, -1  # labelers in the ledger
TAKEN = ("clean", "placed", "initial", "restored")  # names of what is no selector's work


PAGES.append(flips_page)


class LabelFlip(Rounds):
    """Mislabels a budget of training points and measures what it does (paper *noise*, chapter 4).

    Round 0 trains the clean classifier on all natural samples of the pool with their true labels; selectors measure
    what they need with it. Each later round flips the labels of one selection, trains from fresh weights and
    evaluates; then the labels return. A round ends when the training set is memorised: when every sample of it is
    classified as it is labelled. One that is not by ``max_epochs`` counts as not memorised, in the column
    ``memorised`` and in the report. Rounds of the same repeat begin with the same weights, whatever they flip.
    Adversarial accuracy depends on how long a network was trained, and clean labels are memorised first: with
    ``min_epochs`` as many as the flips take, all rounds are compared at equal training (section 4.1.2).

    Where the datamodule places samples (:class:`aal.flips.trials.Places`), each of its groups is a selection too, by
    the name ``placed``: it joins the training set for its round, with the label that is not true of it.

    Args:
        selectors: What chooses the labels to flip, by the name that tables have for it; none: only the clean
            classifier is trained.
        targets: What a label is flipped to. ``next``: the next class, of the last the first. ``new``: a class that no
            sample has, and for which the classifier gets a logit more. A map such as ``{9: 0}``, ``{9: new}`` or
            ``{cat: dog}``: only these classes are flipped. A number counts from 0, a text is a name.
        budget: Labels to flip.
        per_class: Whether the budget is of each class; else of all together.
        repeats: How often each selection is tried, each time with other initial weights.
        redraw: Whether a repeat selects anew; else all repeats flip the same labels.
        suspects: Lists the training points with the shortest paths in ``suspects.csv`` and draws them; ``null``: not.
            Without selectors nothing is flipped then, and nothing that the datamodule placed is mislabelled.
        min_epochs: Least epochs a round, that of the clean classifier included, unless ``max_epochs`` is less.
        max_epochs: Most epochs a round.

    Raises:
        UserError: A number below 1, a name that cannot be a curve's, targets that make no sense; in ``setup``, another
            callback that changes the training set, a class that there is not, a budget above the samples of a class or
            of any bucket, a backbone that is unfrozen between rounds, what a selector's ``check`` refuses.
    """

    counted = "round"
    STATE = (*Rounds.STATE, "trial", "flipped", "weights", "passed_over", "not_memorised")

    def __init__(
        self,
        selectors: dict[str, FlipSelector] | None = None,
        targets: Literal["next", "new"] | dict[str | int, str | int] = "next",
        budget: int = 10,
        per_class: bool = True,
        repeats: int = 1,
        redraw: bool = True,
        suspects: Suspects | None = None,
        min_epochs: int = 1,
        max_epochs: int = 200,
    ) -> None:
        super().__init__(max_epochs=max_epochs)
        at_least(1, {"budget": budget, "repeats": repeats, "min_epochs": min_epochs})
        self.selectors, self.targets, self.suspects = selectors or {}, targets, suspects
        self.budget, self.per_class, self.repeats, self.redraw = budget, per_class, repeats, redraw
        self.min_epochs = min(min_epochs, max_epochs)
        for name in self.selectors:
            no_name = f"selectors: {name!r} cannot name one"
            refuse(not str(name).isidentifier(), f"{no_name}; take letters, then also digits and _")
            refuse(name in TAKEN, f"{no_name}; records and ledger have it for another")
        refuse(
            not isinstance(targets, dict) and targets not in ("next", "new"),
            f"targets: must be next, new or a map of classes, got {targets!r}",
        )
        refuse(targets == {}, "targets: the map names no class")
        self.new_classes = int("new" in (targets.values() if isinstance(targets, dict) else (targets,)))
        self.trial = -1  # which one this round tries; -1: none, labels are clean
        self.flipped = torch.empty(0, dtype=torch.int64)  # what is mislabelled in this round
        self.weights: dict[str, Tensor] = {}  # of the clean classifier
        self.passed_over: dict[str, str] = {}  # trials that could not be made, with the reason
        self.not_memorised: list[int] = []  # rounds
        self.memorised = False  # whether the last epoch ended with the training set memorised
        self._upcoming: tuple[int, Selection] | None = None  # what the next round flips

    @property
    def draw_of_weights(self) -> int:
        """Which draw of fresh weights this round begins with: its repeat's."""
        return self.trials[self.trial].repeat if self.trial >= 0 else 0

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Refuse what the data, the module and the other callbacks cannot give; plan the rounds."""
        assert isinstance(module, Classifier)
        data, inputs = data_of(trainer), data_of(trainer).sample_shape
        for key, kind in ALONE.items():
            refuse(
                any(isinstance(callback, kind) for callback in round_callbacks(trainer)),
                f"{key}: nothing else may change a training set with flipped labels; set {key}: null",
            )
        if isinstance(module, TransferClassifier):
            inputs = (module.feature_size,) if module.encoded else inputs
            refuse(
                module.trained_from,
                "the classifier's unfreeze_at: rounds of flipped labels are all alike; use its freeze",
            )
        self.class_map = self._chosen_map(data.num_classes, data.classes)
        self.class_maps = {"flips": self.class_map}
        natural = data.pool.of_origin("natural")
        labels = data.labels["pool"][natural]
        chosen = torch.isin(labels, torch.tensor(list(self.class_map)))
        self.clean = CleanSet(natural[chosen], labels[chosen], self._wrong(labels[chosen]))
        self.others = natural[~chosen]
        for selector in self.selectors.values():
            selector.check(data.sample_shape, inputs, module.num_classes)
        lists_alone = self.suspects is not None and not self.selectors
        placed = data.placed if isinstance(data, Places) and not lists_alone else ()
        self.trials = [*trials_of(self.selectors, self.repeats), *placed]
        refuse(
            placed and len(self.class_map) < data.num_classes,
            "targets: samples of every class are placed for a wrong label; name all",
        )
        classes = {label: (self.clean.labels == label).nonzero()[:, 0] for label in sorted(self.class_map)}
        self.groups = classes if self.per_class else {ALL: torch.arange(len(self.clean.indices))}
        check_budget(self.budget, self.groups, self.selectors)

    def _chosen_map(self, classes: int, names: Sequence[str] | None) -> dict[int, int]:
        """Return which class is labelled as which; the new one comes after all ``classes``."""
        if self.targets == "next":
            return next_class(classes)
        if self.targets == "new":
            return dict.fromkeys(range(classes), classes)
        assert isinstance(self.targets, dict)
        return class_map(self.targets, classes, names, "targets", {"new": classes})

    def _wrong(self, labels: Tensor) -> Tensor:
        """Return what true labels ``(B,)`` of the map are flipped to ``(B,)``."""
        return torch.tensor([self.class_map[label] for label in labels.tolist()], dtype=torch.int64)

    def first_labels(self, trainer: pl.Trainer) -> None:
        """Give the clean labels."""
        data = data_of(trainer)
        natural = data.pool.of_origin("natural")
        data.pool.label(
            natural,
            data.labels["pool"][natural],
            round=0,
            strategy="initial",
            labelers=torch.full_like(natural, HONEST),
        )

    def to_reach(self, trainer: pl.Trainer) -> int:
        """Return the number of the last round, if no further trial is passed over."""
        return len(self.trials) - len(self.passed_over)

    def remark(self, record: Record) -> str:
        """Return what the round flipped, and whether it was memorised."""
        return f"{selection_of(record)}" if record["memorised"] else f"{selection_of(record)}, not memorised"

    def converged(self, trainer: pl.Trainer, module: Classifier, loss: float) -> bool:
        """Whether the training set is memorised: the flipped labels first, which are few and learnt last."""
        self.memorised = self.epoch >= self.min_epochs and all(
            self._share_fitted(trainer, module, indices) == 1
            for indices in (self.flipped, data_of(trainer).pool.labelled)
        )
        return self.memorised

    def is_last(self, trainer: pl.Trainer, record: Record) -> bool:
        """Whether no selection is left to try."""
        return self._upcoming is None

    def judge(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Tell what was flipped and memorised; choose what the next round flips."""
        data, folder = data_of(trainer), Path(trainer.default_root_dir)
        if not self.memorised:
            self.not_memorised.append(self.round)
        if self.round == 0:
            self.weights = {
                name: tensor.clone()
                for name, tensor in module.state_dict().items()
                if not (module.encoded and name.startswith("backbone."))  # which never changes
            }
            self.figures = {"selector": "clean"}
            if self.suspects is not None:
                self._list_suspects(trainer, module, self.suspects)
        if trainer.is_global_zero:
            draw_regions(folder, self.round, module, data.samples["pool"], data.pool, self.flipped)
        begun = time.perf_counter()
        with holding(module, self.weights):
            self._upcoming = self._following(trainer, module)
        seconds = time.perf_counter() - begun
        fitted = {"flips_memorised": self._share_fitted(trainer, module, self.flipped)} if len(self.flipped) else {}
        return {
            **self.figures,
            "seconds_select": seconds,  # of the next round's flips
            "labels": len(data.pool.labelled),
            "flips": len(self.flipped),
            "memorised": int(self.memorised),
            **fitted,
        }

    def next_round(self, trainer: pl.Trainer, module: Classifier, record: Record) -> int:
        """Return the last flips to their clean labels and flip the next; return how many, 0 at the end of the run."""
        pool, truth, later = data_of(trainer).pool, data_of(trainer).labels["pool"], self.round + 1
        if self.trial >= 0 and self.trials[self.trial].placed is None:
            pool.relabel(
                self.flipped,
                truth[self.flipped],
                round=later,
                strategy="restored",
                labelers=torch.full_like(self.flipped, HONEST),
            )
        elif self.trial >= 0:
            pool.discard(self.flipped)
        if self._upcoming is None:
            self.flipped, self.ended_by = self.flipped[:0], "selections"
            return 0
        self.trial, flips = self._upcoming
        trial, self.flipped = self.trials[self.trial], flips.indices
        (pool.relabel if trial.placed is None else pool.label)(
            self.flipped,
            self._wrong(truth[self.flipped]),
            round=later,
            strategy=trial.called,
            labelers=torch.full_like(self.flipped, ATTACKER),
            scores=flips.scores,
        )
        self.figures = {**trial.columns, **flips.figures}
        return len(self.flipped)

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return what was tried, the budget, and what was passed over or not memorised."""
        return {
            "strategy": ", ".join(dict.fromkeys(trial.name for trial in self.trials)) or "clean",
            "budget": self.budget * (len(self.class_map) if self.per_class else 1) if self.selectors else 0,
            "pool": 0,  # nothing is left without a label
            "targets": {str(label): target for label, target in self.class_map.items()},
            "not_memorised": self.not_memorised,
            "passed_over": self.passed_over,
            "ended_by": self.ended_by,
        }

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write the paths that were measured."""
        if trainer.is_global_zero and self.finished:
            write_paths(Path(trainer.default_root_dir), self.clean)

    def state_dict(self) -> dict[str, Any]:
        """Return where the run is, and what was measured."""
        return {**super().state_dict(), "measured": dict(self.clean.values)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to where a checkpoint was."""
        super().load_state_dict(state_dict)
        self.clean.values = dict(state_dict["measured"])

    def _share_fitted(self, trainer: pl.Trainer, module: Classifier, indices: Tensor) -> float:
        """Return the share of indices ``(B,)`` of the pool that are classified as they are labelled, 1 of none."""
        if not len(indices):
            return 1.0
        data = data_of(trainer)
        predicted = data.map(lambda batch: module.classify(data.inputs("pool", batch)).argmax(1), indices)
        return float((predicted.cpu() == data.pool.labels[indices]).double().mean())

    def _view(self, trainer: pl.Trainer, module: Classifier) -> FlipView:
        data = data_of(trainer)
        return FlipView(
            module=module,
            clean=self.clean,
            places=torch.arange(len(self.clean.indices)),
            inputs=lambda indices: data.inputs("pool", indices),
            images=lambda indices: data.samples["pool"][indices].to(module.device),
            map=data.map,
            bounds=data.samples["pool"].bounds,
            others=self.others,
            other_labels=data.labels["pool"][self.others],
            progress=data.progress,
            seed=data.seed,
        )

    def _following(self, trainer: pl.Trainer, module: Classifier) -> tuple[int, Selection] | None:
        """Return the next trial that can be made and its flips, ``None`` after the last."""
        view = self._view(trainer, module)
        for number in range(self.trial + 1, len(self.trials)):
            trial = self.trials[number]
            if trial.placed is not None:
                return number, Selection(trial.placed)
            try:
                draw = trial.repeat if self.redraw else 0
                return number, flips_of(trial, view, self.budget, self.groups, draw, self.round)
            except TooFew as few:
                name = f"{trial.called}, repeat {trial.repeat}"
                self.passed_over[name] = str(few)
                data_of(trainer).progress.line(f"{name} is passed over: {few}")
        return None

    def _list_suspects(self, trainer: pl.Trainer, module: Classifier, suspects: Suspects) -> None:
        """List and draw what lies suspiciously near to the boundary."""
        view, data = self._view(trainer, module), data_of(trainer)
        order, paths = suspects.order(view)
        predicted = view.measure("predicted", lambda batch: module.classify(view.inputs(batch)).argmax(1))
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir)
            write_suspects(folder, view, order, paths, predicted, data.samples["pool"])
            draw_suspects(folder, suspects, view, order, data.samples["pool"])
