"""Reports as pages: self-contained, escaped, and whole even where parts of a run are missing or broken."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from aal.cli.study import study as main
from aal.errors import UserError
from aal.report.curves import Panel, expected_share, poison_curve, poison_figure
from aal.report.features import features_figure
from aal.report.numbers import show
from aal.report.run_page import write_run_report
from aal.runs.reading import read_run
from aal.studies.study import read_study, save_study
from aal.studies.study_page import write_study_report
from aal.studies.tables import TABLES
from tests.studies.made_runs import make_run, make_study_file

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects a page's tags, attributes and text, and checks that tags close in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag and its attributes."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """See that it closes the tag opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self.words.append(data)

    @property
    def text(self) -> str:
        """All texts, styles included."""
        return " ".join(" ".join(self.words).split())

    @property
    def images(self) -> list[bytes]:
        """The bytes of all images."""
        sources = [attributes["src"] or "" for tag, attributes in self.tags if tag == "img"]
        assert all(source.startswith("data:image/png;base64,") for source in sources)
        return [base64.b64decode(source.partition(",")[2], validate=True) for source in sources]

    @property
    def sounds(self) -> list[bytes]:
        """The bytes of all clips."""
        sources = [attributes["src"] or "" for tag, attributes in self.tags if tag == "audio"]
        assert all(source.startswith("data:audio/wav;base64,") for source in sources)
        return [base64.b64decode(source.partition(",")[2], validate=True) for source in sources]


def assert_self_contained(page: Page) -> None:
    """Nothing in the page asks for anything outside it."""
    assert {"script", "link", "iframe", "object", "embed", "base", "form"}.isdisjoint(tag for tag, _ in page.tags)
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "data", "action", "poster", "background"):
                assert (value or "").startswith("data:")
    assert not re.search(r"url\(|@import|https?:", page.source)


def make_study(tmp_path: Path, seeds: int = 5, **changes: object) -> Path:
    study = read_study(make_study_file(tmp_path / "file", seeds=seeds, **changes), TABLES)
    out = tmp_path / "out"
    save_study(study, out)
    for seed in range(seeds):
        make_run(out / "clean" / f"seed={seed}", seed=seed, poisoned=False, final=0.9 + seed / 100, query_size=20)
        make_run(out / "poisoned" / f"seed={seed}", seed=seed, final=0.4 - seed / 50, query_size=20)
    features_figure(torch.randn(30, 4), torch.zeros(9, 4), out / "poisoned" / "seed=0" / "figures" / "features.png")
    return out


def test_the_tile_of_the_queries_says_of_what_and_has_the_unit_of_the_chart(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", budget=50, pairs=False)
    write_run_report(folder)
    told = "poison among the queries 1.000 50 of 50 queries, 50 of 100 poisons; random queries: 0.066"
    assert told in Page(folder / "report.html").text
    run = read_run(folder)
    curve, level = poison_curve("", "#000000", [run]), expected_share(run)["random"]
    assert curve is not None
    assert (float(curve.mean[-1]), show(level, 3)) == (1.0, "0.066")
    figure = poison_figure([Panel("", (curve,), {"random": level})])
    assert figure is not None
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert (labels[0], labels[-1]) == ("0.0", "1.0"), "shares, as in the tile"


def test_a_runs_report_has_all_parts_and_its_figures_are_files(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", seed=3, final=0.4375)
    features_figure(torch.randn(30, 4), torch.zeros(9, 4), folder / "figures" / "features.png")
    write_run_report(folder)
    page = Page(folder / "report.html")
    assert_self_contained(page)
    for part in (
        "Digits, NN1, Entropy queries, seed 3",
        "0.438",
        "120 labels",
        "random queries: 0.066",
        "sha256",
        "mu: zero",
    ):
        assert part in page.text
    for part in ("‖f-μ‖ 9", "(0.7 before saving)", "25/255", "16.5 dB", "mean ‖δ‖∞: 26 of 255"):
        assert part in page.text
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {"accuracy.png", "poison_share.png", "features.png", "pairs.png"}
    for name in ("accuracy.png", "poison_share.png", "features.png"):
        assert (folder / "figures" / name).read_bytes() in page.images
    assert (folder / "poisons" / "00000_base.png").exists()
    assert len(page.images) == 3 + 3 * 9


def test_a_studys_report_has_table_tests_curves_pairs_and_configurations(tmp_path: Path) -> None:
    out = make_study(tmp_path, title="The title", note="demo: few seeds")
    write_study_report(out)
    page = Page(out / "report.html")
    assert_self_contained(page)
    parts = ("The title", "demo: few seeds", "0.920", "0.360", "p = ", "‖δ‖", "PSNR", "Configuration of")
    for part in (*parts, "10 runs", "torch", "sha256", "100", "0.071"):
        assert part in page.text
    for name in ("accuracy.png", "poison_share.png"):
        assert (out / "figures" / name).read_bytes() in page.images
    assert (out / "poisoned" / "seed=0" / "figures" / "features.png").read_bytes() in page.images
    write_study_report(out)
    assert Page(out / "report.html").source == page.source


def test_hostile_texts_are_only_text(tmp_path: Path) -> None:
    out = make_study(tmp_path, seeds=1, title=EVIL, note=EVIL)
    for arm in ("clean", "poisoned"):
        folder = out / arm / "seed=0"
        (folder / "config.yaml").write_text(f"evil: {json.dumps(EVIL)}\n")
        summary = (folder / "summary.json").read_text()
        evil = EVIL.replace('"', '\\"')
        changed = summary.replace("Digits", evil).replace("3.11.7", evil).replace("NN1", evil).replace("Entropy", evil)
        (folder / "summary.json").write_text(changed)
        write_run_report(folder)
        page = Page(folder / "report.html")
        assert_self_contained(page)
        assert page.text.count("<script>alert(") >= 4
    write_study_report(out)
    page = Page(out / "report.html")
    assert_self_contained(page)
    assert page.text.count("<script>alert(") >= 5


@pytest.mark.parametrize("kept", [(), ("config.yaml",), ("rounds.jsonl",), ("summary.json",)])
def test_what_a_run_lacks_is_a_sentence(tmp_path: Path, kept: tuple[str, ...]) -> None:
    folder = make_run(tmp_path / "run", pairs=False)
    for name in ("config.yaml", "rounds.jsonl", "summary.json"):
        if name not in kept:
            (folder / name).unlink()
    write_run_report(folder)
    page = Page(folder / "report.html")
    assert ("not finished" in page.text) == ("summary.json" not in kept)
    assert ("No round has ended" in page.text) == ("rounds.jsonl" not in kept)
    assert "There are no poisons." in page.text
    assert "no figures/features.png" in page.text


def test_a_run_of_one_round_and_a_clean_run_are_reported(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "one")
    first = (folder / "rounds.jsonl").read_text().splitlines()[0]
    (folder / "rounds.jsonl").write_text(first + "\n")
    write_run_report(folder)
    assert (folder / "figures" / "accuracy.png").exists()
    assert not (folder / "figures" / "poison_share.png").exists()
    clean = make_run(tmp_path / "clean", poisoned=False)
    write_run_report(clean)
    assert {path.name for path in (clean / "figures").iterdir()} == {"accuracy.png"}


def test_broken_poisons_do_not_cost_the_report(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    for image in (folder / "poisons").glob("*_poison.png"):
        image.write_bytes(image.read_bytes()[:40])
    write_run_report(folder)
    page = Page(folder / "report.html")
    assert "The pairs cannot be shown" in page.text
    assert "poison_file" in page.text
    assert len(page.images) == 2


def test_an_incomplete_study_is_reported_with_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = make_study(tmp_path, seeds=2)
    (out / "poisoned" / "seed=1" / "summary.json").unlink()
    assert main(["report", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "no claim (under 5 seeds)" in printed
    assert "Incomplete: 1 of 4 cells" in printed
    assert "1 / 2" in printed
    page = Page(out / "report.html")
    assert "incomplete: 3 of 4 runs" in page.text
    assert "not finished" in page.text
    assert "no claim" in page.text
    assert (out / "table.csv").exists()


def test_a_study_with_nothing_finished_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    save_study(read_study(make_study_file(tmp_path / "file"), TABLES), out)
    assert main(["report", str(out)]) == 0
    assert "Incomplete: 6 of 6" in capsys.readouterr().out
    assert "No finished run has it yet." in Page(out / "report.html").text


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], "action"),
        (["walk"], "walk"),
        (["run"], "FILE"),
        (["run", "x.yaml"], "--out"),
        (["run", "gone.yaml", "--out", "o"], "gone.yaml"),
        (["run", "{file}", "--out", "o", "--jobs", "0"], "--jobs"),
        (["run", "{file}", "--out", "o", "--jobs", "many"], "--jobs"),
        (["run", "{file}", "--out", "o", "--seeds", "0"], "--seeds"),
        (["run", "{file}", "--out", "o", "--sedes", "1"], "--sedes"),
        (["report", "gone"], "gone"),
        (["report", "."], "no study"),
    ],
)
def test_wrong_arguments_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], names: str
) -> None:
    file = make_study_file(tmp_path / "file")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        main([argument.format(file=file) for argument in arguments])
    assert names in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "o").exists()
