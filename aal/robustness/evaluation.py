"""Robust evaluation: accuracy under attacks, a batch a rank at a time, never repeated; examples of what they do."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from aal.attacks import Attack
from aal.checks import at_least, refuse
from aal.robustness.arguments import check, chosen
from aal.robustness.outcomes import Evaluation, Outcome
from aal.robustness.subject import Indexed, Subject, located
from aal.runs.progress import Progress, quiet
from aal.seeds import generator
from aal.sharding import Shard

SAVE_SECONDS = 5.0  # between two writes of the state; what was done since is what a killed process repeats


def evaluate(
    model: nn.Module,
    x: Indexed,
    y: Tensor,
    attacks: Mapping[str, Attack],
    *,
    targets: Mapping[int, int] | None = None,
    aimed: bool = True,
    curves: Mapping[str, Sequence[float]] | None = None,
    samples: int | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
    batch_size: int = 256,
    state: Path | None = None,
    shard: Shard | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure natural and adversarial accuracy.

    A sample is attacked unless it is where the attack wants it anyway: off its label, or with targets at its target.
    What is counted is the class predicted for the attacked sample, not what the attack says of itself. Of an attack
    made of several, its ``attacks``, each gets the samples that the ones before could not fool.

    Args:
        model: A module from samples ``(B, ...)`` to logits ``(B, C)``, or to the logit of class 1 ``(B, 1)``.
        x: The samples, within ``bounds``; a batch of them at a time is asked for.
        y: Their labels ``(N,)``.
        attacks: Attacks on classifiers by name.
        targets: The class that each class is to be taken for; only samples of these classes are evaluated. ``None``:
            any but the label will do. :func:`next_class` makes the cyclic map.
        aimed: Whether attacks aim at the targets. Else any class but the label will do for the same samples.
        curves: Radii, ascending and above 0, by the name of the attack to be tried with one after another. A sample
            that a radius suffices for is not attacked again; the others begin, where the attack can be told to, from
            what the last radius left of them.
        samples: How many to evaluate, drawn at random; ``None`` for all.
        bounds: The data's range (low, high).
        seed: What the draw of samples and the attacks' randomness depend on; a sample's depends on its index too.
        batch_size: Samples attacked at once; it bounds the memory.
        state: A JSON file that is kept up to date. Where it holds the beginning of this very evaluation (of the same
            weights, data, attacks and seed), that is not repeated; the file of another evaluation is replaced.
        shard: This process's part of the work; ``None`` where it is alone. The result does not depend on it.
        progress: Where to show how far it is; ``None`` for nowhere.

    Returns:
        What was found out, on every rank.

    Raises:
        UserError: An argument is not of this kind; ``state`` names a file that is no evaluation.
        RunStopped: The model's output is not finite, or an attack did not return what it must; names the samples.
    """
    radii = {name: list(values) for name, values in (curves or {}).items()}
    check(attacks, radii, targets)
    at_least(1, {"batch_size": batch_size})
    refuse(
        y.shape != (len(x),) or y.is_floating_point() or y.dtype == torch.bool,
        f"y: must be {len(x)} whole numbers, not {tuple(y.shape)}, {y.dtype}",
    )
    index, shard, progress = chosen(y, targets, samples, seed), shard or Shard(), progress or quiet()
    label = y[index].cpu()
    target = torch.tensor([targets[int(c)] for c in label]) if targets is not None and aimed else None
    subject = Subject(model, x, index, label, target, bounds, seed)
    fingerprint = _fingerprint(subject, attacks, radii, batch_size)
    work = _Work(subject, batch_size, state, shard, progress)
    found = work.resumed(fingerprint)
    if found is None:
        with progress.task("predicting", len(index)) as task:
            natural = shard.map(subject.natural, torch.arange(len(index)), batch_size, task.advance).cpu()
        found = Evaluation(
            fingerprint,
            index,
            label,
            target,
            natural,
            attacks={name: Outcome.none(attack, [], natural) for name, attack in attacks.items()},
            curves={name: Outcome.none(attacks[name], values, natural) for name, values in radii.items()},
        )
    for name, attack in attacks.items():
        stages: tuple[Attack, ...] = getattr(attack, "attacks", (attack,))
        work.run(found, name, found.attacks[name], [(stage,) for stage in stages])
    for name, values in radii.items():
        series = tuple(replace(attacks[name], radius=radius) for radius in values)  # type: ignore[type-var]
        work.run(found, f"{name}, {len(values)} radii", found.curves[name], [series])
    work.save(found, complete=True)
    return found


@dataclass(frozen=True)
class Examples:
    """Samples before and after an attack, on the CPU.

    Attributes:
        x: The samples ``(K, ...)``.
        adversarial: What the attack made of them ``(K, ...)``.
        label: Their classes ``(K,)``.
        natural: Classes ``(K,)`` predicted for ``x``.
        after: Classes ``(K,)`` predicted for ``adversarial``.
        bounds: The data's range (low, high).
    """

    x: Tensor
    adversarial: Tensor
    label: Tensor
    natural: Tensor
    after: Tensor
    bounds: tuple[float, float]


def fooled_examples(
    model: nn.Module,
    x: Indexed,
    found: Evaluation,
    name: str,
    attack: Attack,
    *,
    count: int,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> Examples | None:
    """Show what an attack did: samples drawn at random, but always the same, from those that it fooled.

    Args:
        model: The module that was evaluated.
        x: The samples that it was evaluated on.
        found: The evaluation.
        name: The attack's name there.
        attack: The attack.
        count: How many samples, all attacked at once; fewer where fewer were fooled.
        bounds: As in the evaluation.
        seed: As in the evaluation.

    Returns:
        The samples; ``None`` where nobody was fooled.
    """
    fooled = found.fooled(name).nonzero().squeeze(1)
    rows = fooled[torch.randperm(len(fooled), generator=generator(seed, "robust examples", name))[:count].sort().values]
    if len(rows) == 0:
        return None
    subject = Subject(model, x, found.index, found.label, found.target, bounds, seed)
    batch = subject.batch(rows)
    with located(name, found.index[rows]):
        adversarial = subject.attack(attack, batch).x
        after = subject.predicted(adversarial, batch.y)
    return Examples(batch.x.cpu(), adversarial.cpu(), found.label[rows], found.natural[rows], after.cpu(), bounds)


@dataclass
class _Work:
    """An evaluation as it goes on, and what of it is on the disk."""

    subject: Subject
    batch_size: int
    state: Path | None
    shard: Shard
    progress: Progress
    begun: float = field(default_factory=time.perf_counter)
    saved: float = field(default_factory=time.monotonic)

    def resumed(self, fingerprint: str) -> Evaluation | None:
        """Return what the state holds of this evaluation, if every rank sees the same there."""
        if self.state is None:
            return None
        found = Evaluation.load(self.state) if self.state.exists() else None
        ours = found is not None and found.fingerprint == fingerprint
        agreed = self.shard.sum(torch.tensor(float(ours), device=self.subject.device))
        return found if int(agreed) == self.shard.world else None

    def run(self, found: Evaluation, name: str, outcome: Outcome, stages: Sequence[Sequence[Attack]]) -> None:
        """Do what is left of an attack: each stage on the samples that are not yet where it wants them."""
        for number, series in enumerate(stages):
            left = ((outcome.tried == number) & ~found.reached(outcome.after)).nonzero().squeeze(1)
            if len(left) == 0:
                continue
            stage = f"{name} ({type(series[0]).__name__})" if len(stages) > 1 else name
            with self.progress.task(f"attack {stage}", len(left)) as task:
                for group in left.split(self.batch_size * self.shard.world):  # a batch a rank
                    outcome.put(
                        group, self.shard.map(partial(self.subject.attacked, stage, series), group, self.batch_size)
                    )
                    if time.monotonic() - self.saved >= SAVE_SECONDS:
                        self.save(found, complete=False)
                    task.advance(len(group))

    def save(self, found: Evaluation, *, complete: bool) -> None:
        """Write the state."""
        now = time.perf_counter()
        found.seconds, self.begun = found.seconds + now - self.begun, now
        if self.state is not None and self.shard.rank == 0:
            found.save(self.state, complete=complete)
        self.saved = time.monotonic()


def _fingerprint(subject: Subject, attacks: Mapping[str, Attack], radii: dict[str, list[float]], batch: int) -> str:
    """Hash all that an evaluation depends on; samples are read ``batch`` at a time."""
    digest = hashlib.sha256(repr((dict(attacks), radii, subject.bounds, subject.seed)).encode())
    for name, tensor in subject.model.state_dict().items():
        digest.update(name.encode() + _bytes(tensor))
    for column in (subject.index, subject.label, *([] if subject.target is None else [subject.target])):
        digest.update(_bytes(column))
    for indices in subject.index.split(batch):
        digest.update(_bytes(subject.x[indices]))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
