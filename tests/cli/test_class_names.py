"""Names of classes: short ones mean aal's own or the user's, old ones are told the new, near misses the right one."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonargparse import _typehints
from torch import nn

from aal import flips, networks, strategies
from aal.callbacks import Rounds
from aal.cli.class_names import class_path, of_aal, use_class_names
from aal.errors import UserError
from aal.runs.config_names import shipped
from aal.runs.documents import from_yaml, read_mapping
from tests.commands import aal


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


OWN = """
import aal.datamodules, aal.strategies
class Digits(aal.datamodules.Digits): pass
class Margin(aal.strategies.Margin): pass
"""


def test_what_ships_means_aals_classes_in_a_project_with_others_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "own_of_a_project.py").write_text(OWN)
    (tmp_path / "own.yaml").write_text("data: {class_path: own_of_a_project.Digits}")
    few = ("--poison=null", "--query.init_args.initial=10", "--query.init_args.budget=1")
    own = ("fit", f"--config={tmp_path}/own.yaml", "--config=aal:experiment/collision_digits", *few)
    run = aal(*own, "--query=margin", f"--out={tmp_path}/run", PYTHONPATH=str(tmp_path))
    assert run.returncode == 0, run.stderr
    config = from_yaml((tmp_path / "run" / "config.yaml").read_text())
    assert config["data"]["class_path"] == "aal.datamodules.Digits", "the later file's"
    assert config["query"]["init_args"]["strategy"]["class_path"] == "aal.strategies.Margin"
    typed = aal(*own, "--query.init_args.strategy=Margin", f"--out={tmp_path}/other", PYTHONPATH=str(tmp_path))
    assert typed.returncode == 2
    wanted = "Margin: could be aal.strategies.Margin or own_of_a_project.Margin; give the whole path"
    assert typed.stderr == f"error: {wanted}\n"


def test_configurations_that_ship_name_aals_classes_alone() -> None:
    """A text that is the name of one is taken for it."""

    def texts(value: object, key: str = "") -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for inner, its in value.items():
                yield from texts(its, inner)
        elif isinstance(value, list):
            for its in value:
                yield from texts(its, key)
        elif isinstance(value, str):
            yield key, value

    files = [path for name, path in shipped().items() if not name.startswith("study/")]
    said = {text for path in files for text in texts(read_mapping(path))}
    named = {(key, text) for key, text in said if of_aal(text) != text}
    assert {key for key, _ in named} == {"class_path", "callbacks"}
    others = {text for key, text in said - named if key == "class_path"}
    assert others == {"CSVLogger"}
