"""Query strategies, all under one contract."""

from aal.strategies.base import Selection, Strategy, highest
from aal.strategies.entropy import Entropy
from aal.strategies.random import Random
from aal.strategies.view import View

__all__ = ["Entropy", "Random", "Selection", "Strategy", "View", "highest"]
