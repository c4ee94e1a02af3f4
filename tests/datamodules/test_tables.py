"""Tables as data: half moons, Abalone, breast cancer and any CSV file, with the victim's part and the adversary's."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, make_moons
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from aal.datamodules import Abalone, ActiveDataModule, BreastCancer, CSVTable, HalfMoons
from aal.datamodules.tabular import Tabular
from aal.errors import UserError
from aal.seeds import key
from tests.commands import EXPERIMENT, ROOT, aal, results
from tests.datamodules.files import abalone, csv_table
from tests.real_data import data

TINY = {"victim": 4, "adversary": 4, "test": 4, "craft": 0}
ROWS = "sex,length,age\n" + "M,1,young\nF,2,old\nF,3,young\nI,4,old\n" * 5


def made(table: Tabular) -> Tabular:
    table.setup("fit")
    return table


def table(folder: Path, content: str = ROWS, **arguments: Any) -> CSVTable:
    (folder / "t.csv").write_text(content)
    return CSVTable("t.csv", root=str(folder), **{**TINY, **arguments})


def refusal(make: Any, **arguments: Any) -> str:  # noqa: ANN401
    with pytest.raises(UserError) as caught:
        make(**arguments).setup("fit")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def everything(module: ActiveDataModule) -> tuple[Tensor, Tensor]:
    parts = ("pool", "craft", "test", "victim")
    return torch.cat([module.samples[part].stored for part in parts]), torch.cat([module.labels[p] for p in parts])


def nearest(module: ActiveDataModule) -> float:
    """Return the accuracy of 1-NN on the victim's data."""
    x, y = module.samples["victim"].stored.flatten(1), module.labels["victim"]
    return float(
        KNeighborsClassifier(1).fit(x, y).score(module.samples["test"].stored.flatten(1), module.labels["test"])
    )


def test_half_moons_are_scikit_learns_scaled_on_the_victims() -> None:
    module = made(HalfMoons(seed=3))
    sizes = {part: len(samples) for part, samples in module.samples.items()}
    assert sizes == {"pool": 1900, "craft": 20, "test": 200, "victim": 1800}
    points, moons = make_moons(3920, noise=0.25, random_state=key(3, "moons") % 2**32)
    x, labels = everything(module)
    own = module.samples["victim"].stored
    assert (own.amin(0).tolist(), own.amax(0).tolist()) == ([0, 0], [1, 1])
    # one scale and shift bring them back to scikit-learn's points, whichever split they are in
    order, place = np.lexsort(points.T), np.lexsort(x.numpy().T)
    width, low = np.polyfit(x[place][:, 1], points[order][:, 1], 1)
    assert np.allclose(x[place][:, 1] * width + low, points[order][:, 1], atol=1e-5)
    assert np.array_equal(labels[place].numpy(), moons[order])
    assert module.labels["victim"].bincount().tolist() == pytest.approx([900, 900], abs=1)


def test_1_nn_has_about_the_papers_accuracy_on_half_moons() -> None:
    found = [nearest(made(HalfMoons(seed=seed))) for seed in range(10)]
    assert np.mean(found) == pytest.approx(0.92, abs=0.02)
    clean = nearest(made(HalfMoons(noise=0.0)))
    assert clean == 1


def test_splits_of_another_size_for_the_adversary_leave_the_others(tmp_path: Path) -> None:
    few, many = (made(table(tmp_path, adversary=size)) for size in (4, 8))
    assert few.split_digests["victim"] == many.split_digests["victim"]
    assert few.split_digests["test"] == many.split_digests["test"]
    assert few.split_digests["pool"] != many.split_digests["pool"]


def test_rows_come_from_the_lines_that_their_sources_name(tmp_path: Path) -> None:
    """Unscaled by what the victim's rows alone say, every sample is the row of the file that it names."""
    arguments = csv_table(tmp_path / "data")
    module = made(CSVTable(**arguments, seed=2))
    with (tmp_path / "data" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    own = [int(str(module.samples["victim"].source(k)).partition("#")[2]) for k in range(60)]
    for name, feature in (("wide", 0), ("count", 4)):
        values = np.array([float(row[name]) for row in rows])
        low, high = values[own].min(), values[own].max()
        for part, samples in module.samples.items():
            for k, x in enumerate(samples.stored):
                file_name, _, row = str(samples.source(k)).partition("#")
                assert file_name == "table.csv"
                assert float(x[feature]) == pytest.approx((values[int(row)] - low) / (high - low), abs=1e-6)
                assert module.classes is not None
                assert rows[int(row)]["kind"] == module.classes[module.labels[part][k]]
                colors = dict(zip(("dark blue", "green", "red"), x[1:4].tolist(), strict=True))
                assert colors.pop(rows[int(row)]["color"]) == 1
                assert set(colors.values()) == {0}
    assert module.columns == ("wide", "color=dark blue", "color=green", "color=red", "count")


def test_words_may_be_one_feature(tmp_path: Path) -> None:
    one_hot, ordinal = table(tmp_path), table(tmp_path, encoding="ordinal")
    assert (one_hot.columns, one_hot.sample_shape) == (("sex=F", "sex=I", "sex=M", "length"), (4,))
    assert (ordinal.columns, ordinal.sample_shape) == (("sex", "length"), (2,))
    assert one_hot.classes == ordinal.classes == ("old", "young")


def test_columns_are_chosen(tmp_path: Path) -> None:
    by_sex = table(tmp_path, label="sex", ignore=["age"], victim=8, test=8)
    assert (by_sex.classes, by_sex.columns) == (("F", "I", "M"), ("length",))
    long = table(tmp_path, label="length", threshold=2, at_least=True, ignore=[-1])
    assert (long.classes, long.columns) == (("below 2", "at least 2"), ("sex=F", "sex=I", "sex=M"))
    made(long)
    assert made(by_sex).samples["victim"].stored.shape == (8, 1)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"label": "rings"}, "label: "),
        ({"label": 3}, "label: "),
        ({"label": "length", "threshold": 9.0}, "threshold: every length is at most 9"),
        ({"threshold": 2.0}, "threshold: column 'age' has words, not numbers; leave it null"),
        ({"threshold": float("nan")}, "threshold: must be a finite number, got nan"),
        ({"ignore": ["sex", "length"]}, "no column is left as a feature"),
        ({"ignore": ["age"]}, "ignore: 'age' is the column of the labels"),
        ({"text": ["colour"]}, "text: "),
        ({"encoding": "binary"}, "encoding: must be one of one_hot, ordinal, got 'binary'"),
        ({"separator": ";"}, "no column is left as a feature; is separator: ';' right?"),
        ({"header": False}, "column '1': '1' is a number, where the first row has the word 'length'"),
        ({"victim": 40}, "victim: test 4, craft 0, victim 40, adversary 4 are too many for 20 rows"),
        ({"adversary": 0}, "adversary: must be at least 1, got 0"),
        ({"adversary": 1}, "adversary: 1 rows have none of class "),
        ({"victim": -1}, "victim: must be at least 0, got -1"),
        ({"test": 0}, "test: must be at least 1, got 0"),
        ({"box": [1.0, 0.0]}, "box: must be a lower and a higher number, got [1.0, 0.0]"),
        ({"box": [0.0]}, "box: must be a lower and a higher number, got [0.0]"),
        ({"box": [0.0, float("inf")]}, "box: must be a lower and a higher number, got [0.0, inf]"),
        ({"box": [-9.0, 0.5]}, "as its sex="),
        ({"val": 3}, "val: must be from 2 (a sample a class) to 2, which leaves the pool as many, got 3"),
    ],
)
def test_what_makes_no_problem_names_its_argument(arguments: dict[str, Any], line: str, tmp_path: Path) -> None:
    assert line in refusal(lambda **more: table(tmp_path, **more), **arguments)


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    line = refusal(lambda: table(tmp_path, "a,b\n" + "1,x\n2,x\n" * 9))
    assert line == "label: column 'b' has one class alone, 'x'"


def test_a_column_without_classes_is_no_label(tmp_path: Path) -> None:
    ids = "id,x\n" + "".join(f"{k},{k % 7}\n" for k in range(40))
    line = refusal(lambda: table(tmp_path, ids, label="id"))
    assert line.startswith("label: column 'id' has 40 different values in 40 rows; name another, or set a threshold")


def test_a_box_bounds_the_samples_or_names_one_outside(tmp_path: Path) -> None:
    free = made(HalfMoons(seed=1))
    assert free.samples["pool"].bounds == (float("-inf"), float("inf"))
    x, _ = everything(free)
    least, most = float(x.min()), float(x.max())
    boxed = made(HalfMoons(seed=1, box=[least, most]))
    assert all(samples.bounds == (least, most) for samples in boxed.samples.values())
    assert torch.equal(everything(boxed)[0], x)
    assert least < 0
    line = refusal(HalfMoons, seed=1, box=[0, most])
    assert line.startswith("box: sample ")
    assert f"not from 0 to {most:g}; scaled features are from {least:.9g} to {most:.9g}" in line


def test_without_a_victim_the_pool_tells_the_scale(tmp_path: Path) -> None:
    module = made(table(tmp_path, victim=0, adversary=None))
    assert module.samples.keys() == {"pool", "craft", "test"}
    pool = module.samples["pool"].stored
    assert (pool.amin(0).tolist(), pool.amax(0).tolist()) == ([0] * 4, [1] * 4)


def test_breast_cancer_is_scikit_learns() -> None:
    module = made(BreastCancer(craft=0))
    points, kinds = load_breast_cancer(return_X_y=True)
    assert {part: len(samples) for part, samples in module.samples.items()} == {
        "pool": 269,
        "craft": 0,
        "test": 100,
        "victim": 200,
    }
    x, labels = everything(module)
    for feature in (0, 29):
        place, order = x[:, feature].argsort(), points[:, feature].argsort()
        values = points[order, feature]
        width, low = np.polyfit(x[place][:, feature], values, 1)
        assert np.allclose(x[place][:, feature] * width + low, values, rtol=1e-4)
    assert labels.bincount().tolist() == [212, 357] == np.bincount(kinds).tolist()
    assert module.classes == ("malignant", "benign")


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [({}, (8,)), ({"encoding": "one_hot"}, (10,)), ({"sex": "F", "adversary": 80}, (7,))],
)
def test_abalones_features_and_labels_are_of_its_rows(
    arguments: dict[str, Any], shape: tuple[int], tmp_path: Path
) -> None:
    given = abalone(tmp_path / "data")
    for at_least in (False, True):
        module = made(Abalone(**{**given, **arguments}, at_least=at_least))
        assert module.sample_shape == shape == tuple(module.samples["pool"].stored.shape[1:])
        rows = [line.split(",") for line in (tmp_path / "data" / "abalone" / "abalone.data").read_text().splitlines()]
        for part, samples in module.samples.items():
            for k in range(len(samples)):
                file, _, row = str(samples.source(k)).partition("#")
                assert file == "abalone/abalone.data"
                assert arguments.get("sex", rows[int(row)][0]) == rows[int(row)][0]
                rings = int(rows[int(row)][8])
                assert int(module.labels[part][k]) == int(rings >= 11 if at_least else rings > 11)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"sex": "X"}, "sex: must be one of F, I, M, got 'X'"),
        ({"encoding": "hashed"}, "encoding: must be one of one_hot, ordinal, got 'hashed'"),
        ({"threshold": 29.0}, "threshold: every rings is at most 29; they are from 1 to 29"),
        ({"threshold": float("inf")}, "threshold: must be a finite number, got inf"),
        ({"adversary": 5000}, "adversary: test 30, craft 20, victim 60, adversary 5000 are too many for 1400 rows"),
        ({"checksums": True}, "abalone.data: truncated or altered"),
        ({"root": "nowhere"}, "root: nowhere has no abalone/abalone.data or abalone.data; put it there (https://"),
    ],
)
def test_abalone_names_what_is_wrong(arguments: dict[str, Any], line: str, tmp_path: Path) -> None:
    given = abalone(tmp_path / "data")
    assert line in refusal(Abalone, **{**given, **arguments})


def test_a_damaged_abalone_file_names_its_line(tmp_path: Path) -> None:
    given = abalone(tmp_path / "data")
    path = tmp_path / "data" / "abalone" / "abalone.data"
    lines = path.read_text().splitlines()
    for bad, said in (
        ("X,1,1,1,1,1,1,1,9", "sex must be one of F, I, M, got F, I, M, X"),
        ("M,1,1,1,,1,1,1,9", "line 5, column 'whole': '' is a missing value"),
        ("M,1,1,1,1,1,1,9", "line 5 has 8 values, where there are 9 columns"),
        ("M,1,1,1,1,1,1,1,old", "line 5, column 'rings': 'old' is no number"),
    ):
        path.write_text("\n".join([*lines[:4], bad, *lines[5:]]))
        assert refusal(Abalone, **given) == f"{path}: {said}" or said in refusal(Abalone, **given)


@pytest.mark.data
def test_the_published_abalone_gives_1_nn_what_the_paper_has_or_near_it() -> None:
    root = str(data("abalone/abalone.data").parent)
    found = {
        name: np.mean([nearest(made(Abalone(root=root, seed=seed, **reading))) for seed in range(10)])
        for name, reading in {"above": {}, "at least": {"at_least": True}, "females": {"sex": "F"}}.items()
    }
    assert found["above"] == pytest.approx(0.758, abs=0.02)
    assert found["at least"] == pytest.approx(0.705, abs=0.02)
    assert found["females"] == pytest.approx(0.665, abs=0.02), "as in the paper"


@pytest.mark.slow
def test_a_victims_data_are_the_same_on_two_ranks_and_when_a_run_goes_on(tmp_path: Path) -> None:
    overlays = [ROOT / "configs" / "data" / "half_moons.yaml", ROOT / "configs" / "model" / "mlp.yaml"]
    few = ("--query.init_args.budget=1", "--query.init_args.max_epochs=1", "--poison=null")
    sizes = ("--data.init_args.victim=50", "--data.init_args.adversary=100", "--data.init_args.val=20")
    given = ["fit", "--config", EXPERIMENT, *(part for path in overlays for part in ("--config", path)), *few, *sizes]
    for ranks in (1, 2):
        run = aal(*given, "--out", tmp_path / str(ranks), ranks=ranks)
        assert run.returncode == 0, run.stderr
        summary = results(tmp_path / str(ranks))["summary"]
        assert (summary["victim"], summary["val"], summary["pool"]) == (50, 20, 100 - 20 - 20)
    one, two = (json.loads((tmp_path / str(ranks) / "inputs.json").read_text())["inputs"] for ranks in (1, 2))
    assert "data, the split victim" in one
    assert one == two
    assert results(tmp_path / "1")["ledger"] == results(tmp_path / "2")["ledger"]
    other = aal(*given, "--out", tmp_path / "1", "--ckpt_path=last", "--data.init_args.noise=0.3")
    assert other.returncode == 2
    assert "noise" in other.stderr
