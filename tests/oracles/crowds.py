"""Crowds over a planted truth, for the tests of oracles and trust."""

from typing import TypeVar

import torch
from torch import Tensor

from aal.oracles import Crowd, Oracle

Kind = TypeVar("Kind", bound=Oracle)
NAMES = ("airplane", "cat", "frog")
SIZE = 6000


def truth() -> Tensor:
    """The classes of 6,000 samples in turn."""
    return torch.arange(SIZE) % len(NAMES)


def ready(oracle: Kind, seed: int = 0, names: tuple[str, ...] | None = NAMES) -> Kind:
    """Return an oracle that knows the planted truth."""
    oracle.prepare(lambda indices: truth()[indices], num_classes=len(NAMES), names=names, seed=seed)
    return oracle


def crowd(honest: int = 3, malicious: int = 1, error: float = 0.0) -> Crowd:
    """Return a crowd whose liars call airplanes frogs."""
    return ready(Crowd(honest, malicious, error, "airplane", "frog"))
