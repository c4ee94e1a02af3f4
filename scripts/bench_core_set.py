"""Core-set: greedy k-center beside other implementations and on a large pool, and the mixed-integer problem of Table 3.

scikit-activeml is a peer (`pip install scikit-activeml`); without it that is said, and nothing is compared with it.
"""

import importlib.util
import math
import multiprocessing
import resource
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from aal.models import Classifier
from aal.seeds import generator
from aal.strategies import CoreSet, View
from aal.strategies.k_center import k_center

POINTS, LABELLED, FEATURES, PICKS = 10_000, 100, 512, 100
CANDIDATES, LOGITS, QUERY = 800, 10, 10  # paper dfal, Table 3, with as many labelled
PAPER = {"with regularisation": 891.78, "no regularisation": 784.99}  # seconds
MANY = 1000  # labelled samples beside the large pool
MIB = 2**20


class Given(Classifier):
    """A classifier whose samples are logits."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` ``(B, C)``."""
        return x

    def features(self, x: Tensor) -> Tensor:
        """Return ``x`` ``(B, C)``."""
        return x


def bench_k_center(repeats: int) -> None:
    """Compare greedy k-center with scikit-activeml's and with ``torch.cdist``."""
    g = generator(0, "points")
    points, centers = torch.randn(POINTS, FEATURES, generator=g), torch.randn(LABELLED, FEATURES, generator=g)
    works = {"aal": lambda: k_center(points, centers, PICKS).picks, "torch.cdist": lambda: by_cdist(points, centers)}
    if importlib.util.find_spec("skactiveml") is None:
        print("k-center: scikit-activeml left out, not installed")
    else:
        works["scikit-activeml"] = by_scikit(points, centers)
    times, picks = in_turn(works, repeats)
    print(f"k-center: {PICKS} of {POINTS:,} x {FEATURES} beside {LABELLED}: aal {times['aal']:.3f} s")
    for name, took in times.items():
        if name != "aal":
            same = int((picks[name] == picks["aal"]).sum())
            aim = " (at most 0.2)" if name == "scikit-activeml" else ""
            print(f"  {name} {took:.2f} s: ratio {times['aal'] / took:.3f}{aim}, {same} of {PICKS} picks the same")


def bench_cover(repeats: int) -> None:
    """Time CoreSet's query of Table 3, greedy part and problem, on logits of ten noisy classes."""
    for name, outliers in (("with regularisation", 1e-4), ("no regularisation", 0.0)):
        longest, said = 0.0, ""
        for seed in range(repeats):
            g = generator(seed, "logits")
            x = 4 * torch.randn(LOGITS, LOGITS, generator=g)[torch.randint(LOGITS, (900,), generator=g)]
            view = view_of(x + 2 * torch.randn(900, LOGITS, generator=g))
            started = time.perf_counter()
            figures = CoreSet(outliers=outliers).select(view, QUERY, generator=generator(seed, "query")).figures
            longest = max(longest, time.perf_counter() - started)
            said += f"; radius {figures['cover_radius']:.2f}, greedy {figures['greedy_radius']:.2f}"
            said += f", gap {figures['cover_gap']:.1%}"
        print(
            f"core-set {name}: {QUERY} of {CANDIDATES}, 100 labelled, {repeats} draws: at most {longest:.1f} s "
            f"(under 10 s; the paper's {PAPER[name]} s on a GPU){said}"
        )


def bench_large_k_center(size: int) -> None:
    """Show that greedy k-center takes time linear in the pool, and memory of the points and a block."""
    for points in (size // 4, size):  # each in a process of its own, whose peak is its own
        process = multiprocessing.get_context("spawn").Process(target=_large, args=(points, torch.get_num_threads()))
        process.start()
        process.join()
        if process.exitcode:
            print(f"k-center: {points:,} points: ended with {process.exitcode}")


def _large(size: int, threads: int) -> None:
    torch.set_num_threads(threads)
    g = generator(0, "points")
    points, centers = torch.empty(size, FEATURES), torch.randn(MANY, FEATURES, generator=g)
    for block in points.split(POINTS):
        block.normal_(generator=g)
    k_center(points[:POINTS], centers, 1)  # what is loaded once is loaded
    before, started = _peak(), time.perf_counter()
    cover = k_center(points, centers, PICKS)
    took = time.perf_counter() - started
    print(
        f"k-center: {PICKS} of {size:,} x {FEATURES} beside {MANY:,}: {took:.1f} s and {_peak() - before:.0f} MiB more "
        f"than the {before:.0f} MiB before, of which the points take {points.nbytes / MIB:.0f}; "
        f"radius {cover.radius:.3f}",
        flush=True,
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def view_of(x: Tensor) -> View:
    """Return a view of logits ``(N, C)`` of which the first are candidates and the others labelled."""
    indices = torch.arange(len(x))
    module = Given(x.shape[1])
    return View(
        module,
        indices[:CANDIDATES],
        indices[CANDIDATES:],
        lambda i: x[i],
        lambda i: x[i],
        lambda function, i: function(i),
        {},
        QUERY,
    )


def by_cdist(points: Tensor, centers: Tensor) -> Tensor:
    """Choose by the usual loop over ``torch.cdist``, ``(n,)``."""
    picks, distances = torch.empty(PICKS, dtype=torch.int64), torch.cdist(points, centers).amin(1)
    for k in range(PICKS):
        picks[k] = place = int(distances.argmax())
        distances = torch.minimum(distances, torch.cdist(points, points[place : place + 1])[:, 0])
    return picks


def by_scikit(points: Tensor, centers: Tensor) -> Callable[[], Tensor]:
    """Return what chooses by scikit-activeml, which takes all samples and their labels, NaN for none."""
    from skactiveml.pool import CoreSet as Peer

    x = torch.cat([points, centers]).numpy()
    y = np.r_[np.full(len(points), np.nan), np.zeros(len(centers))]
    return lambda: torch.from_numpy(Peer(random_state=0).query(x, y, batch_size=PICKS))


def in_turn(works: Mapping[str, Callable[[], Tensor]], repeats: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Run all works in turn, once and ``repeats`` times over; return the shortest time of each, and its result."""
    times, results = dict.fromkeys(works, math.inf), {}
    for repeat in range(repeats + 1):
        for name, work in works.items():
            started = time.perf_counter()
            results[name] = work()
            if repeat:
                times[name] = min(times[name], time.perf_counter() - started)
    return times, results
