"""What every datamodule must hold: a new one is tested by being exported and given its files in ``FILES``."""

import inspect
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from aal import datamodules
from aal.data.samples import Samples
from aal.datamodules import ActiveDataModule
from aal.datamodules.published import Published, Stored
from aal.errors import UserError
from tests.datamodules.files import FILES

MODULES = [
    module
    for module in vars(datamodules).values()
    if inspect.isclass(module) and issubclass(module, ActiveDataModule) and module is not ActiveDataModule
]
STORED = [module for module in MODULES if issubclass(module, Stored)]
PUBLISHED = [module for module in MODULES if issubclass(module, Published)]
CHECKED = [module for module in PUBLISHED if "checksums" in inspect.signature(module).parameters]

every_datamodule = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
every_stored = pytest.mark.parametrize("module", STORED, ids=lambda module: module.__name__)
every_published = pytest.mark.parametrize("module", PUBLISHED, ids=lambda module: module.__name__)

Module = type[ActiveDataModule]


@pytest.fixture(scope="session")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> dict[Module, dict[str, Any]]:
    """Each datamodule's arguments, its files written once."""
    folder = tmp_path_factory.mktemp("data")
    return {module: write(folder / module.__name__) for module, write in FILES.items()}


def loaded(module: Module, arguments: dict[str, Any], **more: Any) -> ActiveDataModule:
    data = module(**{**arguments, **more})
    data.setup("fit")
    return data


def held_out(module: Module, arguments: dict[str, Any]) -> dict[str, int]:
    """Return sizes of the splits that are held out of the pool: two samples of each class."""
    classes = module(**arguments).num_classes
    splits = ("val", "secured") if "victim" in arguments else ("victim", "val", "secured")
    return dict.fromkeys(splits, 2 * classes)


def refusal(module: Module, arguments: dict[str, Any], **more: Any) -> str:
    """Return the one line that a datamodule refuses its files or arguments with."""
    with pytest.raises(UserError) as caught:
        loaded(module, arguments, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def complaint(module: Module, arguments: dict[str, Any], **more: Any) -> str:
    """Return what a datamodule says about its files: why it refuses them, or which it left out."""
    try:
        return " ".join(loaded(module, arguments, **more).skipped)
    except UserError as error:
        return str(error)


def both_parts(module: Module) -> dict[str, str]:
    """Return the arguments that make a datamodule read its test part too."""
    assert issubclass(module, Stored)
    return {"test": "published"} if "published" in module.divisions else {}


def rows(data: ActiveDataModule, split: str) -> list[bytes]:
    return [x.numpy().tobytes() for x in data.samples[split].stored]


@every_datamodule
class TestEveryDatamodule:
    def test_splits_are_whole(self, module: Module, arguments: dict[Module, dict[str, Any]]) -> None:
        data = module(**arguments[module], **held_out(module, arguments[module]))
        shape, classes = data.sample_shape, data.num_classes  # known before any sample is read
        data.setup("fit")
        assert data.samples.keys() == {"pool", "craft", "test", "val", "secured", "victim"}
        assert data.split_digests.keys() == data.samples.keys()
        assert data.classes is None or len(data.classes) == classes
        for split, samples in data.samples.items():
            x, y = samples[torch.arange(len(samples))], data.labels[split]
            low, high = samples.bounds
            assert x.dtype == torch.float32
            assert torch.isfinite(x).all()
            assert low <= x.min() < x.max() <= high
            assert x.shape == (len(samples), *shape)
            assert y.dtype == torch.int64
            assert y.shape == (len(samples),)
            assert set(y.tolist()) == set(range(classes)), f"a class is missing in {split}"
        assert len(data.pool) == len(data.samples["pool"])
        assert len(data.pool.labelled) == 0
        assert not data.skipped

    def test_splits_are_disjoint(self, module: Module, arguments: dict[Module, dict[str, Any]]) -> None:
        data = loaded(module, arguments[module], **held_out(module, arguments[module]))
        seen: set[bytes] = set()
        for split in data.samples:
            own = set(rows(data, split))
            assert not own & seen
            seen |= own

    def test_what_is_held_out_comes_out_of_the_pool(
        self, module: Module, arguments: dict[Module, dict[str, Any]]
    ) -> None:
        sizes = held_out(module, arguments[module])
        whole, parted = loaded(module, arguments[module]), loaded(module, arguments[module], **sizes)
        assert sorted(rows(whole, "pool")) == sorted(row for split in ("pool", *sizes) for row in rows(parted, split))
        assert {split: len(parted.samples[split]) for split in sizes} == sizes
        for split in ("craft", "test"):
            assert torch.equal(whole.samples[split].stored, parted.samples[split].stored)

    def test_a_victims_data_are_the_same_whatever_else_is_held_out(
        self, module: Module, arguments: dict[Module, dict[str, Any]]
    ) -> None:
        sizes = held_out(module, arguments[module])
        alone = {split: size for split, size in sizes.items() if split == "victim"}
        first, second = loaded(module, arguments[module], **alone), loaded(module, arguments[module], **sizes)
        assert first.split_digests["victim"] == second.split_digests["victim"]
        assert first.fingerprint != second.fingerprint

    @pytest.mark.slow
    def test_val_and_secured_are_drawn_by_the_seed_and_each_by_itself(
        self, module: Module, arguments: dict[Module, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def drawn(split: str, seed: int) -> set[bytes]:
            """Return what is held out of the one pool, which does not depend on the seed here."""
            data = module(**arguments[module], **{split: held_out(module, arguments[module])[split]})
            load = data.load

            def then_seeded() -> dict[str, tuple[Samples, torch.Tensor]]:
                splits = load()
                data.seed = seed
                return splits

            monkeypatch.setattr(data, "load", then_seeded)
            data.setup("fit")
            return set(rows(data, split))

        for split in ("val", "secured"):
            assert drawn(split, 1) == drawn(split, 1)
            assert drawn(split, 1) != drawn(split, 2)
        assert drawn("val", 1) != drawn("secured", 1)

    def test_same_seed_same_split(self, module: Module, arguments: dict[Module, dict[str, Any]]) -> None:
        first, again, other = (loaded(module, arguments[module], seed=seed) for seed in (1, 1, 2))
        assert first.fingerprint == again.fingerprint
        assert first.fingerprint != other.fingerprint
        for split in first.samples:
            assert torch.equal(first.samples[split].stored, again.samples[split].stored)
            assert torch.equal(first.labels[split], again.labels[split])

    def test_a_sample_survives_its_file(
        self, module: Module, arguments: dict[Module, dict[str, Any]], tmp_path: Path
    ) -> None:
        samples = loaded(module, arguments[module]).samples["craft"]
        x = samples[torch.tensor([3])][0]
        samples.write(tmp_path / f"x{samples.suffix}", x)
        assert torch.equal(samples.read(tmp_path / f"x{samples.suffix}"), x)

    def test_more_held_out_than_the_pool_has(self, module: Module, arguments: dict[Module, dict[str, Any]]) -> None:
        assert refusal(module, arguments[module], val=10**6).startswith("val: must be from")

    def test_more_for_the_victim_than_there_is(self, module: Module, arguments: dict[Module, dict[str, Any]]) -> None:
        if module is datamodules.HalfMoons:  # there is as much as is asked for
            assert len(loaded(module, arguments[module], victim=10**4).samples["victim"]) == 10**4
        else:
            assert refusal(module, arguments[module], victim=10**6).startswith("victim: ")


@every_stored
class TestEveryDataSetInFiles:
    def test_the_published_test_part(self, module: Module, arguments: dict[Module, dict[str, Any]]) -> None:
        if not both_parts(module):
            line = refusal(module, arguments[module], test="published")
            assert line == "test: must be held_out, got 'published'"
            return
        held_out = loaded(module, arguments[module])
        published = loaded(module, arguments[module], test="published")
        everything = sorted(row for split in held_out.samples for row in rows(held_out, split))
        training = sorted(rows(published, "pool") + rows(published, "craft"))
        assert not set(rows(published, "test")) & set(training)
        if module is datamodules.SpeechCommands:  # as in the paper, all parts are held out of
            assert set(training) < set(everything)
        else:
            assert training == everything

    def test_limit_draws_as_many_of_each_class(self, module: Module, arguments: dict[Module, dict[str, Any]]) -> None:
        whole = loaded(module, arguments[module])
        few, again, other = (loaded(module, arguments[module], limit=10, seed=seed) for seed in (0, 0, 1))
        drawn = {row for split in few.samples for row in rows(few, split)}
        assert drawn < {row for split in whole.samples for row in rows(whole, split)}
        assert torch.cat(list(few.labels.values())).bincount().tolist() == [10] * few.num_classes
        assert few.fingerprint == again.fingerprint
        assert drawn != {row for split in other.samples for row in rows(other, split)}
        assert refusal(module, arguments[module], limit=0) == "limit: must be at least 3, got 0"

    def test_limit_draws_each_part_by_itself(
        self, module: type[Stored], arguments: dict[Module, dict[str, Any]]
    ) -> None:
        data = module(**{**arguments[module], **both_parts(module)}, limit=4)
        for part in data.parts:
            assert data.read(part)[1].bincount().tolist() == [4] * data.num_classes
        labels = torch.arange(50 * data.num_classes) % data.num_classes
        assert not torch.equal(data.drawn(labels, "train"), data.drawn(labels, "test"))

    def test_a_size_of_the_test_split_draws_from_it(
        self, module: Module, arguments: dict[Module, dict[str, Any]]
    ) -> None:
        whole = loaded(module, arguments[module], **both_parts(module))
        size = 2 * whole.num_classes
        few, again = (loaded(module, arguments[module], **both_parts(module), test_size=size) for _ in range(2))
        assert few.labels["test"].bincount().tolist() == pytest.approx([2] * whole.num_classes, abs=1)
        assert set(rows(few, "test")) < set(rows(whole, "test"))
        assert few.fingerprint == again.fingerprint
        assert few.split_digests["pool"] == whole.split_digests["pool"]
        assert refusal(module, arguments[module], test_size=10**6).startswith("test_size: the split test has ")
        assert refusal(module, arguments[module], test_size=1).endswith(" leave a class out")

    def test_an_empty_or_absent_root(
        self, module: Module, arguments: dict[Module, dict[str, Any]], tmp_path: Path
    ) -> None:
        for root in (tmp_path, tmp_path / "absent"):
            line = refusal(module, arguments[module], root=str(root))
            assert line.startswith("root: ")
            assert str(root) in line

    @pytest.mark.slow
    def test_a_truncated_file_is_named(
        self, module: Module, arguments: dict[Module, dict[str, Any]], tmp_path: Path
    ) -> None:
        shutil.copytree(arguments[module]["root"], tmp_path / "copy")
        for file in sorted(path for path in (tmp_path / "copy").rglob("*") if path.is_file())[:10]:
            whole = file.read_bytes()
            for size in (0, len(whole) // 2, len(whole) - 40):  # an image's last bytes only check and end it
                file.write_bytes(whole[:size])
                said = complaint(module, arguments[module], root=str(tmp_path / "copy"), **both_parts(module))
                assert file.name in said, f"{file} of {size} bytes"
            file.write_bytes(whole)

    def test_a_pipe_or_a_device_is_named_and_not_waited_for(
        self, module: Module, arguments: dict[Module, dict[str, Any]], tmp_path: Path
    ) -> None:
        shutil.copytree(arguments[module]["root"], tmp_path / "copy")
        for file in sorted(path for path in (tmp_path / "copy").rglob("*") if path.is_file())[:5]:
            file.rename(tmp_path / "whole")
            for put in (lambda: os.mkfifo(file), lambda: file.symlink_to("/dev/zero")):  # noqa: B023 - called here
                put()
                said = complaint(module, arguments[module], root=str(tmp_path / "copy"), **both_parts(module))
                assert file.name in said
                file.unlink()
            (tmp_path / "whole").rename(file)


@every_published
class TestEveryPublishedDataSet:
    def test_missing_files_are_named_at_once(
        self, module: type[Published], arguments: dict[Module, dict[str, Any]], tmp_path: Path
    ) -> None:
        line = refusal(module, arguments[module], root=str(tmp_path), **both_parts(module))
        data = module(**{**arguments[module], "root": str(tmp_path), **both_parts(module)})
        for part in data.parts:
            for file in data.files(part):
                assert file in line
        assert data.source in line

    def test_what_is_not_the_published_file_is_named(
        self, module: Module, arguments: dict[Module, dict[str, Any]]
    ) -> None:
        if module in CHECKED:
            assert "truncated or altered (" in refusal(module, arguments[module], checksums=True)


def test_every_datamodule_has_files() -> None:
    assert set(FILES) == set(MODULES)


def test_digits_are_those_of_scikit_learn() -> None:
    data = loaded(datamodules.Digits, {})
    assert {split: len(samples) for split, samples in data.samples.items()} == {"pool": 1438, "craft": 179, "test": 180}
    values = torch.cat([samples[torch.arange(len(samples))] for samples in data.samples.values()])
    levels = (values * 16).unique().round()
    assert levels.unique().tolist() == list(range(17)), "17 grey levels, 0 to 16"
    assert values.shape == (1797, 1, 8, 8)
