"""The benchmark of core-set: its peers choose what it chooses, and one that is not installed is named."""

import importlib.util
from types import ModuleType

import pytest
import torch

from tests.commands import ROOT


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module, made small."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import bench_core_set

    for name, value in {"POINTS": 300, "LABELLED": 5, "FEATURES": 4, "PICKS": 20}.items():
        monkeypatch.setattr(bench_core_set, name, value)
    return bench_core_set


def test_missing_peer_is_named_and_the_other_chooses_the_same(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    bench.bench_k_center(1)
    missing, ours, cdist = capsys.readouterr().out.splitlines()
    assert missing == "k-center: scikit-activeml left out, not installed"
    assert ours.startswith("k-center: 20 of 300 x 4 beside 5: aal ")
    assert cdist.endswith("20 of 20 picks the same")


def test_scikit_activeml_chooses_the_same(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skactiveml")
    bench.bench_k_center(1)
    assert capsys.readouterr().out.count("20 of 20 picks the same") == 2


def test_the_problem_of_table_3_is_solved(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "CANDIDATES", 30)
    view = bench.view_of(torch.zeros(40, 2))
    assert (len(view.candidates), len(view.labelled)) == (30, 10)
    monkeypatch.setattr(bench, "CANDIDATES", 800)
    bench.bench_cover(1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["core-set with regularisation", "core-set no regularisation"]
    assert all(line.count("radius") == 1 for line in lines)
