"""Paired tests of two arms over identical seeds, which claim nothing from fewer than five."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace

from scipy import stats

from aal.runs.reading import Run

NAME = "paired t-test, two-sided"
LEAST = 5  # seeds under which no claim is made
ALIKE = 1e-6  # accuracies are kept in float32; two that differ by less are the same count of a test set


@dataclass(frozen=True)
class PairedTest:
    """A quantity of one arm minus that of another, seed by seed.

    Attributes:
        arm: The arm.
        against: The arm it is compared with.
        n: Seeds that both have finished.
        mean: Mean difference; None without a seed, or where the arms are not compared.
        sd: Sample standard deviation of the differences; None under two seeds.
        t: The statistic; None where there is no test.
        p: Its two-sided p value; None where there is no test.
        remark: Why there is no test; empty where there is one.
        digits: Digits after the point that differences are printed with.
    """

    arm: str
    against: str
    n: int
    mean: float | None = None
    sd: float | None = None
    t: float | None = None
    p: float | None = None
    remark: str = ""
    digits: int = 3

    @property
    def outcome(self) -> str:
        """The test and its p value, or why there is none."""
        if self.t is None or self.p is None:
            return self.remark
        return f"{NAME}: t({self.n - 1}) = {self.t:.2f}, p = {self.p:.2g}"

    @property
    def difference(self) -> str:
        """Mean difference and its spread; empty where there is none."""
        if self.mean is None:
            return ""
        return f"{self.mean:+,.{self.digits}f}" + ("" if self.sd is None else f" ± {self.sd:,.{self.digits}f}")

    def __str__(self) -> str:
        """One line: the two arms, n, the difference, and the outcome."""
        difference = f"difference {self.difference}, " if self.difference else ""
        return f"{self.arm} minus {self.against}: n = {self.n}, {difference}{self.outcome}"


def paired_test(arm: str, against: str, runs: Mapping[int, Run], others: Mapping[int, Run]) -> PairedTest:
    """Compare the final accuracy of two arms over the seeds that both have finished.

    Args:
        arm: Name of the arm.
        against: Name of the arm it is compared with.
        runs: Finished runs of ``arm`` by seed.
        others: Finished runs of ``against`` by seed.

    Returns:
        The test, or none where a pair was not given equally many labels: its accuracies are not comparable.
    """
    seeds = sorted(runs.keys() & others.keys())
    for seed in seeds:
        ours, theirs = (int(of[seed].summary["labels"]) for of in (runs, others))
        if ours != theirs:
            remark = f"not compared: seed {seed} has {ours} labels in {arm} and {theirs} in {against}"
            return PairedTest(arm, against, len(seeds), remark=remark)
    final = [{seed: float(run.summary["accuracy"]) for seed, run in of.items()} for of in (runs, others)]
    return paired_values(arm, against, *final)


def paired_values(
    arm: str, against: str, values: Mapping[int, float], others: Mapping[int, float], *, digits: int = 3
) -> PairedTest:
    """Compare a quantity of two arms over the seeds that both have it for.

    Args:
        arm: Name of the arm.
        against: Name of the arm it is compared with.
        values: The quantity in ``arm`` by seed.
        others: The quantity in ``against`` by seed.
        digits: Digits after the point that differences are printed with.

    Returns:
        The test. It makes no claim under :data:`LEAST` seeds, and where the differences do not vary at all: the t-test
        is then undefined.
    """
    seeds = sorted(values.keys() & others.keys())
    n = len(seeds)
    ours, theirs = ([of[seed] for seed in seeds] for of in (values, others))
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean = statistics.fmean(differences) if n else None
    sd = statistics.stdev(differences) if n > 1 else None
    test = PairedTest(arm, against, n, mean, sd, digits=digits)
    if n < LEAST:
        return replace(test, remark=f"no claim (under {LEAST} seeds)")
    if max(differences) - min(differences) < ALIKE:
        return replace(test, remark="no claim (the differences do not vary: no t-test)")
    result = stats.ttest_rel(ours, theirs)
    return replace(test, t=float(result.statistic), p=float(result.pvalue))
