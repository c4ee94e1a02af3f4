"""What a frozen backbone makes of the splits: encoded once, in memory or in a bank, and then only what is added."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from aal.attacks.base import frozen
from aal.errors import RunStopped
from aal.features.bank import FeatureBank
from aal.features.encoded_split import EncodedSplit
from aal.features.key import feature_key
from aal.models import TransferClassifier
from aal.sharding import Shard

if TYPE_CHECKING:
    from aal.datamodules.base import ActiveDataModule


class Encoding:
    """The features of a datamodule's splits; only what has not been encoded yet is.

    Args:
        data: The datamodule with its splits as they were loaded; it has a trainer before features are asked for.
    """

    def __init__(self, data: "ActiveDataModule") -> None:
        self._data = data
        self._sizes = {split: len(samples) for split, samples in data.samples.items()}
        self._features: dict[str, tuple[Tensor | EncodedSplit, Tensor]] = {}  # of its own samples, of those added
        self._crafted: dict[int, Tensor] = {}  # of copies, by the round that first trains on them

    @property
    def bank(self) -> FeatureBank | None:
        """The bank that the datamodule names."""
        data = self._data
        return None if data.bank is None else FeatureBank(Path(data.bank), Shard.of(data.run), data.progress.line)

    def key(self, split: str, *others: object) -> str:
        """Return the SHA-256 of what the features of a split's own samples, and ``others``, depend on."""
        data, module = self._data, self._data.classifier
        encodes = isinstance(module, TransferClassifier) and type(module).encode is TransferClassifier.encode
        encoder = module.get_submodule("backbone") if encodes else module
        size, batch_size = self._sizes[split], data.scoring_batch_size
        return feature_key(data.samples[split], size, encoder, data.device, batch_size, *others)

    def whole(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the features of a split's own samples ``(N, D)`` and of those added ``(A, D)``."""
        own, added = self._split(split)
        return (own if isinstance(own, Tensor) else own.whole()), added

    def at(self, split: str, indices: Tensor) -> Tensor:
        """Return the features ``(B, D)`` of the samples with the indices ``(B,)`` of a split."""
        own, added = self._split(split)
        if not len(added):
            return own[indices]
        later = indices >= self._sizes[split]
        features = added.new_empty(len(indices), added.shape[1])
        features[~later] = own[indices[~later]]
        features[later] = added[indices[later] - self._sizes[split]]
        return features

    def forget_added(self, split: str) -> None:
        """Have the samples that were added to a split encoded again, all at once as by a run that goes on."""
        if split in self._features:
            own, added = self._features[split]
            self._features[split] = own, added[:0]

    def crafted(self) -> Tensor:
        """Return the features of the extras' copies ``(M, D)``; only what has not been encoded yet is.

        The copies of a round make batches of their own, so that a run that goes on from a checkpoint and encodes all of
        them at once gets the same features.
        """
        rounds = self._data.extras.rounds
        groups = {int(round): (rounds == round).nonzero()[:, 0] for round in rounds.unique()}
        for round, places in groups.items():
            if len(self._crafted.get(round, ())) != len(places):
                self._crafted[round] = self._encode("crafted", places, lambda done: None)
        self._crafted = {round: self._crafted[round] for round in groups}
        features = torch.cat(list(self._crafted.values()))
        return features[torch.cat(list(groups.values())).argsort().to(features.device)]

    def _split(self, split: str) -> tuple[Tensor | EncodedSplit, Tensor]:
        """Return the features of a split's own samples, in memory or mapped from the bank, and of those added.

        Added samples make batches of their own, so that a split's own features are the same with and without them.
        """
        size, total = self._sizes[split], len(self._data.samples[split])
        if split not in self._features:
            own = self._banked(split) if self._data.bank is not None else self._at_once(split, torch.arange(size))
            self._features[split] = own, own[torch.arange(0)]
        own, added = self._features[split]
        if size + len(added) < total:
            added = torch.cat([added, self._at_once(split, torch.arange(size + len(added), total))])
            self._features[split] = own, added
        return own, added

    def _banked(self, split: str) -> Tensor | EncodedSplit:
        """Return the features of a split's own samples from the bank: mapped, or on a device all of them there."""
        data, bank = self._data, self.bank

        def again(batch: Tensor) -> Tensor:
            with frozen(data.classifier), torch.no_grad():
                return self._batch(split, batch)

        assert bank is not None
        size, batch_size = self._sizes[split], data.scoring_batch_size
        encoded = bank.split(self.key(split), size, batch_size, lambda: self._streaming(split), again)
        return encoded if data.device.type == "cpu" else encoded.whole().to(data.device)

    def _at_once(self, split: str, indices: Tensor) -> Tensor:
        """Encode samples of a split, all ranks together."""
        with self._data.progress.task(f"encoding {split}", len(indices)) as task:
            return self._encode(split, indices, task.advance)

    def _streaming(self, split: str) -> Iterator[Tensor]:
        """Encode a split's own samples, a batch a rank at a time."""
        size = self._sizes[split]
        with self._data.progress.task(f"encoding {split}", size) as task:
            for some in torch.arange(size).split(self._data.scoring_batch_size * self._data.run.world_size):
                yield self._encode(split, some, task.advance)

    def _encode(self, split: str, indices: Tensor, advance: Callable[[int], None]) -> Tensor:
        features = self._data.map(lambda batch: self._batch(split, batch), indices, advance)
        bad = ~torch.isfinite(features).all(-1)
        if bad.any():
            first = int(indices[int(bad.nonzero()[0])])
            raise RunStopped(f"encoding {split}: the features of sample {first} are not finite")
        return features

    def _batch(self, split: str, batch: Tensor) -> Tensor:
        """Encode one batch; a sum over ranks makes 0 of -0, so one process does, too."""
        data = self._data
        samples = data.extras.crafted if split == "crafted" else data.samples[split]
        return data.classifier.encode(samples[batch].to(data.device)) + 0.0
