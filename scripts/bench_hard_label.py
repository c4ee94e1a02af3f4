"""The attacks on labels alone beside ART's on MNIST: microseconds a query, and how far what they find is away.

The processor's time is taken, which others on the machine lengthen less than the clock's; everything runs on one
thread. ART's attacks end an iteration once they have made more than 5,000 queries, ours within 5,000.
"""

import os
import time
from collections.abc import Callable
from functools import partial

import bench_peers as peers
import torch
from bench_attacks import OURS, judge, present
from bench_subjects import Subject, mnist
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from aal.attacks import OPT, HopSkipJump, SignOPT
from aal.attacks.hard_label import HardLabel
from aal.attacks.norms import NORMS
from aal.seeds import generator

IMAGES, FEW, QUERIES, SHARE = 100, 10, 5000, 0.5
Work = Callable[[], tuple[Tensor, int]]


def bench_hard_label(repeats: int, slow: bool) -> None:
    """Compare HopSkipJump and Sign-OPT with ART's; ``slow`` waits for ART's Sign-OPT on all images, not on a few."""
    on = digits(IMAGES)
    print(f"hard labels: {on.name}, {QUERIES} queries an image, one thread, least processor time of {repeats}")
    for norm in ("l2", "linf"):
        peer = {"ART": partial(peers.art_hop_skip_jump, norm=norm, queries=QUERIES)}
        _beside(on, HopSkipJump(queries=QUERIES, norm=norm), peer, repeats)
    some = on if slow else Subject(on.name, on.network, on.x[:FEW], on.y[:FEW])
    _beside(some, SignOPT(queries=QUERIES), {"ART": partial(peers.art_sign_opt, queries=QUERIES)}, repeats)
    if not slow:
        print(f"  (ART's Sign-OPT asks for image by image, query by query: on {FEW} images without --slow)")
        _beside(on, SignOPT(queries=QUERIES), {}, repeats)
    _beside(on, OPT(queries=QUERIES), {}, repeats)


def digits(n: int) -> Subject:
    """Return a network of one hidden layer, after three passes over MNIST, and ``n`` images it classifies rightly."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    x, y = mnist("train")
    optimizer = torch.optim.Adam(network.parameters())
    for epoch in range(3):
        for rows in torch.randperm(len(x), generator=generator(0, "order", epoch)).split(128):
            optimizer.zero_grad()
            cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    x, y = mnist("t10k")
    right = (network.eval()(x[: 2 * n]).argmax(1) == y[: 2 * n]).nonzero()[:n, 0]
    return Subject("784-64-10 on MNIST", network, x[right], y[right])


def _beside(
    on: Subject, attack: HardLabel, named: dict[str, Callable[[Subject], tuple[Tensor, int]]], repeats: int
) -> None:
    """Print time a query and median distance of ours and the peers', and judge ours."""
    works: dict[str, Work] = {OURS: partial(_ours, on, attack)}
    works |= {name: partial(peer, on) for name, peer in present(named)}
    print(f"  {type(attack).__name__} {attack.norm}, {len(on.x)} images, load {os.getloadavg()[0]:.1f}")
    times, far = {}, {}
    for name, work in works.items():
        spent = []
        for _ in range(repeats if name == OURS else 1):
            started = time.process_time()
            x, queries = work()
            spent.append(time.process_time() - started)
        with torch.no_grad():
            fooled = on.network(x).argmax(1) != on.y
        far[name] = torch.where(fooled, NORMS[attack.norm].size(x - on.x), torch.inf)
        times[name] = min(spent) / queries
        print(
            f"    {name:4} {1e6 * times[name]:7.1f} us a query, {queries / len(x):6.0f} queries an image, "
            f"fooled {fooled.float().mean():.2f}, median distance {far[name].median():.4f}"
        )
    if "ART" in times:
        judge(f"time a query at most {SHARE} x ART", times[OURS] / times["ART"], SHARE)
        judge("median distance no larger than ART's", float(far[OURS].median() / far["ART"].median()), 1.0)
        ratios = far[OURS] / far["ART"]  # 0 or infinite where one alone fooled an image, no number where neither did
        nearer, farther = int((ratios < 1).sum()), int((ratios > 1).sum())
        judge(
            "median over images of ours by ART's no larger", float(ratios.nanquantile(0.5, interpolation="higher")), 1.0
        )
        p = binomtest(nearer, max(1, nearer + farther)).pvalue
        print(f"    ours nearer on {nearer}, farther on {farther} of {len(ratios)} images, sign test p = {p:.2g}")


def _ours(on: Subject, attack: HardLabel) -> tuple[Tensor, int]:
    found = attack(on.network, on.x, on.y)
    return found.x, int(found.queries.sum())
