"""Oracles: they alone know the truth, and answer queries with labels."""

from aal.oracles.base import Oracle
from aal.oracles.perfect import Perfect

__all__ = ["Oracle", "Perfect"]
