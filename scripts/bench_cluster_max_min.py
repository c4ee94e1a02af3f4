"""Cluster max-min on a large pool of features: seconds, and memory beyond the features at two sizes of the pool."""

import multiprocessing
import os
import resource
import time
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor

from aal.models import Classifier
from aal.seeds import generator
from aal.strategies import ClusterMaxMin, View

POOL, FEATURES, CLUSTERS, LABELLED, PICKS = 50_000, 1280, 10, 1000, 100
LIMIT = 20  # seconds on two cores
MIB = 2**20
VARIANTS = {
    "k-means, silhouette": ClusterMaxMin(),
    "k-means, elbow": ClusterMaxMin(clusters="elbow"),
    "k-means, gap": ClusterMaxMin(clusters="gap"),
    "k-means, 20 clusters": ClusterMaxMin(clusters=20),
    "k-medoids, silhouette": ClusterMaxMin(method="kmedoids"),
    "agglomerative, silhouette": ClusterMaxMin(method="agglomerative"),
    "k-means, silhouette, updated": ClusterMaxMin(update=True),
}


class Given(Classifier):
    """A classifier whose samples are features, the first of which are its logits."""

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(B, C)``."""
        return x[:, : self.num_classes]

    def features(self, x: Tensor) -> Tensor:
        """Return ``x`` ``(B, D)``."""
        return x


def bench_cluster_max_min() -> None:
    """Show that a query is quick for every way of clustering, and that its memory is linear in the pool."""
    for name in VARIANTS:
        few, many = (_apart(size, name) for size in (POOL // 4, POOL))
        print(
            f"cluster max-min, {name}: {PICKS} of {POOL:,} x {FEATURES} beside {LABELLED:,}: {many[0]:.1f} s (under "
            f"{LIMIT} s on 2 cores) and {many[1]:.0f} MiB more than the features' {POOL * FEATURES * 4 / MIB:.0f}; "
            f"{POOL // 4:,}: {few[0]:.1f} s and {few[1]:.0f} MiB: ratios {many[0] / few[0]:.1f} and "
            f"{many[1] / few[1]:.1f} (at most 4 where linear); {many[2]:.0f} clusters",
            flush=True,
        )


def _apart(size: int, name: str) -> tuple[float, float, float]:
    """Return seconds, MiB and clusters of a query in a process of its own, whose peak is its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_query, args=(size, name, torch.get_num_threads(), theirs))
    process.start()
    theirs.close()
    measured: tuple[float, float, float] = ours.recv()
    process.join()
    return measured


def _query(size: int, name: str, threads: int, out: Connection) -> None:
    torch.set_num_threads(threads)
    g = generator(0, "points")
    middles = torch.randn(CLUSTERS, FEATURES, generator=g).mul_(0.2)
    x = torch.empty(size + LABELLED, FEATURES)
    for block in x.split(1000):
        block.normal_(generator=g).add_(middles[torch.randint(CLUSTERS, (len(block),), generator=g)])
    VARIANTS[name].select(
        _view_of(x[-3000:], 2000), PICKS, generator=generator(0, "query")
    )  # loads what is loaded once
    view = _view_of(x, size)
    before, started = resident(), time.perf_counter()
    selection = VARIANTS[name].select(view, PICKS, generator=generator(0, "query"))
    out.send((time.perf_counter() - started, peak() - before, selection.figures["clusters"]))


def _view_of(x: Tensor, candidates: int) -> View:
    """Return a view of samples ``(N, D)`` of which the first are candidates and the others labelled."""
    indices, rest = torch.arange(candidates), torch.arange(candidates, len(x))
    parts = {candidates: x[:candidates], len(rest): x[candidates:]}
    return View(
        Given(CLUSTERS),
        indices,
        rest,
        lambda i: parts[len(i)],  # as they are, so that nothing is copied
        lambda i: parts[len(i)],
        lambda function, i: function(i),
        {},
        LABELLED,
        labelled_labels=torch.zeros(len(rest), dtype=torch.int64),
    )


def resident() -> float:
    """Return this process's memory now, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / MIB


def peak() -> float:
    """Return the most memory that this process had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
