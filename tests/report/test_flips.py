"""What reports show of flipped labels: their figures' data, and pages with planted numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import aal.callbacks  # noqa: F401 - registers the page of flips
from aal.attacks import PGD
from aal.errors import UserError
from aal.report.flip_curves import sweeps_panel
from aal.report.flip_figures import path_bins, paths_figure
from aal.report.flips_page import _rows, attack_columns, flips_title
from aal.report.run_page import write_run_report
from aal.robustness.outcomes import Evaluation, Outcome
from aal.runs.files import write_bytes, write_csv
from aal.runs.reading import read_run
from aal.studies.flip_panels import along_panels, swept_panels
from aal.studies.study import Study, read_study, save_study
from aal.studies.study_page import write_study_report
from aal.studies.tables import TABLES, study_table
from tests.report.test_pages import Page, assert_self_contained
from tests.studies.made_runs import make_flips_run, make_study_file, png_bytes

TRIES = [
    (selector, position, repeat, accuracy - 0.1 * repeat)
    for repeat in (0, 1)
    for selector, position, accuracy in (
        ("random", None, 0.5),
        ("path_length", 0.0, 0.7),
        ("path_length", 1.0, 0.35),
        ("path_length", 2.0, 0.625),
    )
]


def made(folder: Path, **summary: Any) -> Path:
    return make_flips_run(folder / "run", TRIES, clean=0.8125, **summary)


def page_of(folder: Path) -> Page:
    write_run_report(folder)
    page = Page(folder / "report.html")
    assert_self_contained(page)
    return page


def save_evaluation(path: Path, *, aimed: bool, still: list[int]) -> None:
    """Save what an attack did to four samples of class 0 and four of class 1, of which so many stayed."""
    label = torch.tensor([0] * 4 + [1] * 4)
    name, nothing = "aimed" if aimed else "pgd", torch.zeros(8, dtype=torch.int64)
    found = Evaluation("f", torch.arange(8), label, 1 - label if aimed else None, label.clone())
    after = torch.tensor([0] * still[0] + [1] * (4 - still[0]) + [1] * still[1] + [0] * (4 - still[1]))
    found.attacks[name] = Outcome(repr(PGD(radius=0.1)), 0.1, [], after, nothing.double(), nothing + 40, nothing + 1)
    found.save(path, complete=True)


def test_a_curve_over_positions_has_the_mean_and_spread_over_repeats(tmp_path: Path) -> None:
    runs = {0: read_run(made(tmp_path))}
    (curve,) = sweeps_panel("", {"": runs}, "robust_pgd").curves
    assert curve.name == "path_length"
    assert curve.x.tolist() == [0, 1, 2]
    assert curve.mean.tolist() == pytest.approx([0.65, 0.3, 0.575])
    assert curve.sd is not None
    assert curve.sd.tolist() == pytest.approx([0.1 / 2**0.5] * 3)
    assert sweeps_panel("", {"": runs}, "robust_none").curves == ()


def test_a_curve_of_single_trials_has_no_band(tmp_path: Path) -> None:
    runs = {0: read_run(make_flips_run(tmp_path / "run", TRIES[:4]))}
    (curve,) = sweeps_panel("", {"": runs}, "robust_pgd").curves
    assert curve.sd is None


@pytest.mark.parametrize(("longest", "width"), [(0, 1), (24, 1), (25, 2), (99, 4), (100, 5)])
def test_bars_hold_as_many_numbers_of_steps_each_and_the_longest_path(longest: int, width: int) -> None:
    edges = path_bins(torch.tensor([0, longest]))
    assert edges[0] == -0.5
    assert set(edges.diff().tolist()) == {width}
    assert edges[-2] < longest < edges[-1]


def test_paths_are_counted_by_class_and_by_whether_they_arrived() -> None:
    steps = torch.tensor([1, 1, 2, 10, 3, 3, 10, 10])
    arrived = torch.tensor([1, 1, 1, 0, 1, 1, 0, 1]).bool()
    figure = paths_figure(steps, arrived, torch.tensor([4, 4, 4, 4, 9, 9, 9, 9]))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["class 4", "class 9"]
    for axes, planted in zip(figure.axes, ({1: 2, 2: 1}, {3: 2, 10: 1}), strict=True):
        (tops, edges, bottoms), (there, *_) = (stairs.get_data() for stairs in axes.patches)  # others lie above these
        assert edges.tolist() == [step - 0.5 for step in range(len(tops) + 1)]
        assert there.tolist() == bottoms.tolist()
        assert {step: height for step, height in enumerate(there) if height} == planted
        assert {step: height for step, height in enumerate(tops - bottoms) if height} == {10: 1}


def test_a_runs_page_shows_trials_and_nothing_over_labels_or_of_poison(tmp_path: Path) -> None:
    folder = made(tmp_path)
    page = page_of(folder)
    shown = page.text.split("How it was made")[0]
    assert "MNIST, 6 labels flipped: random, path_length, seed 0" in shown
    for part in (
        "path_length[1] 2 6 1.00 0.990 ±0.000 0.300 ±0.071 0.400 ±0.071 0.450 ±0.071",
        "random 2 6 1.00 0.985",
    ):
        assert part in shown, part
    for part in ("adversarial accuracy, pgd 0.812 clean labels", "0.300 path_length[1]; random: 0.450"):
        assert part in shown, part
    for part in ("Over the labels", "oison", "What the head sees", "not finished", "Not memorised", "Passed over"):
        assert part not in shown, part
    assert "7 path_length 1 1 6 1 40 0.9900 0.2500" in " ".join(page.text.split("Every trial")[1].split())[:2000]
    assert (folder / "figures" / "flips_positions.png").read_bytes() in page.images
    assert not (folder / "figures" / "accuracy.png").exists()


def test_a_run_that_has_not_finished_or_swept_nothing_is_shown(tmp_path: Path) -> None:
    folder = make_flips_run(tmp_path / "run", TRIES[:1])
    (folder / "summary.json").unlink()
    page = page_of(folder)
    assert "Flipped labels" in page.text
    assert "has not finished" in page.text
    assert page.images == []


def test_what_was_passed_over_or_not_memorised_is_told(tmp_path: Path) -> None:
    folder = made(tmp_path, passed_over={"path_length[9], repeat 0": "bucket 9 of 10 has 2 samples"}, not_memorised=[3])
    records = [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]
    records[3] |= {"memorised": 0, "flips_memorised": 0.75}
    (folder / "rounds.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    shown = page_of(folder).text.split("How it was made")[0]
    assert "path_length[9], repeat 0 bucket 9 of 10 has 2 samples" in shown
    assert "path_length[1] 3 0 40 0.75" in shown
    assert "path_length[1] 2 6 0.50" in shown, "the share in the table of selections"
    assert "rounds not memorised 1 of 9" in shown


def test_paths_and_suspects_are_shown(tmp_path: Path) -> None:
    folder = made(tmp_path)
    header = ("walk", "index", "label", "target", "steps", "l2", "arrived")
    walks = ("0.01 x 100", 1), ("0.03 x 100", 3)
    paths = [(walk, k, k % 2, 1 - k % 2, k // per, 0.5, 1) for walk, per in walks for k in range(30)]
    write_csv(folder / "paths.csv", header, paths)
    rows = [(700 + k, k % 2, 1, k, k / 8, 1, f"cat/{k}.png" if k % 2 else None) for k in range(50)]
    write_csv(folder / "suspects.csv", ("index", "label", "predicted", "steps", "l2", "arrived", "source"), rows)
    gallery = png_bytes(torch.zeros(4, 4, dtype=torch.uint8).numpy())
    write_bytes(folder / "figures" / "suspects.png", gallery)
    page = page_of(folder)
    for part in (
        "50 are listed in suspects.csv, the first 20",
        "719 1 1 19 2.375 1 cat/19.png",
        "paths to the class that a point would be labelled (0.01 x 100)",
        "paths to the class that a point would be labelled (0.03 x 100)",
    ):
        assert part in page.text, part
    assert "720 0 1 20" not in page.text
    assert gallery in page.images
    assert (folder / "figures" / "flips_paths.png").read_bytes() in page.images
    assert (folder / "figures" / "flips_paths_2.png").read_bytes() in page.images
    assert not (folder / "figures" / "flips_paths_3.png").exists(), "there are no untargeted paths"


def test_classes_stand_beside_each_other_for_each_attack(tmp_path: Path) -> None:
    folder = made(tmp_path)
    for number in range(9):
        at = f"round={number}.json"
        save_evaluation(folder / "robust" / at, aimed=True, still=[4, 4])
        first = number <= 4  # of both repeats
        save_evaluation(folder / "robust" / "untargeted" / at, aimed=False, still=[2 if first else 4, 1])
    text = page_of(folder).text
    assert "pgd 0 1 clean 0.500 0.250 random 0.750 0.250 path_length[0] 0.750 0.250" in text
    assert "aimed: not target 0 1 clean 1.000 1.000" in text
    assert "Robustness, after path_length[2], repeat 1: targeted" in text
    assert "Robustness, after path_length[2], repeat 1: untargeted" in text


def test_a_broken_evaluation_does_not_cost_the_page(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / "robust").mkdir()
    (folder / "robust" / "round=0.json").write_text("{}")
    text = page_of(folder).text
    assert "An evaluation cannot be shown" in text
    assert "What each selection did" in text


def test_names_of_attacks_are_those_of_columns_that_belong_to_no_other(tmp_path: Path) -> None:
    run = read_run(made(tmp_path))
    assert attack_columns(run) == {"pgd": "robust_pgd", "aimed": "robust_aimed"}
    assert flips_title(read_run(make_flips_run(tmp_path / "none", [], budget=0))) == "MNIST, no label flipped, seed 0"


def study_of(tmp_path: Path, rows: list[dict[str, str]]) -> tuple[Study, Path]:
    arms = {name: [{"flips": name}] for name in ("near", "far", "third")}
    file = make_study_file(tmp_path / "file", arms=arms, rows=rows, table="flips", settings={"attack": "pgd"}, seeds=2)
    study, out = read_study(file, TABLES), tmp_path / "out"
    save_study(study, out)
    for arm, shift in (("near", 0.0), ("far", 0.1), ("third", 0.2)):
        for seed in range(2):
            tries = [(name, at, repeat, pgd + shift + seed / 10) for name, at, repeat, pgd in TRIES]
            make_flips_run(out / arm / f"seed={seed}", tries, seed=seed)
    return study, out


def test_a_studys_arms_have_a_panel_each_or_share_that_of_what_they_are_compared_with(tmp_path: Path) -> None:
    study, out = study_of(tmp_path, [{"arm": "near"}, {"arm": "far"}, {"arm": "third", "against": "near"}])
    near, far = swept_panels(study, study_table(study, out)[1], "robust_pgd")
    assert (near.title, far.title) == ("near, third", "far")
    assert [curve.name for curve in near.curves] == ["near", "third"]
    assert [curve.name for curve in far.curves] == ["path_length"]
    assert far.levels == pytest.approx({"random": 0.45 + 0.1 + 0.05})
    assert near.levels == pytest.approx({"random, near": 0.5, "random, third": 0.7})
    assert far.curves[0].mean.tolist() == pytest.approx([0.8, 0.45, 0.725])
    spread = torch.tensor([0.0, 0.1, -0.1, 0.0]).std().item()  # two seeds of two repeats
    assert far.curves[0].sd is not None
    assert far.curves[0].sd.tolist() == pytest.approx([spread] * 3)
    natural, _ = swept_panels(study, study_table(study, out)[1], "accuracy")
    assert natural.curves[0].mean.tolist() == [0.99, 0.99, 0.99]


def test_arms_that_differ_in_a_number_stand_over_it(tmp_path: Path) -> None:
    settings = {"attack": "pgd", "along": "model.init_args.k"}
    arms = {name: [{"model": name}] for name in ("k_3", "k_1", "other")}
    rows = [{"arm": name} for name in arms]
    study = read_study(
        make_study_file(tmp_path / "file", arms=arms, rows=rows, table="flips", settings=settings), TABLES
    )
    save_study(study, tmp_path / "out")
    for arm, k, pgd in (("k_3", 3, 0.5), ("k_1", 1, 0.25), ("other", None, 0.875)):
        for seed in range(2):
            folder = make_flips_run(
                tmp_path / "out" / arm / f"seed={seed}", [("placed", 0.0, 0, pgd + seed / 8)], seed=seed
            )
            (folder / "config.yaml").write_text(f"model:\n  init_args: {{k: {k or 'null'}}}\n")
    cells = study_table(study, tmp_path / "out")[1]
    columns = {"under attack": "robust_pgd", "natural": "accuracy"}
    pgd, natural = along_panels(study, cells, columns, "model.init_args.k")
    assert (pgd.title, natural.title) == ("under attack", "natural")
    assert [curve.name for curve in pgd.curves] == ["clean", "placed[0]"]
    assert pgd.curves[1].x.tolist() == [1, 3], "in order; an arm without a number is left out"
    assert pgd.curves[1].mean.tolist() == pytest.approx([0.3125, 0.5625])
    assert pgd.curves[1].sd is not None
    assert pgd.curves[1].sd.tolist() == pytest.approx([0.125 / 2**0.5] * 2)
    assert natural.curves[1].mean.tolist() == [0.98, 0.98]
    write_study_report(tmp_path / "out")
    assert Page(tmp_path / "out" / "report.html").images == [
        (tmp_path / "out" / "figures" / "flips_along.png").read_bytes()
    ]
    with pytest.raises(UserError, match=r"settings\.along must be the dotted key of a number"):
        read_study(
            make_study_file(tmp_path, arms=arms, rows=rows, table="flips", settings={**settings, "along": 3}), TABLES
        )


def test_a_studys_page_has_lines_claims_and_the_curves(tmp_path: Path) -> None:
    _, out = study_of(tmp_path, [{"arm": "near"}, {"arm": "far"}])
    write_study_report(out)
    page = Page(out / "report.html")
    assert_self_contained(page)
    for part in ("middle of path_length minus the closest, path_length[0]", "-0.350", "2 seeds, no claim"):
        assert part in page.text, part
    assert page.images == [(out / "figures" / f"flips_{name}.png").read_bytes() for name in ("adversarial", "natural")]
    assert "Accuracy on the test split after each round" not in page.text


@pytest.mark.parametrize(
    "text", [b"\xff\xfe", b"steps\nmany\n", b"walk,target,steps,arrived,label,l2\nw,,1.5,1,0,0.1\n"]
)
@pytest.mark.parametrize("name", ["paths.csv", "suspects.csv"])
def test_a_table_of_paths_that_says_something_else_is_named(name: str, text: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(UserError, match=rf"{name}: not as a run writes it"):
        _rows(tmp_path / name)
