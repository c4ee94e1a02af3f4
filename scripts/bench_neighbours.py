"""k-NN and kernel ridge regression beside scikit-learn's, at the same type and threads: time, memory, agreement."""

import multiprocessing
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
import torch
from sklearn.kernel_ridge import KernelRidge as TheirRidge
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits
from torch import Tensor

from aal.networks import KernelRidge, NearestNeighbours

POINTS, QUERIES, FEATURES, CLASSES = 60_000, 10_000, 784, 10  # MNIST's
MOST_KNN, MOST_RIDGE = 0.8, 1.1  # times scikit-learn's
RIDGE = 5_000
TYPES = (torch.float32, torch.float64)


def bench_neighbours(repeats: int) -> None:
    """Compare both; each comparison has a process of its own, whose peak of memory is its own."""
    for dtype in TYPES:
        for k in (1, 5):
            ours, theirs, memory, others = _apart(_knn, dtype, k, repeats)
            print(
                f"k-NN, k = {k}, {POINTS:,} x {FEATURES}, {QUERIES:,} queries, {dtype}: {ours:.1f} s, scikit-learn's "
                f"brute force {theirs:.1f} s: ratio {_judged(ours / theirs, MOST_KNN)}; {memory:.0f} MiB more than the "
                f"data; {others:.0f} labels differ",
                flush=True,
            )
    for dtype in TYPES:
        for kernel in ("linear", "rbf", "polynomial"):
            ours, theirs, memory, difference = _apart(_ridge, dtype, kernel, repeats)
            print(
                f"kernel ridge, {kernel}, n = {RIDGE:,}, {dtype}: {ours:.2f} s, scikit-learn's {theirs:.2f} s: ratio "
                f"{_judged(ours / theirs, MOST_RIDGE)}; {memory:.0f} MiB, values differ by {difference:.0e} at most",
                flush=True,
            )


def _judged(ratio: float, most: float) -> str:
    return f"{ratio:.2f} (at most {most}: {'met' if ratio <= most else 'NOT MET'})"


Measured = tuple[float, float, float, float]


def _apart(work: Callable[[torch.dtype, object, int], Measured], *arguments: object) -> Measured:
    """Return what a function measures in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(work, arguments, torch.get_num_threads(), theirs))
    process.start()
    theirs.close()
    measured: Measured = ours.recv()
    process.join()
    return measured


def _send(work: Callable[..., Measured], arguments: tuple[object, ...], threads: int, out: Connection) -> None:
    torch.set_num_threads(threads)
    with threadpool_limits(threads):
        out.send(work(*arguments))


def _knn(dtype: torch.dtype, k: int, repeats: int) -> Measured:
    """Return seconds, theirs, MiB more than before, and the number of labels that differ."""
    (points, labels), (x, _) = images(POINTS, dtype, 0), images(QUERIES, dtype, 1)
    theirs = KNeighborsClassifier(k, algorithm="brute").fit(points.numpy(), labels.numpy())
    theirs.predict(x[:10].numpy())

    def ours() -> Tensor:
        network = NearestNeighbours((FEATURES,), CLASSES, k)
        network.take_in(points, labels)
        return network(x).argmax(1)

    return _compared(ours, lambda: theirs.predict(x.numpy()), repeats, lambda a, b: float((a != b).sum()))


def _ridge(dtype: torch.dtype, kernel: str, repeats: int) -> Measured:
    """Return seconds, theirs, MiB more than before, and the largest difference of the values."""
    (points, labels), (x, _) = images(RIDGE, dtype, 0), images(1000, dtype, 1)
    labels = (labels < CLASSES // 2).long()
    gamma = 1.0 if kernel == "linear" else 1 / FEATURES

    def ours() -> Tensor:
        network = KernelRidge((FEATURES,), 2, kernel, gamma=gamma)
        network.take_in(points, labels)
        return network(x)[:, 1]

    def theirs() -> np.ndarray:
        fitted = TheirRidge(kernel=kernel, gamma=gamma).fit(points.numpy(), 2.0 * labels.numpy() - 1)
        return np.asarray(fitted.predict(x.numpy()))

    return _compared(ours, theirs, repeats, lambda a, b: float(np.abs(a - b).max()))


def _compared(
    ours: Callable[[], Tensor],
    theirs: Callable[[], np.ndarray],
    repeats: int,
    differ: Callable[[np.ndarray, np.ndarray], float],
) -> Measured:
    """Time both in turn, ours first, of which the memory is; the shortest times count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(repeats):
        started = time.perf_counter()
        found = ours().numpy()
        seconds[0].append(time.perf_counter() - started)
        if number == 0:
            memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        started = time.perf_counter()
        wanted = theirs()
        seconds[1].append(time.perf_counter() - started)
    return min(seconds[0]), min(seconds[1]), memory, differ(found, wanted)


def images(n: int, dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor]:
    """Return images ``(n, 784)`` of 8 bits in [0, 1] around ten centers, with 30 ways to vary, and their classes."""
    draw = torch.Generator().manual_seed(100)
    centers = torch.rand(CLASSES, FEATURES, generator=draw)
    ways = torch.randn(CLASSES, 30, FEATURES, generator=draw) / 10
    draw.manual_seed(seed)
    labels, x = torch.randint(CLASSES, (n,), generator=draw), torch.empty(n, FEATURES, dtype=dtype)
    for rows in torch.arange(n).split(100):
        part = torch.randn(len(rows), 1, 30, generator=draw) @ ways[labels[rows]]
        part = centers[labels[rows]] + part[:, 0] + torch.randn(len(rows), FEATURES, generator=draw) / 20
        x[rows] = (part.clamp(0, 1) * 255).round().to(dtype) / 255
    return x, labels
