"""Figures of paper *noise* (Crafting Label Noise to Increase Adversarial Vulnerability), as printed.

Names that a study's rows may use: ``4.1/next`` and ``4.1/new``. They are of labels flipped at random on MNIST.
"""

from typing import NamedTuple


class Printed(NamedTuple):
    """An adversarial accuracy, mean and standard deviation over initial weights."""

    mean: float
    sd: float


ADVERSARIAL = {  # Table 4.1: PGD in L-inf at 0.1, untargeted, ten flips a class
    "4.1/next": Printed(0.3646, 0.0442),  # to the next class
    "4.1/new": Printed(0.4151, 0.0426),  # to an 11th class
}
