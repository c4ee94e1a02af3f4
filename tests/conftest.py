"""What ``scripts/test.sh --quick`` leaves out, and folders that all processes of a session share."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

PROCESSES = {"aal", "fit", "subprocess"}  # names that a module has imported


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out slow tests and most that start processes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--quick`` leave out what is marked ``slow``, and modules of processes but for what is marked ``quick``.

    A module of processes is one that runs the command line by :mod:`tests.commands`, or starts them itself.
    """
    if not config.getoption("--quick"):
        return
    kept = [item for item in items if quick(item)]
    config.hook.pytest_deselected(items=[item for item in items if not quick(item)])
    items[:] = kept


def quick(item: pytest.Item) -> bool:
    if item.get_closest_marker("slow") is not None:
        return False
    assert isinstance(item, pytest.Function)
    return item.get_closest_marker("quick") is not None or not PROCESSES & vars(item.module).keys()


@pytest.fixture(autouse=True)
def _signals_are_for_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave signals as they are where a test runs a command in its own process."""
    monkeypatch.setattr("aal.__main__.hear", lambda: None)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Gives the folder of a name, which tests only read: made when it is first asked for, in whichever process.

    A fixture of a module would make it once in every process that has tests of the module.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder = shared / "made_once" / name
        folder.mkdir(parents=True, exist_ok=True)
        out, whole = folder / "run", folder / "whole"
        with FileLock(folder / "lock"):
            if not whole.exists():
                shutil.rmtree(out, ignore_errors=True)
                make(out)
                whole.touch()
        return out

    return made
