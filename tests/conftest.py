"""What ``scripts/test.sh --quick`` leaves out."""

import pytest

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
