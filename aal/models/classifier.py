"""The contract of every LightningModule here: a classifier with features and fresh weights on demand."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from aal.attacks.base import frozen
from aal.checks import LARGEST, at_least, between, kind_of, rate, refuse
from aal.errors import UserError
from aal.seeds import seed_device


class Classifier(pl.LightningModule):
    """A classifier that active learning trains again and again.

    Args:
        num_classes: Number of classes C; the CLI takes it from the datamodule.
        learning_rate: Adam's step size.
        weight_decay: Adam's L2 penalty.

    Raises:
        UserError: No class; a ``learning_rate`` that is not positive, a negative ``weight_decay``, either above 3e37.

    Attributes:
        encoded: Whether training and scoring take cached features instead of samples in this round.
        at_once: Whether one epoch is all its training: it would learn the same in the next.
    """

    encoded = False
    at_once = False

    def __init__(self, num_classes: int, learning_rate: float = 1e-3, weight_decay: float = 0.0) -> None:
        super().__init__()
        at_least(1, {"num_classes": num_classes})
        rate({"learning_rate": learning_rate})
        between(0, LARGEST, {"weight_decay": weight_decay})
        self.num_classes, self.learning_rate, self.weight_decay = num_classes, learning_rate, weight_decay
        self._loss_sum, self._samples = torch.zeros(()), 0

    def features(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` to the input of the last layer ``(B, D)``."""
        raise NotImplementedError

    def encode(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` to the features ``(B, D)`` that are cached where ``encoded``."""
        raise NotImplementedError

    def classify(self, inputs: Tensor) -> Tensor:
        """Map inputs, samples or where ``encoded`` features, to logits ``(B, C)``."""
        return cast(Tensor, self(inputs))

    def embed(self, inputs: Tensor) -> Tensor:
        """Map inputs, samples or where ``encoded`` features, to the input of the last layer ``(B, D)``."""
        return self.features(inputs)

    @property
    def pretrained(self) -> dict[str, Tensor]:
        """Weights that are not trained from fresh ones, by name, as they are before a run."""
        return {}

    def start_round(self, round: int) -> None:
        """Get ready for a round, before its data are asked for and its weights renewed."""

    def renew(self, generator: torch.Generator) -> None:
        """Set fresh weights; a pre-trained backbone goes back to its pre-trained weights."""
        raise NotImplementedError

    @property
    def train_loss(self) -> float:
        """Mean cross entropy over the samples of this epoch so far, in nats."""
        return float(self._loss_sum) / max(self._samples, 1)

    def on_train_epoch_start(self) -> None:
        """Forget the last epoch's loss."""
        self._loss_sum, self._samples = torch.zeros((), device=self.device), 0

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Return the mean cross entropy of a batch of inputs ``(B, ...)`` and labels ``(B,)``."""
        inputs, labels = batch
        norms = [] if len(labels) > 1 else [layer for layer in self.modules() if isinstance(layer, _BatchNorm)]
        for norm in norms:
            norm.eval()  # the last batch of an epoch may be one sample, which has no statistics of its own
        loss = F.cross_entropy(self.classify(inputs), labels)
        for norm in norms:
            norm.train()
        self._loss_sum += loss.detach() * len(labels)
        self._samples += len(labels)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam over what is trained in this round."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.Adam(trained, lr=self.learning_rate, weight_decay=self.weight_decay)


@contextmanager
def holding(module: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Give a network some weights of an earlier round, by name, and afterwards its own again."""
    own = {name: tensor.clone() for name, tensor in module.state_dict().items() if name in weights}
    module.load_state_dict(weights, strict=False)
    try:
        yield
    finally:
        module.load_state_dict(own, strict=False)


def fitting(sample_shape: tuple[int, ...]) -> str:
    """Return which of the models that ship fit samples of a shape, for a message; nothing where that is not known."""
    match sample_shape:
        case (3, _, _):
            return "; colour images fit the models mobilenet_v2, resnet50, resnet18, vgg8 and mlp"
        case (1, _, _):
            return "; gray images fit the models digit_backbone, mobilenet_v2, resnet50, resnet18, vgg8 and mlp"
        case (_,):
            return "; sounds fit the model yamnet, other rows of numbers mlp"
    return ""


def dry_run(network: nn.Module, sample_shape: tuple[int, ...], key: str, remedy: str = "") -> Tensor:
    """Give two random samples to a network, which is as before afterwards, and return what comes out ``(2, ...)``.

    Args:
        network: The network.
        sample_shape: Shape of a sample.
        key: The argument's name that the network was given by.
        remedy: What may help where it cannot take it, for the message.

    Raises:
        UserError: The network cannot take samples of this shape, or does not give a tensor of float32 with a row each.
    """
    x = torch.rand(2, *sample_shape, generator=torch.Generator().manual_seed(0))
    try:
        with frozen(network), torch.no_grad():
            found = network(x)
    except (RuntimeError, ValueError, AssertionError, TypeError, IndexError) as error:  # what layers say of a shape
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{key}: {type(network).__name__} cannot take samples of shape {tuple(sample_shape)} ({said[0]})"
            f"{remedy}{fitting(tuple(sample_shape))}"
        ) from None
    refuse(
        not kind_of(found).startswith("torch.float32 (2"),
        f"{key}: {type(network).__name__} must give torch.float32 (2, ...) of two samples, not {kind_of(found)}",
    )
    return cast(Tensor, found)


def reset_parameters(module: nn.Module, generator: torch.Generator) -> None:
    """Draw fresh weights for every layer of ``module`` as its class does; the default generators are left as they were.

    A network with a ``reset_parameters`` of its own has the last word, after its layers.

    Raises:
        TypeError: A layer has parameters, but no ``reset_parameters`` that would renew them.
    """
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seed_device(int(torch.randint(2**62, (), generator=generator)), device)
        for layer in sorted(module.modules(), key=lambda layer: any(True for _ in layer.children())):
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()
            elif list(layer.parameters(recurse=False)):
                raise TypeError(f"{type(layer).__name__} has parameters, but no reset_parameters to renew them")


class OnInputs(nn.Module):
    """A classifier as a network: from what ``classify`` takes to logits."""

    def __init__(self, module: Classifier) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs ``(B, ...)`` to logits ``(B, C)``."""
        return self.module.classify(x)
