"""What choosing flips takes: class-graphs in both norms, and flips found through training (bilevel)."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch
from bench_cluster_max_min import MIB, peak, resident
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from aal.flips import Bilevel
from aal.flips.flip_view import CleanSet, FlipView
from aal.flips.graphs import class_graph
from aal.flips.near_pairs import Distance, pair_distances
from aal.models import ConvClassifier
from aal.networks import MLP
from aal.seeds import generator

POINTS, SIDE, NEIGHBOURS = 6000, 28, 10
LIMIT = 5  # seconds on two cores
EDGE = 16  # bytes that a graph keeps of one, a neighbour at either end
SPARSE = "sparse"
NORMS: tuple[Distance, ...] = ("l2", "linf")
IMAGES, CLASSES, FLIPPED = 10_000, 10, 10


def bench_class_graph() -> None:
    """Show that a graph is quick in both norms, sparse or dense, and its memory linear in points and edges."""
    for norm in NORMS:
        for share, name in ((NEIGHBOURS / POINTS, SPARSE), (0.5, "every other pair")):
            few, many = (_apart(_graph, size, norm, share) for size in (POINTS // 4, POINTS))
            kept = many[3] * EDGE / MIB
            asked = f"; under {LIMIT} s on 2 cores: {'met' if many[0] < LIMIT else 'NOT MET'}"
            print(
                f"class graph, {norm}, {name}: {POINTS:,} x {SIDE**2}: {many[0]:.1f} s ({many[1]:.1f} s of processors"
                f"{asked if name == SPARSE else ''}), {many[3]:,.0f} edges, and {many[2]:.0f} MiB more than the "
                f"points' {POINTS * SIDE**2 * 4 / MIB:.0f}, the edges' own {kept:.0f}; {POINTS // 4:,}: {few[0]:.1f} s "
                f"and {few[2]:.0f} MiB",
                flush=True,
            )


def bench_bilevel() -> None:
    """Show what a choice of flips through training costs beside as many steps of training alone, and its memory."""
    asked = Bilevel()
    print(
        f"bilevel, {FLIPPED} of {IMAGES // CLASSES:,} candidates, {IMAGES:,} images of {SIDE}x{SIDE}: "
        f"{asked.outer_steps} outer steps through {asked.inner_steps} of training"
    )
    for recompute in (True, False):
        bare, took, more = _apart(_bilevel, recompute)
        print(
            f"  steps {'computed again' if recompute else 'held'}: {took:.1f} s, {took / bare:.1f} times the "
            f"{bare:.1f} s of that training alone; {more:.0f} MiB more than the images' "
            f"{IMAGES * SIDE**2 * 4 / MIB:.0f}",
            flush=True,
        )


def _apart(work: Callable[..., None], *arguments: object) -> tuple[float, ...]:
    """Return what ``work`` sends, measured in a process of its own, with its own peak of memory."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(*arguments, torch.get_num_threads(), theirs))
    process.start()
    theirs.close()
    measured: tuple[float, ...] = ours.recv()
    process.join()
    return measured


def _graph(size: int, norm: Distance, share: float, threads: int, out: Connection) -> None:
    torch.set_num_threads(threads)
    points = _strokes(size)
    i, j = torch.randint(size, (2, 20_000), generator=generator(0, "pairs"))
    apart = pair_distances(points, i[i != j], j[i != j], norm).sort().values
    gamma = float(apart[int(share * len(apart))])
    labels = torch.zeros(size, dtype=torch.int64)
    class_graph(points[:600], labels[:600], gamma, norm)  # loads what is loaded once
    before, started, busy = resident(), time.perf_counter(), time.process_time()
    graph = class_graph(points, labels, gamma, norm)
    took = time.perf_counter() - started, time.process_time() - busy
    out.send((*took, peak() - before, float(graph.edges)))


def _bilevel(recompute: bool, threads: int, out: Connection) -> None:
    torch.set_num_threads(threads)
    x, labels = _strokes(IMAGES).reshape(IMAGES, 1, SIDE, SIDE), torch.arange(IMAGES) % CLASSES
    may, rest = (labels == 0).nonzero()[:, 0], (labels != 0).nonzero()[:, 0]
    module = ConvClassifier(MLP, CLASSES, (1, SIDE, SIDE))
    view = FlipView(
        module=module.eval(),
        clean=CleanSet(may, labels[may], labels[may] + 1),
        places=torch.arange(len(may)),
        inputs=lambda indices: x[indices],
        images=lambda indices: x[indices],
        map=lambda function, indices, advance: function(indices),
        others=rest,
        other_labels=labels[rest],
    )
    selector = Bilevel(recompute=recompute)
    started = time.perf_counter()
    for _ in range(selector.outer_steps * selector.inner_steps):
        module.zero_grad()
        cross_entropy(module(x[: 2 * selector.subset]), labels[: 2 * selector.subset]).backward()
    bare = time.perf_counter() - started
    before, started = resident(), time.perf_counter()
    selector.select(view, FLIPPED, generator=generator(0, "flips"))
    out.send((bare, time.perf_counter() - started, peak() - before))


def _strokes(size: int) -> Tensor:
    """Return smooth images of one shape ``(N, 784)``, of 8 bits, from 0 to 1."""
    g = generator(0, "points")
    shape = interpolate(torch.randn(1, 1, 7, 7, generator=g), (SIDE, SIDE), mode="bicubic")
    points = torch.empty(size, SIDE**2)
    for block in points.split(500):
        own = interpolate(torch.randn(len(block), 1, 7, 7, generator=g), (SIDE, SIDE), mode="bicubic")
        block.copy_((shape + 0.7 * own).mul_(2).sigmoid_().mul_(255).round_().div_(255).flatten(1))
    return points
