#!/usr/bin/env python3
"""Benchmarks: each prints a ratio of two things measured in the same run, interleaved.

python scripts/bench.py [rounds] [repeats] [crafting] [streaming] [encoding] [scoring]     active learning; one thread
python scripts/bench.py [gradient] [deepfool] [carlini_wagner] [collisions] [paths] [gpu]     attacks; all cores
python scripts/bench.py [targeted_paths]     paths of all training images of MNIST to the next class; all cores
python scripts/bench.py [poisons]     Table I's seconds per poison; all cores
python scripts/bench.py [dfal]     its query beside DeepFool on the whole subset; all cores
python scripts/bench.py [core_set]     greedy k-center and the robust mixed-integer problem; all cores
python scripts/bench.py [cluster_max_min]     a query of a large pool of features, each way of clustering; all cores
python scripts/bench.py [class_graph]     the class-graph of 6,000 images in both norms; all cores
python scripts/bench.py [neighbours]     k-NN and kernel ridge beside scikit-learn's; all cores, or --threads 1
python scripts/bench.py [bilevel]     ten flips found through training, among 10,000 images; all cores
python scripts/bench.py [regions]     the exact region-based attack: half moons and what AAL_DATA has; one thread
python scripts/bench.py [hard_label]     attacks on labels alone, on MNIST beside ART's; one thread
python scripts/bench.py [extraction]     fidelity of shadows with 400 queries beside ART's, on digits; one thread

All of them by default. The attacks need `pip install -e ".[test,peers]"` and the folder that AAL_DATA names, with
MNIST, CIFAR-10 and ResNet-20's weights. They run beside those of adv-lib, foolbox, torchattacks, cleverhans and
adversarial-robustness-toolbox; those that are not installed are named and left out. How to install the ones that are
not in the extra stands in pyproject.toml.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads must not spin against other processes

import argparse
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

from aal.__main__ import keep_lightning_quiet
from aal.attacks import CollisionAttack
from aal.callbacks import QueryRounds, RoundCheckpoint, RoundProgress, RunRecords, WholeCheckpointIO
from aal.cli.exits import end_with
from aal.cli.trainer import TRAINER_DEFAULTS
from aal.data.samples import Samples, TensorSamples
from aal.datamodules import ActiveDataModule
from aal.models import TransferClassifier
from aal.networks import Backbone, DenseHead
from aal.oracles import Crowd
from aal.sharding import Shard
from aal.strategies import Entropy, Random

POOL, FEATURES, CLASSES, INITIAL, BATCH = 4500, 512, 10, 20, 32


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

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return the splits."""
        splits = zip(("pool", "craft", "test"), (POOL, 10, 500), strict=True)
        return {name: (TensorSamples(x), y) for name, (x, y) in ((name, clusters(n)) for name, n in splits)}


class TwoClasses(ActiveDataModule):
    """Random features ``(3001, 1280)`` of two clusters that overlap: the size of Table III's pool under MobileNetV2."""

    num_classes = 2

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return the splits."""
        splits = {}
        for name, n in (("pool", 3001), ("craft", 10), ("test", 2000)):
            draw = torch.Generator().manual_seed(n)
            labels = torch.randint(2, (n,), generator=draw)
            x = 0.04 * (2 * labels[:, None] - 1) + torch.randn(n, 1280, generator=draw)
            splits[name] = TensorSamples(x), labels
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


def lightning_rounds(rounds: int, epochs: int) -> None:
    """Query ``rounds`` labels one by one, as ``aal fit`` does it: records, ledger and a checkpoint every round."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            default_root_dir=folder,
            accelerator="cpu",
            **TRAINER_DEFAULTS,
            logger=CSVLogger(folder, name="", version=""),
            plugins=[WholeCheckpointIO()],
            callbacks=[
                RoundProgress(),
                QueryRounds(Entropy(), initial=INITIAL, budget=rounds, max_epochs=epochs, patience=epochs),
                RunRecords(),
                RoundCheckpoint(),
            ],
        )
        model = TransferClassifier(CachedFeatures(), DenseHead(), CLASSES)
        trainer.fit(model, datamodule=FeaturePool(batch_size=BATCH, scoring_batch_size=POOL))


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
        trainer = pl.Trainer(
            default_root_dir=folder,
            accelerator="cpu",
            **TRAINER_DEFAULTS,
            logger=CSVLogger(folder, name="", version=""),
            plugins=[WholeCheckpointIO()],
            callbacks=[RoundProgress(), rounds, RunRecords(), RoundCheckpoint()],
        )
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


def attacks(names: list[str], chosen: argparse.Namespace) -> None:
    """Run the benchmarks of attacks that ``names`` has."""
    import bench_attacks  # it needs packages that the others do not
    import bench_dfal

    setting = bench_attacks.Setting(chosen.cache, torch.device(chosen.device), chosen.repeats, chosen.slow)
    print(f"{chosen.device}, {chosen.threads} threads, shortest of {chosen.repeats}")
    for name in names:
        getattr(bench_dfal if name == "dfal" else bench_attacks, f"bench_{name}")(setting)


def main() -> int:
    """Run the benchmarks that the arguments name; return 0."""
    learning = ["rounds", "repeats", "crafting", "streaming", "encoding", "scoring"]
    on_classifiers = ["gradient", "deepfool", "carlini_wagner", "paths", "targeted_paths", "gpu", "dfal"]
    rest = ["poisons", "core_set", "cluster_max_min", "class_graph", "bilevel", "regions", "neighbours", "hard_label"]
    rest.append("extraction")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *learning, *on_classifiers, "collisions", *rest])
    parser.add_argument("--poisons", type=int, default=500)
    parser.add_argument("--points", type=int, default=1_000_000, help="size of the large pool of core_set")
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of the attacks")
    parser.add_argument("--device", default="cpu", help="where the attacks run, such as cuda")
    parser.add_argument("--repeats", type=int, default=3, help="how often an attack is timed; the shortest time counts")
    parser.add_argument("--slow", action="store_true", help="wait for the peers that take minutes, too")
    cache = Path(tempfile.gettempdir()) / "aal-bench"
    parser.add_argument("--cache", type=Path, default=cache, help="folder for the LeNet-5 that is trained")
    chosen = parser.parse_args()
    names = chosen.names or [*learning, *on_classifiers, "collisions", *rest]
    if set(names) & set(on_classifiers):
        from bench_subjects import check_data

        check_data()
    keep_lightning_quiet()
    torch.set_num_threads(1)
    if "rounds" in names:
        bench_rounds(chosen.rounds, chosen.epochs)
    if "repeats" in names:
        bench_repeats()
    if "crafting" in names:
        bench_crafting(n=32, steps=50)
    if "streaming" in names:
        bench_streaming(batch=64)
    if "encoding" in names:
        from bench_data import bench_encoding, bench_warm_bank

        bench_encoding(chosen.repeats)
        bench_warm_bank()
    if "scoring" in names:
        from bench_scoring import bench_gradient_lengths, bench_large_pool, bench_uncertainty

        bench_uncertainty(chosen.repeats)
        bench_gradient_lengths(chosen.repeats)
        bench_large_pool(chosen.repeats)
    if "hard_label" in names:
        from bench_hard_label import bench_hard_label

        bench_hard_label(chosen.repeats, chosen.slow)
    if "extraction" in names:
        from bench_extraction import bench_extraction

        bench_extraction(chosen.slow)
    if "regions" in names:
        from bench_regions import bench_regions

        bench_regions()
    torch.set_num_threads(chosen.threads)
    if "poisons" in names:
        from bench_data import bench_poisons

        bench_poisons(chosen.poisons, torch.device(chosen.device))
    if "core_set" in names:
        from bench_core_set import bench_cover, bench_k_center, bench_large_k_center

        bench_k_center(chosen.repeats)
        bench_cover(chosen.repeats)
        bench_large_k_center(chosen.points)
    if "cluster_max_min" in names:
        from bench_cluster_max_min import bench_cluster_max_min

        bench_cluster_max_min()
    if "class_graph" in names:
        from bench_flips import bench_class_graph

        bench_class_graph()
    if "bilevel" in names:
        from bench_flips import bench_bilevel

        bench_bilevel()
    if "neighbours" in names:
        from bench_neighbours import bench_neighbours

        bench_neighbours(chosen.repeats)
    on_attacks = [name for name in names if name not in (*learning, *rest)]
    if on_attacks:
        attacks(on_attacks, chosen)
    return 0


if __name__ == "__main__":
    end_with(main)
