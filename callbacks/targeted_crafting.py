"""What both callbacks of targeted poisons do: craft the poisons of one target."""

from dataclasses import dataclass, replace

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from aal.attacks import TargetedCollision, frozen
from aal.callbacks.round_callback import data_of
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


@dataclass(frozen=True)
class TargetPoisons:
    """Poisons of one target.

    Attributes:
        x: The poisons ``(N, ...)`` as saved, on the CPU.
        before: ``||f(b) - f(t)||`` of their bases ``(N,)``.
        crafted: That of the poisons before saving ``(N,)``.
        after: That of the poisons as saved ``(N,)``.
        iterations: Iterations each took ``(N,)``.
    """

    x: Tensor
    before: Tensor
    crafted: Tensor
    after: Tensor
    iterations: Tensor


def craft(
    trainer: pl.Trainer, extractor: Extractor, attack: TargetedCollision, bases: Tensor, target: int, opacity: float
) -> TargetPoisons:
    """Craft poisons for a test sample, all of them at once, or as many as a batch of scoring may have.

    Args:
        trainer: The run.
        extractor: The features that the attacker knows.
        attack: How; its opacity is not used.
        bases: The base instances ``(N, ...)``.
        target: The target's index in the split ``test``.
        opacity: Share of the target in the watermark.

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
        after = distances_to_target(trainer, extractor, saved, target)
        parts.append((saved, found.info["initial"], found.info["final"], after, found.info["iterations"]))
    return TargetPoisons(*(torch.cat(column).cpu() for column in zip(*parts, strict=True)))


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
    if not found.isfinite().all():
        raise RunStopped(f"the features of saved samples, or of test sample {target} itself, are not finite")
    return found
