"""Bilevel flips against brute force, finite differences, and their promises about memory and randomness."""

import csv
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aal.attacks import PGD
from aal.errors import RunStopped, UserError
from aal.flips import Bilevel, CleanSet, FlipView, RandomFlips, bilevel
from aal.flips.base import FlipSelector, highest_flips
from aal.flips.bilevel import chosen_softly, gumbel, relaxed
from aal.flips.rehearsal import Training, rehearsing, turns
from aal.models import Classifier, ConvClassifier, TransferClassifier
from aal.models.classifier import reset_parameters
from aal.networks import MLP, Backbone, DenseHead, LeNet5
from aal.seeds import generator
from aal.strategies import Selection, fault_of
from tests.commands import EXPERIMENT, ROOT, aal, results
from tests.flips.test_unrolled import Peak

DOUBLE = torch.float64
WIDTH = 6  # elements of a sample
SMALL = partial(MLP, widths=(8,), activation=nn.Tanh)
ATTACK = PGD(radius=0.1, steps=3, random_start=False)
HOW = Training(SMALL, ATTACK, inner_steps=4, inner_rate=0.3, momentum=0.9, subset=8, recompute=True)


def drawn(purpose: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=generator(0, purpose), dtype=dtype)


def view_of(
    x: Tensor, labels: Tensor, targets: dict[int, int], module: Classifier | None = None, classes: int = 3
) -> FlipView:
    """Return a view of samples ``(N, ...)`` of which the classes in ``targets`` may be flipped."""
    module = module or ConvClassifier(SMALL, classes, tuple(x.shape[1:])).to(x)
    chosen = torch.isin(labels, torch.tensor(list(targets)))
    own = labels[chosen]
    clean = CleanSet(chosen.nonzero()[:, 0], own, torch.tensor([targets[label] for label in own.tolist()]))
    inputs = (lambda i: module.encode(x[i]).detach()) if module.encoded else (lambda i: x[i])
    return FlipView(
        module=module,
        clean=clean,
        places=torch.arange(len(own)),
        inputs=inputs,
        images=lambda i: x[i],
        map=lambda function, indices, advance: function(indices),
        others=(~chosen).nonzero()[:, 0],
        other_labels=labels[~chosen],
    )


def mixed(dtype: torch.dtype = torch.float32, samples: int = 24) -> FlipView:
    """Return a view of three classes at random, of which the first may become the second, and the second the third."""
    labels = torch.arange(samples) % 3
    return view_of(drawn("x", samples, WIDTH, dtype=dtype) / 2 + labels.unsqueeze(1) / 4, labels, {0: 1, 1: 2})


@pytest.mark.parametrize("network", [SMALL, None])
@pytest.mark.parametrize("recompute", [True, False])
def test_the_outer_gradient_is_that_of_finite_differences(recompute: bool, network: "partial[MLP] | None") -> None:
    view = mixed(DOUBLE)
    logits = drawn("logits", len(view.candidates), dtype=DOUBLE).requires_grad_()
    noise = gumbel(2, len(view.candidates), generator(0, "noise"))
    with rehearsing(view, replace(HOW, network=network, recompute=recompute), generator(0, "draw")) as rehearsal:
        draw = rehearsal.draw()

        def loss(logits: Tensor) -> Tensor:
            return rehearsal.loss(relaxed(logits, noise, 1.0), *draw)

        (gradient,) = torch.autograd.grad(loss(logits), logits)
        assert gradient.abs().min() > 1e-8  # in 4 steps of 8 all 16 had their turn
        assert torch.autograd.gradcheck(loss, logits, eps=1e-6, atol=1e-8, rtol=1e-3)


def test_flips_are_one_hot_when_cold_and_of_two_draws_of_the_same_candidate_it_is_flipped_once() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0], dtype=DOUBLE)
    noise = torch.tensor([[5.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=DOUBLE)
    assert relaxed(logits, noise, 0.01).tolist() == [1, 0, 1]
    soft = ((logits + noise) / 2).softmax(1)
    torch.testing.assert_close(relaxed(logits, noise, 2.0), 1 - (1 - soft[0]) * (1 - soft[1]) * (1 - soft[2]))


def test_draws_taken_some_at_a_time_are_those_taken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bilevel, "AT_ONCE", 3 * 20)
    logits, weight = drawn("logits", 20, dtype=DOUBLE).requires_grad_(), drawn("weight", 20, dtype=DOUBLE)
    flips = chosen_softly(logits, 7, 0.5, generator(0, "draws"))
    seeds = torch.randint(2**62, (3,), generator=generator(0, "draws")).tolist()
    noise = [gumbel(n, 20, torch.Generator().manual_seed(seed)) for n, seed in zip((3, 3, 1), seeds, strict=True)]
    together = relaxed(logits, torch.cat(noise), 0.5)
    torch.testing.assert_close(flips, together)
    ours, theirs = (torch.autograd.grad(of @ weight, logits)[0] for of in (flips, together))
    torch.testing.assert_close(ours, theirs)
    assert theirs.abs().min() > 0


def test_noise_draws_candidates_with_the_probabilities_of_their_logits() -> None:
    logits = torch.tensor([0.1, 0.3, 0.6], dtype=DOUBLE).log()
    drawn = (logits + gumbel(20_000, 3, generator(0, "noise"))).argmax(1).bincount() / 20_000
    torch.testing.assert_close(drawn, logits.exp().float(), atol=0.015, rtol=0)


def test_all_get_their_turn_before_one_has_its_second() -> None:
    some = turns(10, 4, generator(0, "turns"))
    five = torch.cat([next(some) for _ in range(5)])
    assert five[:10].sort().values.tolist() == five[10:].sort().values.tolist() == list(range(10))
    assert five[:10].tolist() != five[10:].tolist()
    assert next(turns(3, 4, generator(0, "turns"))).sort().values.tolist() == [0, 1, 2]
    assert next(turns(0, 4, generator(0, "turns"))).tolist() == []


def test_a_step_of_training_estimates_the_loss_of_the_whole_training_set() -> None:
    view = mixed(DOUBLE)
    flips = drawn("flips", len(view.candidates), dtype=DOUBLE)
    with rehearsing(view, replace(HOW, subset=4), generator(0, "draw")) as rehearsal:
        weights = rehearsal.draw()[0]
        rows = [  # in parts of one size all candidates have their turn, and all others
            rehearsal._training_loss(flips, flippable, fixed, weights)
            for flippable in torch.arange(16).split(4)
            for fixed in torch.arange(8).split(4)
        ]
        logits = torch.func.functional_call(rehearsal.network, dict(weights), (view.inputs(torch.arange(24)),))
    labels = torch.zeros(24, 3, dtype=DOUBLE)
    labels[view.candidates, view.labels], labels[view.candidates, view.targets] = 1 - flips, flips
    labels[view.others, view.other_labels] = 1
    torch.testing.assert_close(torch.stack(rows).mean(), F.cross_entropy(logits, labels))


def test_the_other_classes_are_trained_on_where_the_view_is_of_one_class() -> None:
    view = mixed()
    one = view.only(view.labels == 1)
    with rehearsing(one, HOW, generator(0, "draw")) as rehearsal:
        known = dict(zip(rehearsal.fixed.tolist(), rehearsal.fixed_labels.tolist(), strict=True))
        assert known == {index: index % 3 for index in range(24) if index % 3 != 1}


# -- which flips hurt most: known by trying each -----------------------------------------------------------------------

CANDIDATES, BUDGET, BEST = 24, 3, 8
PLAYER = Bilevel(
    SMALL,
    ATTACK,
    temperature=1.0,
    outer_steps=80,
    outer_rate=0.05,
    inner_steps=10,
    inner_rate=0.3,
    subset=24,
    recompute=False,
)


@cache
def planted() -> FlipView:
    """Return two classes of points; those of the first lie at many distances from the second."""
    far = torch.linspace(0.0, 0.45, CANDIDATES)[torch.randperm(CANDIDATES, generator=generator(0, "order"))]
    noise = (drawn("noise", 2 * CANDIDATES, WIDTH) - 0.5) / 5
    x = torch.cat([0.5 + far, torch.full((CANDIDATES,), 0.2)]).unsqueeze(1) + noise
    return view_of(x.clamp(0, 1), torch.arange(2 * CANDIDATES) // CANDIDATES, {0: 1}, classes=2)


@cache
def damage() -> Tensor:
    """Return how high the adversarial loss is with each single label flipped ``(U,)``, by training afresh on each."""
    view = planted()
    x, labels = view.inputs(torch.arange(2 * CANDIDATES)), torch.cat([view.labels, view.other_labels])
    losses = torch.zeros(CANDIDATES)
    for candidate in range(CANDIDATES):
        flipped = labels.clone()
        flipped[candidate] = 1
        for seed in range(3):
            network = SMALL((WIDTH,), 2)
            reset_parameters(network, generator(seed, "victim"))
            optimizer = torch.optim.SGD(network.parameters(), lr=PLAYER.inner_rate, momentum=0.9)
            for _ in range(PLAYER.inner_steps):
                optimizer.zero_grad()
                F.cross_entropy(network(x), flipped).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            own = x[:CANDIDATES]
            adversarial = ATTACK(network, own, labels[:CANDIDATES], target=view.targets).x
            losses[candidate] -= F.cross_entropy(network(adversarial), view.targets).detach() / 3
    return losses


def finds_the_best(selector: FlipSelector, seed: int) -> bool:
    """Whether all flips are among the third that hurts most: at random, 3 times in a hundred."""
    view = planted()
    chosen = selector.select(view, BUDGET, generator=generator(seed, "flips"))
    assert not fault_of(chosen, view.candidates, BUDGET, 2)
    best = damage().argsort(descending=True)[:BEST]
    return bool(torch.isin(view.clean.places(chosen.indices), best).all())


@pytest.mark.parametrize("seed", range(3))
def test_the_flips_are_among_those_that_hurt_most_by_brute_force(seed: int) -> None:
    assert finds_the_best(PLAYER, seed)


@dataclass(frozen=True)
class Noise(FlipSelector):
    """Takes flip logits that were never moved."""

    def select(self, view: FlipView, n: int, *, generator: torch.Generator) -> Selection:
        return highest_flips(self, view, torch.randn(len(view.candidates), generator=generator), n, generator)


def test_logits_that_mean_nothing_and_chance_do_not_find_them() -> None:
    assert not any(finds_the_best(selector, seed) for selector in (Noise(), RandomFlips()) for seed in range(3))


# -- promises ----------------------------------------------------------------------------------------------------------


def logits(flips: Selection) -> Tensor:
    assert flips.scores is not None
    return flips.scores


QUICK = Bilevel(SMALL, ATTACK, outer_steps=4, inner_steps=3, inner_rate=0.3, subset=5)


def test_flips_depend_on_the_generator_alone_and_leave_everything_as_it_was() -> None:
    view = mixed()
    before = {name: value.clone() for name, value in view.module.state_dict().items()}
    view.module.train()
    chosen = []
    for selector in (QUICK, replace(QUICK, network=None)):
        for seed, elsewhere in ((0, 1), (0, 2), (3, 1)):
            torch.manual_seed(elsewhere)
            state = torch.get_rng_state()
            chosen.append(selector.select(view, 3, generator=generator(seed, "flips")))
            assert torch.equal(torch.get_rng_state(), state)
    for first, again, other in (chosen[:3], chosen[3:]):
        assert torch.equal(first.indices, again.indices)
        assert torch.equal(logits(first), logits(again))
        assert not torch.equal(logits(first), logits(other))
        assert first.figures == again.figures
    assert all(torch.equal(value, before[name]) for name, value in view.module.state_dict().items())
    assert all(module.training for module in view.module.modules())
    assert all(value.requires_grad and value.grad is None for value in view.module.parameters())


def test_nothing_but_time_depends_on_recomputing_and_on_the_mode_of_the_caller() -> None:
    first = QUICK.select(mixed(), 3, generator=generator(0, "flips"))
    with torch.no_grad():
        kept = replace(QUICK, recompute=False).select(mixed(), 3, generator=generator(0, "flips"))
    assert torch.equal(first.indices, kept.indices)
    torch.testing.assert_close(logits(first), logits(kept))


def test_memory_grows_by_a_few_numbers_a_candidate_and_not_by_samples() -> None:
    wide, most = 3000, []
    for candidates in (40, 200):
        labels = torch.arange(2 * candidates) % 2
        view = view_of(drawn("x", 2 * candidates, wide), labels, {0: 1}, classes=2)
        with Peak() as peak:
            QUICK.select(view, 3, generator=generator(0, "flips"))
        most.append(peak.most)
    assert 0 < most[1] - most[0] < 160 * 8 * 3 * 10  # of 3 draws, 8 bytes each, a few tensors
    assert 160 * 4 * wide > 20 * (most[1] - most[0])


def test_scores_are_the_logits_highest_first_and_the_figures_tell_of_the_ascent() -> None:
    view = planted()
    flips = PLAYER.select(view, BUDGET, generator=generator(0, "flips"))
    assert logits(flips).tolist() == sorted(logits(flips).tolist(), reverse=True)
    assert logits(flips)[-1] > 0
    assert set(flips.figures) == {"outer_start", "outer_end", "flip_mass"}
    assert flips.figures["outer_end"] > flips.figures["outer_start"]
    assert flips.figures["flip_mass"] > 1.25 * BUDGET / CANDIDATES  # more than when all logits are alike


def test_a_class_that_no_sample_has_can_be_the_target() -> None:
    labels = torch.arange(12) % 2
    view = view_of(drawn("x", 12, WIDTH), labels, {0: 2, 1: 2}, classes=3)
    flips = QUICK.select(view, 12, generator=generator(0, "flips"))
    assert not fault_of(flips, view.candidates, 12, 3)


class Backed(Backbone):
    """A backbone whose features are ten times the size of its samples."""

    feature_size = WIDTH

    def forward(self, x: Tensor) -> Tensor:
        return 10 * x.flatten(1)


def test_under_a_frozen_backbone_features_are_trained_on_and_samples_are_attacked() -> None:
    x, labels = drawn("x", 24, 1, WIDTH), torch.arange(24) % 3
    module = TransferClassifier(Backed(), DenseHead(), 3)
    view = view_of(x, labels, {0: 1, 1: 2}, module)
    with rehearsing(view, HOW, generator(0, "draw")) as rehearsal:
        draw = rehearsal.draw()
        flips = torch.zeros(len(view.candidates))
        attacked = rehearsal.loss(flips, *draw)
    with rehearsing(view, replace(HOW, attack=replace(ATTACK, radius=0.0)), generator(0, "draw")) as rehearsal:
        clean = rehearsal.loss(flips, *draw)
    on_features = view_of(10 * x, labels, {0: 1, 1: 2}, ConvClassifier(SMALL, 3, (1, WIDTH)))
    wide = replace(on_features, bounds=(0.0, 10.0))
    with rehearsing(wide, replace(HOW, attack=replace(ATTACK, radius=1.0)), generator(0, "draw")) as rehearsal:
        torch.testing.assert_close(rehearsal.loss(flips, *draw), attacked)
    assert attacked > clean + 1e-3


@pytest.mark.parametrize("network", [SMALL, None])
def test_training_that_does_not_stay_finite_stops_the_run(network: "partial[MLP] | None") -> None:
    with pytest.raises(RunStopped, match="finite"):
        replace(QUICK, network=network, inner_rate=3e37).select(mixed(), 3, generator=generator(0, "flips"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"momentum": 1.0}, "momentum"),
        ({"subset": 0}, "subset"),
        ({"inner_steps": 0}, "inner_steps"),
        ({"outer_steps": 0}, "outer_steps"),
        ({"outer_rate": 0.0}, "outer_rate"),
        ({"inner_rate": -1.0}, "inner_rate"),
    ],
)
def test_values_outside_their_range_are_refused_by_name(arguments: dict[str, float], named: str) -> None:
    with pytest.raises(UserError, match=named):
        Bilevel(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "network", [LeNet5, lambda shape, classes: nn.Linear(9, classes), lambda shape, classes: nn.Linear(5, 2)]
)
def test_a_network_that_does_not_fit_is_refused_before_training(network: type[nn.Module]) -> None:
    state = torch.get_rng_state()
    with pytest.raises(UserError, match=r"^network: "):
        Bilevel(network).check((1, 2), (5,), 3)
    Bilevel().check((1, 2), (5,), 3)
    Bilevel(None).check((1, 2), (5,), 3)
    assert torch.equal(torch.get_rng_state(), state)


# -- through the command line ------------------------------------------------------------------------------------------

CONFIG = ROOT / "configs" / "flips" / "bilevel.yaml"
FEW = ("--flips.init_args.max_epochs=3", "--flips.init_args.budget=2")
BILEVEL = "--flips.init_args.selectors.bilevel.init_args"


def test_a_run_flips_what_bilevel_chose_in_each_class(tmp_path: Path) -> None:
    small = (f"{BILEVEL}.outer_steps=3", f"{BILEVEL}.inner_steps=3", f"{BILEVEL}.subset=20", "--robust=null")
    run = aal("fit", "--config", EXPERIMENT, "--config", CONFIG, "--out", tmp_path / "run", *FEW, *small)
    assert run.returncode == 0, run.stderr
    after = results(tmp_path / "run")
    selectors = [record["selector"] for record in after["rounds"]]
    assert selectors == ["clean", "random", "path_length", "bilevel"]
    record = after["rounds"][-1]
    assert record["flips"] == 2 * 10
    assert max(record["outer_start"], record["outer_end"]) < 0 < record["flip_mass"] < 1
    with (tmp_path / "run" / "ledger.csv").open() as file:
        flipped = [row for row in csv.DictReader(file) if row["strategy"] == "bilevel"]
    assert len({row["index"] for row in flipped}) == 20
    assert all(int(row["label"]) == (int(row["true_label"]) + 1) % 10 and float(row["score"]) > 0 for row in flipped)


@dataclass(frozen=True)
class Counting(FlipSelector):
    """Tells of the other samples that a run gives it."""

    def select(self, view: FlipView, n: int, *, generator: torch.Generator) -> Selection:
        together = torch.cat([view.clean.indices, view.others]).unique()
        figures = {"others": len(view.others), "threes": int((view.other_labels == 3).sum()), "all": len(together)}
        return Selection(view.candidates[:n], figures=figures)


def test_a_run_that_flips_one_class_tells_of_the_others(tmp_path: Path) -> None:
    selectors = '{"counting": {"class_path": "tests.flips.test_bilevel.Counting"}}'
    given = (f"--flips.init_args.selectors={selectors}", "--flips.init_args.targets={3: 4}", "--robust=null")
    random = ROOT / "configs" / "flips" / "random.yaml"
    run = aal("fit", "--config", EXPERIMENT, "--config", random, "--out", tmp_path / "run", *FEW, *given)
    assert run.returncode == 0, run.stderr
    clean, record = results(tmp_path / "run")["rounds"]
    assert record["all"] == clean["labels"]
    with (tmp_path / "run" / "ledger.csv").open() as file:
        labels = [row["label"] for row in csv.DictReader(file) if row["strategy"] == "initial"]
    assert record["others"] == len(labels) - labels.count("3")
    assert record["threes"] == 0


def test_a_small_network_that_cannot_take_features_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    network = f"{BILEVEL}.network=aal.networks.LeNet5"
    run = aal("fit", "--config", EXPERIMENT, "--config", CONFIG, "--out", tmp_path / "run", *FEW, network)
    assert run.returncode == 2
    assert "flips.init_args.selectors.bilevel.init_args.network" in run.stderr.splitlines()[-1]
    assert not (tmp_path / "run" / "rounds.jsonl").exists()
