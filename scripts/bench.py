#!/usr/bin/env python3
"""Benchmarks: each prints a ratio of two things measured in the same run, interleaved.

python scripts/bench.py [rounds] [repeats] [crafting] [streaming] [encoding] [scoring]     active learning; one thread
python scripts/bench.py [gradient] [deepfool] [carlini_wagner] [collisions] [paths] [gpu]     attacks; all cores
python scripts/bench.py [targeted_paths]     paths of all training images of MNIST to the next class; all cores
python scripts/bench.py [poisons]     Table I's seconds per poison; all cores
python scripts/bench.py [dfal]     its query beside DeepFool on the whole subset; all cores
python scripts/bench.py [core_set]     greedy k-center and the robust mixed-integer problem; all cores
python scripts/bench.py [cluster_max_min]     a query of a large pool of features, each way of clustering; all cores
python scripts/bench.py [class_graph]     the class-graph of 6,000 images in both norms; all cores
python scripts/bench.py [neighbours]     k-NN and kernel ridge beside scikit-learn's; all cores, or --threads 1
python scripts/bench.py [bilevel]     ten flips found through training, among 10,000 images; all cores
python scripts/bench.py [regions]     the exact region-based attack: half moons and what AAL_DATA has; one thread
python scripts/bench.py [hard_label]     attacks on labels alone, on MNIST beside ART's; one thread
python scripts/bench.py [extraction]     fidelity of shadows with 400 queries beside ART's, on digits; one thread

All of them by default. The attacks need `pip install -e ".[test,peers]"` and the folder that AAL_DATA names, with
MNIST, CIFAR-10 and ResNet-20's weights. They run beside those of adv-lib, foolbox, torchattacks, cleverhans and
adversarial-robustness-toolbox; those that are not installed are named and left out. How to install the ones that are
not in the extra stands in pyproject.toml.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads must not spin against other processes

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from aal.__main__ import keep_lightning_quiet
from aal.cli.exits import end_with

sys.path.append(str(Path(__file__).parents[1]))  # of tests.real_data, which benchmarks import


def attacks(names: list[str], chosen: argparse.Namespace) -> None:
    """Run the benchmarks of attacks that ``names`` has."""
    import bench_attacks  # it needs packages that the others do not
    import bench_dfal

    setting = bench_attacks.Setting(chosen.cache, torch.device(chosen.device), chosen.repeats, chosen.slow)
    print(f"{chosen.device}, {chosen.threads} threads, shortest of {chosen.repeats}")
    for name in names:
        getattr(bench_dfal if name == "dfal" else bench_attacks, f"bench_{name}")(setting)


def main() -> int:
    """Run the benchmarks that the arguments name; return 0."""
    learning = ["rounds", "repeats", "crafting", "streaming", "encoding", "scoring"]
    on_classifiers = ["gradient", "deepfool", "carlini_wagner", "paths", "targeted_paths", "gpu", "dfal"]
    rest = ["poisons", "core_set", "cluster_max_min", "class_graph", "bilevel", "regions", "neighbours"]
    rest += ["hard_label", "extraction"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *learning, *on_classifiers, "collisions", *rest])
    parser.add_argument("--poisons", type=int, default=500)
    parser.add_argument("--points", type=int, default=1_000_000, help="size of the large pool of core_set")
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of the attacks")
    parser.add_argument("--device", default="cpu", help="where the attacks run, such as cuda")
    parser.add_argument("--repeats", type=int, default=3, help="how often an attack is timed; the shortest time counts")
    parser.add_argument("--slow", action="store_true", help="wait for the peers that take minutes, too")
    cache = Path(tempfile.gettempdir()) / "aal-bench"
    parser.add_argument("--cache", type=Path, default=cache, help="folder for the LeNet-5 that is trained")
    chosen = parser.parse_args()
    names = chosen.names or [*learning, *on_classifiers, "collisions", *rest]
    if set(names) & set(on_classifiers):
        from bench_subjects import check_data

        check_data()
    keep_lightning_quiet()
    torch.set_num_threads(1)
    if set(names) & {"rounds", "repeats", "crafting", "streaming"}:
        import bench_rounds

        if "rounds" in names:
            bench_rounds.bench_rounds(chosen.rounds, chosen.epochs)
        if "repeats" in names:
            bench_rounds.bench_repeats()
        if "crafting" in names:
            bench_rounds.bench_crafting(n=32, steps=50)
        if "streaming" in names:
            bench_rounds.bench_streaming(batch=64)
    if "encoding" in names:
        from bench_data import bench_encoding, bench_warm_bank

        bench_encoding(chosen.repeats)
        bench_warm_bank()
    if "scoring" in names:
        from bench_scoring import bench_gradient_lengths, bench_large_pool, bench_uncertainty

        bench_uncertainty(chosen.repeats)
        bench_gradient_lengths(chosen.repeats)
        bench_large_pool(chosen.repeats)
    if "hard_label" in names:
        from bench_hard_label import bench_hard_label

        bench_hard_label(chosen.repeats, chosen.slow)
    if "extraction" in names:
        from bench_extraction import bench_extraction

        bench_extraction(chosen.slow)
    if "regions" in names:
        from bench_regions import bench_regions

        bench_regions()
    torch.set_num_threads(chosen.threads)
    if "poisons" in names:
        from bench_data import bench_poisons

        bench_poisons(chosen.poisons, torch.device(chosen.device))
    if "core_set" in names:
        from bench_core_set import bench_cover, bench_k_center, bench_large_k_center

        bench_k_center(chosen.repeats)
        bench_cover(chosen.repeats)
        bench_large_k_center(chosen.points)
    if "cluster_max_min" in names:
        from bench_cluster_max_min import bench_cluster_max_min

        bench_cluster_max_min()
    if "class_graph" in names:
        from bench_flips import bench_class_graph

        bench_class_graph()
    if "bilevel" in names:
        from bench_flips import bench_bilevel

        bench_bilevel()
    if "neighbours" in names:
        from bench_neighbours import bench_neighbours

        bench_neighbours(chosen.repeats)
    on_attacks = [name for name in names if name not in (*learning, *rest)]
    if on_attacks:
        attacks(on_attacks, chosen)
    return 0


if __name__ == "__main__":
    end_with(main)
