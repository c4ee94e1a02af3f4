"""What a frozen backbone makes of the splits: encoded once, in memory or in a bank, and then only what is added."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from aal.data.samples import Samples
from aal.errors import RunStopped
from aal.features.bank import EncodedSplit, FeatureBank
from aal.features.key import feature_key
from aal.runs.progress import Progress
from aal.sharding import Shard


@dataclass(kw_only=True)
class Encoding:
    """The features of splits; only what has not been encoded yet is.

    Args:
        samples: The samples of each split by name; some may be appended later.
        sizes: The number of each split's own samples, those that were not appended.
        encode: Encodes samples ``(B, ...)``, in this process alone: features ``(B, D)`` on ``device``.
        encoder: The module that does it, for the key.
        device: Where it does.
        batch_size: Samples a batch.
        shard: This process's part among the ranks, which encode batches together.
        bank: Keeps the features of the splits' own samples for other runs; ``None``: they are kept in memory.
        progress: Shows how far it is.
    """

    samples: Mapping[str, Samples]
    sizes: Mapping[str, int]
    encode: Callable[[Tensor], Tensor]
    encoder: nn.Module
    device: torch.device
    batch_size: int
    shard: Shard
    bank: FeatureBank | None
    progress: Progress
    # by split: of its own samples, of those added
    _features: dict[str, tuple[Tensor | EncodedSplit, Tensor]] = field(default_factory=dict, init=False)
    # of copies, by the round that first trains on them
    _copies: dict[int, Tensor] = field(default_factory=dict, init=False)

    def key(self, split: str, *others: object) -> str:
        """Return the SHA-256 of what the features of a split's own samples, and ``others``, depend on."""
        return feature_key(self.samples[split], self.sizes[split], self.encoder, self.device, self.batch_size, *others)

    def whole(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the features of a split's own samples ``(N, D)`` and of those added ``(A, D)``."""
        own, added = self._split(split)
        return (own if isinstance(own, Tensor) else own.whole()), added

    def at(self, split: str, indices: Tensor) -> Tensor:
        """Return the features ``(B, D)`` of the samples with the indices ``(B,)`` of a split."""
        own, added = self._split(split)
        if not len(added):
            return own[indices]
        later = indices >= self.sizes[split]
        features = added.new_empty(len(indices), added.shape[1])
        features[~later] = own[indices[~later]]
        features[later] = added[indices[later] - self.sizes[split]]
        return features

    def forget_added(self, split: str) -> None:
        """Have the samples that were added to a split encoded again, all at once as by a run that goes on."""
        if split in self._features:
            own, added = self._features[split]
            self._features[split] = own, added[:0]

    def copies(self, crafted: Tensor, rounds: Tensor) -> Tensor:
        """Return the features ``(M, D)`` of crafted copies ``(M, ...)``; only what has not been encoded yet is.

        The copies of a round make batches of their own, so that a run that goes on from a checkpoint and encodes all of
        them at once gets the same features.

        Args:
            crafted: The copies of all rounds so far.
            rounds: The round that first trains on each ``(M,)``.
        """
        groups = {int(round): (rounds == round).nonzero()[:, 0] for round in rounds.unique()}
        for round, places in groups.items():
            if len(self._copies.get(round, ())) != len(places):
                self._copies[round] = self._at_once("crafted", crafted, places)
        self._copies = {round: self._copies[round] for round in groups}
        features = torch.cat(list(self._copies.values()))
        return features[torch.cat(list(groups.values())).argsort().to(features.device)]

    def _split(self, split: str) -> tuple[Tensor | EncodedSplit, Tensor]:
        """Return the features of a split's own samples, in memory or mapped from the bank, and of those added.

        Added samples make batches of their own, so that a split's own features are the same with and without them.
        """
        samples, size = self.samples[split], self.sizes[split]
        if split not in self._features:
            own = self._own(split)
            self._features[split] = own, own[torch.arange(0)]
        own, added = self._features[split]
        if size + len(added) < len(samples):
            more = self._at_once(split, samples, torch.arange(size + len(added), len(samples)))
            self._features[split] = own, torch.cat([added, more])
        return self._features[split]

    def _own(self, split: str) -> Tensor | EncodedSplit:
        """Return the features of a split's own samples: in memory, or mapped from the bank where there is no device."""
        samples, every = self.samples[split], torch.arange(self.sizes[split])
        if self.bank is None:
            return self._at_once(split, samples, every)
        encoded = self.bank.split(
            self.key(split),
            len(every),
            self.batch_size,
            lambda: self._encoded(split, samples, every, self.batch_size * self.shard.world),
            lambda batch: self.encode(samples[batch]),
        )
        return encoded if self.device.type == "cpu" else encoded.whole().to(self.device)

    def _at_once(self, name: str, samples: Samples | Tensor, indices: Tensor) -> Tensor:
        (features,) = self._encoded(name, samples, indices, len(indices))
        return features

    def _encoded(self, name: str, samples: Samples | Tensor, indices: Tensor, size: int) -> Iterator[Tensor]:
        """Encode samples of the indices ``(N,)``, all ranks together, ``size`` of them at a time."""
        with self.progress.task(f"encoding {name}", len(indices)) as task:
            for some in indices.split(size):
                features = self.shard.map(
                    lambda batch: self.encode(samples[batch]), some, self.batch_size, task.advance
                )
                bad = some[~torch.isfinite(features).all(-1).cpu()]
                if len(bad):
                    raise RunStopped(f"encoding {name}: the features of sample {int(bad[0])} are not finite")
                yield features
