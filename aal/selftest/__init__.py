"""Whether attacks work on a model: checks to pass before a robustness figure is trusted."""

from aal.selftest.examinee import Examinee, Verdict
from aal.selftest.verdicts import CHECKS, selftest

__all__ = ["CHECKS", "Examinee", "Verdict", "selftest"]
