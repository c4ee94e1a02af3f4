"""Whether attacks work on a model: checks to pass before a robustness figure is trusted."""

from aal.selftest.subject import Subject, Verdict
from aal.selftest.table import CHECKS, selftest

__all__ = ["CHECKS", "Subject", "Verdict", "selftest"]
