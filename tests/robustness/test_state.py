"""A long evaluation goes on where it was, alone or on many ranks, and mixes nothing up."""

import copy
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import FGSM, PGD, Attack
from aal.errors import UserError
from aal.robustness import Evaluation, evaluate, next_class
from aal.robustness.outcomes import KIND
from aal.runs.files import write_sealed
from aal.sharding import Shard
from tests.robustness.planted import Cascade, WatchedPGD, cloud, network

N = 30
X = cloud(N, 6)
Y = network().eval()(X).argmax(1)
Y[::6] = (Y[::6] + 1) % 4  # some are misclassified
RADII = [0.02, 0.05, 0.1]


class Killed(Exception):
    """What a process dies of here."""


class Watch:
    """Counts calls of attacks, and dies of the call after ``most``."""

    def __init__(self, most: int | None = None) -> None:
        self.most, self.calls = most, 0

    def __call__(self, x: Tensor) -> None:
        if self.calls == self.most:
            raise Killed
        self.calls += 1


def attacks(watch: Callable[[Tensor], object]) -> dict[str, Attack]:
    weak, strong = WatchedPGD(radius=0.02, steps=2, watch=watch), WatchedPGD(radius=0.1, steps=4, watch=watch)
    return {"one": strong, "many": Cascade(attacks=(weak, strong))}


def run(state: Path | None, watch: Callable[[Tensor], object], **changes: Any) -> dict[str, Any]:
    """Evaluate; return all that is known afterwards, time apart."""
    arguments = {"model": network(), "x": X, "y": Y, "attacks": attacks(watch), "seed": 1, "batch_size": 8}
    return known(evaluate(**{**arguments, "curves": {"one": RADII}, "state": state, **changes}))


def known(found: Evaluation) -> dict[str, Any]:
    outcomes = {
        (kind, name): {key: value.tolist() if isinstance(value, Tensor) else value for key, value in vars(it).items()}
        for kind in ("attacks", "curves")
        for name, it in getattr(found, kind).items()
    }
    columns = {name: getattr(found, name).tolist() for name in ("index", "label", "natural")}
    target = None if found.target is None else found.target.tolist()
    return {**outcomes, **columns, "target": target, "figures": found.figures(), "curve": found.curve("one")}


@pytest.mark.slow
@pytest.mark.parametrize("targets", [None, next_class(4)])
def test_killed_at_any_call_it_goes_on_and_repeats_nothing(
    targets: dict[int, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aal.robustness.evaluation.SAVE_SECONDS", 0.0)
    whole = Watch()
    expected = run(None, whole, targets=targets)
    assert whole.calls > 15
    for kill in range(0, whole.calls, 2):
        state, first, then = tmp_path / f"{kill}.json", Watch(kill), Watch()
        with pytest.raises(Killed):
            run(state, first, targets=targets)
        assert run(state, then, targets=targets) == expected
        # a curve's radii are tried on one batch after another: of the batch that was cut short all are tried again
        assert whole.calls <= first.calls + then.calls < whole.calls + len(RADII)
    assert run(state, Watch(0), targets=targets) == expected, "a whole evaluation attacks nobody again"
    assert json.loads(state.read_text())["complete"]


def test_time_is_that_of_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aal.robustness.evaluation.SAVE_SECONDS", 0.0)
    state = tmp_path / "state.json"
    with pytest.raises(Killed):
        run(state, Watch(5))
    value = json.loads(state.read_text())
    spent = {name: entry for name, entry in value.items() if name != "sha256"} | {"seconds": value["seconds"] + 1000}
    write_sealed(state, KIND, spent)
    run(state, Watch())
    assert json.loads(state.read_text())["seconds"] > 1000


def other_weights() -> nn.Module:
    model = network()
    with torch.no_grad():
        model[0].weight[0, 0] += 1e-9  # type: ignore[index]
    return model


def other_buffer() -> nn.Module:
    model = network()
    model[1].running_mean[0] += 1e-9  # type: ignore[index, operator]
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"model": other_weights()},
        {"model": other_buffer()},
        {"x": X * (1 - 1e-12)},
        {"y": (Y + 1) % 4},
        {"attacks": {"one": PGD(steps=3)}},
        {"seed": 2},
        {"targets": next_class(4)},
        {"samples": 20},
        {"bounds": (-1.0, 1.0)},
        {"curves": {"one": [0.03]}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_state_of_another_evaluation_is_not_gone_on_with(change: dict[str, Any], tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    run(state, Watch())
    before = json.loads(state.read_text())["fingerprint"]
    assert run(state, Watch(), **change) == run(None, Watch(), **change)
    assert json.loads(state.read_text())["fingerprint"] != before


@pytest.mark.slow
def test_the_batch_size_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aal.robustness.evaluation.SAVE_SECONDS", 0.0)
    state, whole, then = tmp_path / "state.json", Watch(), Watch()
    expected = run(None, whole)
    with pytest.raises(Killed):
        run(state, Watch(whole.calls - 1))
    again = run(state, then, batch_size=N)
    assert 0 < then.calls <= len(RADII)
    assert again["figures"] == expected["figures"]
    assert again["attacks", "many"]["after"] == expected["attacks", "many"]["after"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"fingerprint": "x", "index": "abc"}', b"null", b"\x00\x00", b"\xff{}"]
)
def test_a_file_that_is_no_evaluation_is_named_and_left_alone(content: bytes, tmp_path: Path) -> None:
    state = tmp_path / "mine.json"
    state.write_bytes(content)
    with pytest.raises(UserError, match=r"mine\.json: (not|altered)"):
        run(state, Watch(0))
    assert state.read_bytes() == content


def test_a_folder_in_the_states_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        run(tmp_path, Watch(0))


@pytest.mark.slow
@pytest.mark.parametrize("column", ["index", "label", "natural", "after", "distance"])
def test_a_state_with_a_column_cut_short_is_refused(column: str, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    run(state, Watch())
    value = json.loads(state.read_text())
    (value["attacks"]["one"] if column in ("after", "distance") else value)[column].pop()
    state.write_text(json.dumps(value))
    with pytest.raises(UserError, match=r"state\.json: altered since it was written, or not a robust evaluation"):
        run(state, Watch(0))


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    expected = run(tmp_path / "state.json", Watch(), targets=next_class(4))
    assert known(Evaluation.load(tmp_path / "state.json")) == expected
    saved = json.loads((tmp_path / "state.json").read_text())
    assert saved["figures"] == expected["figures"]
    assert [tuple(point) for point in saved["radius_and_share"]["one"]] == expected["curve"]
    assert sum(row["samples"] for row in saved["per_class"].values()) == N


class Ranks:
    """Processes played by threads: each has a copy of the model, one works at a time, and all sums meet."""

    def __init__(self, world: int) -> None:
        self.world, self.parts = world, [torch.zeros(())] * world
        self.barrier, self.turn = threading.Barrier(world, timeout=60), threading.Lock()

    def __call__(self, evaluation: Callable[[Shard], dict[str, Any]]) -> list[dict[str, Any]]:
        results: dict[int, dict[str, Any]] = {}

        def process(rank: int) -> None:
            with self.turn:
                try:
                    results[rank] = evaluation(Shard(rank, self.world, lambda part: self.sum(rank, part)))
                except BaseException:
                    self.barrier.abort()
                    raise

        threads = [threading.Thread(target=process, args=(rank,)) for rank in range(self.world)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [results[rank] for rank in range(self.world)]

    def sum(self, rank: int, part: Tensor) -> Tensor:
        self.parts[rank] = part
        self.meet()
        total = torch.stack(self.parts).sum(0)
        self.meet()
        return total

    def meet(self) -> None:
        self.turn.release()
        try:
            self.barrier.wait()
        finally:
            self.turn.acquire()


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("targets", [None, next_class(4)])
def test_ranks_find_out_what_one_finds_out(world: int, targets: dict[int, int] | None, tmp_path: Path) -> None:
    model, x = network().float(), X.float()
    expected = run(None, Watch(), model=model, x=x, targets=targets)
    models = [copy.deepcopy(model) for _ in range(world)]

    def one(shard: Shard) -> dict[str, Any]:
        state = tmp_path / "state.json"
        return run(state, Watch(), model=models[shard.rank], x=x, targets=targets, shard=shard)

    assert Ranks(world)(one) == [expected] * world
    assert known(Evaluation.load(tmp_path / "state.json")) == expected


def test_an_evaluation_begun_alone_goes_on_with_two_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aal.robustness.evaluation.SAVE_SECONDS", 0.0)
    whole, state, models = Watch(), tmp_path / "state.json", [network(), network()]
    expected = run(None, whole)
    with pytest.raises(Killed):
        run(state, Watch(whole.calls // 2))
    watch = Watch()
    assert Ranks(2)(lambda shard: run(state, watch, model=models[shard.rank], shard=shard)) == [expected] * 2
    assert watch.calls < whole.calls


def test_a_state_that_one_rank_alone_sees_is_not_gone_on_with(tmp_path: Path) -> None:
    state, models = tmp_path / "state.json", [network(), network()]
    expected = run(state, Watch())

    def one(shard: Shard) -> dict[str, Any]:
        own = state if shard.rank == 0 else tmp_path / "elsewhere.json"
        return run(own, Watch(), model=models[shard.rank], shard=shard)

    assert Ranks(2)(one) == [expected] * 2


def test_fgsm_has_no_start_and_its_curve_is_that_of_single_attacks() -> None:
    radii = [0.05, 0.1, 0.2]
    found = evaluate(network(), X, Y, {"fgsm": FGSM()}, curves={"fgsm": radii})
    fallen = torch.zeros(N, dtype=torch.bool)
    for radius, share in found.curve("fgsm")[1:]:
        alone = evaluate(network(), X, Y, {"fgsm": FGSM(radius=radius)})
        fallen |= alone.attacks["fgsm"].after != Y
        assert share == float((~fallen).double().mean())
