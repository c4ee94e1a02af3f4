"""Query strategies, all under one contract."""

from aal.strategies.badge import BADGE
from aal.strategies.bald import BALD
from aal.strategies.base import Crafted, PseudoLabels, Random, Selection, Strategy, fault_of, highest, lowest
from aal.strategies.ceal import CEAL
from aal.strategies.cluster_max_min import ClusterMaxMin
from aal.strategies.core_set import CoreSet
from aal.strategies.dfal import DFAL
from aal.strategies.egl import EGL
from aal.strategies.entropy import Entropy
from aal.strategies.least_confidence import LeastConfidence
from aal.strategies.margin import Margin
from aal.strategies.neighbour_margin import NeighbourMargin
from aal.strategies.screen import FeatureNorm, Screen, Screened, Subset
from aal.strategies.view import View

__all__ = [
    "BADGE",
    "BALD",
    "CEAL",
    "DFAL",
    "EGL",
    "ClusterMaxMin",
    "CoreSet",
    "Crafted",
    "Entropy",
    "FeatureNorm",
    "LeastConfidence",
    "Margin",
    "NeighbourMargin",
    "PseudoLabels",
    "Random",
    "Screen",
    "Screened",
    "Selection",
    "Strategy",
    "Subset",
    "View",
    "fault_of",
    "highest",
    "lowest",
]
