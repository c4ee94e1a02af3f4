"""The feature bank: written once, checked as it is read, and what it gives is what a fresh encoding gives."""

import errno
import json
import os
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file
from torch import Tensor

from aal.errors import RunStopped, UserError
from aal.features import bank as feature_bank
from aal.features.bank import EncodedSplit, FeatureBank
from aal.sharding import Shard
from aal.studies.cells import cells_of, config_files
from aal.studies.study import read_study
from aal.studies.tables import TABLES
from tests.commands import EXPERIMENT, aal, fit, results
from tests.studies.made_runs import make_study_file
from tests.test_sharding import on_every_rank

N, D, BATCH, KEY, OTHER = 23, 6, 5, "ab" * 32, "cd" * 32
NAME = f"{KEY}.safetensors"
FEATURES = torch.randn(N, D, generator=torch.Generator().manual_seed(0))


class Encoder:
    """Gives FEATURES, and counts."""

    def __init__(self, world: int = 1) -> None:
        self.world, self.splits = world, 0
        self.batches: list[list[int]] = []

    def encode(self) -> Iterator[Tensor]:
        self.splits += 1
        yield from FEATURES.split(BATCH * self.world)

    def again(self, batch: Tensor) -> Tensor:
        self.batches.append(batch.tolist())
        return FEATURES[batch]

    def split(self, folder: Path, shard: Shard | None = None) -> EncodedSplit:
        return FeatureBank(folder, shard).split(KEY, N, BATCH, self.encode, self.again)


def test_a_split_is_written_once_and_any_safetensors_reader_reads_it(tmp_path: Path) -> None:
    encoder = Encoder()
    assert torch.equal(encoder.split(tmp_path).whole(), FEATURES)
    warm = encoder.split(tmp_path)
    indices = torch.tensor([22, 0, 7, 7])
    assert torch.equal(warm[indices], FEATURES[indices])
    assert warm[indices[:0]].shape == (0, D)
    assert (encoder.splits, encoder.batches) == (1, [])
    assert torch.equal(load_file(tmp_path / NAME)["features"], FEATURES)
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == [NAME]


def start_of_data(data: bytes) -> int:
    return 8 + int.from_bytes(data[:8], "little")


def flipped(where: Callable[[bytes], int]) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        position = where(data)
        return data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :]

    return flip


HEADERS = {
    "length": flipped(lambda data: 0),
    "key": flipped(lambda data: data.index(KEY.encode())),
    "checksum of the checksums": flipped(lambda data: data.index(b"checksums") + 14),
    "shape": flipped(lambda data: data.index(b"[23, 6]") + 5),
    "padding": flipped(lambda data: start_of_data(data) - 1),
    "checksums": flipped(lambda data: len(data) - 3),
    "cut": lambda data: data[:-9],
    "cut in the header": lambda data: data[:40],
    "longer": lambda data: data + b"\0",
    "empty": lambda data: b"",
    "nested": lambda data: (3000).to_bytes(8, "little") + b"[" * 3000,
    "of another key": lambda data: data.replace(KEY.encode(), OTHER.encode()),
}


@pytest.mark.parametrize("damage", HEADERS.values(), ids=HEADERS.keys())
def test_a_file_that_is_not_what_was_written_is_written_anew(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    Encoder().split(tmp_path)
    whole = (tmp_path / NAME).read_bytes()
    assert damage(whole) != whole
    (tmp_path / NAME).write_bytes(damage(whole))
    encoder = Encoder()
    with pytest.warns(UserWarning, match=NAME) as told:
        assert torch.equal(encoder.split(tmp_path).whole(), FEATURES)
    assert len(told) == 1
    assert "\n" not in str(told[0].message)
    assert encoder.splits == 1
    assert (tmp_path / NAME).read_bytes() == whole


@pytest.mark.parametrize(("at", "rows"), [(0, range(5)), (7 * 4 * D, range(5, 10)), (N * 4 * D - 1, range(20, 23))])
def test_a_flipped_byte_is_noticed_when_its_chunk_is_first_read_and_mended(
    at: int, rows: range, tmp_path: Path
) -> None:
    Encoder().split(tmp_path)
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(flipped(lambda data: start_of_data(data) + at)(whole))
    encoder = Encoder()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split = encoder.split(tmp_path)
        others = torch.tensor([index for index in range(N) if index not in rows])
        assert torch.equal(split[others], FEATURES[others])
    with pytest.warns(UserWarning, match=f"{NAME}: the features of samples {rows[0]} to {rows[-1]} are damaged"):
        assert torch.equal(split[torch.tensor([rows[0]])], FEATURES[rows[:1]])
    assert torch.equal(split.whole(), FEATURES)
    assert (encoder.splits, encoder.batches) == (0, [list(rows)]), "more was encoded than was damaged"
    assert (tmp_path / NAME).read_bytes() == whole


def test_damage_is_not_mended_with_other_features_than_were_written(tmp_path: Path) -> None:
    encoder = Encoder()
    encoder.split(tmp_path)
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(flipped(lambda data: start_of_data(data))(whole))
    split = FeatureBank(tmp_path).split(KEY, N, BATCH, encoder.encode, lambda batch: FEATURES[batch] + 1)
    with pytest.raises(RunStopped, match="remove the file"):
        split.whole()


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_write_one_file_and_mend_it_each_for_itself(world: int, tmp_path: Path) -> None:
    encoders = [Encoder(world) for _ in range(world)]

    def work(shard: Shard) -> Tensor:
        return encoders[shard.rank].split(tmp_path, shard).whole()

    for _ in range(2):
        assert all(torch.equal(got, FEATURES) for got in on_every_rank(world, work) if isinstance(got, Tensor))
        assert [encoder.splits for encoder in encoders] == [1] * world
    assert torch.equal(load_file(tmp_path / NAME)["features"], FEATURES)
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(flipped(lambda data: start_of_data(data))(whole))

    def last_reads_first(shard: Shard) -> Tensor:
        split = encoders[shard.rank].split(tmp_path, shard)
        first = split.whole() if shard.rank == world - 1 else None  # no other rank has a part in it
        shard.together(lambda: None)
        return split.whole() if first is None else first

    with pytest.warns(UserWarning, match="damaged"):
        gained = on_every_rank(world, last_reads_first)
    assert all(isinstance(got, Tensor) and torch.equal(got, FEATURES) for got in gained)
    assert encoders[-1].batches == [list(range(BATCH))]
    assert (tmp_path / NAME).read_bytes() == whole


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, RunStopped), (errno.EROFS, UserError)], ids=["full", "read-only"]
)
@pytest.mark.parametrize("world", [1, 2])
def test_a_disk_that_cannot_be_written_to_stops_every_rank(
    code: int, kind: type[Exception], world: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    for error in on_every_rank(world, lambda shard: Encoder(world).split(tmp_path, shard).whole()):
        assert type(error) is kind
        assert str(tmp_path) in str(error)
        assert kind is RunStopped or str(error).startswith("bank: ")
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []
    monkeypatch.undo()
    assert torch.equal(Encoder().split(tmp_path).whole(), FEATURES)


def test_features_of_another_form_are_refused(tmp_path: Path) -> None:
    for features in (FEATURES.double(), FEATURES[:, None]):
        with pytest.raises(UserError, match="keeps float32"):
            FeatureBank(tmp_path).split(KEY, N, BATCH, lambda given=features: iter([given]), Encoder().again)


# Encodes slowly into the bank argv[1], a line in argv[2] for each batch; kills itself before batch argv[3].
PROCESS = """
import os, signal, sys, time
import torch
from pathlib import Path
from aal.features import bank as feature_bank
from tests.features.test_bank import BATCH, FEATURES, KEY, N
feature_bank.PATIENCE = 0.1
def encode():
    for number, batch in enumerate(FEATURES.split(BATCH)):
        if number == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        with open(sys.argv[2], "a") as file:
            file.write(f"{number}\\n")
        time.sleep(0.2)
        yield batch
bank = feature_bank.FeatureBank(Path(sys.argv[1]))
assert torch.equal(bank.split(KEY, N, BATCH, encode, None).whole(), FEATURES)
"""


def encode_in_a_process(folder: Path, log: Path, killed_at: int = -1) -> "subprocess.CompletedProcess[str]":
    return aal(str(folder), str(log), str(killed_at), code=PROCESS)


def test_two_processes_at_once_encode_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(encode_in_a_process, tmp_path / "bank", tmp_path / "log") for _ in range(2)]
    ended = [run.result() for run in runs]
    said = "".join(run.stdout + run.stderr for run in ended)
    assert [run.returncode for run in ended] == [0, 0], said
    assert (tmp_path / "log").read_text().split() == ["0", "1", "2", "3", "4"]
    assert said.count("waiting for another run") <= 1


def test_a_process_that_waits_says_so_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(feature_bank, "PATIENCE", 0.05)
    encoder, said = Encoder(), []
    other = FileLock(tmp_path / f".{KEY}.lock", thread_local=False)
    other.acquire()
    threading.Timer(0.5, other.release).start()
    split = FeatureBank(tmp_path, say=said.append).split(KEY, N, BATCH, encoder.encode, encoder.again)
    assert torch.equal(split.whole(), FEATURES)
    assert len(said) == 1
    assert str(tmp_path) in said[0]


def test_a_killed_process_leaves_no_half_file_and_no_lock(tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    assert encode_in_a_process(bank, tmp_path / "log", killed_at=3).returncode == -9
    assert not (bank / NAME).exists()
    assert (bank / f".{NAME}.partial").exists()
    (bank / f".{OTHER}.safetensors.partial").write_bytes(b"left by another")
    live, written = "ef" * 32, bank / f".{'ef' * 32}.safetensors.partial"
    written.write_bytes(b"being written")
    with FileLock(bank / f".{live}.lock"):
        encoder = Encoder()
        assert torch.equal(encoder.split(bank).whole(), FEATURES)
    assert encoder.splits == 1
    assert [path for path in bank.iterdir() if path.name.endswith(".partial")] == [written]


COUNTED = """
import atexit, sys
from aal.networks import DigitBackbone
seen, forward = [], DigitBackbone.forward
def counted(self, x):
    seen.append(len(x))
    return forward(self, x)
DigitBackbone.forward = counted
path = sys.argv.pop(1)
atexit.register(lambda: open(path, "w").write(str(sum(seen))))
from aal.__main__ import main
main()
"""
SHORT = ("--query.init_args.budget=2", "--query.init_args.max_epochs=3")


def test_a_run_is_the_same_without_a_bank_and_with_a_cold_a_warm_and_a_damaged_one(tmp_path: Path) -> None:
    counts = {}
    for name in ("none", "cold", "warm", "damaged"):
        bank = () if name == "none" else (f"--data.init_args.bank={tmp_path}/bank",)
        if name == "damaged":
            for path in (tmp_path / "bank").glob("*.safetensors"):
                data = path.read_bytes()
                path.write_bytes(flipped(lambda data: (start_of_data(data) + len(data)) // 2)(data))
        run = fit(tmp_path / name, *SHORT, *bank, code=COUNTED, before=(f"{tmp_path}/count",))
        assert run.returncode == 0, run.stderr
        assert run.stderr.count("are damaged: encoded again") == (2 if name == "damaged" else 0), run.stderr
        counts[name] = int((tmp_path / "count").read_text())
        assert results(tmp_path / name) == results(tmp_path / "none")
    assert counts["none"] == counts["cold"]
    few = 2 + 30  # samples that the model is tried on, and the poisons added to the pool, which are not crafted anew
    assert counts["warm"] == few, "a warm bank was encoded again"
    assert counts["damaged"] == few + 256 + 180, "a batch of the pool, and the test split's only one"


@pytest.mark.slow
def test_two_ranks_share_a_bank_with_one(tmp_path: Path) -> None:
    bank = f"--data.init_args.bank={tmp_path}/bank"
    alone = fit(tmp_path / "alone", *SHORT, "--trainer.accelerator=cpu")
    assert alone.returncode == 0, alone.stderr
    for name in ("cold", "warm"):
        run = fit(tmp_path / name, *SHORT, bank, ranks=2)
        assert run.returncode == 0, run.stderr
        assert results(tmp_path / name)["rounds"] == results(tmp_path / "alone")["rounds"]
        assert results(tmp_path / name)["poisons"] == results(tmp_path / "alone")["poisons"]
    assert len(list((tmp_path / "bank").glob("*.safetensors"))) == 3


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000,) * 2)
from aal.__main__ import main
main()
"""


def test_without_space_the_run_stops_and_goes_on_elsewhere(tmp_path: Path) -> None:
    bank = f"--data.init_args.bank={tmp_path}/bank"
    stopped = fit(tmp_path / "run", *SHORT, bank, "--ckpt_path=last", code=LIMITED)
    assert stopped.returncode == 3, stopped.stderr
    assert stopped.stderr.splitlines()[-1].startswith(f"stopped: no space left to write to {tmp_path}/bank")
    assert not list((tmp_path / "bank").glob(".*.partial"))
    resumed = fit(tmp_path / "run", *SHORT, "--data.init_args.bank=null", "--ckpt_path=last")
    assert resumed.returncode == 0, resumed.stderr
    assert fit(tmp_path / "whole", *SHORT).returncode == 0
    assert results(tmp_path / "run") == results(tmp_path / "whole")


def test_a_bank_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "bank").write_text("a file")
    run = fit(tmp_path / "run", *SHORT, f"--data.init_args.bank={tmp_path}/bank")
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith(f"error: data.init_args.bank: {tmp_path}/bank cannot be")
    assert "Traceback" not in run.stderr


OWN = """
from aal.datamodules import Digits
class Own(Digits):
    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed=seed)
"""


@pytest.mark.parametrize("data", ["aal.datamodules.Digits", "own.Own"])
def test_the_config_of_a_studys_cells_gives_a_bank_to_datamodules_that_take_one(data: str, tmp_path: Path) -> None:
    study = read_study(make_study_file(tmp_path / "file"), TABLES)
    (tmp_path / "study").mkdir()
    first, *_ = config_files(study, cells_of(study, tmp_path / "study")[0], tmp_path / "study")
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "arm.yaml").write_text(json.dumps({"data": {"class_path": data}}))
    configs = [part for path in (first, EXPERIMENT, tmp_path / "arm.yaml") for part in ("--config", path)]
    run = aal("fit", *configs, "--out", tmp_path / "run", *SHORT, "--poison=null", PYTHONPATH=str(tmp_path))
    assert run.returncode == 0, run.stderr
    kept = len(list((tmp_path / "study" / "features").glob("*.safetensors")))
    assert kept == (2 if data == "aal.datamodules.Digits" else 0)
