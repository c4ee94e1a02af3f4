"""A class refuses a bare argument; the line that is printed has the whole key of where the object stands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jsonargparse
import pytest

from aal.checks import at_least
from aal.cli.origins import Origins
from aal.errors import RunStopped, UserError
from tests.commands import ROOT


@dataclass(frozen=True)
class Head:
    hidden: int = 0

    def __post_init__(self) -> None:
        at_least(0, {"hidden": self.hidden})


class Part:
    """What the others are kinds of."""


class Attack(Part):
    def __init__(self, steps: int = 1, radius: float = 0.1) -> None:
        at_least(1, {"steps": steps})
        self.radius = radius

    def run(self) -> None:
        within_range(self.radius)


def within_range(radius: float) -> None:
    if radius > 1:
        raise UserError(f"radius: must be at most 1, got {radius}")


class Other(Attack):
    """An attack of another class that takes the same."""

    def __init__(self, extra: int = 0, **options: Any) -> None:
        super().__init__(**options)


class Around(Part):
    def __init__(self, part: Part | None = None, parts: Sequence[Part] = (), subset: int = 1) -> None:
        at_least(0, {"subset": subset})
        self.part, self.parts = part, parts


@dataclass(frozen=True)
class Top(Part):
    attacks: dict[str, Part] = field(default_factory=dict)
    part: Part | None = None
    head: Head = field(default_factory=Head)
    steps: int = 5

    def run(self) -> None:
        for attack in self.attacks.values():
            attack.run()  # type: ignore[attr-defined]
        at_least(5, {"steps": self.steps})

    def refuse(self, line: str) -> None:
        raise UserError(line)


def refusal(config: dict[str, Any], then: Callable[[Top], None] = Top.run) -> str:
    """Build what a configuration says, use it, and return what is refused."""
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Part, "top")
    parsed = parser.parse_object({"top": {"class_path": f"{__name__}.Top", "init_args": config}})
    origins = Origins(parsed)
    with pytest.raises(UserError) as refused, origins.named():
        then(parser.instantiate(parsed).top)
    return str(refused.value)


def part(kind: type, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"{__name__}.{kind.__name__}", "init_args": arguments}


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"attacks": {"a": part(Attack), "b": part(Attack, steps=0)}}, "attacks.b.init_args.steps"),
        ({"attacks": {"a": part(Attack, radius=0.2), "b": part(Other, steps=0)}}, "attacks.b.init_args.steps"),
        ({"part": part(Around, part=part(Around, subset=-1))}, "part.init_args.part.init_args.subset"),
        ({"part": part(Around, part=part(Attack), subset=-1)}, "part.init_args.subset"),
        ({"part": part(Around, parts=[part(Attack), part(Attack, steps=0)])}, "part.init_args.parts.1.init_args.steps"),
        ({"head": {"hidden": -1}}, "head.hidden"),
        ({"attacks": {"a": part(Attack), "b": part(Attack, radius=2.0)}}, "attacks.b.init_args.radius"),
        ({"attacks": {"a": part(Attack, radius=float("nan"), steps=0)}}, "attacks.a.init_args.steps"),
        ({"attacks": {"a": part(Attack, steps=6)}, "steps": 4}, "steps"),
    ],
)
def test_the_key_is_that_of_the_object_that_refused(config: dict[str, Any], key: str) -> None:
    name = key.rpartition(".")[2]
    assert refusal(config).startswith(f"top.init_args.{key}: must be at ")
    assert refusal(config).count(name) == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("attacks.a: has no name", "top.init_args.attacks.a: has no name"),
        ("attacks[0]: has no name", "top.init_args.attacks[0]: has no name"),
        ("steps are too many", "steps are too many"),
        ("unknown: must be known", "unknown: must be known"),
        ("data/x.png: truncated", "data/x.png: truncated"),
        ("", ""),
    ],
)
def test_a_line_that_begins_with_no_argument_of_its_object_stays_as_it_is(line: str, expected: str) -> None:
    assert refusal({}, lambda top: top.refuse(line)) == expected


def test_what_a_caller_knows_of_samples_is_kept_and_other_ends_are_left_alone() -> None:
    origins = Origins(jsonargparse.Namespace())
    with pytest.raises(UserError) as refused, origins.named():
        raise UserError("x: not finite", rows=[3])
    assert refused.value.rows == [3]
    with pytest.raises(RunStopped), origins.named():
        stop()


def stop() -> None:
    try:
        raise UserError("x")
    except UserError:
        raise RunStopped("stopped") from None


def test_only_the_command_line_speaks_of_keys_of_a_configuration() -> None:
    for package in ("aal", "callbacks", "datamodules"):
        for path in (ROOT / package).rglob("*.py"):  # which follows no links
            if path.relative_to(ROOT).parts[:2] != ("aal", "cli"):
                assert "init_args" not in path.read_text(encoding="utf-8"), path
