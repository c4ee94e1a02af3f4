"""The table of flipped labels against numbers worked out by hand: lines, differences, and the tests of a sweep."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from aal.errors import UserError
from aal.report.flip_outcomes import FlipSelection, averaged, over_repeats, selections
from aal.runs.reading import read_run
from aal.studies.results import MeanSd
from aal.studies.study import Study, read_study
from aal.studies.tables import TABLES
from aal.studies.tables.flips import middle
from tests.studies.made_runs import in_setting, make_flips_run, make_study_file
from tests.studies.tables.test_learning import in_csv, printed, rows_of

SETTINGS = {"attack": "pgd"}
Accuracy = Callable[[int, int], float]  # of a seed and a repeat


def make_study(tmp_path: Path, rows: list[dict[str, str]], **changes: Any) -> Study:
    changes = {"table": "flips", "settings": SETTINGS, "seeds": 5} | changes
    arms = {name: [{"flips": name}] for name in ("next", "new")}
    return read_study(make_study_file(tmp_path / "file", arms=arms, rows=rows, **changes), TABLES)


def make_arm(
    tmp_path: Path,
    arm: str,
    tries: dict[FlipSelection, Accuracy],
    *,
    seeds: int = 5,
    repeats: int = 2,
    config: dict[str, Any] | None = None,
    **summary: Any,
) -> None:
    for seed in range(seeds):
        made = [
            (selection.selector, selection.position, repeat, accuracy(seed, repeat))
            for repeat in range(repeats)
            for selection, accuracy in tries.items()
        ]
        make_flips_run(tmp_path / "out" / arm / f"seed={seed}", made, seed=seed, config=config, **summary)


RANDOM = FlipSelection("random")


def bucket(position: int) -> FlipSelection:
    return FlipSelection("path_length", float(position))


def test_a_line_has_the_mean_over_seeds_and_the_spread_over_repeats(tmp_path: Path) -> None:
    study = make_study(tmp_path, [{"arm": "next", "paper": "4.1/next"}])
    config, _ = in_setting("flips", "4.1/next")
    tries = {RANDOM: lambda seed, repeat: 0.3 + seed / 100 + (0.02 if repeat else -0.02)}
    make_arm(tmp_path, "next", tries, config=config, labels=54000)
    table, (clean, random) = rows_of(study, tmp_path / "out")
    assert (random["selector"], random["position"], random["n"], random["repeats"]) == ("random", None, 5, "2")
    assert random["adversarial"] == MeanSd(pytest.approx(0.32), pytest.approx(math.sqrt(2.5) / 100), 0.3646)
    assert random["over_repeats"] == MeanSd(pytest.approx(0.04 / math.sqrt(2)), None, 0.0442)
    assert random["accuracy"].mean == pytest.approx((0.98 + 0.99) / 2)
    assert (random["flips"].mean, random["memorised"].mean, random["change"].mean) == (6, 1, None)
    assert (clean["selector"], clean["adversarial"].mean, clean["adversarial"].paper) == ("clean", 0.8, None)
    assert (clean["flips"].mean, clean["over_repeats"], clean["repeats"]) == (0, MeanSd(None), "1")
    assert table.tests == ()
    text = printed(table)
    for part in ("[0.3646]", "[0.0442]", "0.3200", "sd over"):
        assert part in text
    assert "position" not in {column.title for column in table.printed}, "nothing was swept"


def test_a_round_that_was_not_memorised_counts(tmp_path: Path) -> None:
    study = make_study(tmp_path, [{"arm": "next"}], seeds=1)
    make_arm(tmp_path, "next", {RANDOM: lambda seed, repeat: 0.3}, seeds=1, repeats=4)
    rounds = tmp_path / "out" / "next" / "seed=0" / "rounds.jsonl"
    lines = rounds.read_text().splitlines(keepends=True)
    rounds.write_text("".join([*lines[:4], lines[4].replace('"memorised": 1,', '"memorised": 0,')]))
    _, (_, random) = rows_of(study, tmp_path / "out")
    assert random["memorised"].mean == 0.75


def test_an_arm_is_compared_line_by_line_over_the_seeds_and_repeats_that_both_have(tmp_path: Path) -> None:
    rows = [{"arm": "next", "paper": "4.1/next"}, {"arm": "new", "against": "next", "paper": "4.1/new"}]
    study = make_study(tmp_path, rows, seeds=6)
    make_arm(tmp_path, "next", {RANDOM: lambda seed, repeat: 0.3 + repeat / 10}, repeats=1)
    gains = (0.02, 0.03, 0.04, 0.05, 0.06)

    def better(seed: int, repeat: int) -> float:
        return 0.9 if repeat or seed == 5 else 0.3 + gains[seed]

    config, _ = in_setting("flips", "4.1/new")
    make_arm(tmp_path, "new", {RANDOM: better}, seeds=6, repeats=2, config=config, labels=54000)
    table, lines = rows_of(study, tmp_path / "out")
    new = lines[-1]
    assert (new["arm"], new["n"], new["against"], new["adversarial"].paper) == ("new", 6, "next", 0.4151)
    assert new["change"] == MeanSd(pytest.approx(0.04), pytest.approx(math.sqrt(2.5) / 100))
    same, test = table.tests
    assert (same.arm, same.against, same.mean, same.p) == ("new: clean", "next: clean", 0, None)
    assert (test.arm, test.against, test.n) == ("new: random", "next: random", 5)
    expected = stats.ttest_1samp(gains, 0)
    assert (test.t, test.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    line = in_csv(table, tmp_path / "table.csv")[-1]
    assert float(line["difference_p"]) == test.p
    assert (line["adversarial_paper"], line["position"]) == ("0.4151", "")


CURVE = {0: 0.7, 1: 0.5, 2: 0.4, 3: 0.6}
NOISE = ((0, 1, -1, 2, -2), (1, -1, 0, -2, 2), (2, 0, 1, -1, -2), (-1, 2, -2, 0, 1), (0, -2, 2, 1, -1))


def make_sweep(tmp_path: Path, seeds: int = 5) -> Study:
    """Make five seeds of four buckets, which differ from a curve by hundredths, and of random flips at 0.5."""
    study = make_study(tmp_path, [{"arm": "next"}], seeds=seeds)
    tries: dict[FlipSelection, Accuracy] = {RANDOM: lambda seed, repeat: 0.5 + NOISE[4][seed] / 100}
    for place, accuracy in reversed(CURVE.items()):

        def at(seed: int, repeat: int, accuracy: float = accuracy, place: int = place) -> float:
            return accuracy + NOISE[place][seed] / 100 + (0.05 if repeat else -0.05)

        tries[bucket(place)] = at
    make_arm(tmp_path, "next", tries, seeds=seeds)
    return study


def test_each_position_is_compared_with_random_flips_of_the_same_arm(tmp_path: Path) -> None:
    _, (clean, random, *buckets) = rows_of(make_sweep(tmp_path), tmp_path / "out")
    assert [line["position"] for line in buckets] == ["0", "1", "2", "3"], "in order, though tried the other way round"
    assert [line["change"].mean for line in buckets] == pytest.approx([0.2, 0.0, -0.1, 0.1])
    for place, line in enumerate(buckets):
        differences = [CURVE[place] - 0.5 + (NOISE[place][seed] - NOISE[4][seed]) / 100 for seed in range(5)]
        expected = stats.ttest_1samp(differences, 0)
        assert line["difference_t"] == pytest.approx(expected.statistic)
        assert line["p"] == f"{line['difference_p']:.2g}"
        assert line["against"] == "random"
    assert clean["change"].mean is random["change"].mean is None


def test_the_middle_of_a_sweep_is_tested_against_its_ends_and_random_flips(tmp_path: Path) -> None:
    table, _ = rows_of(make_sweep(tmp_path), tmp_path / "out")
    assert [(test.arm, test.against) for test in table.tests] == [
        ("next: middle of path_length", "the closest, path_length[0]"),
        ("next: middle of path_length", "the farthest, path_length[3]"),
        ("next: middle of path_length", "random"),
        ("next: the closest, path_length[0]", "the farthest, path_length[3]"),
        ("next: the closest, path_length[0]", "random"),
    ]
    inner = [0.45 + (NOISE[1][seed] + NOISE[2][seed]) / 200 for seed in range(5)]
    sides = {
        "closest": [CURVE[0] + NOISE[0][seed] / 100 for seed in range(5)],
        "farthest": [CURVE[3] + NOISE[3][seed] / 100 for seed in range(5)],
        "random": [0.5 + NOISE[4][seed] / 100 for seed in range(5)],
    }
    pairs = [(inner, side) for side in sides.values()]
    pairs += [(sides["closest"], sides[name]) for name in ("farthest", "random")]
    for test, (ours, theirs) in zip(table.tests, pairs, strict=True):
        expected = stats.ttest_rel(ours, theirs)
        assert (test.n, test.t, test.p) == (5, pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    assert [test.mean for test in table.tests] == pytest.approx([-0.25, -0.15, -0.05, 0.1, 0.2])
    text = printed(table)
    assert "next: middle of path_length minus the closest, path_length[0]: n = 5, difference -0.250" in text
    assert "Adversarial accuracy, paired t-test" in text


def test_under_five_seeds_nothing_is_claimed(tmp_path: Path) -> None:
    table, lines = rows_of(make_sweep(tmp_path, seeds=4), tmp_path / "out")
    assert [test.remark for test in table.tests] == ["no claim (under 5 seeds)"] * 5
    assert all(line["p"] is None for line in lines)
    assert lines[-1]["change"].mean == pytest.approx(0.1, abs=0.01)


def test_two_positions_have_no_middle(tmp_path: Path) -> None:
    study = make_study(tmp_path, [{"arm": "next"}])
    make_arm(tmp_path, "next", {bucket(0): lambda seed, repeat: 0.5, bucket(1): lambda seed, repeat: 0.6})
    table, lines = rows_of(study, tmp_path / "out")
    assert table.tests == ()
    assert all(line["change"].mean is None for line in lines), "there are no random flips to compare with"


def test_a_bucket_that_was_passed_over_for_a_seed_costs_that_pair(tmp_path: Path) -> None:
    study = make_sweep(tmp_path)
    rounds = tmp_path / "out" / "next" / "seed=2" / "rounds.jsonl"
    kept = [line for line in rounds.read_text().splitlines(keepends=True) if '"position": 1.0' not in line]
    rounds.write_text("".join(kept))
    table, lines = rows_of(study, tmp_path / "out")
    assert [line["n"] for line in lines if line["position"]] == [5, 4, 5, 5]
    assert [test.n for test in table.tests] == [4, 4, 4, 5, 5], "the middle's; the closest bucket was there"


@pytest.mark.parametrize(
    ("count", "inner"), [(3, [1]), (4, [1, 2]), (5, [1, 2, 3]), (6, [2, 3]), (9, [3, 4, 5]), (10, [3, 4, 5, 6])]
)
def test_the_middle_lies_as_far_from_both_ends(count: int, inner: list[int]) -> None:
    assert [one.position for one in middle([bucket(place) for place in range(count)])] == inner


def test_what_is_not_taken_for_the_target_may_be_what_is_measured(tmp_path: Path) -> None:
    study = make_study(tmp_path, [{"arm": "next"}], settings={"attack": "aimed", "column": "not_target"})
    make_arm(tmp_path, "next", {RANDOM: lambda seed, repeat: 0.3})
    table, (_, random) = rows_of(study, tmp_path / "out")
    assert random["adversarial"].mean == pytest.approx(0.45)
    assert "does not bring to be taken for the target" in printed(table)


def test_a_round_that_was_not_evaluated_leaves_no_estimate(tmp_path: Path) -> None:
    study = make_study(tmp_path, [{"arm": "next"}], settings={"attack": "fgsm"})
    make_arm(tmp_path, "next", {RANDOM: lambda seed, repeat: 0.3})
    _, (_, random) = rows_of(study, tmp_path / "out")
    assert (random["adversarial"].mean, random["accuracy"].mean) == (None, pytest.approx(0.985))


def test_a_row_without_a_finished_run_has_a_line(tmp_path: Path) -> None:
    study = make_study(tmp_path, [{"arm": "next"}, {"arm": "new", "against": "next"}])
    make_arm(tmp_path, "next", {RANDOM: lambda seed, repeat: 0.3})
    table, lines = rows_of(study, tmp_path / "out")
    assert [(line["arm"], line["n"]) for line in lines] == [("next", 5), ("next", 5), ("new", 0)]
    assert printed(table)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "'attack' is missing"),
        ({"attack": 3}, "settings.attack must be the name of an attack, not 3"),
        ({"attack": "a-b"}, "settings.attack must be the name of an attack"),
        ({"attack": "pgd", "column": "distance"}, "settings.column must be accuracy or not_target, not 'distance'"),
    ],
)
def test_settings_that_name_no_column_are_refused(tmp_path: Path, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named.replace("[", r"\[")):
        make_study(tmp_path, [{"arm": "next"}], settings=settings)


def test_the_spread_over_repeats_is_pooled_and_an_average_needs_all_of_its_parts() -> None:
    values = {(0, 0): 0.1, (0, 1): 0.3, (1, 0): 0.5, (1, 1): 0.5, (2, 0): 0.9}
    assert over_repeats(values) == pytest.approx(math.sqrt(0.02 / 2))
    assert over_repeats({(0, 0): 0.1, (1, 0): 0.5}) is None
    assert averaged([values, {(0, 0): 0.2, (2, 0): 0.3, (2, 1): 1.0}]) == pytest.approx({(0, 0): 0.15, (2, 0): 0.6})


def test_selections_come_in_the_order_of_their_selectors_and_positions(tmp_path: Path) -> None:
    tries = [("b", 10.0, 0, 0.5), ("a", None, 0, 0.5), ("b", 2.0, 0, 0.5), ("b", 10.0, 1, 0.5)]
    run = read_run(make_flips_run(tmp_path / "run", tries))
    assert [str(one) for one in selections([run])] == ["clean", "b[2]", "b[10]", "a"]
