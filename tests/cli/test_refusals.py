"""Refusals name the whole key, and only where it is certain which one is meant."""

from typing import Any

import pytest

from aal.cli.refusals import with_whole_key

ATTACKS: dict[str, Any] = {
    "pgd": {"class_path": "aal.attacks.PGD", "init_args": {"steps": 0, "radius": 0.1, "norm": "l7"}},
    "bim": {"class_path": "aal.attacks.BIM", "init_args": {"steps": 10, "radius": 0.1}},
}
CONFIG = {
    "robust": {"init_args": {"attacks": ATTACKS, "every": 0}},
    "screens": [{"init_args": {"size": 0}}],
    "query": {"init_args": {"max_epochs": -1}},
    "trainer": {"max_epochs": -1},
    "none": None,
}


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ("steps: must be at least 1, got 0", "robust.init_args.attacks.pgd.init_args.steps"),
        ("steps: must be at most 5, got 10", "robust.init_args.attacks.bim.init_args.steps"),
        ("norm: must be one of linf, l2, l1, got 'l7'", "robust.init_args.attacks.pgd.init_args.norm"),
        ("every: must be at least 1, got 0", "robust.init_args.every"),
        ("size: must be at least 1, got 0", "screens.0.init_args.size"),
        ("max_epochs: must be at least 1, got -1", "query.init_args.max_epochs"),
        (
            "radius: must be at most 0.01, got 0.1",
            "one of robust.init_args.attacks.pgd.init_args.radius, robust.init_args.attacks.bim.init_args.radius",
        ),
    ],
)
def test_the_one_argument_that_has_the_value_is_named(message: str, key: str) -> None:
    assert with_whole_key(message, CONFIG) == f"{key}: {message.partition(': ')[2]}"


@pytest.mark.parametrize(
    "message",
    [
        "steps: must be at least 1, got 7",  # none
        "steps are too many",
        "robust.init_args.every: must be at least 1, got 0",
        "data/x.png: truncated, got 0",
        "",
    ],
)
def test_a_line_that_fits_no_key_stays_as_it_is(message: str) -> None:
    assert with_whole_key(message, CONFIG) == message
