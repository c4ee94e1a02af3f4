"""The exact region-based attack on half moons, Abalone and MNIST 1 against 7: milliseconds a sample."""

import csv
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import make_moons
from threadpoolctl import threadpool_limits
from torch import Tensor

from aal.attacks import RegionBased
from aal.networks import NearestNeighbours
from tests.real_data import data, mnist

SAMPLES, SEEDS = 100, 10
ALONE = 1  # seeds of which each sample is attacked in a call of its own too
ANYWHERE = (-np.inf, np.inf)
LONGEST = 20  # ms, for 99 % of the samples
Split = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]
AIMS = {"half moons": (3.0, 1.0), "Abalone": (1.5, 0.7), "MNIST 1v7": (5.0, 2.0)}  # L-inf, L2


def bench_regions(seeds: int = SEEDS) -> None:
    """Time both norms; beside the clock's time stands the processor's, which others on the machine lengthen less."""
    sets: dict[str, Callable[[np.random.RandomState, int], Split]] = {
        "half moons": _half_moons,
        "Abalone": _abalone,
        "MNIST 1v7": _mnist,
    }
    print(
        f"regions: exact, {SAMPLES} samples at once, mean of {seeds} seeds, what is made of the training set included"
    )
    for name, split in sets.items():
        randoms = [np.random.RandomState(seed) for seed in range(seeds)]
        try:
            tasks = [_task(split(random, seed), random) for seed, random in enumerate(randoms)]
        except pytest.skip.Exception as missing:
            print(f"  {name} left out: {missing}")
            continue
        for norm, aim in zip(("linf", "l2"), AIMS[name], strict=True):
            with threadpool_limits(1):  # NumPy's threads are not torch's
                runs = [_timed(RegionBased(norm=norm), *task) for task in tasks]
                alone = [took for task in tasks[:ALONE] for took in _alone(RegionBased(norm=norm), *task)]
            clock, processor, means = (np.array(part) for part in zip(*runs, strict=True))
            met = "met" if clock.mean() <= aim else "NOT MET"
            print(
                f"  {name:10} {norm:4} {clock.mean():5.2f} ms a sample (at most {aim}: {met}), processor "
                f"{processor.mean():5.2f}; a call for one {(np.array(alone) < LONGEST).mean():.0%} below {LONGEST} ms; "
                f"mean distance of the seeds {means.min():.4f} to {means.max():.4f}; load {os.getloadavg()[0]:.1f}"
            )


def _timed(attack: RegionBased, network: NearestNeighbours, x: Tensor, y: Tensor) -> tuple[float, float, float]:
    """Return ms a sample by the clock and of the processor, and the mean distance."""
    attack = attack.fit(network.points, network.labels)
    started, worked = time.perf_counter(), time.process_time()
    found = attack(network, x, y, bounds=ANYWHERE)
    clock, processor = time.perf_counter() - started, time.process_time() - worked
    return 1e3 * clock / len(x), 1e3 * processor / len(x), float(found.distance.mean())


def _alone(attack: RegionBased, network: NearestNeighbours, x: Tensor, y: Tensor) -> list[float]:
    """Return the processor's ms for each sample in a call of its own, the model's answers included."""
    attack, took = attack.fit(network.points, network.labels), []
    for row in range(len(x)):
        worked = time.process_time()
        attack(network, x[row : row + 1], y[row : row + 1], bounds=ANYWHERE)
        took.append(1e3 * (time.process_time() - worked))
    return took


def _task(split: Split, random: np.random.RandomState) -> tuple[NearestNeighbours, Tensor, Tensor]:
    """Return 1-NN, and the first samples of a shuffle that it gets right, with their labels."""
    points, labels, x, y = (torch.from_numpy(part) for part in split)
    network = NearestNeighbours(tuple(points.shape[1:]), 2)
    network.take_in(points, labels)
    right = (network(x).argmax(1) == y).nonzero()[:, 0].numpy()
    chosen = random.permutation(right)[:SAMPLES]
    return network, x[chosen], y[chosen]


def _half_moons(random: np.random.RandomState, seed: int) -> Split:
    x, y = make_moons(2200, noise=0.25, random_state=seed)
    return _scaled(x, y, random.permutation(2200), 2000)


def _abalone(random: np.random.RandomState, seed: int) -> Split:
    with open(data("abalone/abalone.data"), newline="") as file:
        rows = list(csv.reader(file))
    x = np.array([["MFI".index(row[0]), *map(float, row[1:8])] for row in rows])
    y = np.array([int(row[8]) > 11 for row in rows]).astype(np.int64)
    return _scaled(x, y, random.permutation(len(x))[:700], 500)


def _mnist(random: np.random.RandomState, seed: int) -> Split:
    parts: list[NDArray[Any]] = []
    for part, size in (("train", 1000), ("t10k", 500)):
        images, labels = mnist(part)
        chosen = random.permutation(((labels == 1) | (labels == 7)).nonzero()[:, 0].numpy())[:size]
        parts += [images[chosen].flatten(1).double().numpy(), (labels[chosen] == 7).long().numpy()]
    return parts[0], parts[1], parts[2], parts[3]


def _scaled(x: NDArray[np.float64], y: NDArray[np.int64], order: NDArray[np.int64], known: int) -> Split:
    """Return the first points of an order and the rest, each feature scaled to [0, 1] on the first."""
    x, y = x[order], y[order]
    low, high = x[:known].min(0), x[:known].max(0)
    x = (x - low) / (high - low)
    return x[:known], y[:known], x[known:], y[known:]
