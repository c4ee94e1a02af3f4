"""The shipped studies: what their rows compare, which of the papers' figures they have, what their notes say."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from aal.runs.documents import read_mapping, to_yaml
from aal.runs.reading import Run
from aal.studies.likeness import facts_of, papers_figures, papers_setting, unlike
from aal.studies.paired import LEAST
from aal.studies.study import Study, read_study
from aal.studies.tables import TABLES
from aal.studies.tables.flips import attacked

FILES = sorted((Path(__file__).parents[2] / "configs" / "study").glob("*.yaml"))
STUDIES = {path.stem: read_study(path, TABLES) for path in FILES}


def laid_over(under: object, over: object) -> Any:  # noqa: ANN401 - whatever a config holds
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    return under | {key: laid_over(under.get(key), value) for key, value in over.items()}


def config(study: Study, arm: str) -> dict[str, Any]:
    """Return what an arm's configs say when they are laid over each other."""
    whole: dict[str, Any] = {}
    for layer in study.arms[arm].configs:
        whole = laid_over(whole, read_mapping(Path(layer)) if isinstance(layer, str) else layer)
    return whole


BETA = [name for name in STUDIES if name.startswith("shadow_beta")]  # whose arms differ in their density
WIDTHS = {"widths": [256, 256, 256]}
VARIED = {  # studies of one key: its place, and its value in each arm
    "noise_soft_knn": ("model.init_args.k", {f"k_{k}": k for k in (1, 3, 5, 7, 9)}),
    "noise_toy_dimensions": ("data.init_args.dimensions", {f"d_{d}": d for d in (4, 16, 64, 256)}),
    "noise_toy_figure43": (
        "data.init_args.mu",
        {"opposite_mu_05": 0.5, "opposite_mu_1": 1.0, "opposite_mu_2": 2.0, "opposite_mu_10": 10.0},
    ),
    "noise_hash": (
        "model.init_args.network",
        {
            "plain": {"class_path": "MLP", "init_args": WIDTHS},
            "hashed": {"class_path": "HashedMLP", "init_args": WIDTHS},
            "batch_norm": {"class_path": "MLP", "init_args": WIDTHS | {"batch_norm": True}},
        },
    ),
}


SHADOWS = [name for name, study in STUDIES.items() if study.table == "shadow"]
ELSEWHERE = ("robust_targets_digits", *VARIED, *BETA, *SHADOWS)


@pytest.mark.parametrize("name", [name for name in STUDIES if name not in ELSEWHERE])
def test_arms_that_are_compared_train_one_network_on_one_data_set(name: str) -> None:
    study = STUDIES[name]
    for row in study.rows:
        if row.against:
            ours, theirs = config(study, row.arm), config(study, row.against)
            for each in (ours, theirs):
                if each.get("secured"):  # who checks on secured samples pays for them with the pool
                    each["data"]["init_args"].pop("secured")
            assert (ours["model"], ours["data"]) == (theirs["model"], theirs["data"]), row.arm


@pytest.mark.parametrize("name", SHADOWS)
def test_shadows_that_are_compared_are_of_one_victim_and_one_kind_but_for_controls(name: str) -> None:
    study = STUDIES[name]
    for row in study.rows:
        if row.against:
            ours, theirs = config(study, row.arm), config(study, row.against)
            assert (ours["data"], ours["victim"]) == (theirs["data"], theirs["victim"]), row.arm
            network = ours["model"]["init_args"]["network"]["init_args"]
            neighbours = network.pop("k", None)
            theirs["model"]["init_args"]["network"]["init_args"].pop("k", None)
            assert ours["model"] == theirs["model"]
            assert neighbours == (int(row.arm[-1]) if row.arm.endswith(("_k3", "_k9")) else 1)
            assert ours["victim"]["init_args"]["network"]["init_args"].get("k", 1) == 1


@pytest.mark.parametrize("name", VARIED)
def test_what_a_study_varies_is_all_that_differs_between_its_arms(name: str) -> None:
    study, (place, values) = STUDIES[name], VARIED[name]
    *parents, last = place.split(".")
    found, others = {}, []
    for arm in values:
        holder = own = config(study, arm)
        for key in parents:
            holder = holder[key]
        found[arm] = holder.pop(last)
        others.append(own)
    assert found == values
    assert all(own == others[0] for own in others)


@pytest.mark.parametrize("name", VARIED)
def test_what_a_study_varies_is_compared(name: str) -> None:
    arms = list(VARIED[name][1])
    before, first = arms[:-1], arms[:1] * (len(arms) - 1)
    reference = before if name.startswith("noise_toy") else first
    compared = {row.arm: row.against for row in STUDIES[name].rows if row.arm in arms}
    assert compared == dict(zip(arms, [None, *reference], strict=True))


@pytest.mark.parametrize("name", BETA)
def test_densities_are_compared_with_the_uniform_one_and_in_nothing_else(name: str) -> None:
    study = STUDIES[name]
    for row in study.rows:
        ours, theirs = config(study, row.arm), config(study, row.against or row.arm)
        own, other = ({"floor": 0.01, **each["data"]["init_args"]} for each in (ours, theirs))
        assert other.pop("beta") == 0
        assert other.pop("floor") == 0.01
        assert own.pop("beta") > 0 or row.against is None
        own.pop("floor")
        assert (own, ours["model"], ours["query"]) == (other, theirs["model"], theirs["query"])


@pytest.mark.parametrize("name", BETA)
def test_arms_of_densities_do_what_their_names_say(name: str) -> None:
    study = STUDIES[name]
    networks = {
        "knn": ("NearestNeighbours", None),
        "nw": ("NadarayaWatson", None),
        "compact": ("NadarayaWatson", "uniform"),
        "ridge": ("KernelRidge", "rbf"),
    }
    for arm in study.arms:
        own = config(study, arm)
        eta, noise, classifier, density, *floor = arm.split("_")
        data = own["data"]["init_args"]
        network = own["model"]["init_args"]["network"]
        network = {"class_path": network} if isinstance(network, str) else network
        kernel = network.get("init_args", {}).get("kernel")
        assert (network["class_path"], kernel) == networks[classifier]
        assert (data["eta"], data["noisy"]) == (eta, noise == "noisy")
        assert f"b{data['beta']:g}".replace(".", "") == density.replace("uniform", "b0")
        assert [f"f{data['floor']:g}".replace(".", "")] == (floor or ["f001"])
        sizes = [own["query"]["init_args"]["initial"], *own["query"]["init_args"]["query_sizes"]]
        reached = [sum(sizes[: end + 1]) for end in range(len(sizes))]
        reached.append(reached[-1] + own["query"]["init_args"]["query_size"])
        columns = study.settings["columns"]
        assert [n for n in reached if n <= data["n"]] == [n for n in columns if n <= data["n"]]
        assert data["n"] in columns


def test_transfer_and_end_to_end_are_compared_on_training_sets_of_one_size() -> None:
    study = STUDIES["robust_targets_digits"]
    for row in study.rows:
        ours = config(study, row.arm)
        size = ours["query"]["init_args"].get("size")
        assert row.arm.endswith(f"_{size or 'all'}")
        kind = ours["model"]["class_path"].rpartition(".")[2]
        assert kind == ("TransferClassifier" if row.paper == "transfer" else "ConvClassifier")
        if row.against:
            assert config(study, row.against)["query"] == ours["query"]


@pytest.mark.parametrize(
    ("start", "table"), [("robust_table3", "III"), ("robust_table4", "IV"), ("robust_table5", "V"), ("robust_", "")]
)
def test_robust_arms_face_what_the_papers_table_has_them_face(start: str, table: str) -> None:
    rows = [(study, row) for name, study in STUDIES.items() if name.startswith(start) for row in study.rows]
    rows = [(study, row) for study, row in rows if row.paper in papers_figures("budget")]
    assert {row.paper.rpartition("/")[0] for _, row in rows if row.paper} >= {table} - {""}
    for study, row in rows:
        own = config(study, row.arm)
        oracle = own["query"]["init_args"]["oracle"]["init_args"]
        assert row.paper is not None
        faced, learner = row.paper.split("/")
        assert (oracle["malicious"], oracle["honest"] + oracle["malicious"]) == (int(faced == "IV"), 11)
        assert bool(own.get("poison")) == (faced == "V")
        assert bool(own.get("secured")) == bool(own.get("retraining")) == (learner == "Proposed")
        strategy = own["query"]["init_args"]["strategy"]["class_path"]
        assert strategy == ("ClusterMaxMin" if learner == "Proposed" else "Random")


@pytest.mark.parametrize(
    ("start", "figures"),
    [
        ("dfal_table1_", {name for name in papers_figures("labels") if "k/" not in name}),
        ("dfal_table2", papers_figures("effort")),
        ("dfal_table3", papers_figures("seconds")),
        ("dfal_table4", papers_figures("transfer")),
        ("shadow_table7", {name for name in papers_figures("labels") if "k/" in name}),
        ("shadow_table2", {name for name in papers_figures("shadow") if name.startswith("2/")}),
        ("shadow_table3", {name for name in papers_figures("shadow") if name.startswith("3/")}),
        ("shadow_table6", {name for name in papers_figures("shadow") if name.startswith("6/")}),
        ("noise_table41", papers_figures("flips")),
    ],
)
def test_each_row_of_the_papers_tables_has_one_of_ours(start: str, figures: Iterable[str]) -> None:
    rows = [row for name, study in STUDIES.items() if name.startswith(start) for row in study.rows]
    assert {row.paper for row in rows if row.paper} == set(figures)


MEASURED = ("pool", "source.pool", "labels", "target", "training", "ended_by", "budget", "poisons", "head")  # by a run


def differs(study: Study, arm: str, name: str, folder: Path) -> bool:
    """Whether an arm's configuration is not of the setting of a paper's figure."""
    facts: dict[str, Any] = {}
    for prefix, one in (("", arm), *(("source.", source) for source in study.arms[arm].reads)):
        (folder / "config.yaml").write_text(to_yaml(config(study, one)))
        run = Run(folder, {}, (), "")
        own = attacked(run, study.settings["attack"]) if study.table == "flips" else facts_of(run)
        facts |= {f"{prefix}{key}": fact for key, fact in own.items()}
    setting = papers_setting(study.table, name)
    return bool(unlike(facts, {key: wanted for key, wanted in setting.items() if key not in MEASURED}))


@pytest.mark.parametrize("name", [name for name, study in STUDIES.items() if any(row.paper for row in study.rows)])
def test_the_papers_figures_stand_beside_the_full_studies_alone(name: str, tmp_path: Path) -> None:
    study = STUDIES[name]
    rows = {row.arm: f"{row.paper}/NN1" if study.table == "collision" else row.paper for row in study.rows if row.paper}
    other = [arm for arm, paper in rows.items() if differs(study, arm, paper, tmp_path)]
    small = name.endswith("_small") or name == "robust_targets_digits"
    # Of the words the pool and the budget alone are smaller, which a run's summary has; those of paper shadow have
    # fewer data sets, pools and attacks, each as the paper has it, but for the network and images of Table 6.
    small = small and (not name.startswith("shadow_") or name == "shadow_table6_small")
    assert other == [arm for arm in rows if small and not arm.startswith("words")]


@pytest.mark.parametrize(
    ("name", "arm", "other", "said"),
    [
        ("shadow_table4", "moons_fgsm_adv", "4/Halfmoon/PGD/adv", "shadow.synthesis.attack: FGSM (paper: PGD)"),
        ("shadow_table4", "moons_fgsm_adv", "4/Halfmoon/FGSM/cln", "shadow.synthesis.attack: FGSM (paper: not set)"),
        ("shadow_table4", "moons_fgsm_adv", "4/Halfmoon/FGSM/at", "shadow.synthesis.keep: nothing (paper: sources)"),
        ("shadow_table6_small", "cln", "6/CIFAR10/cln", "data.victim: 5000 (paper: from 44,000 to 45,000)"),
        ("shadow_table2", "moons_pool", "2/MNIST1v7/Baseline", "data.test_size: not set (paper: 500)"),
    ],
)
def test_figures_of_paper_shadow_are_of_its_attack_and_split(
    name: str, arm: str, other: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(to_yaml(config(STUDIES[name], arm)))
    assert said in unlike(facts_of(Run(tmp_path, {}, (), "")), papers_setting("shadow", other))


def test_table_1_of_the_collisions_has_the_papers_figures_where_the_backbone_is_frozen(tmp_path: Path) -> None:
    study, data = STUDIES["collision_table1"], {"stl": "STL10", "cifar": "CIFAR10", "audio": "AudioSet"}
    other = [row.arm for row in study.rows if differs(study, row.arm, f"{data[row.arm.split('_')[0]]}/NN1", tmp_path)]
    assert other == ["stl_unfrozen", "stl_late"]


@pytest.mark.parametrize("name", [name for name in STUDIES if name.startswith(("dfal_table2", "dfal_table4"))])
def test_a_row_has_the_papers_figures_for_its_data_networks_and_strategy(name: str) -> None:
    study = STUDIES[name]
    of = {
        "MNIST": "MNIST",
        "Quick-Draw": "QuickDraw",
        "Shoe-Bag": "ImageFolder",
    }
    named = {"uncertainty": "Entropy", "CORE-SET": "CoreSet", "RANDOM": "Random"}
    for row in study.rows:
        if row.paper is None:
            continue
        data, networks, strategy = row.paper.split("/")
        chooser, trained = networks.split("->")[0], networks.split("->")[-1]
        source = config(study, (study.arms[row.arm].reads or (row.arm,))[0])
        own = config(study, row.arm)
        assert own["data"]["class_path"] == source["data"]["class_path"] == of[data]
        for network, of_arm in ((chooser, source), (trained, own)):
            assert of_arm["model"]["init_args"]["network"]["class_path"] == network
        class_path = source["query"]["init_args"]["strategy"]["class_path"]
        assert class_path == named.get(strategy, strategy)


@pytest.mark.parametrize("name", [name for name in STUDIES if name.startswith(("dfal_", "shadow_"))])
def test_notes_say_what_a_reader_would_take_for_the_papers_setting(name: str) -> None:
    study = STUDIES[name]
    assert (len(study.seeds) >= LEAST) or "Under five seeds no test is made." in study.note
    queries = [config(study, row.arm).get("query") or {"init_args": {}} for row in study.rows]
    strategies = [query["init_args"].get("strategy", {}) for query in queries]
    if any(strategy.get("init_args", {}).get("most") == 1000 for strategy in strategies):
        assert "at most 1,000 pseudo-labels" in study.note
    if name.startswith("dfal_table1"):
        assert "EGL is that of the last layer." in study.note


NOISE = [name for name in STUDIES if name.startswith(("noise_table", "noise_mnist", "noise_graphs"))]


def flips_of(study: Study, arm: str) -> dict[str, Any]:
    arguments: dict[str, Any] = config(study, arm)["flips"]["init_args"]
    return arguments


@pytest.mark.parametrize("name", NOISE)
def test_flips_are_measured_by_an_attack_that_their_arms_have(name: str) -> None:
    study = STUDIES[name]
    for arm in study.arms:
        own = config(study, arm)
        robust = own["robust"]["init_args"]
        attacks = robust["attacks"] | (robust.get("untargeted") or {})
        measured = attacks[study.settings["attack"]]
        assert measured == {
            "class_path": "PGD",
            "init_args": {"radius": 0.1, "steps": 40, "early_stop": True},
        }
        aimed = study.settings["attack"] in robust["attacks"] and robust["targets"] is not None
        assert aimed == ("buckets" in name or "graphs" in name), "Table 4.1 is untargeted, and of two classes all are"
        assert robust["every"] == 1
        assert own["flips"]["init_args"]["budget"] == 10


@pytest.mark.parametrize("name", NOISE)
def test_flips_compare_with_random_ones_and_a_sweep_has_a_middle(name: str) -> None:
    study = STUDIES[name]
    assert len(study.seeds) >= LEAST, "else nothing is tested"
    for arm in study.arms:
        selectors = flips_of(study, arm)["selectors"]
        assert selectors["random"] == {"class_path": "RandomFlips"}
        if "mnist" in name:
            assert selectors["path_length"]["init_args"]["buckets"] >= 3


@pytest.mark.parametrize("name", NOISE)
def test_arms_of_flips_do_what_their_names_say(name: str) -> None:
    study = STUDIES[name]
    for arm in study.arms:
        own = config(study, arm)
        targets, data = own["flips"]["init_args"]["targets"], own["data"]["init_args"]
        if "buckets" in name:
            (source, target), *others = targets.items()
            assert (arm, others) == (f"{source}_to_{target}", [])
            assert own["robust"]["init_args"]["samples"] is None, "of one class there may be fewer than were asked for"
        else:
            assert targets == ("new" if arm == "new" else "next")
            assert own["robust"]["init_args"]["samples"] == 1000
        assert data.get("digits") == ([0, 1] if "mnist01" in name else None)


@pytest.mark.parametrize("name", [name for name in NOISE if name.startswith("noise_table41")])
def test_repeats_of_table_41_flip_the_same_labels(name: str) -> None:
    study = STUDIES[name]
    next_class, new = (flips_of(study, arm) for arm in study.arms)
    assert next_class["redraw"] is new["redraw"] is False
    assert next_class["repeats"] == new["repeats"] > 1
    assert next_class["max_epochs"] == new["max_epochs"]


@pytest.mark.parametrize("name", NOISE)
def test_notes_say_that_a_small_study_trains_on_fewer_images(name: str) -> None:
    study = STUDIES[name]
    limit = config(study, next(iter(study.arms)))["data"]["init_args"].get("limit")
    small = name.endswith("_small")
    assert ("10,000 training images" in study.note) == small == (limit is not None)
    if small:
        digits = 2 if "mnist01" in name else 10
        assert limit * 0.9 * digits == pytest.approx(10_000, rel=0.002)
        large = STUDIES[name.removesuffix("_small")]
        assert list(study.arms) == list(large.arms)
        assert study.settings == large.settings
