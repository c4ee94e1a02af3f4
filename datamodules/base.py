"""The contract of every datamodule: splits, the pool over one of them, and what the classifier takes of each."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from aal.attacks.base import frozen
from aal.checks import at_least, kind_of, refuse
from aal.data.samples import Samples, fingerprint_of
from aal.datamodules.batches import EpochBatches, end_where_batches_cannot_be_handed_on
from aal.datamodules.contract import check_loaded, check_said
from aal.datamodules.hold_out import hold_out
from aal.extras import Extras
from aal.features.bank import FeatureBank
from aal.features.encoding import Encoding
from aal.models import Classifier, TransferClassifier
from aal.pool import Pool
from aal.runs.progress import Progress, quiet
from aal.seeds import generator
from aal.sharding import Results, Shard

# A batch, cut from memory, takes milliseconds; one that a worker could not put into shared memory never comes.
WORKER_SECONDS = 60.0


class ActiveDataModule(pl.LightningDataModule):
    """Splits ``pool``, ``craft`` and ``test``, and the state of active learning over the first.

    Where a model is stolen the pool is the adversary's own data, and a further split, ``victim``, is what the victim
    is trained on, with its true labels (paper *shadow*, Table 1). Any data set can have one: of the pool, by the
    argument ``victim``, or of its own, by :meth:`load`. It is checked, fingerprinted and compared when a run goes on,
    as the others are.

    Args:
        seed: The run's seed; the CLI takes it from ``seed_everything``.
        batch_size: Labelled samples a training step.
        scoring_batch_size: Samples a batch in encoding, scoring and testing; it bounds their memory.
        num_workers: Processes that prepare training batches, 0 for none.
        val: Samples of the pool, stratified, to hold out with their labels as the split ``val``, whose loss then
            tells when a round has converged; 0 for none: the training loss tells. Where samples come in groups, such
            as those of a speaker, each group stays whole and the number is met as nearly as the groups allow.
        secured: Samples of the pool, stratified, to hold out with their labels as the split ``secured``, which no
            attacker reaches; 0 for none. Groups as with ``val``.
        victim: Samples of the pool, stratified, to hold out with their labels as the split ``victim``, before those of
            ``val`` and ``secured``, so that it is the same with them and without; 0 for none. Groups as with ``val``.
        bank: Folder that keeps what a frozen backbone makes of the splits, and the poisons crafted, for this and other
            runs; it is made if there is none. ``null``: each run encodes and crafts by itself.

    Attributes:
        name: What tables call the data set.
        num_classes: Number of classes C that samples truly have.
        classes: Names of the classes, where they have any.
        sample_shape: Shape of a sample, known before the samples are loaded.
        skipped: Files that were asked for and left out, each with the reason.
        samples: The samples of each split by name.
        labels: The true labels ``(N,)`` of each split by name.
        groups: Group of each sample of the pool ``(P,)``, kept together when some are held out; ``None`` where each
            stands alone.
        pool: Which samples of the split ``pool`` are labelled.
        extras: What is trained on besides them.
        bases: Index in ``craft`` that each sample of ``pool`` was made from ``(P,)``, -1 for natural samples.
        split_digests: Number of samples and SHA-256 of each split as it was loaded, by its name.
        fingerprint: SHA-256 of all of them.
        progress: Where long work shows how far it is.
        answers: What an oracle that errs about nothing says of indices ``(B,)`` of the pool: their true labels, or
            what a victim model makes of them.

    Raises:
        UserError: A batch size below 1, a negative number of workers or of samples; in ``setup``, more samples or
            groups to hold out than the pool can give, a class that ``victim`` or the pool would then lack, a split that
            ``load`` returns already, and what ``load`` raises, on every rank.
        RunStopped: In ``setup``, no space left for what is fetched.
    """

    num_classes: int
    classes: tuple[str, ...] | None = None
    sample_shape: tuple[int, ...]
    groups: Tensor | None = None

    def __init__(
        self,
        seed: int = 0,
        batch_size: int = 32,
        scoring_batch_size: int = 256,
        num_workers: int = 0,
        val: int = 0,
        secured: int = 0,
        victim: int = 0,
        bank: str | None = None,
    ) -> None:
        super().__init__()
        at_least(1, {"batch_size": batch_size, "scoring_batch_size": scoring_batch_size})
        at_least(0, {"num_workers": num_workers, "val": val, "secured": secured, "victim": victim})
        self.name = type(self).__name__
        self.seed = seed
        self.batch_size = batch_size
        self.scoring_batch_size = scoring_batch_size
        self.num_workers = num_workers
        self.bank = bank
        self.held_out = {"victim": victim, "val": val, "secured": secured}
        self.skipped: dict[str, str] = {}
        self.samples: dict[str, Samples] = {}
        self.labels: dict[str, Tensor] = {}
        self.progress: Progress = quiet()
        self.answers: Callable[[Tensor], Tensor] = lambda indices: self.labels["pool"][indices]

    @abstractmethod
    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return samples and true labels ``(N,)`` of ``pool``, ``craft`` and ``test``, maybe ``val`` and ``victim``.

        Raises:
            UserError: Files are missing or damaged; the message names them.
            RunStopped: There was no space left to fetch them.
        """

    def setup(self, stage: str) -> None:
        """Make the splits and the pool; a second call changes nothing."""
        if self.samples:
            return
        # what is refused on one rank ends all of them
        loaded = self._checked() if self.trainer is None else Shard.of(self.trainer).together(self._checked)
        for split, (samples, labels) in loaded.items():
            self.samples[split], self.labels[split] = samples, labels
        self._hold_out()
        self._sizes = {split: len(samples) for split, samples in self.samples.items()}
        self.pool = Pool(len(self.samples["pool"]))
        self.extras = Extras(tuple(self.samples["pool"][torch.arange(1)].shape[1:]))
        self.bases = torch.full((len(self.pool),), -1)
        self.split_digests = {
            split: f"{len(samples)} samples, SHA-256 {fingerprint_of(samples, self.labels[split])}"
            for split, samples in self.samples.items()
        }
        self.fingerprint = hashlib.sha256(repr(self.split_digests).encode()).hexdigest()

    def _checked(self) -> dict[str, tuple[Samples, Tensor]]:
        """Load the splits; refuse what breaks the contract."""
        name = type(self).__name__
        check_said(name, self.num_classes, self.sample_shape)
        loaded = self.load()
        check_loaded(name, loaded, self.num_classes, self.sample_shape, self.classes)
        wanted, given = kind_of(loaded["pool"][1]), kind_of(self.groups)
        refuse(
            self.groups is not None and given != wanted,
            f"{name}.load: groups must be one a sample of pool, {wanted}, not {given}",
        )
        return loaded

    def add_samples(self, x: Tensor, labels: Tensor, bases: Tensor, origin: str) -> Tensor:
        """Append samples, unlabelled, to the split ``pool`` and to the pool over it.

        Args:
            x: The samples ``(N, ...)`` as read back from files.
            labels: Their true labels ``(N,)``.
            bases: The indices ``(N,)`` in the split ``craft`` that they were made from, -1 for none.
            origin: Where they come from, one of ``aal.pool.ORIGINS``.

        Returns:
            Their indices ``(N,)``.
        """
        self.samples["pool"].append(x)
        self.labels["pool"] = torch.cat([self.labels["pool"], labels])
        self.bases = torch.cat([self.bases, bases])
        return self.pool.extend(len(x), origin)

    def replace_samples(self, indices: Tensor, x: Tensor) -> None:
        """Put samples ``(N, ...)`` as read back from files in the place of added ones of the pool, ``(N,)``."""
        self.samples["pool"].put(indices, x)
        self.encoding.forget_added("pool")

    def inputs(self, split: str, indices: Tensor) -> Tensor:
        """Return what the classifier takes in this round, on its device.

        Args:
            split: Name of the split.
            indices: Which samples ``(B,)``.

        Returns:
            The backbone's features ``(B, D)`` while it is frozen, else the samples ``(B, ...)``.
        """
        if not self.classifier.encoded:
            return self.samples[split][indices].to(self.device)
        return self.encoding.at(split, indices)

    @cached_property
    def encoding(self) -> Encoding:
        """What the frozen backbone makes of the splits, in memory or in the bank; there is one once a run has begun."""
        module, shard = self.classifier, Shard.of(self.run)
        apart = isinstance(module, TransferClassifier) and type(module).encode is TransferClassifier.encode
        return Encoding(
            samples=self.samples,
            sizes=self._sizes,
            encode=self._encode,
            encoder=module.get_submodule("backbone") if apart else module,
            device=self.device,
            batch_size=self.scoring_batch_size,
            shard=shard,
            bank=None if self.bank is None else FeatureBank(Path(self.bank), shard, self.progress.line),
            progress=self.progress,
        )

    # a refusal of the bank that comes this way is told with the key of this datamodule in the configuration
    def features(self, split: str) -> tuple[Tensor, Tensor]:
        """Return the frozen backbone's features of a split; only what has not been encoded yet is.

        Returns:
            Those of the split's own samples ``(N, D)``, and those of the samples added to it ``(A, D)``.

        Raises:
            UserError: The feature bank cannot be read or written to.
            RunStopped: A feature is not finite, or there is no space left for the feature bank.
        """
        return self.encoding.whole(split)

    @contextmanager
    def bank_locked(self, key: str) -> Iterator[None]:
        """Hold the lock of a key in the bank, which other runs share.

        Raises:
            UserError: The bank cannot be written to.
        """
        assert self.encoding.bank is not None
        with self.encoding.bank.locked(key):
            yield

    def map(
        self, function: Callable[[Tensor], Results], indices: Tensor, advance: Callable[[int], None] | None = None
    ) -> Results:
        """Apply the classifier, in eval mode and without gradients, to indices in batches shared out over the ranks.

        Args:
            function: Takes indices ``(B,)``, returns a tensor ``(B, ...)``, or several by name.
            indices: What to apply it to, ``(N,)``, not empty.
            advance: Told the number of samples done.

        Returns:
            The results ``(N, ...)`` as ``function`` named them, on every rank and the same on any number of ranks.
        """
        with frozen(self.classifier), torch.no_grad():
            return Shard.of(self.run).map(function, indices, self.scoring_batch_size, advance)

    def train_dataloader(self) -> "DataLoader[tuple[Tensor, ...]]":
        """Return the batches of what this round trains on, shuffled anew each epoch: labelled samples and extras.

        Every rank is given all of them: with the same weights and seeds the ranks then stay equal, and the result
        does not depend on their number.
        """
        inputs, labels = self._trained_on()
        if self.num_workers:
            inputs = inputs.cpu()  # worker processes have no device
        batches = EpochBatches(len(labels), self.batch_size, self.seed)
        # with workers the first epoch's order is drawn before Lightning tells a resumed run's epoch
        batches.set_epoch(self.run.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
        return DataLoader(
            TensorDataset(inputs, labels.to(inputs.device)),
            batch_size=None,  # the sampler's items are whole batches
            sampler=batches,
            num_workers=self.num_workers,
            timeout=WORKER_SECONDS if self.num_workers else 0,
            worker_init_fn=end_where_batches_cannot_be_handed_on,
            persistent_workers=self.num_workers > 0,  # for the round, not for each of its short epochs
            generator=generator(self.seed, "workers"),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state of pool and extras for a checkpoint."""
        return {"pool": self.pool.state_dict(), "extras": self.extras.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of pool and extras from a checkpoint."""
        self.pool.load_state_dict(state_dict["pool"])
        self.extras.load_state_dict(state_dict["extras"])

    def _encode(self, x: Tensor) -> Tensor:
        """Encode samples ``(B, ...)`` alone; a sum over ranks makes 0 of -0, so one process does, too."""
        with frozen(self.classifier), torch.no_grad():
            return self.classifier.encode(x.to(self.device)) + 0.0

    def _trained_on(self) -> tuple[Tensor, Tensor]:
        """Return inputs ``(N, ...)`` and labels ``(N,)``, or soft ones ``(N, C)``, of labelled samples, then extras."""
        labelled, extras = self.pool.labelled, self.extras
        inputs = [self.inputs("pool", torch.cat([labelled, extras.pseudo]))]
        labels = [self.pool.labels[labelled], extras.pseudo_labels]
        sources = [labelled, torch.full_like(extras.pseudo, -1)]  # in the pool; who gives pseudo-labels has no others
        used = extras.in_use(self.pool)
        if len(used):
            encode = self.classifier.encoded and not extras.features
            copies = self.encoding.copies(extras.crafted, extras.rounds) if encode else extras.crafted
            inputs.append(copies[used].to(self.device))
            sources.append(extras.sources[used])
            labels.append(self.pool.labels[sources[-1]])
        if extras.kept:
            every = torch.arange(len(self.labels[extras.kept]))
            inputs.append(self.inputs(extras.kept, every))
            sources.append(torch.full_like(every, -1))
            labels.append(self.labels[extras.kept])
        if len(extras.synthetic):
            batches = extras.synthetic.split(self.scoring_batch_size) if self.classifier.encoded else ()
            inputs.append(torch.cat([*map(self._encode, batches)]) if batches else extras.synthetic.to(self.device))
            labels.append(extras.synthetic_labels)
        return torch.cat(inputs), extras.targets(torch.cat(labels), torch.cat(sources))

    def _hold_out(self) -> None:
        """Move the samples that ``victim``, ``val`` and ``secured`` ask for, in this order, out of the pool."""
        for split, size in self.held_out.items():
            if not size:
                continue
            refuse(split in self.samples, f"{split}: {type(self).__name__} has such a split of its own; leave it 0")
            labels, groups = self.labels["pool"], self.groups
            kept, out = hold_out(split, size, labels, groups, self.num_classes, generator(self.seed, split))
            self.groups = None if groups is None else groups[kept]
            pool = self.samples["pool"]
            self.samples[split], self.labels[split] = pool.take(out), labels[out]
            self.samples["pool"], self.labels["pool"] = pool.take(kept), labels[kept]

    @property
    def run(self) -> pl.Trainer:
        """The trainer, which there is once a run has begun."""
        assert self.trainer is not None
        return self.trainer

    @property
    def classifier(self) -> Classifier:
        """What is trained."""
        module = self.run.lightning_module
        assert isinstance(module, Classifier)
        return module

    @property
    def device(self) -> torch.device:
        """Where the classifier is."""
        return self.run.strategy.root_device
