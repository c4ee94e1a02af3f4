"""The converter of YAMNet's Keras weights: the converted network is the unfolded one, and other files are refused."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from aal.cli.exits import end_with
from aal.errors import UserError
from aal.networks import YAMNet
from tests.networks import keras_yamnet
from tests.networks.test_log_mel import reference

SCRIPT = Path(__file__).parents[2] / "scripts" / "convert_yamnet.py"


@pytest.fixture(scope="module")
def converter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_yamnet", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def converted(converter: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file that the script made of :func:`keras_yamnet.arrays`."""
    folder = tmp_path_factory.mktemp("yamnet")
    keras_yamnet.save(keras_yamnet.arrays(), folder / "yamnet.h5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["convert_yamnet.py", str(folder / "yamnet.h5"), str(folder / "y.safetensors")])
        assert converter.main() == 0
    return folder / "y.safetensors"


def sounds() -> tuple[Tensor, Tensor]:
    """Return waveforms ``(2, 15600)`` and their log-mel patches ``(2, 96, 64)``, by the reference of the front end."""
    x = torch.rand(2, 15_600, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5
    return x, torch.tensor(np.stack([reference(clip.numpy()) for clip in x]))


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_the_converted_network_is_the_published_one(activation: str, converted: Path, tmp_path: Path) -> None:
    # The published one has plain rectifiers; the quantised model's, whose weights have this layout too, end at 6.
    path = converted
    if activation == "relu6":
        path = tmp_path / "relu6.safetensors"
        safetensors.torch.save_file(safetensors.torch.load_file(converted), path, {"activation": "relu6"})
    arrays, (x, patches) = keras_yamnet.arrays(), sounds()
    embeddings = keras_yamnet.embed(arrays, patches, activation)
    other = keras_yamnet.embed(arrays, patches, "relu" if activation == "relu6" else "relu6")
    assert (embeddings - other).abs().max() > 0.1  # else this would not tell them apart
    network = YAMNet(str(path)).double()
    torch.testing.assert_close(network(x), embeddings, rtol=1e-5, atol=1e-5)
    logits = embeddings @ torch.tensor(arrays["logits/kernel"]).double() + torch.tensor(arrays["logits/bias"])
    torch.testing.assert_close(network.scores(x), logits.sigmoid(), rtol=0, atol=1e-5)
    torch.testing.assert_close(YAMNet(str(path))(x.float()).double(), embeddings, rtol=1e-3, atol=1e-3)


def test_the_file_says_what_it_is(converted: Path) -> None:
    with safetensors.safe_open(converted, "pt") as file:
        metadata = file.metadata()
    assert metadata["activation"] == "relu"
    assert metadata["source"] == "yamnet.h5"
    assert len(metadata["sha256"]) == 64
    assert {tensor.dtype for tensor in safetensors.torch.load_file(converted).values()} == {torch.float32}
    assert list(converted.parent.glob(".*")) == []


def test_groups_may_nest_otherwise(converter: ModuleType, tmp_path: Path) -> None:
    arrays = keras_yamnet.arrays()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        for name, array in arrays.items():
            file[f"model_weights/{name}"] = array
    found = converter.read((tmp_path / "other.h5").read_bytes(), tmp_path / "other.h5")
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def changed(**changes: object) -> keras_yamnet.Arrays:
    """Return arrays with some replaced, added or, for ``None``, left out."""
    arrays = {**keras_yamnet.arrays(), **changes}
    return {name: array for name, array in arrays.items() if array is not None}  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"layer5/depthwise_conv/bn/beta": None}, r"missing 1 \(layer5/depthwise_conv/bn/beta\), unexpected 0"),
        ({"layer1/conv/bn/gamma": np.ones(32)}, r"missing 0 \(\), unexpected 1 \(layer1/conv/bn/layer1/.*gamma:0\)"),
        ({"again/layer1/conv/kernel": np.ones((3, 3, 1, 32))}, r"unexpected 1 \("),
        ({"logits/kernel": np.ones((521, 1024))}, r"logits/kernel is float64 of shape \(521, 1024\)"),
        ({"logits/bias": np.ones(521, dtype=np.int64)}, r"logits/bias is int64 of shape \(521,\)"),
        ({"logits/bias": np.full(521, np.inf)}, "logits/bias holds values that are not finite"),
        ({"layer1/conv/bn/moving_variance": np.full(32, -1.0)}, "moving_variance holds .* variances below 0"),
    ],
)
def test_other_weights_are_refused(
    converter: ModuleType, changes: dict[str, object], what: str, tmp_path: Path
) -> None:
    path = tmp_path / "yamnet.h5"
    keras_yamnet.save(changed(**changes), path)
    with pytest.raises(UserError, match=rf"yamnet\.h5: .*{what}"):
        converter.read(path.read_bytes(), path)


@pytest.mark.parametrize(
    ("kept", "out", "said"),
    [
        (1_000_000, "out.safetensors", "yamnet.h5: truncated, or not an HDF5 file"),
        (0, "out.safetensors", "yamnet.h5: truncated, or not an HDF5 file"),
        (None, "out.pt", "must end in .safetensors"),
        (None, "yamnet.h5/out.safetensors", "out.safetensors: cannot be written"),
    ],
)
def test_a_command_that_cannot_be_done_ends_with_one_line_and_no_file(
    converter: ModuleType,
    kept: int | None,
    out: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "yamnet.h5"
    keras_yamnet.save(keras_yamnet.arrays(), path)
    path.write_bytes(path.read_bytes()[:kept])
    monkeypatch.setattr(sys, "argv", ["convert_yamnet.py", str(path), str(tmp_path / out)])
    with pytest.raises(SystemExit) as ended:
        end_with(converter.main)
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert said in line
    assert [file.name for file in tmp_path.iterdir()] == ["yamnet.h5"]
