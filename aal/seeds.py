"""Randomness by purpose: every draw has a generator of its own, keyed by what it is for."""

import hashlib

import torch
from torch import Tensor


def key(seed: int, purpose: str, *parts: int | str) -> int:
    """Hash a run's seed, a purpose and its parts (round, epoch, ...) into a seed.

    Args:
        seed: The run's seed.
        purpose: What the randomness is for, such as ``"split"``.
        parts: What tells this draw from the others of the same purpose.

    Returns:
        An int in [0, 2**63), the same for the same arguments on any machine.
    """
    return int.from_bytes(hashlib.blake2b(repr((seed, purpose, *parts)).encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, *parts: int | str) -> torch.Generator:
    """Return a CPU generator seeded by :func:`key` of the same arguments."""
    return torch.Generator().manual_seed(key(seed, purpose, *parts))


def epoch_batches(seed: int, epoch: int, size: int, batch_size: int) -> tuple[Tensor, ...]:
    """Return the batches of an epoch: positions among ``size`` samples ``(batch_size,)``, the last one of the rest."""
    order = torch.randperm(size, generator=generator(seed, "order", epoch))
    return tuple(torch.split(order, batch_size))


def seed_device(seed: int, device: torch.device) -> None:
    """Seed the default generator of the CPU, and of ``device`` if it is another: dropout takes no generator of its own.

    ``torch.manual_seed`` does the same for every kind of device there could be, at a millisecond a call.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def sample_seeds(seed: int, purpose: str, indices: Tensor) -> Tensor:
    """Return one int64 seed a sample, ``(B,)``, from its index ``(B,)``: the same alone as in a batch."""
    return torch.tensor([key(seed, purpose, int(i)) for i in indices], dtype=torch.int64)
