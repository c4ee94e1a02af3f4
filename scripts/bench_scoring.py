"""Scoring a pool: BALD and entropy beside baal's heuristics, EGL beside a loop, and a million cached features.

Everything runs in turn, so that what else the machine does meets all of it; the shortest time counts. baal is the peer
of the first (`pip install baal`); without it that is said, and nothing is compared.
"""

import math
import resource
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from aal.attacks.base import frozen
from aal.models import Classifier, ConvClassifier, TransferClassifier
from aal.networks import Backbone, DenseHead, LeNet5
from aal.seeds import generator
from aal.sharding import Results, Shard
from aal.strategies import BALD, EGL, Entropy, Strategy, View
from aal.strategies.bald import information_of
from aal.strategies.egl import network_lengths, trained
from aal.strategies.entropy import entropy_of

SAMPLES, CLASSES, DRAWS, MANY = 10_000, 10, 20, 1024
IMAGES = 64
POOL, FEATURES, QUERY, BATCH = 1_000_000, 512, 10, 256


class Cached(Backbone):
    """A backbone whose work is done: samples are features already."""

    feature_size = FEATURES

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` ``(B, D)``."""
        return x


def shortest(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Run all works in turn, ``repeats`` times over; return the shortest time of each in seconds."""
    times = dict.fromkeys(works, math.inf)
    for _ in range(repeats):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            times[name] = min(times[name], time.perf_counter() - started)
    return times


def view_of(module: Classifier, inputs: Tensor) -> View:
    """Return a view of a pool ``(N, ...)`` of which nothing is labelled."""

    def mapped(function: Callable[[Tensor], Results], indices: Tensor) -> Results:
        with frozen(module), torch.no_grad():
            return Shard().map(function, indices, BATCH)

    def given(indices: Tensor) -> Tensor:
        return inputs[indices]

    nothing = torch.empty(0, dtype=torch.int64)
    return View(module, torch.arange(len(inputs)), nothing, given, given, mapped, {}, len(inputs))


def bench_uncertainty(repeats: int) -> None:
    """Score all samples by BALD and by entropy as baal does, from the same numbers."""
    try:
        from baal.active import heuristics
    except ImportError as missing:
        print(f"uncertainty: baal left out: {missing}; nothing to compare with")
        return
    noise = torch.randn(SAMPLES, DRAWS, CLASSES, generator=generator(0, "draws"), dtype=torch.float64)
    logits = 2 * torch.randn(SAMPLES, 1, CLASSES, generator=generator(0, "samples"), dtype=torch.float64) + noise
    drawn, mean = logits.softmax(-1), logits.mean(1)
    bald, entropy = heuristics.BALD(), heuristics.Entropy()
    theirs = drawn.transpose(1, 2).contiguous().numpy()
    for name, numbers, ours, peer in (
        (
            "BALD",
            f"{SAMPLES:,} x {CLASSES} x {DRAWS} probabilities",
            lambda: Shard().map(lambda batch: information_of(drawn[batch]), torch.arange(SAMPLES), MANY),
            lambda: bald.get_uncertainties(theirs),
        ),
        (
            "entropy",
            f"{SAMPLES:,} x {CLASSES} logits",
            lambda: Shard().map(lambda batch: entropy_of(mean[batch]), torch.arange(SAMPLES), MANY),
            lambda: entropy.get_uncertainties(mean.numpy()),
        ),
    ):
        took = shortest({"aal": ours, "baal": peer}, 10 * repeats)
        ranked = [torch.as_tensor(scores()).argsort(descending=True, stable=True) for scores in (ours, peer)]
        same = "the same" if torch.equal(*ranked) else "NOT THE SAME"
        print(
            f"{name}: {numbers} in batches of {MANY:,}: {1e3 * took['aal']:.1f} ms, baal, all at once, "
            f"{1e3 * took['baal']:.1f} ms: ratio {took['aal'] / took['baal']:.2f} (at most 0.6), {same} ranking"
        )


def bench_gradient_lengths(repeats: int) -> None:
    """Compare EGL on all weights of LeNet-5 with a backward pass for each sample and class."""
    module = ConvClassifier(LeNet5, CLASSES, (1, 28, 28)).eval()
    module.renew(generator(0, "weights"))
    x = torch.rand(IMAGES, 1, 28, 28, generator=generator(0, "images"))
    names, parameters = trained(module), list(module.parameters())

    def loop() -> Tensor:
        lengths = torch.zeros(IMAGES, dtype=torch.float64)
        for row in range(IMAGES):
            logits = module.classify(x[row : row + 1])
            for label, probability in enumerate(logits.detach().double().softmax(-1)[0]):
                loss = cross_entropy(logits, torch.tensor([label]))
                gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
                lengths[row] += probability * nn.utils.get_total_norm(gradients)
        return lengths

    def ours() -> Tensor:
        return network_lengths(module, names, x)

    took = shortest({"aal": ours, "loop": loop}, repeats)
    apart = float((ours() / loop() - 1).abs().max())
    print(
        f"gradient lengths: {IMAGES} x {CLASSES} gradients of LeNet-5 in {took['aal']:.2f} s, a loop over samples and "
        f"classes {took['loop']:.2f} s: ratio {took['aal'] / took['loop']:.3f} (at most 0.2), {apart:.0e} apart at most"
    )


def bench_large_pool(repeats: int) -> None:
    """Show that scoring a large pool of features takes time in proportion, and the memory of a batch and the scores."""
    features = torch.empty(POOL, FEATURES).normal_(generator=generator(0, "features"))
    module = TransferClassifier(Cached(), DenseHead(dropout=0.5), CLASSES)
    sizes = (POOL // 4, POOL // 2, POOL)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"large pool: {POOL:,} features of {FEATURES} take {features.nbytes / 2**20:,.0f} MiB; batches of {BATCH}")
    for strategy in (Entropy(), EGL(subset=None), BALD(draws=2, subset=None)):

        def query(n: int, strategy: Strategy = strategy) -> object:
            return strategy.select(view_of(module, features[:n]), QUERY, generator=generator(0, "query"))

        query(BATCH)
        took = shortest({str(n): lambda n=n: query(n) for n in sizes}, max(repeats - 1, 1))
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        times = ", ".join(f"{n:,} in {took[str(n)]:.2f} s" for n in sizes)
        slope = took[str(sizes[2])] / took[str(sizes[0])] / 4
        print(
            f"  {type(strategy).__name__}: {times}: the last {slope:.2f} of 4 times the first (1.0 is linear); peak so "
            f"far {more:.0f} MiB above the features, where scores are {POOL * 8 / 2**20:.1f}, as are indices, and a "
            f"batch {BATCH * FEATURES * 4 / 2**20:.1f}"
        )
