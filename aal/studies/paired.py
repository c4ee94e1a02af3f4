"""Paired tests of two arms over identical seeds, which claim nothing from fewer than five."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import stats

from aal.studies.runs import Run

NAME = "paired t-test, two-sided"
LEAST = 5  # seeds under which no claim is made
ALIKE = 1e-6  # accuracies are kept in float32; two that differ by less are the same count of a test set


@dataclass(frozen=True)
class PairedTest:
    """The final accuracy of one arm minus that of another, seed by seed.

    Attributes:
        arm: The arm.
        clean: The arm it is compared with.
        n: Seeds that both have finished.
        mean: Mean difference; None without a seed, or where the arms are not compared.
        sd: Sample standard deviation of the differences; None under two seeds.
        t: The statistic; None where there is no test.
        p: Its two-sided p value; None where there is no test.
        remark: Why there is no test; empty where there is one.
    """

    arm: str
    clean: str
    n: int
    mean: float | None
    sd: float | None
    t: float | None
    p: float | None
    remark: str

    @property
    def outcome(self) -> str:
        """The test and its p value, or why there is none."""
        if self.t is None or self.p is None:
            return self.remark
        return f"{NAME}: t({self.n - 1}) = {self.t:.2f}, p = {self.p:.2g}"

    def __str__(self) -> str:
        """One line: the two arms, n, the difference, and the outcome."""
        spread = "" if self.sd is None else f" ± {self.sd:.3f}"
        difference = "" if self.mean is None else f"difference {self.mean:+.3f}{spread}, "
        return f"{self.arm} minus {self.clean}: n = {self.n}, {difference}{self.outcome}"


def paired_test(arm: str, clean: str, runs: Mapping[int, Run], reference: Mapping[int, Run]) -> PairedTest:
    """Compare the final accuracy of two arms over the seeds that both have finished.

    Args:
        arm: Name of the arm.
        clean: Name of the arm it is compared with.
        runs: Finished runs of ``arm`` by seed.
        reference: Finished runs of ``clean`` by seed.

    Returns:
        The test. It makes no claim under :data:`LEAST` seeds, where the differences do not vary at all (the t-test is
        then undefined), and where a pair was not given equally many labels: its accuracies are not comparable.
    """
    seeds = sorted(runs.keys() & reference.keys())
    n = len(seeds)
    for seed in seeds:
        labels, others = (int(of[seed].summary["labels"]) for of in (runs, reference))
        if labels != others:
            remark = f"not compared: seed {seed} has {labels} labels in {arm} and {others} in {clean}"
            return PairedTest(arm, clean, n, None, None, None, None, remark)
    ours, theirs = ([float(of[seed].summary["accuracy"]) for seed in seeds] for of in (runs, reference))
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean = statistics.fmean(differences) if n else None
    sd = statistics.stdev(differences) if n > 1 else None
    if n < LEAST:
        return PairedTest(arm, clean, n, mean, sd, None, None, f"no claim (under {LEAST} seeds)")
    if max(differences) - min(differences) < ALIKE:
        return PairedTest(arm, clean, n, mean, sd, None, None, "no claim (the differences do not vary: no t-test)")
    result = stats.ttest_rel(ours, theirs)
    return PairedTest(arm, clean, n, mean, sd, float(result.statistic), float(result.pvalue), "")
