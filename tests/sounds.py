"""Sound made for the tests: tones as a data set, a network that takes them, attacks that are easy to follow."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aal.attacks import Adversarial, Attack, Task
from aal.data.samples import AudioSamples, Samples
from aal.data.splits import stratified
from aal.datamodules import ActiveDataModule
from aal.networks import Backbone
from aal.seeds import generator

RATE, LENGTH, CLASSES, EACH = 8000, 2000, 3, 40


class Tones(ActiveDataModule):
    """Clips of a low, a middle or a high tone in noise; every eighth clip of a class is silent."""

    num_classes = CLASSES
    sample_shape = (LENGTH,)
    classes = ("low", "middle", "high")

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return the three splits, stratified and seeded."""
        draws = generator(7, "tones")
        labels = torch.arange(CLASSES).repeat_interleave(EACH)
        time = torch.arange(LENGTH) / RATE
        phase = 2 * torch.pi * torch.rand(len(labels), 1, generator=draws)
        clips = 0.4 * (2 * torch.pi * 400 * 2.0 ** labels[:, None] * time + phase).sin()
        clips += 0.01 * torch.randn(len(labels), LENGTH, generator=draws)
        clips[::8] = 0
        pcm = (clips * 2**15).round().to(torch.int16)
        parts = stratified(labels, (0.8, 0.1, 0.1), generator(self.seed, "split"))
        return {
            split: (AudioSamples(pcm[part], RATE), labels[part])
            for split, part in zip(("pool", "craft", "test"), parts, strict=True)
        }


class Ear(Backbone):
    """Rectified random filters of a waveform ``(B, T)``, averaged over time."""

    feature_size = 12

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv1d(1, self.feature_size, 32, stride=4, bias=False)
        nn.init.normal_(self.filters.weight, generator=generator(0, "ear"))

    def forward(self, x: Tensor) -> Tensor:
        """Map clips ``(B, T)`` in [-1, 1] to features ``(B, 12)``, none below 0."""
        features: Tensor = self.filters(x[:, None]).relu().mean(-1)
        return features


@dataclass(frozen=True, kw_only=True)
class Halve(Attack):
    """Halves every sample; where ``rest`` is set, leaves it as it is."""

    rest: bool = False

    def attack(self, task: Task) -> Adversarial:
        """Return the samples, halved or not."""
        changed = task.x if self.rest else task.x / 2
        count = torch.ones_like(task.rows)
        return Adversarial(changed, count.bool(), (task.x - changed).flatten(1).norm(dim=1), count)
