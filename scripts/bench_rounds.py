"""Rounds of active learning beside a plain loop, two processes' spread, crafting and streaming; one thread each."""

import math
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from aal.attacks import CollisionAttack
from aal.callbacks import QueryRounds, RoundCheckpoint, RoundProgress, RunRecords, WholeCheckpointIO
from aal.cli.trainer import TRAINER_DEFAULTS
from aal.data.samples import Samples, TensorSamples
from aal.datamodules import ActiveDataModule
from aal.models import TransferClassifier
from aal.networks import Backbone, DenseHead
from aal.oracles import Crowd
from aal.sharding import Shard
from aal.strategies import Entropy, Random

POOL, FEATURES, CLASSES, INITIAL, BATCH = 4500, 512, 10, 20, 32
ANYWHERE = (-math.inf, math.inf)


class CachedFeatures(Backbone):
    """A backbone whose work is done: samples are features already."""

    def __init__(self, feature_size: int = FEATURES) -> None:
        super().__init__()
        self.feature_size = feature_size

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` ``(B, D)``."""
        return x


class FeaturePool(ActiveDataModule):
    """Random features ``(4500, 512)`` of ten noisy clusters."""

    num_classes = CLASSES
    sample_shape = (FEATURES,)

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return the splits."""
        splits = zip(("pool", "craft", "test"), (POOL, 10, 500), strict=True)
        return {name: (TensorSamples(x, ANYWHERE), y) for name, (x, y) in ((name, clusters(n)) for name, n in splits)}


class TwoClasses(ActiveDataModule):
    """Random features ``(3001, 1280)`` of two clusters that overlap: the size of Table III's pool under MobileNetV2."""

    num_classes = 2
    sample_shape = (1280,)

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return the splits."""
        splits = {}
        for name, n in (("pool", 3001), ("craft", 10), ("test", 2000)):
            draw = torch.Generator().manual_seed(n)
            labels = torch.randint(2, (n,), generator=draw)
            x = 0.04 * (2 * labels[:, None] - 1) + torch.randn(n, 1280, generator=draw)
            splits[name] = TensorSamples(x, ANYWHERE), labels
        return splits


class ConvolutionalBackbone(Backbone):
    """A small convolutional network on 32x32 images."""

    feature_size = 128

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(B, 3, 32, 32)`` to features ``(B, 128)``."""
        features: Tensor = self.layers(x)
        return features


def clusters(n: int) -> tuple[Tensor, Tensor]:
    """Return ``n`` features around ten centres, and their classes."""
    generator = torch.Generator().manual_seed(n)
    centres = torch.randn(CLASSES, FEATURES, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(CLASSES, (n,), generator=generator)
    return centres[labels] + 3 * torch.randn(n, FEATURES, generator=generator), labels


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def trainer_of(clock: QueryRounds, folder: str) -> pl.Trainer:
    """Return a trainer as ``aal fit`` has it: records, ledger and a checkpoint every round."""
    return pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        **TRAINER_DEFAULTS,
        logger=CSVLogger(folder, name="", version=""),
        plugins=[WholeCheckpointIO()],
        callbacks=[RoundProgress(), clock, RunRecords(), RoundCheckpoint()],
    )


def lightning_rounds(rounds: int, epochs: int) -> None:
    """Query ``rounds`` labels one by one, as ``aal fit`` does it."""
    with tempfile.TemporaryDirectory() as folder:
        clock = QueryRounds(Entropy(), initial=INITIAL, budget=rounds, max_epochs=epochs, patience=epochs)
        model = TransferClassifier(CachedFeatures(), DenseHead(), CLASSES)
        trainer_of(clock, folder).fit(model, datamodule=FeaturePool(batch_size=BATCH, scoring_batch_size=POOL))


def plain_rounds(rounds: int, epochs: int) -> None:
    """Do the same steps in a plain PyTorch loop over a DataLoader, the state saved every round."""
    (x, y), (x_test, y_test) = clusters(POOL), clusters(500)
    labelled = torch.randperm(POOL, generator=torch.Generator().manual_seed(0))[:INITIAL].tolist()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds + 1):
            head = nn.Linear(FEATURES, CLASSES)
            optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
            loader = DataLoader(TensorDataset(x[labelled], y[labelled]), BATCH, shuffle=True)
            for _ in range(epochs):
                for inputs, labels in loader:
                    optimizer.zero_grad()
                    cross_entropy(head(inputs), labels).backward()
                    optimizer.step()
            with torch.no_grad():
                (head(x_test).argmax(-1) == y_test).float().mean().item()
                entropy = torch.special.entr(head(x).softmax(-1)).sum(-1)
            entropy[labelled] = -1
            labelled.append(int(entropy.argmax()))
            state = {"head": head.state_dict(), "optimizer": optimizer.state_dict(), "labelled": labelled}
            torch.save(state, Path(folder) / "last.pt")


def bench_rounds(rounds: int, epochs: int) -> None:
    """Compare the clock with the plain loop."""
    lightning_rounds(5, epochs)
    plain_rounds(5, epochs)
    ours, plain = seconds(lambda: lightning_rounds(rounds, epochs)), seconds(lambda: plain_rounds(rounds, epochs))
    steps = epochs * sum(-(-(INITIAL + r) // BATCH) for r in range(rounds + 1))
    print(
        f"rounds: {rounds} of one query, pool {POOL} x {FEATURES}, {steps} steps: {ours:.1f} s, plain loop "
        f"{plain:.1f} s ({1e3 * ours / steps:.2f} and {1e3 * plain / steps:.2f} ms a step): "
        f"ratio {ours / plain:.2f} (at most 3.0)"
    )


def bench_repeats() -> None:
    """Time a repeat of the baseline of paper robust's Table III on cached features, until the pool is used up."""
    crowd = Crowd(honest=11, malicious=0, error=0.05)
    rounds = QueryRounds(Random(), oracle=crowd, initial=64, query_size=64, budget=None, max_epochs=50, patience=5)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(rounds, folder)
        model = TransferClassifier(CachedFeatures(1280), DenseHead(dropout=0.2), 2, weight_decay=0.02)
        took = seconds(lambda: trainer.fit(model, datamodule=TwoClasses(batch_size=128)))
    all_of_them = 30 * took / 60
    print(
        f"repeats: Table III's baseline, 3,001 x 1,280 cached features, {rounds.round + 1} rounds: {took:.1f} s; "
        f"30 one after another {all_of_them:.0f} minutes (under 60: {'met' if all_of_them < 60 else 'NOT MET'})"
    )


def bench_crafting(n: int, steps: int) -> None:
    """Compare crafting with as many bare forward and backward passes over the same batch."""
    backbone = ConvolutionalBackbone()
    x = torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    attack = CollisionAttack(steps=steps, patience=steps, tolerance=0.0)
    labels = torch.zeros(n, dtype=torch.int64)

    def passes(times: int) -> None:
        backbone.requires_grad_(False)
        for _ in range(times):
            inputs = x.clone().requires_grad_()
            torch.autograd.grad(backbone(inputs).norm(dim=-1).sum(), inputs)

    attack(backbone, x, labels)
    passes(3)
    rows = [(seconds(lambda: attack(backbone, x, labels)), seconds(lambda: passes(steps))) for _ in range(3)]
    ours, bare = min(row[0] for row in rows), min(row[1] for row in rows)
    print(
        f"crafting: {n} at once, {steps} iterations: {ours:.2f} s, bare forward and backward passes {bare:.2f} s: "
        f"ratio {ours / bare:.2f} (at most 1.15)"
    )


def bench_streaming(batch: int) -> None:
    """Show that encoding takes the memory of a batch: 10 times the pool, the same peak but for the features."""
    backbone = ConvolutionalBackbone().requires_grad_(False)

    def encode(n: int) -> tuple[float, float]:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        took = seconds(lambda: Shard().map(lambda b: backbone(torch.rand(len(b), 3, 32, 32)), torch.arange(n), batch))
        return took, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    bare = seconds(lambda: [backbone(torch.rand(batch, 3, 32, 32)) for _ in range(8)])
    small, first = encode(8 * batch)
    large, more = encode(80 * batch)
    print(
        f"streaming: {8 * batch} samples {small:.2f} s, bare forward passes {bare:.2f} s: ratio {small / bare:.2f}; "
        f"{80 * batch} samples {large:.2f} s and {more:.0f} MiB more than the {first:.0f} MiB of the first"
    )
