"""What one network's queries are worth to another: Table 4 of paper *dfal*."""

from aal.checks import refuse
from aal.runs.reading import Run, class_and_arguments, common, number, part
from aal.studies.comparison import AGAINST, ARM, DATA, SEEDS, compared, final_data
from aal.studies.likeness import Facts, Figures, facts_of, papers_figures
from aal.studies.results import Column, Table, Value, mean_sd
from aal.studies.study import Cells, Row, Study, TableKind

CHOOSER = "Chooser's accuracy: that of the network which chose the labels, at the end of its own run."
COLUMNS = (
    ARM,
    Column("strategy", "queries of"),
    Column("source_network", "chosen by"),
    Column("network", "trained"),
    SEEDS,
    Column("accuracy", "accuracy", 4, estimated=True),
    Column("accuracy_source", "chooser's accuracy", 4, estimated=True, note=CHOOSER),
    Column("labels", "labels", counts=True),
    Column("data", "samples trained on", 0, estimated=True, of=final_data, note=DATA),
    Column("source", printed=False),
    *AGAINST,
)


def transfer_table(study: Study, cells: Cells) -> Table:
    """Make the table of replayed runs from the finished cells of a study.

    Args:
        study: The study; the arm of each row replays the cells of one other arm.
        cells: Finished runs by arm and seed.
    """

    def source_of(row: Row) -> str:
        return study.arms[row.arm].reads[0]

    def own(row: Row, runs: list[Run], figures: Figures) -> dict[str, Value]:
        chosen = list(cells[source_of(row)].values())
        return {
            "strategy": common(chosen, "strategy"),
            "source_network": _network(chosen),
            "network": _network(runs),
            "accuracy_source": mean_sd(number(run.summary, "accuracy") for run in chosen),
            "source": source_of(row),
        }

    def facts(row: Row, run: Run) -> Facts:
        chosen = next(iter(cells[source_of(row)].values()), None)
        return {f"source.{key}": fact for key, fact in facts_of(chosen).items()} if chosen else {}

    return compared(study, cells, COLUMNS, own=own, facts=facts)


def _check(study: Study, called: str) -> None:
    for index, row in enumerate(study.rows):
        refuse(
            len(study.arms[row.arm].reads) != 1,
            f"{called}: rows[{index}].arm: {row.arm} must read the cells of one other arm (cell:ARM)",
        )


KIND = TableKind(transfer_table, papers=tuple(papers_figures("transfer")), check=_check)


def _network(runs: list[Run]) -> str | None:
    """Return the class of the network that runs train, or their backbone and head, by the first one's configuration."""
    if not runs:
        return None
    _, model = part(runs[0], "model")
    network, _ = class_and_arguments(model.get("network"))
    backbone, arguments = class_and_arguments(model.get("backbone"))
    named = arguments.get("name") or backbone  # a NamedBackbone is what it is called
    return network or " + ".join(str(text) for text in (named, runs[0].summary.get("head")) if text) or None
