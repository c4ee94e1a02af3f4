"""What the attacks of the benchmark are measured on: networks, and images that they classify rightly."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision.models import resnet50

from aal.errors import UserError
from aal.networks import LeNet5, ResNet20
from aal.networks.weights import load_weights
from aal.runs.files import write_bytes
from aal.seeds import generator
from tests.real_data import cifar10, data, mnist

MNIST, CIFAR10 = "MNIST/raw/train-images-idx3-ubyte.gz", "cifar10_jpeg/cifar10_jpeg.tar.xz"
WEIGHTS = "pretrained/cifar10_resnet20-12fca82f.th"
EPOCHS, BATCH = 2, 100  # of LeNet-5's training


def check_data() -> None:
    """Refuse to begin without the data.

    Raises:
        UserError: Names the first file that is missing.
    """
    try:
        for name in (MNIST, CIFAR10, WEIGHTS):
            data(name)
    except pytest.skip.Exception as missing:
        raise UserError(
            f"{missing}, which the attacks are measured on; README names the benchmarks that need no data"
        ) from None


@dataclass(frozen=True)
class Subject:
    """A network and images.

    Attributes:
        name: What both are called.
        network: In eval mode, on the images' device; its parameters ask for gradients, as those of a user's network do.
        x: Images ``(B, ...)`` in [0, 1].
        y: Their labels ``(B,)``.
    """

    name: str
    network: nn.Module
    x: Tensor
    y: Tensor


def digits(n: int, cache: Path, device: torch.device) -> Subject:
    """Return LeNet-5 and the first ``n`` test images of MNIST that it classifies rightly.

    Args:
        n: Number of images.
        cache: Folder that keeps the weights once it is trained.
        device: Where to.
    """
    path, network = cache / "lenet5.safetensors", LeNet5()
    if not path.exists():
        _train(network)
        write_bytes(path, save(network.state_dict()))
    load_weights(network, path)
    return _right("LeNet-5 on MNIST", network.to(device), *mnist("t10k"), n)


def photographs(n: int, device: torch.device) -> Subject:
    """Return ResNet-20 and ``n`` test images of CIFAR-10, of all classes in turn, that it classifies rightly."""
    network = ResNet20(weights=str(data(WEIGHTS)))
    each = n // 5  # images a class: twice as many as are needed
    x, y = cifar10(each)
    order = torch.arange(len(x)).view(10, each).T.flatten()
    return _right("ResNet-20 on CIFAR-10", network.to(device), x[order], y[order], n)


def features(n: int, device: torch.device) -> tuple[nn.Module, Tensor]:
    """Return ResNet-50 with random weights up to its 2048 features, and ``n`` random images of 32x32 pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = resnet50()
    network.fc = nn.Identity()
    return network.eval().to(device), torch.rand(n, 3, 32, 32, generator=generator(0, "images")).to(device)


def _right(name: str, network: nn.Module, x: Tensor, y: Tensor, n: int) -> Subject:
    x, y = x.to(next(network.parameters()).device), y.to(next(network.parameters()).device)
    with torch.no_grad():
        predicted = torch.cat([network.eval()(part).argmax(1) for part in x.split(1000)])
    right = (predicted == y).nonzero().squeeze(1)[:n]
    return Subject(name, network, x[right], y[right])


def _train(network: nn.Module) -> None:
    x, y = mnist("train")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for layer in network.children():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    optimizer = torch.optim.Adam(network.parameters())
    for epoch in range(EPOCHS):
        for batch in torch.randperm(len(x), generator=generator(0, "order", epoch)).split(BATCH):
            optimizer.zero_grad()
            cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
