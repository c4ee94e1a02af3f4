"""ResNet-20: its size, its shortcuts, and what the published weights are worth."""

from pathlib import Path

import pytest
import torch

from aal.errors import UserError
from aal.networks import ResNet20
from tests.real_data import cifar10, data


def published(network: ResNet20) -> dict[str, object]:
    """Return a checkpoint of ``network`` in the form of the published ones."""
    names = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    return {"state_dict": {f"module.{name}": tensor for name, tensor in names.items()}, "best_prec1": 91.78}


def test_it_has_as_many_parameters_as_the_paper_says() -> None:
    assert sum(parameter.numel() for parameter in ResNet20().parameters()) == pytest.approx(0.27e6, rel=0.01)


def test_it_maps_images_to_logits() -> None:
    assert ResNet20(num_classes=7)(torch.rand(2, 3, 32, 32)).shape == (2, 7)
    assert ResNet20().double()(torch.rand(2, 3, 32, 32, dtype=torch.float64)).dtype == torch.float64


def test_a_shortcut_takes_every_second_pixel_and_pads_the_channels_with_zeros() -> None:
    block = ResNet20().layer2[0].eval()
    torch.nn.init.zeros_(block.bn2.weight)
    x = torch.rand(1, 16, 6, 6)
    assert torch.equal(block(x)[:, 8:24], x[:, :, ::2, ::2])
    assert (block(x)[:, :8] == 0).all()
    assert (block(x)[:, 24:] == 0).all()
    same = ResNet20().layer1[0].eval()
    torch.nn.init.zeros_(same.bn2.weight)
    assert torch.equal(same(x), x)


def test_a_published_checkpoint_loads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, x = ResNet20().eval(), torch.rand(2, 3, 32, 32)
    torch.save(published(network), tmp_path / "resnet20.th")
    loaded = ResNet20(weights=str(tmp_path / "resnet20.th")).eval()
    assert torch.equal(loaded(x), network(x))
    with pytest.raises(UserError, match=r"linear\.weight has shape \(10, 64\), ResNet20 needs \(7, 64\)"):
        ResNet20(num_classes=7, weights=str(tmp_path / "resnet20.th"))


def test_a_checkpoint_that_lacks_a_layer_is_refused(tmp_path: Path) -> None:
    checkpoint = published(ResNet20())
    del checkpoint["state_dict"]["module.bn1.running_mean"]  # type: ignore[attr-defined]
    torch.save(checkpoint, tmp_path / "resnet20.th")
    with pytest.raises(UserError, match=r"missing \['bn1\.running_mean'\], unexpected \[\]"):
        ResNet20(weights=str(tmp_path / "resnet20.th"))


@pytest.mark.data
def test_the_published_weights_recognise_real_images() -> None:
    # 81.4 % of all test images as JPEG; 500 of them would be below 76 % by chance once in a thousand draws
    x, y = cifar10(50)
    network = ResNet20(weights=str(data("pretrained/cifar10_resnet20-12fca82f.th"))).eval()
    with torch.no_grad():
        assert (network(x).argmax(1) == y).float().mean() >= 0.76
