"""Runs in Weights & Biases, from a process of its own that starts without torch: no logger is imported here."""

from typing import Any


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what a module holds
    if name != "WandbTracker":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from aal.tracking.logger import WandbTracker

    return WandbTracker
