"""Oracles: they alone know the truth, and answer queries with labels."""

from aal.oracles.base import Oracle, Truth, ask
from aal.oracles.crowd import NOBODY, Crowd
from aal.oracles.one_labeler import Malicious, Noisy, Perfect
from aal.oracles.victim import Victim

__all__ = ["NOBODY", "Crowd", "Malicious", "Noisy", "Oracle", "Perfect", "Truth", "Victim", "ask"]
