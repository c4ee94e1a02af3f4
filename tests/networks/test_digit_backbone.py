"""The digit backbone: the shipped file, what it is worth on digits, and what loading refuses."""

import hashlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from torch import Tensor

from aal.datamodules import MNIST
from aal.errors import UserError
from aal.networks import DigitBackbone
from aal.networks.digit_backbone import SHIPPED
from tests.real_data import data

CARD = SHIPPED.with_suffix(".md").read_text()


def digits() -> tuple[Tensor, Tensor]:
    bundle = load_digits()
    return torch.tensor(bundle.images / 16, dtype=torch.float32)[:, None], torch.tensor(bundle.target)


def probe(backbone: DigitBackbone) -> float:
    """Return the accuracy on the digits of a ridge classifier that saw the features of the first 100."""
    images, labels = digits()
    with torch.no_grad():
        features = backbone(images).numpy()
    return RidgeClassifier().fit(features[:100], labels[:100]).score(features[100:], labels[100:])


def pretraining() -> ModuleType:
    path = Path(__file__).parents[2] / "scripts" / "pretrain_backbone.py"
    spec = importlib.util.spec_from_file_location("pretrain_backbone", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_shipped_file_is_the_one_on_the_model_card() -> None:
    data = SHIPPED.read_bytes()
    assert hashlib.sha256(data).hexdigest() in CARD
    assert len(data) < 1_000_000


def test_what_it_learned_from_mnist_carries_over_to_digits() -> None:
    torch.manual_seed(0)
    assert probe(DigitBackbone()) > max(0.9, probe(DigitBackbone(weights="none")) + 0.03)


def test_features_are_rectified_and_of_the_stated_size() -> None:
    backbone, (images, _) = DigitBackbone(), digits()
    features = backbone(images[:50])
    assert features.shape == (50, backbone.feature_size)
    assert features.min() == 0
    # No batch norm: training mode changes nothing, nor does the company a sample is in.
    assert torch.equal(backbone.train()(images[:50]), backbone.eval()(images[:50]))
    torch.testing.assert_close(backbone(images[7:8])[0], features[7], rtol=1e-4, atol=1e-4)


def test_larger_images_are_area_averaged() -> None:
    backbone, (images, _) = DigitBackbone(), digits()
    large = images[:5].repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    torch.testing.assert_close(backbone(large), backbone(images[:5]), rtol=1e-4, atol=1e-4)


def test_weights_load_from_a_path(tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(SHIPPED.read_bytes())
    images, _ = digits()
    assert torch.equal(DigitBackbone(weights=str(copy))(images[:5]), DigitBackbone()(images[:5]))
    copy.write_bytes(SHIPPED.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"copy\.safetensors: truncated"):
        DigitBackbone(weights=str(copy))
    with pytest.raises(UserError, match="no such file"):
        DigitBackbone(weights=str(tmp_path / "absent.safetensors"))


def test_the_look_stretches_counts_and_stays_in_range() -> None:
    # A bar of ink 20 high and 4 wide, off centre: it must fill the height and stand in the middle.
    bar = torch.zeros(1, 28, 28, dtype=torch.uint8)
    bar[0, 3:23, 16:20] = 255
    look = pretraining().bring_to_look(bar)[0, 0]
    assert torch.equal(look * 16, (look * 16).round())
    assert (look.sum(1) > 0).all()
    assert torch.equal(look, look.flip(1))
    assert look.sum() / 8 == pytest.approx(8 * 0.8 * 4 / 20, abs=0.3)  # its width in blocks


@pytest.mark.data
def test_the_accuracy_on_the_model_card_is_reached_on_real_mnist() -> None:
    script = pretraining()
    mnist = MNIST(root=str(data("MNIST").parent))
    train, test = script.read(mnist, "train"), script.read(mnist, "test")
    claimed = re.search(r"([\d.]+) through a ridge", CARD)
    assert claimed is not None
    assert script.probe(DigitBackbone(), train, test) == pytest.approx(float(claimed[1]), abs=0.001)
