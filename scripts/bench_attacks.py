"""The attacks of the benchmark beside those of the peers: time, share of images fooled, mean size of what fooled them.

All run in turn on the same images and networks, so that what else the machine does meets all of them; the shortest time
counts. "fb" is one bare forward and backward pass to the input over the same images, parameters without gradients.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import bench_peers as peers
import torch
from bench_subjects import Subject, digits, features, mnist, photographs
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from aal.attacks import (
    FGSM,
    PGD,
    AdversarialPath,
    Attack,
    CarliniWagner,
    CollisionAttack,
    DeepFool,
    TargetedCollision,
    frozen,
)
from aal.attacks.norms import NORMS

OURS, BARE = "aal", "bare passes"
LONG_ENOUGH = 5.0  # seconds for which works are timed
Peer = TypeVar("Peer")
Works = Mapping[str, Callable[[], Tensor]]


@dataclass(frozen=True)
class Setting:
    """What the command line says about the attacks.

    Attributes:
        cache: Folder for the weights that are trained here.
        device: Where attacks run.
        repeats: How often each is timed.
        slow: Whether to wait for the peers that take minutes.
    """

    cache: Path
    device: torch.device
    repeats: int
    slow: bool

    def timed(self, work: Callable[[], Tensor]) -> tuple[float, Tensor]:
        """Return how long ``work`` takes, until the device has done it, and its result."""
        self._finish()
        started = time.perf_counter()
        result = work().detach()
        self._finish()
        return time.perf_counter() - started, result

    def times(self, works: Works) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Run all works in turn, ``repeats`` times over, short ones more often.

        Returns:
            The shortest time of each in seconds, and what each returned last.
        """
        shortest, results, spent, done = dict.fromkeys(works, math.inf), {}, 0.0, 0
        while done < self.repeats or spent < LONG_ENOUGH:
            for name, work in works.items():
                took, results[name] = self.timed(work)
                shortest[name] = min(shortest[name], took)
                spent += took
            done += 1
        return shortest, results

    def _finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def bench_gradient(setting: Setting) -> None:
    """Compare FGSM and PGD in L-inf with the peers', in bare passes a step."""
    for on, radius, steps in _subjects(setting, (200, 0.1, 40), (50, 1 / 255, 20)):
        for attack, taken in ((FGSM(radius=radius), 1), (PGD(radius=radius, steps=steps), steps)):
            print(f"{type(attack).__name__} {taken}, {on.name}, {len(on.x)} images, L-inf {radius:.3g}")
            works = {BARE: partial(passes, on.network, on.x, taken), OURS: partial(attacked, attack, on)}
            if taken == 1:
                works |= {name: partial(peer, on, radius) for name, peer in present(peers.FGSM)}
            else:
                works |= {name: partial(peer, on, radius, steps) for name, peer in present(peers.PGD)}
            times, results = setting.times(works)
            rows(on, times, results, fb=times[BARE] / taken)
            judge("at most 1.05 fb a step (aim: 0.8)", times[OURS] / times[BARE], 1.05)
            if taken == 1:
                print("  (a forward pass more than the step tells which images are fooled; not all peers tell)")


def bench_deepfool(setting: Setting) -> None:
    """Compare DeepFool in L2, over ten classes, with the peers'."""
    named = peers.DEEPFOOL | (peers.SLOW_DEEPFOOL if setting.slow else {})
    for on, most in _subjects(setting, (200, 0.5), (50, 0.75)):
        print(f"DeepFool, {on.name}, {len(on.x)} images")
        works = {name: partial(peer, on, 50) for name, peer in present(named)}
        compare(setting, on, {OURS: partial(attacked, DeepFool(steps=50), on), **works}, "adv-lib", most)
    if not setting.slow:
        print(f"  {' and '.join(peers.SLOW_DEEPFOOL)} take minutes: left out without --slow")


def bench_carlini_wagner(setting: Setting) -> None:
    """Compare Carlini and Wagner's attack with the peers' at the same number of constants and iterations."""
    # The peers' step size and first constant: of some that were tried those with which they do best.
    cases = (100, 6, 100, (0.1, 1.0), "adv-lib", 0.5), (32, 4, 50, (0.005, 0.01), "cleverhans", 0.7)
    for on, constants, steps, tuned, reference, most in _subjects(setting, *cases):
        print(f"Carlini and Wagner {constants} x {steps}, {on.name}, {len(on.x)} images")
        named = present(peers.CARLINI_WAGNER)
        works = {name: partial(peer, on, constants, steps, *tuned) for name, peer in named}
        attack = CarliniWagner(binary_steps=constants, steps=steps)
        compare(setting, on, {OURS: partial(attacked, attack, on), **works}, reference, most)


def bench_collisions(setting: Setting) -> None:
    """Compare feature collisions at ResNet-50 with bare passes, and a step of a poison with the peers'."""
    steps, n, few = 50, 8, 5
    network, x = features(n, setting.device)
    mu = network(x).detach().mean(0)
    attack = CollisionAttack(steps=steps, patience=steps, tolerance=0.0)
    works = {
        BARE: partial(passes, network, x, steps),
        OURS: lambda: attack(network, x, torch.zeros(n), target=mu).x,
    }
    print(f"collisions, ResNet-50 at 32 px, {n} at once, {steps} steps; {few} steps, one by one, for the peers")
    works |= {name: partial(peer, network, x, mu, few) for name, peer in present(peers.COLLISIONS)}
    times, _ = setting.times(works)
    for name, took in times.items():
        step = 1e3 * took / (steps if name in (BARE, OURS) else few)
        print(f"  {name:14} {step:8.1f} ms a step of all, {step / n:6.1f} ms a poison and step")
    judge("at most 1.15 fb a step", times[OURS] / times[BARE], 1.15)
    bench_targeted(setting)


def bench_targeted(setting: Setting, n: int = 50, steps: int = 20) -> None:
    """Compare the targeted collisions of a whole set, all bases at once, with bare passes."""
    network, x = features(n + 1, setting.device)
    bases, target = x[:n], x[n]
    attack = TargetedCollision(opacity=0.1, steps=steps, patience=steps, tolerance=0.0)
    works = {
        BARE: partial(passes, network, bases, steps),
        OURS: lambda: attack(network, bases, torch.zeros(n), target=target).x,
    }
    print(f"targeted collisions, ResNet-50 at 32 px, a set of {n} at once, {steps} steps")
    times, results = setting.times(works)
    with torch.no_grad():
        before, after = ((network(each) - network(target[None])).norm(dim=1).mean() for each in (bases, results[OURS]))
    for name, took in times.items():
        print(f"  {name:14} {1e3 * took / steps:8.1f} ms a step of all")
    print(f"  mean distance to the target's features {before:.3g}, then {after:.3g}")
    judge("at most 1.2 fb a step", times[OURS] / times[BARE], 1.2)


def bench_paths(setting: Setting) -> None:
    """Time adversarial paths of all test images, which no peer has."""
    on, attack = digits(10_000, setting.cache, setting.device), AdversarialPath(step_size=0.01)
    print(f"adversarial paths, {on.name}, {len(on.x)} images, step 0.01")
    times, results = setting.times({OURS: partial(attacked, attack, on)})
    rows(on, times, results)
    judge("under 60 s", times[OURS], 60.0)


def bench_targeted_paths(setting: Setting) -> None:
    """Time, once, adversarial paths of all of MNIST's training images to the class after their own."""
    network, attack = digits(1, setting.cache, setting.device).network, AdversarialPath(step_size=0.01)
    x, y = (part.to(setting.device) for part in mnist("train"))
    took, reached = setting.timed(lambda: attack(network, x, y, target=(y + 1) % 10).success)
    print(f"adversarial paths to the next class, LeNet-5 on MNIST, {len(x)} images, step 0.01, timed once")
    print(f"  {OURS:14} {took:8.3f} s   reached {reached.double().mean():.3f}")
    judge("under 360 s", took, 360.0)


def bench_gpu(setting: Setting) -> None:
    """Report images per second for a batch of 1,000, and how often a step of PGD waits for the device."""
    if setting.device.type != "cuda":
        print("gpu left out: no CUDA device")
        return
    on = photographs(1000, setting.device)
    print(f"images per second, {on.name}, {len(on.x)} at once, {torch.cuda.get_device_name(setting.device)}")
    for attack in (PGD(radius=1 / 255), DeepFool(), CarliniWagner(binary_steps=4, steps=50)):
        times, _ = setting.times({OURS: partial(attacked, attack, on)})
        print(f"  {type(attack).__name__:14} {len(on.x) / times[OURS]:10.0f}")
    few, many = (waits(partial(attacked, PGD(radius=1 / 255, steps=steps), on)) for steps in (20, 40))
    judge("no wait for the device in a step of PGD", (many - few) / 20, 0.0)


def present(named: Mapping[str, Peer]) -> list[tuple[str, Peer]]:
    """Return the peers that are installed; name the others."""
    faults = {name: peers.fault(name) for name in named}
    for name, fault in faults.items():
        if fault is not None:
            print(f"  {name} left out: {fault}")
    return [(name, peer) for name, peer in named.items() if faults[name] is None]


def waits(work: Callable[[], object]) -> int:
    """Return how often ``work`` makes the host wait for the device."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        work()
    waiting = {"cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize"}
    return sum(event.count for event in profiler.key_averages() if event.key in waiting)


def attacked(attack: Attack, on: Subject) -> Tensor:
    """Return what ``attack`` makes of the images."""
    x = attack(on.network, on.x, on.y).x
    return x


def passes(network: nn.Module, x: Tensor, times: int) -> Tensor:
    """Go forward and backward to the input ``times`` times."""
    with frozen(network):
        for _ in range(times):
            leaf = x.clone().requires_grad_()
            outputs = network(leaf)
            torch.autograd.grad(outputs, leaf, torch.ones_like(outputs))
    return x


def compare(setting: Setting, on: Subject, works: Works, reference: str, most: float) -> None:
    """Time attacks that look for small perturbations, and judge ours by those of ``reference`` and its time.

    Args:
        setting: How to measure.
        on: The network and images.
        works: Ours and the peers'.
        reference: The peer to judge by.
        most: What share of its time ours may take, if it fools no fewer images, nor needs more to do so.
    """
    times, results = setting.times(works)
    rows(on, times, results)
    if reference not in results:
        print(f"  no target without {reference}")
        return
    (ours, size), (theirs, their_size) = (quality(on, results[name]) for name in (OURS, reference))
    both = ours & theirs
    judge(f"no image that only {reference} fools", float((theirs & ~ours).sum()), 0.0)
    judge(f"mean L2 at most 1.001 x {reference}", float(size[both].mean() / their_size[both].mean()), 1.001)
    judge(f"time at most {most} x {reference}", times[OURS] / times[reference], most)


def quality(on: Subject, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return which attacked images ``x`` fool the network, and the L2 size of every perturbation."""
    with torch.no_grad():
        predicted = torch.cat([on.network(part).argmax(1) for part in x.split(1000)])
    return predicted != on.y, NORMS["l2"].size(x - on.x)


def rows(on: Subject, times: dict[str, float], results: dict[str, Tensor], fb: float | None = None) -> None:
    """Print the time of each work, also in bare passes of ``fb`` seconds, and how well it attacks."""
    for name, took in times.items():
        line = f"  {name:14} {took:8.3f} s"
        if fb is not None:
            line += f" {took / fb:7.2f} fb"
        if name != BARE:
            fooled, size = quality(on, results[name])
            line += f"   fooled {fooled.float().mean():.3f}   mean L2 of those {size[fooled].mean():.4f}"
        print(line)


def judge(target: str, value: float, most: float) -> None:
    """Print a target, what was measured, and whether that is no more."""
    print(f"  target: {target}: {'met' if value <= most else 'NOT MET'}, {value:.3f}")


def _subjects(
    setting: Setting, on_digits: tuple[Any, ...], on_photographs: tuple[Any, ...]
) -> Iterator[tuple[Any, ...]]:
    """Yield both networks, each with as many images as the first number of its case says, and the rest of the case."""
    yield digits(on_digits[0], setting.cache, setting.device), *on_digits[1:]
    yield photographs(on_photographs[0], setting.device), *on_photographs[1:]
