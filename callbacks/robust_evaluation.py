"""Robust evaluation: the test split's accuracy under attacks, every few rounds or at the end."""

from pathlib import Path

import pytorch_lightning as pl

from aal.attacks import Attack
from aal.callbacks.round_callback import Record, RoundCallback, data_of, round_callbacks
from aal.callbacks.rounds import clock_of
from aal.checks import argument, at_least, class_map, refuse
from aal.models import Classifier
from aal.report.pair_figures import examples_figure
from aal.report.style import render
from aal.robustness import (
    ROBUST,
    UNTARGETED,
    Evaluation,
    check,
    chosen,
    evaluate,
    fooled_examples,
    next_class,
    refuse_shape,
)
from aal.runs.files import write_bytes
from aal.sharding import Shard


class RobustEvaluation(RoundCallback):
    """Attacks the test split and adds what is left of its accuracy to the round's record.

    ``robust_natural`` is the accuracy without an attack on the samples evaluated, ``robust_<name>`` the adversarial
    accuracy (a sample that is misclassified without an attack counts as misclassified), and for attacks without a
    radius ``robust_<name>_distance`` the mean size of the perturbations that fooled the classifier. With ``targets``,
    ``robust_<name>_not_target`` is the share not taken for the target (paper *noise*, section 4.3.3). More is in
    ``robust/round=<r>.json``, where an evaluation that was killed goes on; what the attacks of ``untargeted`` did is in
    ``robust/untargeted/round=<r>.json``.

    Args:
        attacks: Attacks on classifiers by name; the name is the column's.
        targets: ``null``: any class but the label will do. ``next``: each class is to be taken for the next, the last
            for the first. The name of a map that another callback has: ``flips``, for the classes whose labels are
            flipped. A map such as ``{9: 0}`` or ``{cat: dog}``, of numbers from 0 or names: from one class to another;
            only samples of the classes it names are evaluated.
        untargeted: With ``targets``, further attacks by name, on the same samples, for which any class but the label
            will do.
        every: Rounds from one evaluation to the next, beginning with round 0; the last round is evaluated in any
            case. ``null``: only the last.
        samples: Samples of the test split to evaluate, drawn at random, the same in each round; ``null`` for all. All,
            too, where fewer are of the classes that ``targets`` names.
        batch_size: Samples attacked at once; it bounds the memory.
        curves: Radii, ascending, by the name of the attack that is tried with one after another in the last round.
        examples: Samples of each attack to draw in the last round.

    Raises:
        UserError: A size below 1; names, targets or curves that make no sense; an attack that is not on classifiers;
            in ``setup``, more ``samples`` than there are, classes that there are not.
    """

    STATE = ("figures",)

    def __init__(
        self,
        attacks: dict[str, Attack],
        targets: dict[str | int, str | int] | str | None = None,
        untargeted: dict[str, Attack] | None = None,
        every: int | None = None,
        samples: int | None = None,
        batch_size: int = 256,
        curves: dict[str, list[float]] | None = None,
        examples: int = 8,
    ) -> None:
        at_least(1, {"batch_size": batch_size, "every": 1 if every is None else every})
        at_least(0, {"examples": examples})
        self.attacks, self.targets, self.untargeted, self.curves = attacks, targets, untargeted, curves or {}
        self.every, self.samples, self.batch_size, self.examples = every, samples, batch_size, examples
        self.figures: dict[str, float] = {}  # of the last round that was evaluated
        check(attacks, self.curves, None)
        if untargeted is not None:
            refuse(targets is None, "untargeted: without targets all attacks are; name these under attacks")
            with argument("untargeted"):
                check(untargeted, {}, None)
                check({**attacks, **untargeted}, {}, None)
            for name in untargeted:  # their figures could not be told apart
                refuse(name in attacks, f"untargeted: {name!r} names one of attacks too; take another name")

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Refuse what the test split cannot give."""
        assert isinstance(module, Classifier)
        data = data_of(trainer)
        self.class_map = self._class_map(trainer, module.num_classes)
        refuse_shape(self.attacks, data.sample_shape)
        refuse_shape(self.untargeted or {}, data.sample_shape, "untargeted")
        chosen(data.labels["test"], self.class_map, self.samples, data.seed)

    def _class_map(self, trainer: pl.Trainer, logits: int) -> dict[int, int] | None:
        """Return which class the attacks aim at from which."""
        if self.targets == "next":
            return next_class(data_of(trainer).num_classes)
        if self.targets is None:
            return None
        if isinstance(self.targets, dict):
            return class_map(self.targets, logits, data_of(trainer).classes, "targets")
        known = {name: of for callback in round_callbacks(trainer) for name, of in callback.class_maps.items()}
        refuse(
            self.targets not in known,
            f"targets: no callback of the run has a map of classes {self.targets!r} (there is "
            f"{', '.join(known) or 'none'}); take next, a map, or null",
        )
        return known[self.targets]

    def on_round_end(self, trainer: pl.Trainer, module: Classifier, record: Record) -> None:
        """Evaluate if it is time to."""
        last = clock_of(trainer).is_last(trainer, record)
        if not last and (self.every is None or record["round"] % self.every):
            return
        data, evaluations = data_of(trainer), [(self.attacks, True, ROBUST), (self.untargeted or {}, False, UNTARGETED)]
        self.figures, seconds = {}, 0.0
        for attacks, aimed, folder in evaluations[: 2 if self.untargeted else 1]:
            found = evaluate(
                module,
                data.samples["test"],
                data.labels["test"],
                attacks,
                targets=self.class_map,
                aimed=aimed,  # at the targets, where there are any
                curves=self.curves if last and aimed else None,
                samples=self.samples,
                bounds=data.samples["test"].bounds,
                seed=data.seed,
                batch_size=self.batch_size,
                state=Path(trainer.default_root_dir) / folder / f"round={record['round']}.json",
                shard=Shard.of(trainer),
                progress=data.progress,
            )
            self.figures |= {f"robust_{name}": value for name, value in found.figures().items()}
            seconds += found.seconds
            if last and trainer.is_global_zero:
                self._draw(trainer, module, attacks, found)
        record.update(self.figures, seconds_robust=seconds)

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return the figures of the last round."""
        return dict(self.figures)

    def _draw(self, trainer: pl.Trainer, module: Classifier, attacks: dict[str, Attack], found: Evaluation) -> None:
        """Draw samples that each attack fooled."""
        data = data_of(trainer)
        samples, folder = data.samples["test"], Path(trainer.default_root_dir) / "figures"
        for name, attack in attacks.items():
            shown = fooled_examples(
                module, samples, found, name, attack, count=self.examples, bounds=samples.bounds, seed=data.seed
            )
            figure = None if shown is None else examples_figure(shown)
            if figure is not None:
                write_bytes(folder / f"robust_examples_{name}.png", render(figure))
