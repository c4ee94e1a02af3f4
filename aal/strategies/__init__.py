"""Query strategies, all under one contract."""

from aal.strategies.bald import BALD
from aal.strategies.base import Crafted, PseudoLabels, Selection, Strategy, highest, lowest
from aal.strategies.egl import EGL
from aal.strategies.entropy import Entropy
from aal.strategies.least_confidence import LeastConfidence
from aal.strategies.margin import Margin
from aal.strategies.random import Random
from aal.strategies.view import View

__all__ = [
    "BALD",
    "EGL",
    "Crafted",
    "Entropy",
    "LeastConfidence",
    "Margin",
    "PseudoLabels",
    "Random",
    "Selection",
    "Strategy",
    "View",
    "highest",
    "lowest",
]
