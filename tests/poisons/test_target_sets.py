"""Sets of targeted poisons on disk: what is read is what was written, anything else is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aal.data.samples import ImageSamples
from aal.errors import UserError
from aal.poisons.target_sets import KIND, TargetSet, drop_sets, read_set, write_set
from aal.runs.files import write_sealed


def made(run: Path, target: int = 1) -> tuple[Path, ImageSamples, dict[str, Tensor]]:
    """Write a set of three poisons of random images; return its folder, the test samples, and its images."""
    test = ImageSamples(torch.arange(5 * 12, dtype=torch.uint8).view(5, 3, 2, 2))
    draw = torch.randint(256, (7, 3, 2, 2), generator=torch.Generator().manual_seed(target)) / 255
    x = {"base": draw[:3], "poison": draw[3:6], "target": draw[6:]}
    found = TargetSet(target, 0, 1, 0.2, [4, 5, 6], [3.0, 2.0, 1.0], [0.3, 0.2, 0.1])
    write_set(run, 0, found, test, x, {"test": "fingerprint"})
    return run / "sets" / "0000", test, x


DAMAGES: dict[str, Any] = {
    "target": [1.0, "1", True, -1, None, 2**63],
    "base_class": [0.5, -1],
    "opacity": [1, 1.0, -0.1, float("nan"), "0.2", False],
    "bases": [[], ["4", "5", "6"], [4, 5], [4.0, 5.0, 6.0], [4, 5, -6], "456", None],
    "distance_before": [["3", "2", "1"], [3.0, 2.0], [3.0, 2.0, float("nan")], [3.0, 2.0, float("inf")], {}],
    "distance_after": [None, [[0.3], [0.2], [0.1]]],
    "files": [None, []],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in DAMAGES.items() for value in values])
def test_a_manifest_that_says_what_no_set_has_is_refused(key: str, value: object, tmp_path: Path) -> None:
    path, test, _ = made(tmp_path)
    manifest = path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {key: value}))
    with pytest.raises(UserError, match=re.escape(f"{manifest}: altered since it was written")):
        read_set(path, test, "fingerprint")


@pytest.mark.parametrize("key", ["bases", "distance_before", "distance_after"])
@pytest.mark.parametrize("value", [["4", "5", "6"], [4, 5], "456", None])
def test_so_is_one_that_was_sealed_again(key: str, value: object, tmp_path: Path) -> None:
    path, test, _ = made(tmp_path)
    content = json.loads((path / "manifest.json").read_text())
    del content["sha256"]
    write_sealed(path / "manifest.json", KIND, content | {key: value})
    with pytest.raises(UserError, match=r"manifest\.json: \w+ must hold a number of each poison"):
        read_set(path, test, "fingerprint")


def test_what_was_altered_or_is_not_for_these_test_samples_is_refused(tmp_path: Path) -> None:
    path, test, x = made(tmp_path)
    found, read = read_set(path, test, "fingerprint")
    assert found.bases == [4, 5, 6]
    assert all(torch.equal(read[kind], x[kind]) for kind in ("base", "poison"))
    with pytest.raises(UserError, match="made for other test samples"):
        read_set(path, test, "another")
    test.write(path / "00001_poison.png", x["base"][1])
    with pytest.raises(UserError, match=r"00001_poison\.png: altered since it was written"):
        read_set(path, test, "fingerprint")


def test_a_set_that_a_killed_run_left_gives_way_to_the_one_made_anew(tmp_path: Path) -> None:
    made(tmp_path, target=2)
    path, test, x = made(tmp_path, target=3)
    found, read = read_set(path, test, "fingerprint")
    assert found.target == 3
    assert torch.equal(read["poison"], x["poison"])


def test_a_run_that_goes_on_keeps_the_sets_of_its_checkpoint_alone(tmp_path: Path) -> None:
    drop_sets(tmp_path, 0)
    for name in ("0000", "0001", "0002", ".0003.unfinished", "notes"):
        (tmp_path / "sets" / name).mkdir(parents=True)
    drop_sets(tmp_path, 1)
    assert {path.name for path in (tmp_path / "sets").iterdir()} == {"0000", "notes"}
