"""Which labels to flip so that a network keeps its accuracy and loses its robustness (paper *noise*)."""

from aal.flips.base import FlipSelector, RandomFlips, TooFew
from aal.flips.bilevel import Bilevel
from aal.flips.class_graph import ClassGraph
from aal.flips.colouring import Colouring
from aal.flips.flip_view import CleanSet, FlipView
from aal.flips.path_length import PathLength
from aal.flips.suspects import Suspects

__all__ = [
    "Bilevel",
    "ClassGraph",
    "CleanSet",
    "Colouring",
    "FlipSelector",
    "FlipView",
    "PathLength",
    "RandomFlips",
    "Suspects",
    "TooFew",
]
