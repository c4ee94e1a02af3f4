"""Attacks of the peers with the settings of the benchmark, one function a peer and attack.

Each takes a subject, whose images are in [0, 1] and of ten classes, and returns the attacked images. A peer is imported
where it is called, so that each may be missing.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from bench_subjects import Subject
from torch import Tensor, nn

MODULES = {
    "adv-lib": "adv_lib.attacks",
    "foolbox": "foolbox",
    "torchattacks": "torchattacks",
    "cleverhans": "cleverhans.torch.attacks.carlini_wagner_l2",
    "ART": "art.attacks.evasion",
    "naive loop": "torch",
}


def fault(peer: str) -> ImportError | None:
    """Import a peer; return what is missing, if anything."""
    try:
        importlib.import_module(MODULES[peer])
    except ImportError as missing:
        return missing
    return None


def adv_lib_pgd(on: Subject, radius: float, steps: int) -> Tensor:
    """Run adv-lib's PGD in L-inf."""
    from adv_lib.attacks import pgd_linf

    return pgd_linf(on.network, on.x, on.y, radius, steps=steps, absolute_step_size=2.5 * radius / steps)


def foolbox_pgd(on: Subject, radius: float, steps: int) -> Tensor:
    """Run Foolbox's PGD in L-inf."""
    import foolbox

    return _foolbox(on, foolbox.attacks.LinfPGD(steps=steps, abs_stepsize=2.5 * radius / steps), radius)


def torchattacks_pgd(on: Subject, radius: float, steps: int) -> Tensor:
    """Run torchattacks' PGD in L-inf."""
    import torchattacks

    return torchattacks.PGD(on.network, eps=radius, alpha=2.5 * radius / steps, steps=steps)(on.x, on.y)


def cleverhans_pgd(on: Subject, radius: float, steps: int) -> Tensor:
    """Run CleverHans's PGD in L-inf."""
    from cleverhans.torch.attacks.projected_gradient_descent import projected_gradient_descent as pgd

    return pgd(on.network, on.x, radius, 2.5 * radius / steps, steps, np.inf, 0, 1, y=on.y, sanity_checks=False)


def art_pgd(on: Subject, radius: float, steps: int) -> Tensor:
    """Run ART's PGD in L-inf."""
    from art.attacks.evasion import ProjectedGradientDescentPyTorch as PGD

    settings = {"eps": radius, "eps_step": 2.5 * radius / steps, "max_iter": steps, "num_random_init": 1}
    return _art(on, PGD(_classifier(on.network, on.x, 10), **settings, batch_size=len(on.x), verbose=False).generate)


def foolbox_fgsm(on: Subject, radius: float) -> Tensor:
    """Run Foolbox's FGSM."""
    import foolbox

    return _foolbox(on, foolbox.attacks.LinfFastGradientAttack(), radius)


def torchattacks_fgsm(on: Subject, radius: float) -> Tensor:
    """Run torchattacks' FGSM."""
    import torchattacks

    return torchattacks.FGSM(on.network, eps=radius)(on.x, on.y)


def cleverhans_fgsm(on: Subject, radius: float) -> Tensor:
    """Run CleverHans's FGSM."""
    from cleverhans.torch.attacks.fast_gradient_method import fast_gradient_method

    return fast_gradient_method(on.network, on.x, radius, np.inf, 0, 1, y=on.y)


def art_fgsm(on: Subject, radius: float) -> Tensor:
    """Run ART's FGSM."""
    from art.attacks.evasion import FastGradientMethod

    return _art(on, FastGradientMethod(_classifier(on.network, on.x, 10), eps=radius, batch_size=len(on.x)).generate)


def adv_lib_deepfool(on: Subject, steps: int) -> Tensor:
    """Run adv-lib's DeepFool in L2."""
    from adv_lib.attacks import df

    return df(on.network, on.x, on.y, steps=steps)


def foolbox_deepfool(on: Subject, steps: int) -> Tensor:
    """Run Foolbox's DeepFool in L2."""
    import foolbox

    return _foolbox(on, foolbox.attacks.L2DeepFoolAttack(steps=steps), None)


def art_deepfool(on: Subject, steps: int) -> Tensor:
    """Run ART's DeepFool."""
    from art.attacks.evasion import DeepFool

    return _art(
        on, DeepFool(_classifier(on.network, on.x, 10), max_iter=steps, batch_size=len(on.x), verbose=False).generate
    )


def torchattacks_deepfool(on: Subject, steps: int) -> Tensor:
    """Run torchattacks' DeepFool, which takes image by image."""
    import torchattacks

    return torchattacks.DeepFool(on.network, steps=steps)(on.x, on.y)


def adv_lib_carlini_wagner(on: Subject, constants: int, steps: int, rate: float, first: float) -> Tensor:
    """Run adv-lib's attack of Carlini and Wagner."""
    from adv_lib.attacks import carlini_wagner_l2

    budget = {"binary_search_steps": constants, "max_iterations": steps}
    return carlini_wagner_l2(on.network, on.x, on.y, learning_rate=rate, initial_const=first, **budget)


def foolbox_carlini_wagner(on: Subject, constants: int, steps: int, rate: float, first: float) -> Tensor:
    """Run Foolbox's attack of Carlini and Wagner."""
    import foolbox

    budget = {"binary_search_steps": constants, "steps": steps}
    return _foolbox(on, foolbox.attacks.L2CarliniWagnerAttack(stepsize=rate, initial_const=first, **budget), None)


def cleverhans_carlini_wagner(on: Subject, constants: int, steps: int, rate: float, first: float) -> Tensor:
    """Run CleverHans's attack of Carlini and Wagner."""
    from cleverhans.torch.attacks.carlini_wagner_l2 import carlini_wagner_l2

    budget = {"binary_search_steps": constants, "max_iterations": steps}
    return carlini_wagner_l2(on.network, on.x, 10, on.y, lr=rate, initial_const=first, **budget)


def art_hop_skip_jump(on: Subject, norm: str, queries: int) -> tuple[Tensor, int]:
    """Run ART's HopSkipJump for as many iterations as it has begun by ``queries``; return its queries, too."""
    from art.attacks.evasion import HopSkipJump

    iterations = round((1.5 * queries / 100) ** (2 / 3))  # the t-th asks for the root of t times 100, and the search
    settings = {"norm": np.inf if norm == "linf" else 2, "max_iter": iterations, "verbose": False}
    return _counted(on, lambda classifier: HopSkipJump(classifier, **settings))


def art_sign_opt(on: Subject, queries: int) -> tuple[Tensor, int]:
    """Run ART's Sign-OPT up to the iteration in which it passes ``queries``; return its queries, too."""
    from art.attacks.evasion import SignOPTAttack

    return _counted(on, lambda classifier: SignOPTAttack(classifier, targeted=False, query_limit=queries))


def art_collisions(network: nn.Module, x: Tensor, mu: Tensor, steps: int) -> Tensor:
    """Run ART's feature collisions, which take image by image, towards the features of the first image."""
    from art.attacks.poisoning import FeatureCollisionAttack

    classifier = _classifier(network, x, len(mu))
    last = classifier.layer_names[-1]
    attack = FeatureCollisionAttack(classifier, x[:1].cpu().numpy(), last, max_iter=steps, verbose=False)
    return torch.from_numpy(attack.poison(x.cpu().numpy())[0])


def naive_collisions(network: nn.Module, x: Tensor, mu: Tensor, steps: int) -> Tensor:
    """Collide features as a first attempt would: image by image, Adam on the pixels."""
    collided = []
    for image in x:
        moved = image[None].clone().requires_grad_()
        optimizer = torch.optim.Adam([moved], lr=0.01)
        for _ in range(steps):
            optimizer.zero_grad()
            ((network(moved) - mu).norm() + 1e-5 * 254 * (moved - image).norm()).backward()
            optimizer.step()
            with torch.no_grad():
                moved.clamp_(0, 1)
        collided.append(moved.detach())
    return torch.cat(collided)


PGD: dict[str, Callable[[Subject, float, int], Tensor]] = {
    "adv-lib": adv_lib_pgd,
    "foolbox": foolbox_pgd,
    "torchattacks": torchattacks_pgd,
    "cleverhans": cleverhans_pgd,
    "ART": art_pgd,
}
FGSM: dict[str, Callable[[Subject, float], Tensor]] = {
    "foolbox": foolbox_fgsm,
    "torchattacks": torchattacks_fgsm,
    "cleverhans": cleverhans_fgsm,
    "ART": art_fgsm,
}
DEEPFOOL: dict[str, Callable[[Subject, int], Tensor]] = {"adv-lib": adv_lib_deepfool, "foolbox": foolbox_deepfool}
SLOW_DEEPFOOL: dict[str, Callable[[Subject, int], Tensor]] = {
    "ART": art_deepfool,
    "torchattacks": torchattacks_deepfool,
}
CARLINI_WAGNER: dict[str, Callable[[Subject, int, int, float, float], Tensor]] = {
    "adv-lib": adv_lib_carlini_wagner,
    "foolbox": foolbox_carlini_wagner,
    "cleverhans": cleverhans_carlini_wagner,
}
COLLISIONS: dict[str, Callable[[nn.Module, Tensor, Tensor, int], Tensor]] = {
    "ART": art_collisions,
    "naive loop": naive_collisions,
}


def _foolbox(on: Subject, attack: Callable[..., tuple[Tensor, ...]], radius: float | None) -> Tensor:
    import foolbox

    seen = foolbox.PyTorchModel(on.network, bounds=(0, 1), device=on.x.device)
    return attack(seen, on.x, on.y, epsilons=radius)[1]


def art_stolen(
    attack: str, victim: nn.Module, network: nn.Module, pool: tuple[Tensor, Tensor], setting: Mapping[str, Any]
) -> nn.Module:
    """Steal a victim by one of ART's attacks: train ``network`` on its answers to samples of a pool with true labels.

    Args:
        attack: ``CopycatCNN``, or ``KnockoffNets, random`` or ``KnockoffNets, adaptive``.
        victim: From samples to logits.
        network: What is trained.
        pool: Samples ``(N, ...)``, and their labels ``(N,)``, whose classes the adaptive choice chooses among.
        setting: ``queries``, ``epochs``, ``batch``, the step size ``rate`` of Adam, and ``seed``.
    """
    from art.attacks.extraction import CopycatCNN, KnockoffNets
    from art.estimators.classification import PyTorchClassifier

    x, labels = pool[0].numpy(), pool[1].numpy()
    shape, loss = tuple(x.shape[1:]), _SoftCrossEntropy()
    asked = PyTorchClassifier(nn.Sequential(victim, nn.Softmax(1)).eval(), loss, shape, 10, device_type="cpu")
    optimizer = torch.optim.Adam(network.parameters(), lr=setting["rate"])
    thief = PyTorchClassifier(network, loss, shape, 10, optimizer=optimizer, device_type="cpu")
    given = {"batch_size_fit": setting["batch"], "batch_size_query": 256, "nb_epochs": setting["epochs"]}
    given["nb_stolen"] = setting["queries"]
    state = np.random.get_state()  # noqa: NPY002 - it is what ART draws from
    np.random.seed(setting["seed"])  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            torch.manual_seed(setting["seed"])
            if attack == "CopycatCNN":
                CopycatCNN(asked, **given).extract(x, thieved_classifier=thief)
            else:
                strategy = attack.removeprefix("KnockoffNets, ")
                knockoff = KnockoffNets(
                    asked, **given, sampling_strategy=strategy, use_probability=strategy == "random", verbose=False
                )
                knockoff.extract(x, labels, thieved_classifier=thief)
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return network


class _SoftCrossEntropy(nn.Module):
    """The cross entropy with probabilities, which ART would make labels of for PyTorch's own."""

    def forward(self, logits: Tensor, wanted: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, wanted.float())


def _classifier(network: nn.Module, x: Tensor, outputs: int) -> Any:  # noqa: ANN401 - it may not be installed
    from art.estimators.classification import PyTorchClassifier

    device = "gpu" if x.is_cuda else "cpu"
    shape, loss = tuple(x.shape[1:]), nn.CrossEntropyLoss()
    return PyTorchClassifier(network, loss, shape, outputs, clip_values=(0.0, 1.0), device_type=device)


class _Single(nn.Module):
    """Takes what ART makes in double precision."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float()


def _counted(on: Subject, attack: Callable[[Any], Any]) -> tuple[Tensor, int]:
    classifier, asked = _classifier(nn.Sequential(_Single(), on.network), on.x, 10), 0
    predict = classifier.predict

    def counting(x: Any, *settings: Any, **more: Any) -> Any:  # noqa: ANN401
        nonlocal asked
        asked += len(x)
        return predict(x, *settings, **more)

    classifier.predict = counting
    state = np.random.get_state()  # noqa: NPY002 - it is what ART draws from
    np.random.seed(0)  # noqa: NPY002
    try:
        return _art(on, attack(classifier).generate), asked
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _art(on: Subject, generate: Callable[[Any, Any], Any]) -> Tensor:
    attacked = generate(on.x.cpu().numpy(), nn.functional.one_hot(on.y, 10).cpu().numpy())
    return torch.from_numpy(attacked).to(on.x)
