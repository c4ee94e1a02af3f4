"""Runs in Weights & Biases, from a process of its own that starts without torch."""

from aal.tracking.logger import WandbTracker

__all__ = ["WandbTracker"]
