"""Any table in a text file, with a column of labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from aal.checks import finite_number, one_of, or_none, refuse
from aal.data.csv_file import CSVFile
from aal.data.decoding import printable
from aal.data.rows import ENCODINGS, Rows, by_threshold, classes_of, encoded
from aal.data.samples import Sources
from aal.datamodules.tabular import Tabular


class CSVTable(Tabular):
    """A CSV file, a row a sample, one column of which has the labels; the others are features, numbers or words.

    A column has words where its first row has one; a value that is missing (``NA`` and the like), not finite or, among
    numbers, no number, is refused with its line and column. Columns are named by the header, or by their number from 0,
    from -1 backwards.

    Args:
        file: The file's path below ``root``.
        root: The folder.
        separator: What parts values: one character, or ``tab``.
        header: Whether the first row has the columns' names.
        label: The column of the labels. Its words, or numbers, are the classes, sorted.
        threshold: Number above which the label is class 1 and else 0; ``null``: every word is a class.
        at_least: Whether a number that equals ``threshold`` is of class 1, too.
        ignore: Columns to leave out.
        text: Columns of words even where they look like numbers, such as codes.
        encoding: What becomes of words: ``one_hot``, a feature for each, or ``ordinal``, one feature, the word's place
            among the column's words, sorted.
        name: What the data set is called in the run's records; ``null`` for the file's name.
        options: Arguments of :class:`Tabular`.

    Attributes:
        columns: The name of each feature, such as ``length``, or ``sex=F`` of a word.

    Raises:
        UserError: As of :class:`Tabular`; the file is missing or damaged, or has another form; no such column; nothing
            is left as a feature; one class alone.
    """

    def __init__(
        self,
        file: str,
        root: str = "data",
        separator: str = ",",
        header: bool = True,
        label: str | int = -1,
        threshold: float | None = None,
        at_least: bool = False,
        ignore: Sequence[str | int] = (),
        text: Sequence[str | int] = (),
        encoding: str = "one_hot",
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        one_of(ENCODINGS, {"encoding": encoding})
        or_none(finite_number)({"threshold": threshold})
        path = Path(root) / file
        table = CSVFile(path, separator, header)
        labelling = table.number(label, "label")
        left_out = {table.number(one, "ignore") for one in ignore}
        words = {table.number(one, "text") for one in text}
        for given, others in (("ignore", left_out), ("text", words)):
            refuse(labelling in others, f"{given}: {table.names[labelling]!r} is the column of the labels")
        used = [place for place in range(len(table.names)) if place not in left_out | {labelling}]
        refuse(not used, f"{path}: no column is left as a feature; is separator: {separator!r} right?")
        read, _ = table.read([*used, labelling], words | ({labelling} if threshold is None else set()))
        labels, self.classes = (
            classes_of(read[-1]) if threshold is None else by_threshold(read[-1], threshold, at_least)
        )
        refuse(
            2 * len(self.classes) > len(labels),
            f"label: column {read[-1].name!r} has {len(self.classes)} different values in {len(labels)} rows; name "
            "another, or set a threshold where it has numbers",
        )
        values, self.columns = encoded(read[:-1], encoding)
        self.num_classes, self.sample_shape = len(self.classes), (values.shape[1],)
        self.name = name or printable(Path(file).stem)
        every = torch.arange(len(labels))
        self._rows = Rows(values, labels, self.columns, Sources.rows([Path(file).as_posix()], [len(labels)], every))

    def rows(self) -> Rows:
        """Return the rows, which had to be read to know their shape."""
        return self._rows
