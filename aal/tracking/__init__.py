"""Runs in Weights & Biases, from a process of its own."""

from aal.tracking.logger import WandbTracker, loggers_in

__all__ = ["WandbTracker", "loggers_in"]
