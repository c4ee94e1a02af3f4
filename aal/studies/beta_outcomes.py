"""What a study of training points near the boundary found: the area of each density beside that of the uniform one."""

from collections.abc import Sequence
from dataclasses import dataclass

from aal.runs.reading import Run, class_and_arguments, number, part
from aal.studies.comparison import AT, accuracy_at
from aal.studies.paired import PairedTest, paired_values
from aal.studies.study import Cells, Row, Study

NAMES = {"NearestNeighbours": "k-NN", "NadarayaWatson": "Nadaraya-Watson", "KernelRidge": "kernel ridge"}
LEVEL = 0.05  # of a test, after correction


@dataclass(frozen=True)
class Sampling:
    """What a run's training points were drawn from, and what was trained on them.

    Attributes:
        eta: The share of class 1.
        noisy: Whether labels were drawn from it.
        dimensions: Elements of a sample.
        classifier: What was trained.
        beta: How far the density leans to the boundary.
        floor: Its floor.
    """

    eta: str
    noisy: bool
    dimensions: int
    classifier: str
    beta: float
    floor: float

    @property
    def title(self) -> str:
        """All but the density."""
        cube = "" if self.dimensions == 2 else f", d = {self.dimensions}"
        return f"{self.eta}{cube}, {'noisy labels' if self.noisy else 'labels without noise'}, {self.classifier}"

    @property
    def density(self) -> str:
        """The density alone."""
        return f"β = {self.beta:g}" + (f", floor {self.floor:g}" if self.beta else "")


@dataclass(frozen=True)
class Comparison:
    """The area of a row's arm minus that of the arm it is compared with, at one number of training points.

    Attributes:
        row: The row.
        n: Training points.
        test: The test over identical seeds.
        corrected: Its p value by Holm's correction over all tests against the same arm; None where there is no test.
    """

    row: Row
    n: int
    test: PairedTest
    corrected: float | None = None

    @property
    def outcome(self) -> str:
        """``larger``, ``smaller``, or ``undecided``."""
        if self.corrected is None or self.corrected >= LEVEL or self.test.mean is None:
            return "undecided"
        return "larger" if self.test.mean > 0 else "smaller"


def setting_of(run: Run) -> Sampling | None:
    """Return a run's setting by its configuration; None where its data are no :class:`aal.datamodules.BetaSampling`."""
    data, arguments = part(run, "data")
    model, own = part(run, "model")
    network, of_network = class_and_arguments(own.get("network"))
    classifier = NAMES.get(network or model, network or model)
    if network == "NadarayaWatson" and of_network.get("kernel", "gaussian") != "gaussian":
        classifier += f" ({of_network['kernel']})"
    beta, floor = number(arguments, "beta"), number(arguments, "floor")
    if data != "BetaSampling" or beta is None or floor is None:
        return None
    eta, noisy, dimensions = (arguments.get(key) for key in ("eta", "noisy", "dimensions"))
    return Sampling(str(eta), bool(noisy), int(dimensions or 0), classifier, beta, floor)


def setting_of_arm(cells: Cells, arm: str) -> Sampling | None:
    """Return the setting of an arm's first finished run; None where there is none."""
    run = next(iter(cells[arm].values()), None)
    return None if run is None else setting_of(run)


def groups_of_rows(study: Study) -> dict[str, list[str]]:
    """Return the arms that are read together: by the name of the arm that others are compared with, it and they."""
    found: dict[str, list[str]] = {}
    for row in study.rows:
        arms = found.setdefault(row.group, [row.group])
        arms += [row.arm] if row.arm not in arms else []
    return found


def compared_at_each(study: Study, cells: Cells) -> list[Comparison]:
    """Compare each row's arm with its other one at each number of training points that both have."""
    by_group: dict[str, list[Comparison]] = {}
    for row in study.rows:
        for n in study.settings[AT] if row.against else ():
            ours, theirs = (areas(cells, arm, n) for arm in (row.arm, row.group))
            if ours.keys() & theirs.keys():
                test = paired_values(f"{row.arm}, n = {n:,}", f"{row.group}, n = {n:,}", ours, theirs, digits=4)
                by_group.setdefault(row.group, []).append(Comparison(row, n, test))
    return [one for own in by_group.values() for one in _corrected(own)]


def areas(cells: Cells, arm: str, n: int) -> dict[int, float]:
    """Return the area of an arm's runs with so many training points by seed, of those that have it."""
    found = {seed: accuracy_at(run, n) for seed, run in cells[arm].items()}
    return {seed: area for seed, area in found.items() if area is not None}


def holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected by Holm's step-down procedure, in their order."""
    corrected, most = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        most = max(most, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = most
    return corrected


def _corrected(own: list[Comparison]) -> list[Comparison]:
    tested = [(place, one.test.p) for place, one in enumerate(own) if one.test.p is not None]
    found = dict(zip((place for place, _ in tested), holm([p for _, p in tested]), strict=True))
    return [Comparison(one.row, one.n, one.test, found.get(place)) for place, one in enumerate(own)]
