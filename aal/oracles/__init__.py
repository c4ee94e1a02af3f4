"""Oracles: they alone know the truth, and answer queries with labels."""

from aal.oracles.base import Oracle, Truth
from aal.oracles.crowd import NOBODY, Crowd
from aal.oracles.malicious import Malicious
from aal.oracles.noisy import Noisy
from aal.oracles.perfect import Perfect

__all__ = ["NOBODY", "Crowd", "Malicious", "Noisy", "Oracle", "Perfect", "Truth"]
