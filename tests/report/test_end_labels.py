"""Names at the ends of curves: apart, beside their curves or led to, and whose panels they are in."""

import itertools
from pathlib import Path

import torch
from matplotlib.patches import ConnectionPatch

from aal.report.curves import Curve, Panel, accuracy_figure
from aal.report.style import CLEAN, PALETTE
from aal.studies.study import read_study
from aal.studies.study_page import arm_colours, groups
from aal.studies.tables import TABLES
from tests.studies.made_runs import make_study_file


def curve(name: str, end: float) -> Curve:
    return Curve(name, PALETTE[0], torch.tensor([20.0, 1000.0]), torch.tensor([0.1, end]), None)


def test_names_that_were_moved_are_led_to_from_the_ends_of_their_curves() -> None:
    ends = [0.95, 0.951, 0.952, 0.953, 0.954, 0.955, 0.956]
    figure = accuracy_figure(
        [Panel("", tuple(curve(f"arm {end}", end) for end in ends)), Panel("", (curve("x", 0.5),))]
    )
    close, alone = figure.axes
    heights = sorted(text.xy[1] for text in close.texts)  # type: ignore[attr-defined]
    assert all(high - low > 0.06 for low, high in itertools.pairwise(heights))
    leaders = [artist for artist in close.artists + close.patches if isinstance(artist, ConnectionPatch)]
    starts = {round(leader.xy1[1], 3) for leader in leaders}
    assert len(leaders) >= 5
    assert starts <= set(ends)
    assert {leader.xy1[0] for leader in leaders} == {1000}
    assert {round(leader.xy2[1], 6) for leader in leaders} <= {round(height, 6) for height in heights}
    assert not [artist for artist in alone.artists + alone.patches if isinstance(artist, ConnectionPatch)]


def test_arms_are_drawn_with_what_they_are_compared_with_and_what_they_read(tmp_path: Path) -> None:
    arms = {"source": [], "all": [], "random": [], "replay": [{"run": "cell:source"}], "other": []}
    rows = [
        *({"arm": "all"}, {"arm": "random"}, {"arm": "other", "against": "random"}),
        {"arm": "replay", "against": "random"},
    ]
    settings = {"columns": [100]}
    study = read_study(make_study_file(tmp_path, arms=arms, rows=rows, table="labels", settings=settings), TABLES)
    assert groups(study) == {"random": ["random", "other", "replay"], "": ["source"]}
    assert arm_colours(study) == {
        "random": (CLEAN, False),
        "other": (PALETTE[0], False),
        "replay": (PALETTE[1], False),
        "source": (PALETTE[0], False),
    }


def test_arms_that_are_not_compared_are_drawn_where_there_are_no_others(tmp_path: Path) -> None:
    rows = [{"arm": "clean"}, {"arm": "poisoned"}]
    file = make_study_file(tmp_path, rows=rows, table="labels", settings={"columns": [100]})
    assert groups(read_study(file, TABLES)) == {"clean": ["clean"], "poisoned": ["poisoned"]}
