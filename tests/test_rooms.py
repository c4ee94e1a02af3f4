"""The house: which room may import which, and no two things of one name."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# From the top floor down; a room may import those below it and itself. Files on the ground are a floor each.
FLOORS = (
    *(
        "__main__",
        "cli",
        "callbacks",
        "datamodules",
        "studies",
        "report",
        "flips",
        "strategies",
        "synthesis",
        "oracles",
        "models",
    ),
    *("robustness", "theory", "selftest", "features", "poisons", "tracking", "networks", "attacks", "data", "runs"),
    *("extras", "pool", "sharding", "seeds", "distances", "checks", "errors", "__init__"),
)
HOUSES = ("aal", "callbacks", "datamodules")


def modules() -> dict[str, Path]:
    """Return the file of every module, those in ``callbacks`` and ``datamodules`` by the name they are imported by."""
    found = {}
    for path in sorted(path for house in HOUSES for path in (ROOT / house).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[:2] in (("aal", "callbacks"), ("aal", "datamodules")):  # links, where they are followed
            continue
        found[".".join(parts if parts[0] == "aal" else ("aal", *parts))] = path
    return found


MODULES = modules()


def imported(path: Path) -> Iterator[str]:
    """Give the modules of the project that a file imports, those within functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "aal")
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "aal":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES or f"{whole}.__init__" in MODULES else node.module


def room(module: str) -> str:
    return [*module.split("."), "__init__"][1]


@pytest.mark.parametrize("module", MODULES)
def test_arrows_between_rooms_point_down(module: str) -> None:
    here = FLOORS.index(room(module))
    up = sorted({name for name in imported(MODULES[module]) if FLOORS.index(room(name)) < here})
    assert not up, f"{module} imports {', '.join(up)}, which {'is' if len(up) == 1 else 'are'} above it"


def test_files_of_one_room_import_each_other_in_no_circle() -> None:
    arrows = {module: {name for name in imported(path) if name in MODULES} for module, path in MODULES.items()}
    while leaves := [module for module, others in arrows.items() if not others]:
        arrows = {module: others - set(leaves) for module, others in arrows.items() if others}
    assert not arrows, f"in a circle, or above one: {', '.join(arrows)}"


def test_every_room_has_a_floor_and_says_what_it_is_for() -> None:
    assert {room(module) for module in MODULES} == set(FLOORS)
    for module, path in MODULES.items():
        assert ast.get_docstring(ast.parse(path.read_text())), f"{module} does not say what it is for"


def test_no_two_things_have_one_name() -> None:
    places = defaultdict(list)
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                places[node.name].append(module)
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):  # another name of a type
                places[ast.unparse(node.targets[0])].append(module)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_no_two_files_have_one_name() -> None:
    """But for contracts, commands, which are called as their rooms' subject is, and tables, as they are in studies."""
    places = defaultdict(list)
    for module, path in MODULES.items():
        if path.stem not in ("__init__", "__main__", "base") and not module.startswith(
            ("aal.cli.", "aal.studies.tables.")
        ):
            places[path.stem].append(module)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def drawn() -> set[tuple[str, str]]:
    """Return the arrows of the drawing in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = text.partition("```mermaid\n")[2].partition("```")[0]
    arrows = set()
    for line in block.splitlines():
        source, arrow, target = line.strip().partition(" --> ")
        if arrow:
            arrows |= {(source, one) for one in target.split(" & ")}
    return arrows


def test_the_drawing_of_the_house_has_the_arrows_of_the_code() -> None:
    """Of the arrows those are drawn that no longer way through other rooms tells of already."""
    below = defaultdict(set)
    for module, path in MODULES.items():
        below[room(module)] |= {room(name) for name in imported(path)} - {room(module)}
    reached: dict[str, set[str]] = {}
    for source in reversed(FLOORS):  # from the ground up
        reached[source] = below[source].union(*(reached[target] for target in below[source]))
    direct = {
        (source, target)
        for source, targets in below.items()
        for target in targets
        if not any(target in reached[between] for between in targets)
    }
    direct = {arrow for arrow in direct if "__init__" not in arrow}
    lines = "\n".join(f"    {source} --> {target}" for source, target in sorted(direct))
    assert drawn() == direct, f"the drawing should have\n{lines}"
