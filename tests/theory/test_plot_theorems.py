"""The plot of Theorems 1 and 2: its cover is one, and what is measured is above the bound where they say so."""

import csv
from pathlib import Path
from types import ModuleType

import pytest
import torch

from aal.seeds import generator
from aal.theory.theorems import required_samples
from tests.commands import ROOT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import plot_theorems

    return plot_theorems


def test_the_cover_holds_one_true_label_a_ball_and_no_point_twice(script: ModuleType) -> None:
    centres = script.cover()
    assert len(centres) == len(centres.unique(dim=0)) == 8
    apart = torch.cdist(centres, centres, p=torch.inf) + 9 * torch.eye(8)
    assert apart.min() >= 2 * script.RHO
    corners = centres.sum(1).abs() - 2 * script.RHO
    assert (corners > 0).all()
    x, labels = script.mixture(2000, generator(0, "x"))
    assert torch.equal(labels, (x.sum(1) >= 0).long())


def test_a_clean_set_leaves_nothing_to_attack_and_noise_does(script: ModuleType) -> None:
    assert script.measured(200, 0.0, 3, 100, 0) == (0.0, 0.0)
    pgd, moved = script.measured(200, 0.2, 3, 100, 0)
    assert 0 < pgd <= moved


def test_the_table_has_the_bound_beside_what_is_measured(script: ModuleType, tmp_path: Path) -> None:
    script.main(["--out", str(tmp_path), "--noises", "0.3", "--sizes", "16", "256", "--test", "60", "--repeats", "2"])
    with (tmp_path / "theorems.csv").open() as file:
        few, many = csv.DictReader(file)
    assert float(few["bound"]) < 0.1 < 0.7 < float(many["bound"]) < 0.79
    assert float(many["move"]) >= float(many["bound"])
    assert (tmp_path / "theorems.png").read_bytes().startswith(b"\x89PNG")
    rows = [tuple(float(row[name]) for name in script.COLUMNS) for row in (few, many)]
    with (tmp_path / "radii.csv").open() as file:
        by_radius = [tuple(float(value) for value in row.values()) for row in csv.DictReader(file)]
    figure = script.figure_of(rows, by_radius)
    lines = {line.get_label(): line.get_ydata().tolist() for line in figure.axes[0].lines}
    assert lines["PGD"] == [float(few["pgd"]), float(many["pgd"])]
    moved = figure.axes[1].lines[0].get_ydata().tolist()
    assert len(moved) == script.STEPS
    assert moved == sorted(moved)
    assert moved[0] < moved[-1]


def test_theorem_2_holds_at_its_radius_and_is_void_without_a_margin(script: ModuleType) -> None:
    balls, c1, c2 = script.constants()
    n = required_samples(balls, 0.2, c2, script.FAILURE)
    risks, radius, kappa = script.walked(n, 0.2, 300, 0)
    reached = torch.linspace(0, 2 * script.RHO, script.STEPS) <= radius
    assert radius == pytest.approx(2 * script.RHO - 1 / kappa)
    assert reached.sum() == script.STEPS - 1, "the theorem's radius is no smaller than Theorem 1's"
    assert risks[reached][-1] >= c1
    assert script.walked(n, 0.0, 300, 0)[0].max() == 0, "clean labels leave nothing to walk to"


def test_the_classifier_of_theorem_2_has_the_margin_and_the_slope_that_are_claimed(script: ModuleType) -> None:
    draw = generator(0, "points")
    x, labels = torch.rand(60, 2, generator=draw, dtype=torch.float64), torch.arange(60) % 2
    gap = min(float((x[i] - x[j]).abs().max()) for i in range(60) for j in range(60) if labels[i] != labels[j])
    kappa = 2 / gap

    def probabilities(samples: torch.Tensor) -> torch.Tensor:
        zero, one = script.nearest(samples, x, labels).T
        p = 0.5 + (kappa / 4 * (zero - one)).clamp(-0.5, 0.5)
        return torch.stack([1 - p, p], 1)

    known = probabilities(x)
    assert torch.equal(known.argmax(1), labels)
    assert float((known[:, 0] - known[:, 1]).abs().min()) == pytest.approx(1.0)
    start = torch.rand(4000, 2, generator=draw, dtype=torch.float64)
    step = (torch.rand(4000, 2, generator=draw, dtype=torch.float64) - 0.5) * 0.02
    slopes = (probabilities(start + step) - probabilities(start)).abs().sum(1) / step.abs().amax(1)
    assert 0.8 * kappa < slopes.max() <= kappa * (1 + 1e-9)


def test_a_file_in_the_place_of_the_folder_is_named_first(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(SystemExit):
        script.main(["--out", str(tmp_path / "out")])
    shown = capsys.readouterr()
    assert "--out: " in shown.err
    assert shown.out == ""
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--noises", "2"], "--noises: must be from 0 to 1, got 2.0"),
        (["--noises", "0"], "--noises: must be above 0, got 0.0"),
        (["--sizes", "0"], "--sizes: must be at least 1, got 0"),
        (["--repeats", "1"], "--repeats: must be at least 2, got 1"),
        (["--noises", "0.0001"], "--noises: 0.0001 asks for 5.17e+05 training points, and at most 100,000 are drawn"),
        (["--k", "0"], "--k: must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_measured(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        script.main(["--out", str(tmp_path), *given])
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.strip().splitlines()[-1].endswith(f"error: {message}")) == ("", True)
    assert not list(tmp_path.iterdir())
