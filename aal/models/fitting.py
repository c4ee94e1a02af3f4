"""Training without a Trainer: a classifier of somebody else's, trained as the clock trains its own."""

import math

import torch
from torch import Tensor

from aal.attacks.base import frozen
from aal.checks import refuse
from aal.errors import RunStopped
from aal.models.classifier import Classifier
from aal.seeds import epoch_batches, generator, key, seed_device

ENCODED = 256  # samples that a frozen backbone encodes at once


def train(
    module: Classifier,
    inputs: Tensor,
    labels: Tensor,
    *,
    seed: int,
    batch_size: int = 32,
    max_epochs: int = 100,
    patience: int = 10,
    min_delta: float = 1e-3,
) -> int:
    """Train a classifier from fresh weights until it has converged, as round 0 of a run with this seed, to the bit.

    The default generators are left as they were.

    Args:
        module: The classifier, on the device that it is trained on; its ``training_step`` needs no Trainer.
        inputs: The samples that it is trained on ``(N, ...)``.
        labels: Their labels ``(N,)``.
        seed: What weights, order and dropout depend on.
        batch_size: Samples a step.
        max_epochs: Most epochs.
        patience: Epochs without a lower training loss after which it has converged.
        min_delta: Least decrease of the loss, in nats, that counts as one.

    Returns:
        Epochs taken.

    Raises:
        RunStopped: The loss is not finite.
        UserError: Its training asks for a Trainer.
    """
    inputs, labels, device = inputs.to(module.device), labels.to(module.device), module.device
    module.start_round(0)
    if module.encoded:
        with frozen(module), torch.no_grad():
            inputs = torch.cat([module.encode(part) + 0.0 for part in inputs.split(ENCODED)])
    best, waited = math.inf, 0
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
    ):
        module.renew(generator(seed, "weights", 0))
        optimizer = module.configure_optimizers()
        for epoch in range(max_epochs):
            seed_device(key(seed, "epoch", 0, epoch), device)
            module.train()
            module.on_train_epoch_start()
            for number, places in enumerate(epoch_batches(seed, epoch, len(labels), batch_size)):
                loss = _loss(module, (inputs[places], labels[places]), number)
                if module.automatic_optimization:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            found = module.train_loss
            refuse(not math.isfinite(found), f"epoch {epoch}: the training loss is {found}", RunStopped)
            best, waited = (found, 0) if found < best - min_delta else (best, waited + 1)
            if module.at_once or waited >= patience:
                return epoch + 1
    return max_epochs


def _loss(module: Classifier, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
    try:
        return module.training_step(batch, number)
    except RuntimeError as error:
        alone = "not attached to a `Trainer`" in str(error)
        refuse(alone, f"{type(module).__name__} asks for a Trainer in its training step, and is trained without one")
        raise


def predict(module: Classifier, x: Tensor, batch_size: int) -> Tensor:
    """Return a classifier's logits ``(B, C)`` for samples ``(B, ...)``, in eval mode, without gradients, in batches."""
    with frozen(module), torch.no_grad():
        return torch.cat([module(part.to(module.device)) for part in x.split(batch_size)])


def agreement(logits: Tensor, labels: Tensor) -> float:
    """Return the share of logits ``(B, C)`` whose class is the label ``(B,)``."""
    return float((logits.argmax(1) == labels.to(logits.device)).double().mean())
