"""DFAL's query beside DeepFool of the peers on the whole subset, which is what a plain implementation takes."""

from collections.abc import Callable
from functools import partial

import bench_peers as peers
import torch
from bench_attacks import Setting
from bench_subjects import Subject
from torch import Tensor
from torch.nn.functional import cross_entropy

from aal.attacks import frozen
from aal.models import ConvClassifier
from aal.networks import LeNet5
from aal.seeds import generator
from aal.sharding import Results, Shard
from aal.strategies import DFAL, View
from tests.real_data import mnist

LABELLED, SUBSET, QUERY = 100, 800, 10  # those of paper *dfal*, Table 3
EPOCHS, BATCH = 50, 32
AIM = 0.25
PEERS = {"adv-lib": peers.adv_lib_deepfool, "foolbox": peers.foolbox_deepfool}
STEPS = 50


def bench_dfal(setting: Setting) -> None:
    """Compare selecting 10 of 800, LeNet-5 trained on 100 labels, with the peers' DeepFool over all 800."""
    module, x = _learner(setting.device)
    view = _view(module, x)
    with torch.no_grad():
        on = Subject("LeNet-5", module, x, module(x).argmax(1))
    works = {
        "DFAL": partial(_selected, DFAL(subset=None), view),
        "DFAL, exact": partial(_selected, DFAL(subset=None, slack=None), view),
    }
    for name, attack in PEERS.items():
        missing = peers.fault(name)
        if missing:
            print(f"dfal: without {name} ({missing})")
        else:
            works[name] = partial(_nearest, attack, on)
    times, chosen = setting.times(works)
    print(f"dfal: {QUERY} of {SUBSET}, LeNet-5 on MNIST with {LABELLED} labels")
    for name, took in times.items():
        same = len(set(chosen[name].tolist()) & set(chosen["DFAL"].tolist()))
        print(f"  {name:12} {took:6.2f} s, {same} of the same {QUERY}", end="")
        print(f", DFAL takes {times['DFAL'] / took:.3f} of it" if name != "DFAL" else "", end="")
        print(f" (at most {AIM})" if name == "adv-lib" else "")


def _learner(device: torch.device) -> tuple[ConvClassifier, Tensor]:
    """Return LeNet-5 trained on 100 digits, and 800 others."""
    images, labels = mnist("train")
    drawn = torch.randperm(len(images), generator=generator(0, "subset"))[: LABELLED + SUBSET]
    x, y = images[drawn[:LABELLED]], labels[drawn[:LABELLED]]
    module = ConvClassifier(LeNet5, num_classes=10, sample_shape=(1, 28, 28))
    module.renew(generator(0, "weights"))
    optimizer = torch.optim.Adam(module.parameters())
    for epoch in range(EPOCHS):
        for batch in torch.randperm(LABELLED, generator=generator(0, "order", epoch)).split(BATCH):
            optimizer.zero_grad()
            cross_entropy(module(x[batch]), y[batch]).backward()
            optimizer.step()
    return module.to(device).eval(), images[drawn[LABELLED:]].to(device)


def _view(module: ConvClassifier, x: Tensor) -> View:
    """Return a view of images that are all candidates."""

    def mapped(function: Callable[[Tensor], Results], indices: Tensor) -> Results:
        with frozen(module), torch.no_grad():
            return Shard().map(function, indices, len(x))

    def images(indices: Tensor) -> Tensor:
        return x[indices.to(x.device)]

    return View(module, torch.arange(len(x)), torch.arange(0), images, images, mapped, {}, len(x))


def _selected(strategy: DFAL, view: View) -> Tensor:
    """Return what DFAL queries, its copies crafted, too."""
    return strategy.select(view, QUERY, generator=generator(0, "query")).indices


def _nearest(attack: partial[Tensor], on: Subject) -> Tensor:
    """Return the samples that a peer's DeepFool moves least."""
    moved = (attack(on, STEPS).detach() - on.x).flatten(1).norm(dim=1)
    return moved.topk(QUERY, largest=False).indices.cpu()
