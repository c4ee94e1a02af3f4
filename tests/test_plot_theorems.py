"""The plot of Theorem 1: its cover is one, and what is measured is above the bound where the theorem says so."""

import csv
from pathlib import Path
from types import ModuleType

import pytest
import torch

from aal.seeds import generator
from tests.runs import ROOT


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
    figure = script.figure_of([tuple(float(row[name]) for name in script.COLUMNS) for row in (few, many)])
    lines = {line.get_label(): line.get_ydata().tolist() for line in figure.axes[0].lines}
    assert lines["PGD"] == [float(few["pgd"]), float(many["pgd"])]
