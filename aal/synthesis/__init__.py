"""Synthesis: what a shadow of a victim is trained on (paper *shadow*)."""

from aal.synthesis.adversary import Adversary
from aal.synthesis.synthesis import Made, Synthesis

__all__ = ["Adversary", "Made", "Synthesis"]
