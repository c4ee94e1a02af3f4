"""Examples of what attacks do: samples that were fooled, attacked once more to be shown."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aal.attacks import Attack
from aal.robustness.results import Evaluation
from aal.robustness.subject import Indexed, Subject, located
from aal.seeds import generator


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
    drawn = torch.randperm(len(fooled), generator=generator(seed, "robust examples", name))[:count]
    rows = fooled[drawn.sort().values]
    if len(rows) == 0:
        return None
    subject = Subject(model, x, found.index, found.label, found.target, bounds, seed)
    batch = subject.batch(rows)
    with located(name, found.index[rows]):
        adversarial = subject.attack(attack, batch).x
        after = subject.predicted(adversarial, batch.y)
    return Examples(batch.x.cpu(), adversarial.cpu(), found.label[rows], found.natural[rows], after.cpu(), bounds)
