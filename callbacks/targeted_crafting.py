"""What both callbacks of targeted poisons do: craft the poisons of one target."""

from dataclasses import replace

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from aal.attacks import TargetedCollision, frozen
from aal.callbacks.round_callback import data_of
from aal.checks import refuse
from aal.errors import RunStopped
from aal.models import Classifier
from aal.sharding import Shard


class Extractor(nn.Module):
    """A classifier as the function to the features that an attacker aims at.

    Args:
        module: The classifier.
        last: Whether it is the input of the last layer in any case, as an attacker has it who knows the trained model;
            else of a frozen backbone it is the backbone's output, which an attacker knows who has the backbone alone.
    """

    def __init__(self, module: Classifier, *, last: bool) -> None:
        super().__init__()
        self.module, self.last = module, last

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` to features ``(B, D)``."""
        return self.module.features(x) if self.last or not self.module.encoded else self.module.encode(x)


def craft(
    trainer: pl.Trainer, extractor: Extractor, attack: TargetedCollision, bases: Tensor, target: int, opacity: float
) -> dict[str, Tensor]:
    """Craft poisons for a test sample, all of them at once, or as many as a batch of scoring may have.

    Args:
        trainer: The run.
        extractor: The features that the attacker knows.
        attack: How; its opacity is not used.
        bases: The base instances ``(N, ...)``.
        target: The target's index in the split ``test``.
        opacity: Share of the target in the watermark.

    Returns:
        The poisons as saved, ``x`` ``(N, ...)``; the distances ``||f(b) - f(t)||`` of their bases, ``norm_initial``,
        and of the poisons before and after saving, ``norm_crafted`` and ``norm_saved``; the ``iterations`` that each
        took; ``(N,)`` each, all on the CPU.

    Raises:
        RunStopped: Features are not finite.
    """
    data = data_of(trainer)
    test, device = data.samples["test"], extractor.module.device
    aim = test[torch.tensor([target])].to(device)
    parts = []
    for base in bases.split(data.scoring_batch_size):
        x = base.to(device)
        found = replace(attack, opacity=opacity)(extractor, x, torch.zeros(len(x)), target=aim[0], bounds=test.bounds)
        saved = Shard.of(trainer).first(test.saved(found.x))  # other devices may round otherwise
        parts.append(
            {
                "x": saved,
                "norm_initial": found.info["initial"],
                "norm_crafted": found.info["final"],
                "norm_saved": distances_to_target(trainer, extractor, saved, target),
                "iterations": found.info["iterations"],
            }
        )
    return {name: torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}


def distances_to_target(trainer: pl.Trainer, extractor: Extractor, x: Tensor, target: int) -> Tensor:
    """Return how far the features of samples ``(N, ...)`` are from those of a test sample in L2, ``(N,)``, on the CPU.

    Raises:
        RunStopped: Features are not finite.
    """
    data, device = data_of(trainer), extractor.module.device
    with frozen(extractor), torch.no_grad():
        aim = extractor(data.samples["test"][torch.tensor([target])].to(device))
        batches = x.split(data.scoring_batch_size)
        found = torch.cat([(extractor(batch.to(device)) - aim).norm(dim=-1) for batch in batches]).cpu()
    refuse(
        not found.isfinite().all(),
        f"the features of saved samples, or of test sample {target} itself, are not finite",
        RunStopped,
    )
    return found
