"""Robustness: a classifier's accuracy under attacks, as a library."""

from aal.robustness.arguments import check, chosen, next_class, refuse_others, refuse_shape
from aal.robustness.evaluation import Examples, evaluate, fooled_examples
from aal.robustness.outcomes import ROBUST, UNTARGETED, Evaluation, Outcome

__all__ = [
    "ROBUST",
    "UNTARGETED",
    "Evaluation",
    "Examples",
    "Outcome",
    "check",
    "chosen",
    "evaluate",
    "fooled_examples",
    "next_class",
    "refuse_others",
    "refuse_shape",
]
