"""Adversarial active learning: attacks, strategies, oracles, networks, records, studies and reports."""

__version__ = "0.1.0"
