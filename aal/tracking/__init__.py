"""Runs in Weights & Biases, from a process of its own."""

from aal.tracking.logger import WandbTracker

__all__ = ["WandbTracker"]
