"""The key of an encoded split: another for whatever could change a feature, the same for all else."""

import copy
import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from aal.data.samples import AudioSamples, ImageSamples, Samples, Sources, TensorSamples
from aal.features.key import feature_key
from aal.networks import Backbone, DigitBackbone
from tests.commands import aal

CPU = torch.device("cpu")
PIXELS = torch.randint(256, (9, 3, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


class Normalise(nn.Module):
    """A sub-module without weights."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = (0.5, 0.4, 0.3)


class Network(Backbone):
    """A backbone of all the kinds of things that features depend on."""

    feature_size = 2

    def __init__(self) -> None:
        super().__init__()
        self.size, self.pool = 96, "avg"
        self._crop = {"from": [1, 2]}
        self.normalise = Normalise()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(48, 2), nn.ReLU(), nn.BatchNorm1d(2))
        self.shift: Tensor
        self.register_buffer("shift", torch.ones(2), persistent=False)
        self.loose = torch.ones(2)
        self.resize = functools.partial(torch.nn.functional.interpolate, mode="bilinear")
        nn.init.constant_(self.layers[1].weight, 0.5)
        nn.init.zeros_(self.layers[1].bias)


def key(network: nn.Module, samples: Samples | None = None, n: int = 9, batch_size: int = 4) -> str:
    return feature_key(samples or ImageSamples(PIXELS), n, network, CPU, batch_size)


def set_to(path: str, value: object) -> Callable[[nn.Module], None]:
    *parents, last = path.split(".")

    def change(network: nn.Module) -> None:
        setattr(functools.reduce(getattr, parents, network), last, value)

    return change


def nudge(name: str) -> Callable[[nn.Module], None]:
    def change(network: nn.Module) -> None:
        with torch.no_grad():
            tensor = functools.reduce(getattr, name.split("."), network)
            tensor.flatten()[-1:] = torch.nextafter(tensor.flatten()[-1:], torch.tensor(9.0))

    return change


CHANGES = {
    "size": set_to("size", 224),
    "pool": set_to("pool", "none"),
    "kind of value": set_to("size", 96.0),
    "private": set_to("_crop", {"from": [2, 1]}),
    "normalisation": set_to("normalise.mean", (0.5, 0.4, 0.31)),
    "option of a layer": set_to("layers.3.eps", 1e-3),
    "another layer": set_to("layers.2", nn.GELU()),
    "partial": set_to("resize", functools.partial(torch.nn.functional.interpolate, mode="area")),
    "function": set_to("resize", torch.nn.functional.interpolate),
    "attribute": set_to("antialias", True),
    "weight": nudge("layers.1.weight"),
    "running mean": nudge("layers.3.running_mean"),
    "buffer that is not saved": nudge("shift"),
    "tensor that is no buffer": nudge("loose"),
    "hook": lambda network: network.register_forward_hook(lambda *arguments: None),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_another_backbone_has_another_key(change: Callable[[nn.Module], None]) -> None:
    network = Network()
    before = key(network)
    change(network)
    assert key(network) != before


def test_the_same_backbone_has_the_same_key() -> None:
    network = Network()
    before = key(network)
    assert key(Network()) == before
    assert key(copy.deepcopy(network)) == before
    network.train(not network.training)
    network.requires_grad_(False)
    assert key(network) == before


def test_another_class_with_the_same_attributes_has_another_key() -> None:
    class Other(Network):
        pass

    assert key(Other()) != key(Network())


def test_other_samples_batches_and_settings_have_other_keys() -> None:
    network, bytes_ = Network(), PIXELS.flatten(1)
    audio = bytes_.to(torch.int16)
    changed = PIXELS.clone()
    changed[8, 2, 3, 3] ^= 1
    keys = [
        key(network),
        key(network, ImageSamples(changed)),
        key(network, ImageSamples(PIXELS.flip(0))),
        key(network, ImageSamples(PIXELS.reshape(9, 3, 2, 8))),
        key(network, n=8),
        key(network, batch_size=5),
        key(network, AudioSamples(audio, 16_000)),
        key(network, AudioSamples(audio, 8_000)),
        key(network, TensorSamples(PIXELS.float())),
        key(network, TensorSamples(PIXELS.float(), (0.0, 255.0))),
    ]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        keys.append(key(network))
    finally:
        torch.set_num_threads(threads)
    assert len(set(keys)) == len(keys)


def test_what_files_samples_come_from_changes_nothing() -> None:
    network, places = Network(), torch.arange(9)
    named = [ImageSamples(PIXELS, Sources.rows([name], [9], places)) for name in ("images", "images.gz")]
    assert len({key(network, samples) for samples in (ImageSamples(PIXELS), *named)}) == 1


def test_samples_added_later_change_nothing() -> None:
    samples, network = ImageSamples(PIXELS), Network()
    before = key(network, samples)
    samples.append(torch.rand(2, 3, 4, 4))
    assert key(network, samples) == before


CLASS = "from torch import nn\nclass Mine(nn.Module):\n    def forward(self, x):\n        return x.flatten(1) {}\n"
PROGRAM = """
import sys, torch
sys.dont_write_bytecode = True  # of a file that changes within a second
sys.path.insert(0, sys.argv[1])
from aal.features.key import feature_key
from aal.networks import DigitBackbone
from aal.data.samples import ImageSamples
from mine import Mine
samples = ImageSamples(torch.arange(128, dtype=torch.uint8).reshape(2, 1, 8, 8))
torch.set_num_threads(1)
print([feature_key(samples, 2, network, torch.device("cpu"), 2) for network in (DigitBackbone(), Mine())])
"""


def test_another_process_has_the_same_key_until_the_source_of_a_class_changes(tmp_path: Path) -> None:
    def printed(form: str) -> list[str]:
        (tmp_path / "mine.py").write_text(CLASS.format(form))
        ran = aal(code=PROGRAM, before=(str(tmp_path),))
        assert ran.returncode == 0, ran.stderr
        keys: list[str] = ran.stdout.strip("[]\n").split(", ")
        return keys

    shipped, mine = printed("* 1")
    assert printed("* 1") == [shipped, mine]
    again, other = printed("* 2")
    assert (again, other != mine) == (shipped, True)


def test_every_byte_of_the_shipped_backbone_counts() -> None:
    samples = ImageSamples(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
    network = DigitBackbone()
    keys = {key(network, samples, 1)}
    for name, parameter in network.named_parameters():
        nudge(name)(network)
        keys.add(key(network, samples, 1))
        assert parameter.dtype == torch.float32
    assert len(keys) == 1 + len(list(network.parameters()))
