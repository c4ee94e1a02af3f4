"""Robust evaluation against closed forms, a loop over single samples, and planted attacks."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import BIM, FGSM, PGD, AdversarialPath, Attack, AutoAttack, CollisionAttack, DeepFool
from aal.data.samples import ImageSamples
from aal.errors import RunStopped, UserError
from aal.robustness import evaluate, next_class
from aal.seeds import sample_seeds
from tests.robustness.planted import WIDE, Affine, Cascade, Places, Recorded, cloud, network

RADII = [0.05, 0.1, 0.2, 0.4]


def affine_data(n: int = 60) -> tuple[Affine, Tensor, Tensor]:
    """A classifier, samples, and labels of which a fifth are not what it predicts."""
    model, x = Affine(), cloud(n, 2) * 2 - 1
    y = model(x).argmax(1)
    y[::5] = 1 - y[::5]
    return model, x, y


@pytest.mark.parametrize("attack", [FGSM(radius=0.2), BIM(radius=0.2), PGD(radius=0.2, steps=10, early_stop=True)])
def test_an_affine_classifiers_accuracy_at_each_radius_is_that_of_its_margins(attack: Attack) -> None:
    model, x, y = affine_data()
    found = evaluate(model, x, y, {"it": attack}, curves={"it": RADII}, bounds=WIDE, batch_size=7)
    right, margin = model(x).argmax(1) == y, model.margin(x)
    assert 0 < float((margin > 0.2).double().mean()) < 1
    assert found.figures() == {"natural": 0.8, "it": float((right & (margin > 0.2)).double().mean())}
    expected = [(radius, float((right & (margin > radius)).double().mean())) for radius in [0.0, *RADII]]
    assert found.curve("it") == expected


@pytest.mark.parametrize("targets", [None, next_class(4), {2: 0, 1: 3}])
def test_it_is_a_loop_over_single_samples(targets: dict[int, int] | None) -> None:
    model, x, y = network(), cloud(40, 6), torch.arange(40) % 4
    attack = PGD(radius=0.25, steps=5, restarts=2)
    found = evaluate(model, x, y, {"pgd": attack}, targets=targets, seed=5, batch_size=9)
    model.eval()
    rows = [i for i in range(40) if targets is None or int(y[i]) in targets]
    assert found.index.tolist() == rows
    for k, i in enumerate(rows):
        natural = int(model(x[i : i + 1]).argmax())
        target = None if targets is None else torch.tensor([targets[int(y[i])]])
        after, distance = natural, 0.0
        if natural == int(y[i]) if target is None else natural != int(target):
            seeds = sample_seeds(5, "robust", torch.tensor([i]))
            result = attack(model, x[i : i + 1], y[i : i + 1], target=target, seeds=seeds)
            after, distance = int(model(result.x).argmax()), float(result.distance)
        assert found.natural[k] == natural
        assert found.attacks["pgd"].after[k] == after
        assert float(found.attacks["pgd"].distance[k]) == pytest.approx(distance, abs=1e-12)
    outcome = found.attacks["pgd"]
    assert len(outcome.after.unique()) > 1, "nothing was fooled"
    assert (outcome.after != found.natural).any()


def test_the_model_stays_in_the_mode_it_was_in() -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, cloud(10, 6), torch.arange(10) % 4, {"fgsm": FGSM()})
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def to_target(x: Tensor, y: Tensor, target: Tensor | None, attack: Recorded) -> Tensor:
    assert target is not None
    return torch.where(x < 5, target[:, None].to(x), x)  # samples of class 5 and above do not move


def test_targeted_figures_count_each_kind_of_sample_once() -> None:
    #                  right, moves | right, stays | wrong, moves | wrong, stays | at the target already
    places, labels = [1.0, 1.0, 6.0, 3.0, 7.0, 2.0], [1, 1, 6, 1, 1, 1]
    x, y = torch.tensor(places, dtype=torch.float64)[:, None], torch.tensor(labels)
    attacked: list[float] = []
    attack = Recorded(move=to_target, seen=lambda x, start: attacked.extend(x[:, 0].tolist()))
    found = evaluate(Places(9), x, y, {"it": attack}, targets=next_class(9), bounds=WIDE)
    assert attacked == [1.0, 1.0, 6.0, 3.0, 7.0], "who is at the target is not attacked"
    assert found.figures()["natural"] == 3 / 6
    assert found.figures()["it"] == 1 / 6, "only class 6 is right before and after"
    assert found.figures()["it_not_target"] == 2 / 6, "those of places 6 and 7"
    assert found.per_class() == {
        1: {"samples": 5, "natural": 2 / 5, "it": 0.0, "it_not_target": 1 / 5},
        6: {"samples": 1, "natural": 1.0, "it": 1.0, "it_not_target": 1.0},
    }


def test_one_class_to_another_evaluates_that_class_alone() -> None:
    x, y = torch.tensor([[0.0], [1.0], [2.0], [1.0]], dtype=torch.float64), torch.tensor([0, 1, 2, 1])
    found = evaluate(Places(3), x, y, {"it": Recorded(move=to_target)}, targets={1: 0}, bounds=WIDE)
    assert found.index.tolist() == [1, 3]
    assert found.attacks["it"].after.tolist() == [0, 0]


def test_the_last_class_goes_to_the_first() -> None:
    assert next_class(3) == {0: 1, 1: 2, 2: 0}


def test_what_is_counted_is_the_prediction_not_the_attacks_word() -> None:
    """A planted attack says ``success`` is false whatever it does."""
    x, y = torch.tensor([[0.0], [1.0]], dtype=torch.float64), torch.tensor([0, 1])
    attack = Recorded(move=lambda x, y, target, attack: x * 0 + 1, radius=1.0)
    found = evaluate(Places(2), x, y, {"it": attack}, bounds=WIDE)
    assert found.figures() == {"natural": 1.0, "it": 0.5}


def test_mean_distance_is_over_the_samples_that_were_fooled() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Nearest(Recorded):
        radius: Any = None

    x = torch.tensor([[0.0], [0.1], [0.4], [0.9]], dtype=torch.float64)  # predicted 0, 0, 0, 1
    attack = Nearest(move=lambda x, y, target, attack: torch.where(x > 0, x * 0 + 0.75, x + 0.1))
    found = evaluate(Places(2), x, torch.tensor([0, 0, 0, 0]), {"it": attack})
    assert found.figures() == {"natural": 0.75, "it": 0.25, "it_distance": pytest.approx((0.65 + 0.35) / 2)}


def test_only_survivors_go_on_to_the_next_stage_in_full_batches() -> None:
    x = torch.arange(20, dtype=torch.float64)[:, None] / 20
    y = torch.zeros(20, dtype=torch.int64)
    calls: dict[str, list[int]] = {"first": [], "second": []}

    def stage(name: str, below: float) -> Recorded:
        return Recorded(
            move=lambda x, y, target, attack: torch.where(x < below, x * 0 + 1, x),
            seen=lambda x, start: calls[name].append(len(x)),
        )

    attack = Cascade(attacks=(stage("first", 0.2), stage("second", 0.3)))
    found = evaluate(Places(2), x, y, {"it": attack}, batch_size=4)
    right = int((x < 0.5).sum()) + 1  # the middle is a tie, which the first class wins
    assert calls == {"first": [4, 4, 3], "second": [4, 3]}
    assert found.figures()["natural"] == right / 20
    assert found.figures()["it"] == (right - 6) / 20
    outcome = found.attacks["it"]
    assert outcome.tried.tolist() == [1] * 4 + [2] * 7 + [0] * 9
    assert outcome.queries.tolist() == outcome.tried.tolist()


def test_autoattack_by_stages_is_autoattack_on_one_sample_after_another() -> None:
    model, x = network(), cloud(24, 6)
    y = model.eval()(x).argmax(1)
    attack = AutoAttack(radius=0.2, steps=5, targets=2, queries=30)
    found = evaluate(model, x, y, {"auto": attack}, seed=2, batch_size=7)
    alone = attack(model, x, y, seeds=sample_seeds(2, "robust", torch.arange(24)))
    outcome = found.attacks["auto"]
    stages = torch.where(alone.success, alone.info["attack"] + 1, len(attack.attacks))
    assert len(stages.unique()) > 1
    assert torch.equal(outcome.tried, stages)
    assert torch.equal(found.fooled("auto"), alone.success)
    torch.testing.assert_close(outcome.distance[alone.success], alone.distance[alone.success], rtol=0, atol=1e-9)


def test_deepfools_mean_distance_is_that_to_the_boundary() -> None:
    model, x, y = affine_data()
    found = evaluate(model, x, y, {"deepfool": DeepFool(norm="l2")}, bounds=WIDE)
    right = model(x).argmax(1) == y
    expected = (model.margin(x)[right] * 3 / 5**0.5).mean()
    assert found.figures()["deepfool"] == 0
    assert found.figures()["deepfool_distance"] == pytest.approx(float(expected), rel=0.05)


def test_a_curve_warm_starts_and_leaves_out_who_fell() -> None:
    x = torch.tensor([[0.0], [0.2], [0.4]], dtype=torch.float64)  # fall once moved beyond 0.5
    calls: list[tuple[float, list[float], list[float] | None]] = []

    def move(x: Tensor, y: Tensor, target: Tensor | None, attack: Recorded) -> Tensor:
        return x + attack.radius

    def seen(x: Tensor, start: Tensor | None) -> None:
        calls.append((0.0, x[:, 0].tolist(), None if start is None else start[:, 0].tolist()))

    y = torch.zeros(3, dtype=torch.int64)
    attack = Recorded(move=move, seen=seen, radius=0.0)
    found = evaluate(Places(2), x, y, {"it": attack}, curves={"it": [0.15, 0.35, 0.45]}, bounds=WIDE)
    assert found.curve("it") == [(0.0, 1.0), (0.15, 2 / 3), (0.35, 1 / 3), (0.45, 1 / 3)]
    rows = [(places, None if start is None else [round(s, 9) for s in start]) for _, places, start in calls[1:]]
    assert rows == [([0.0, 0.2, 0.4], None), ([0.0, 0.2], [0.15, 0.35]), ([0.0], [0.35])]


def test_a_curve_never_rises_and_a_warm_start_is_worth_something() -> None:
    model, x, y = network(), cloud(60, 6), torch.arange(60) % 4
    y = model.eval()(x).argmax(1)
    weak, radii = BIM(radius=0.1, steps=1, step_size=0.02), [0.02, 0.04, 0.06, 0.08, 0.1]
    found = evaluate(model, x, y, {"bim": weak}, curves={"bim": radii})
    shares = [share for _, share in found.curve("bim")]
    assert shares == sorted(shares, reverse=True)
    cold = evaluate(model, x, y, {"bim": replace(weak, radius=0.1)})
    assert shares[-1] < cold.figures()["bim"], "one step of 0.02 from the sample, five on the way"


def test_a_subset_is_drawn_by_the_seed() -> None:
    model, x, y = affine_data()
    first, again, other = (
        evaluate(model, x, y, {"it": FGSM()}, samples=12, seed=seed, bounds=WIDE).index for seed in (1, 1, 2)
    )
    assert len(first) == len(first.unique()) == 12
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    drawn = torch.cat([evaluate(model, x, y, {"it": FGSM()}, samples=12, seed=s, bounds=WIDE).index for s in range(99)])
    assert (drawn.bincount(minlength=60) - 99 / 5).abs().max() < 16, "each sample as often, four standard deviations"


def test_samples_are_asked_for_a_batch_at_a_time() -> None:
    class Watched(ImageSamples):
        largest = 0

        def __getitem__(self, indices: Tensor) -> Tensor:
            self.largest = max(self.largest, len(indices))
            return super().__getitem__(indices)

    images = Watched((cloud(30, 4).view(30, 1, 2, 2) * 255).to(torch.uint8))
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    found = evaluate(model, images, torch.arange(30) % 3, {"fgsm": FGSM(), "pgd": PGD(steps=2)}, batch_size=8)
    assert images.largest == 8
    assert len(found.index) == 30


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attacks": {}}, "attacks: there must be at least one"),
        ({"attacks": {"a b": FGSM()}}, "attacks: 'a b' cannot name a figure"),
        ({"attacks": {9: FGSM()}}, "attacks: 9 cannot name a figure; take letters, then"),
        ({"attacks": {"natural": FGSM()}}, "attacks: 'natural' cannot"),
        ({"attacks": {"samples": FGSM()}}, "attacks: 'samples' cannot"),
        ({"attacks": {"a": FGSM(), "a_distance": FGSM()}}, "attacks: 'a_distance' cannot"),
        ({"attacks": {"it": CollisionAttack()}}, "attacks.it: collisions"),
        ({"attacks": {"it": AdversarialPath()}}, "attacks.it: the path leaves the data's range, .*; set clip: true"),
        ({"curves": {"other": [0.1]}}, "curves: 'other' is none of the attacks it"),
        ({"curves": {"it": []}}, r"curves.it: must be radii above 0, ascending, got \[\]"),
        ({"curves": {"it": [0.2, 0.1]}}, "curves.it: must be radii above 0, ascending"),
        ({"curves": {"it": [0.1, 0.1]}}, "curves.it: must be radii"),
        ({"curves": {"it": [0.0, 0.1]}}, "curves.it: must be radii"),
        ({"curves": {"it": [0.1, float("inf")]}}, "curves.it: must be radii"),
        ({"curves": {"it": [float("nan")]}}, "curves.it: must be radii"),
        ({"attacks": {"it": Cascade(attacks=(FGSM(),))}, "curves": {"it": [0.1]}}, "curves.it: Cascade has no radius"),
        ({"targets": {1: 1}}, "targets: must lead from a class to another, got 1 to 1"),
        ({"targets": {1: -1}}, "targets: must lead"),
        ({"targets": {7: 0}}, "targets: there is no sample of these classes"),
        ({"targets": {0: 7}}, "it: target: sample 0 has class 7, but the model has 2"),
        ({"bounds": (0.0, 0.0)}, r"low < high, not \(0.0, 0.0\)$"),
        ({"targets": {}}, "targets: there is no sample"),
        ({"samples": 61}, "samples: 61, but there are 60"),
        ({"samples": 0}, "samples: must be at least 1"),
        ({"batch_size": 0}, "batch_size: must be at least 1"),
        ({"y": torch.zeros(61, dtype=torch.int64)}, r"y: must be 60 whole numbers, not \(61,\), torch.int64"),
        ({"y": torch.zeros(59, dtype=torch.int64)}, r"y: must be 60 whole numbers, not \(59,\), torch.int64"),
        ({"y": torch.zeros(60, 1, dtype=torch.int64)}, r"y: must be 60 whole numbers, not \(60, 1\)"),
        ({"y": torch.zeros(60)}, r"y: must be 60 whole numbers, not \(60,\), torch.float32"),
        ({"y": torch.zeros(60, dtype=torch.bool)}, r"y: must be 60 whole numbers, not \(60,\), torch.bool"),
        ({"y": torch.full((60,), 2)}, "y: sample 0 has class 2, but the model has 2"),
        ({"bounds": (0.0, 1.0)}, r"are outside of bounds \(0.0, 1.0\) \(counted over all samples: \["),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], said: str) -> None:
    model, x, y = affine_data()
    arguments = {"x": x, "y": y, "attacks": {"it": FGSM()}, "bounds": WIDE, **change}
    with pytest.raises(UserError, match=said):
        evaluate(model, **arguments)


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (lambda x, y, target, attack: x + 100, "it: Recorded made of sample 0 one that is not in"),
        (lambda x, y, target, attack: x[:, :1], "it: Recorded must return an Adversarial with x"),
        (lambda x, y, target, attack: x * float("nan"), "it: Recorded made of sample 0 one that is not in"),
    ],
)
def test_an_attack_that_breaks_its_contract_stops_the_evaluation(move: Any, said: str) -> None:  # noqa: ANN401
    model, x, y = affine_data()
    with pytest.raises(RunStopped, match=said):
        evaluate(model, x, y, {"it": Recorded(move=move)}, bounds=WIDE)


def test_outputs_that_are_not_finite_name_the_samples() -> None:
    class Broken(Affine):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(x[:, :1] > 0.9, torch.nan, super().forward(x))

    _, x, y = affine_data()
    x[:, 0].clamp_(max=0.9)
    x[17, 0] = 0.95
    with pytest.raises(RunStopped, match=r"not finite for samples \[7\] \(counted over all samples: \[17\]\)"):
        evaluate(Broken(), x, y, {"it": FGSM()}, bounds=WIDE, batch_size=10)
