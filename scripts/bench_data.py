"""Parts of Table I: encoding beside bare forward passes, opening a feature bank, seconds per poison."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
import torch
import torchvision
from torch import Tensor, nn

from aal.attacks import CollisionAttack
from aal.data.samples import ImageSamples, Samples
from aal.datamodules import ActiveDataModule
from aal.features.bank import EncodedSplit, FeatureBank
from aal.features.key import feature_key
from aal.models import TransferClassifier
from aal.networks import Backbone, DenseHead, NamedBackbone

SIZE, BATCH, BATCHES = 96, 64, 3
ROWS, FEATURES = 60_000, 1_280
PAPER_SECONDS, PAPER_SHARE = (
    93.4,
    0.089,
)  # of CIFAR-10: a poison on one CPU; ||f - mu|| after and before


class MobileNetV2(Backbone):
    """torchvision's MobileNetV2 with random weights, up to its last layer."""

    feature_size = FEATURES

    def __init__(self) -> None:
        super().__init__()
        self.layers = torchvision.models.mobilenet_v2().features

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(B, 3, 96, 96)`` to features ``(B, 1280)``."""
        features: Tensor = self.layers(x).mean((2, 3))
        return features


class RandomImages(ActiveDataModule):
    """Random 8-bit images ``(3, 96, 96)``."""

    num_classes = 2
    sample_shape = (3, 96, 96)

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return a pool of some batches, and hardly anything else."""
        sizes = {"pool": BATCHES * BATCH, "craft": 2, "test": 2}
        return {name: (ImageSamples(pixels(n)), torch.arange(n) % 2) for name, n in sizes.items()}


def pixels(n: int) -> Tensor:
    """Return ``n`` images."""
    drawn = torch.randint(256, (n, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(n))
    return drawn.to(torch.uint8)


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def encode(backbone: nn.Module, bank: str | None) -> float:
    """Return how long a new datamodule takes to encode its pool, key and file of a cold bank included."""
    data = RandomImages(scoring_batch_size=BATCH, bank=bank)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.datamodule = data  # type: ignore[attr-defined]
    data.trainer = trainer
    trainer.strategy.connect(TransferClassifier(backbone, DenseHead(), 2))
    data.setup("fit")
    return seconds(lambda: data.features("pool"))


def bench_encoding(repeats: int) -> None:
    """Compare encoding, in memory and into a bank, with bare forward passes over the same batches, in turn."""
    backbone = MobileNetV2().eval().requires_grad_(False)
    batches = [batch.float() / 255 for batch in pixels(BATCHES * BATCH).split(BATCH)]

    def bare() -> None:
        with torch.no_grad():
            for batch in batches:
                backbone(batch)

    times: dict[str, list[float]] = {"bare": [], "memory": [], "bank": []}
    bare()
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            times["bare"].append(seconds(bare))
            times["memory"].append(encode(backbone, None))
            times["bank"].append(encode(backbone, str(Path(folder) / str(repeat))))
    n, best = BATCHES * BATCH, {name: min(took) for name, took in times.items()}
    print(
        f"encoding: MobileNetV2 at {SIZE} px, {n} images in batches of {BATCH}: bare forward passes "
        f"{n / best['bare']:.0f} images a second, encoding {n / best['memory']:.0f}: ratio "
        f"{best['bare'] / best['memory']:.2f}, into a cold bank {n / best['bank']:.0f}: ratio "
        f"{best['bare'] / best['bank']:.2f} (at least 0.9)"
    )


def bench_warm_bank() -> None:
    """Time opening a warm bank, the key of as many 32x32 images included, and reading and checking all of it."""

    def batches() -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        return [torch.randn(min(256, ROWS - k), FEATURES, generator=generator) for k in range(0, ROWS, 256)]

    def never(batch: Tensor) -> Tensor:
        raise AssertionError(f"the bank is damaged at {batch[0]}")

    with tempfile.TemporaryDirectory() as folder:
        bank, backbone = FeatureBank(Path(folder)), MobileNetV2()
        samples = ImageSamples(torch.randint(256, (ROWS, 3, 32, 32), dtype=torch.uint8))

        def opened() -> EncodedSplit:
            key = feature_key(samples, ROWS, backbone, torch.device("cpu"), 256)
            return bank.split(key, ROWS, 256, lambda: iter(batches()), never)

        opened()
        started = time.perf_counter()
        split = opened()
        took = time.perf_counter() - started
        read = seconds(split.whole)
    print(
        f"warm bank: {ROWS:,} x {FEATURES:,} opened in {took:.2f} s (below 1 s), the digest of as many 32x32 images "
        f"included; all of it read and checked in {read:.2f} s more"
    )


def bench_poisons(n: int, device: torch.device) -> None:
    """Time poisons of 32x32 through ResNet-50 with random weights, each to the paper's share of its first distance.

    Args:
        n: How many.
        device: Where.
    """
    torch.manual_seed(0)
    backbone = NamedBackbone("resnet50", weights="none").eval().to(device)
    coarse = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    x = nn.functional.interpolate(coarse, size=32, mode="bicubic").clamp(0, 1).to(device)
    labels = torch.zeros(n, dtype=torch.int64, device=device)
    attack = CollisionAttack(step_size=1.0, tolerance=PAPER_SHARE, success=PAPER_SHARE)
    size = 500 if device.type == "cuda" else 50
    reached, steps, started = 0, 0, time.perf_counter()
    for batch, y in zip(x.split(size), labels.split(size), strict=True):
        result = attack(backbone, batch, y)
        reached += int(result.success.sum())
        steps += int(result.info["iterations"].sum())
    each = (time.perf_counter() - started) / n
    print(
        f"poisons: {n} of 32x32 through ResNet-50 to {PAPER_SHARE} of their distance, which {reached} reached in "
        f"{steps / n:.0f} steps on average: {each:.2f} s each, {PAPER_SECONDS / each:.0f} times as fast as the paper's "
        f"{PAPER_SECONDS} s (at least {5000 if device.type == 'cuda' else 50})"
    )
