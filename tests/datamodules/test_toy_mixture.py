"""The toy mixture: what is drawn, where mislabelled points are placed, and a run over its groups."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aal.datamodules import ToyMixture
from aal.errors import UserError
from tests.commands import ROOT, aal, results

EXPERIMENT = ROOT / "configs" / "experiment" / "noise_toy.yaml"
FEW = (
    "--data.init_args.distances=[0.0, 2.5]",
    "--data.init_args.repeats=2",
    "--data.init_args.test=30",
    "--robust.init_args.attacks.pgd.init_args.steps=3",
)


def made(**arguments: Any) -> ToyMixture:
    data = ToyMixture(**arguments)
    data.setup("fit")
    return data


def mean_of(data: ToyMixture, labels: Tensor) -> Tensor:
    return (2.0 * labels[:, None] - 1) * torch.full(data.sample_shape, data.mu)


def ways(data: ToyMixture, group: int) -> tuple[Tensor, Tensor]:
    """Return how far the points of a group lie from the means of their classes ``(b, d)``, and the classes."""
    indices = data.placed[group].placed
    assert indices is not None
    labels = data.labels["pool"][indices]
    return (data.samples["pool"][indices] - mean_of(data, labels)).double(), labels


def test_the_training_set_has_the_mislabelled_points_among_its_n() -> None:
    data = made(distances=[1.0, 4.0], repeats=3)
    natural = data.pool.of_origin("natural")
    assert natural.tolist() == list(range(60))
    assert data.labels["pool"][natural].bincount().tolist() == [30, 30]
    assert [(group.name, group.position, group.repeat) for group in data.placed] == [
        ("placed", r, k) for k in range(3) for r in (1.0, 4.0)
    ]
    groups = [group.placed for group in data.placed if group.placed is not None]
    assert torch.cat(groups).tolist() == list(range(60, 60 + 6 * 4))
    assert data.pool.of_origin("poison").tolist() == list(range(60, 60 + 6 * 4))
    assert not len(data.pool.labelled)
    assert all(data.labels["pool"][group].tolist() == [0, 0, 1, 1] for group in groups)


def test_splits_are_the_mixture_labelled_by_the_ground_truth() -> None:
    data = made(dimensions=3, mu=0.5, variance=0.25, test=40_000)
    x, labels = data.samples["test"].stored.double(), data.labels["test"]
    assert torch.equal(labels, (x.sum(1) >= 0).long())
    component = torch.arange(len(x)) % 2
    share = float((labels != component).double().mean())
    boundary = 0.5 * (1 + math.erf(-0.5 * 3 / math.sqrt(2 * 3 * 0.25)))  # the mass that lies beyond the boundary
    assert share == pytest.approx(boundary, abs=4 * math.sqrt(boundary / len(x)))
    for side in (0, 1):
        own = x[component == side]
        torch.testing.assert_close(own.mean(0), torch.full((3,), 0.5 * (2 * side - 1)).double(), rtol=0, atol=0.015)
        torch.testing.assert_close(own.T.cov(), 0.25 * torch.eye(3).double(), rtol=0, atol=0.015)


@pytest.mark.parametrize("dimensions", [2, 16])
def test_placed_points_are_uniform_on_spheres(dimensions: int) -> None:
    data = made(dimensions=dimensions, mislabelled=4000, n=8002, distances=[0.0, 3.0, 5.0])
    assert torch.equal(ways(data, 0)[0], torch.zeros(8000, dimensions).double())
    near, labels = ways(data, 1)
    far, _ = ways(data, 2)
    torch.testing.assert_close(near.norm(dim=1), torch.full((8000,), 3.0).double(), rtol=0, atol=1e-5)
    torch.testing.assert_close(far.norm(dim=1), torch.full((8000,), 5.0).double(), rtol=0, atol=1e-5)
    torch.testing.assert_close(near / 3, far / 5, rtol=0, atol=1e-5)  # the same ways at every distance
    for side in (0, 1):
        unit = near[labels == side] / 3
        error = 5 / math.sqrt(len(unit) * dimensions)
        assert unit.mean(0).abs().max() < error
        second = unit.T @ unit / len(unit)
        torch.testing.assert_close(second, torch.eye(dimensions).double() / dimensions, rtol=0, atol=error)
    if dimensions == 2:
        angles = torch.atan2(near[:, 1], near[:, 0]).histc(8, -math.pi, math.pi)
        assert float(((angles - 1000).square() / 1000).sum()) < 30  # chi-squared, 7 degrees: p = 1e-4


def test_repeats_and_seeds_draw_other_points() -> None:
    data, again, other = made(distances=[1.0], repeats=2), made(distances=[1.0]), made(distances=[1.0], seed=1)
    assert not torch.equal(ways(data, 0)[0], ways(data, 1)[0])
    assert torch.equal(ways(data, 0)[0], ways(again, 0)[0])
    assert not torch.equal(ways(data, 0)[0], ways(other, 0)[0])


def test_no_point_lands_where_its_wrong_label_would_be_true() -> None:
    data = made(dimensions=2, mu=0.1, mislabelled=500, n=1002, distances=[5.0])
    way, labels = ways(data, 0)
    indices = data.placed[0].placed
    assert indices is not None
    x = data.samples["pool"][indices]
    assert torch.equal((x.sum(1) >= 0).long(), labels)
    torch.testing.assert_close(way.norm(dim=1), torch.full((1000,), 5.0).double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"mu": 0.0}, "mu: must be above 0, got 0.0"),
        ({"variance": -1.0}, "variance: must be above 0, got -1.0"),
        ({"n": 5}, "n: must be at least 6, got 5"),
        ({"distances": [1.0, -1.0]}, "distances: must be at least 0, got -1.0"),
        ({"distances": [1.0, 1.0]}, "distances: one of [1.0, 1.0] is there twice"),
        ({"mislabelled": 0}, "mislabelled: must be at least 1, got 0"),
    ],
)
def test_numbers_that_make_no_sense_are_named(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        ToyMixture(**arguments)
    assert str(caught.value) == line


def test_a_map_that_leaves_a_class_out_is_refused_where_points_of_it_are_placed(tmp_path: Path) -> None:
    run = aal("fit", "--config", EXPERIMENT, "--out", tmp_path / "run", *FEW, "--flips.init_args.targets={0: 1}")
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert "flips.init_args.targets: samples of every class are placed for a wrong label" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "wrong"),
    [((), {0: 1, 1: 0}), (("--flips.init_args.targets={0: new, 1: new}",), {0: 2, 1: 2})],
    ids=["opposite", "third"],
)
def test_every_group_is_mislabelled_for_a_round(more: tuple[str, ...], wrong: dict[int, int], tmp_path: Path) -> None:
    run = aal("fit", "--config", EXPERIMENT, "--out", tmp_path / "run", *FEW, *more)
    assert run.returncode == 0, run.stderr
    after = results(tmp_path / "run")
    clean, *rounds = after["rounds"]
    assert (clean["labels"], clean["flips"]) == (60, 0)
    assert [(row["selector"], row["position"], row["repeat"]) for row in rounds] == [
        ("placed", position, repeat) for repeat in (0, 1) for position in (0.0, 2.5)
    ]
    assert all(
        (row["labels"], row["flips"], row["memorised"], row["flips_memorised"]) == (64, 4, 1, 1) for row in rounds
    )
    assert all(row["robust_natural"] == pytest.approx(row["accuracy"]) for row in after["rounds"])
    assert all(0 < row["robust_pgd"] <= row["robust_natural"] for row in after["rounds"])
    assert any(row["robust_pgd"] < row["robust_natural"] for row in rounds), "nothing was attacked"
    with (tmp_path / "run" / "ledger.csv").open() as file:
        placed = [row for row in csv.DictReader(file) if row["origin"] == "poison"]
    assert len(placed) == 16
    assert all(int(row["label"]) == wrong[int(row["true_label"])] for row in placed)
    assert {row["status"] for row in placed} == {"discarded"}, "each group leaves after its round"
    assert [int(row["round"]) for row in placed] == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    assert not list((tmp_path / "run" / "figures").glob("regions*")), "16 dimensions are no plane"


@pytest.mark.slow
def test_an_attack_that_needs_bounds_says_so(tmp_path: Path) -> None:
    attacks = json.dumps({"cw": {"class_path": "aal.attacks.CarliniWagner"}})
    run = aal(
        "fit", "--config", EXPERIMENT, "--out", tmp_path / "run", *FEW[:3], f"--robust.init_args.attacks={attacks}"
    )
    assert run.returncode == 2
    assert run.stderr.strip().endswith("bounds: must be finite, so that a tanh can span them, not (-inf, inf)")
