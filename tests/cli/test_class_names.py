"""Names of classes: short ones mean aal's own or the user's, old ones are told the new, near misses the right one."""

import sys
from pathlib import Path

import pytest
from jsonargparse import _typehints
from torch import nn

from aal import flips, networks, strategies
from aal.callbacks import Rounds
from aal.cli.class_names import class_path, use_class_names
from aal.errors import UserError


@pytest.mark.parametrize(
    ("base", "name", "path"),
    [
        (nn.Module, "MLP", "aal.networks.MLP"),  # torchvision has one, too
        (strategies.Strategy, "Random", "aal.strategies.Random"),
        (flips.FlipSelector, "RandomFlips", "aal.flips.RandomFlips"),
        (Rounds, "QueryRounds", "aal.callbacks.QueryRounds"),
        ((Rounds, nn.Module), "MLP", "aal.networks.MLP"),
        (Rounds, "mine.Clock", "mine.Clock"),
        (Rounds, "callbacks.mine.Clock", "callbacks.mine.Clock"),
    ],
)
def test_a_name_means_one_class(base: type, name: str, path: str) -> None:
    import torchvision.ops.misc  # noqa: F401

    assert networks.MLP.__name__ == "MLP"
    assert class_path(base, name) == path


@pytest.mark.parametrize(
    ("base", "name", "line"),
    [
        (strategies.Strategy, "Randm", "Randm: no such class; did you mean Random?"),
        (strategies.Strategy, "margin", "margin: no such class; did you mean Margin?"),
        (Rounds, "callbacks.QueryRounds", "callbacks.QueryRounds: is called aal.callbacks.QueryRounds now"),
        (
            Rounds,
            "callbacks.query_rounds.QueryRounds",
            "callbacks.query_rounds.QueryRounds: is called aal.callbacks.query_rounds.QueryRounds now",
        ),
        (nn.Module, "datamodules.Digits", "datamodules.Digits: is called aal.datamodules.Digits now; Digits for short"),
    ],
)
def test_a_name_that_is_none_is_told_the_right_one(base: type, name: str, line: str) -> None:
    with pytest.raises(UserError) as refused:
        class_path(base, name)
    assert str(refused.value).startswith(line)


def test_between_a_users_own_class_and_another_nothing_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ["mine.MLP", "aal.networks.MLP", "torchvision.ops.misc.MLP", "torchvision.ops.misc.Conv2d", "mine.Conv2d"]
    monkeypatch.setattr(_typehints, "get_all_subclass_paths", lambda *_, **__: paths)
    with pytest.raises(UserError, match=r"^MLP: could be aal\.networks\.MLP or mine\.MLP; give the whole path$"):
        class_path(nn.Module, "MLP")
    assert class_path(nn.Module, "Conv2d") == "mine.Conv2d"


@pytest.mark.parametrize("package", ["callbacks", "datamodules"])
def test_a_projects_own_class_is_its_own(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("class QueryRounds: ...\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    assert class_path(Rounds, f"{package}.QueryRounds") == f"{package}.QueryRounds"
    monkeypatch.delitem(sys.modules, package)


def test_the_parser_asks_here() -> None:
    use_class_names()
    assert _typehints.resolve_class_path_by_name is class_path
