"""Rows of a table with a label each: words as numbers, labels by a threshold, splits by sizes, features from 0 to 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aal.checks import refuse
from aal.data.csv_file import CSVColumn
from aal.data.samples import Sources
from aal.data.splits import stratified

ENCODINGS = ("one_hot", "ordinal")


@dataclass(frozen=True)
class Rows:
    """Rows of numbers, each with a label.

    Args:
        values: The features, float64 ``(N, D)``.
        labels: The labels, int64 ``(N,)``.
        names: The name of each feature.
        sources: Where the rows come from; ``None`` where they come from no file.
    """

    values: Tensor
    labels: Tensor
    names: Sequence[str]
    sources: Sources | None = None

    def take(self, indices: Tensor) -> "Rows":
        """Return the rows of indices ``(B,)``."""
        return Rows(self.values[indices], self.labels[indices], self.names, self.sources and self.sources.take(indices))


def encoded(columns: Sequence[CSVColumn], encoding: str) -> tuple[Tensor, tuple[str, ...]]:
    """Return the features that columns make.

    Args:
        columns: Columns of numbers, each a feature as it is, and of words.
        encoding: What becomes of words: ``one_hot``, a feature for each word, 1 where the row has it and else 0, or
            ``ordinal``, one feature, the place of the word among the column's words, sorted.

    Returns:
        The features, float64 ``(N, D)``, and their names, such as ``sex=F`` of a word.
    """
    parts, names = list[NDArray[np.float64]](), list[str]()
    for column in columns:
        if column.words is None or encoding == "ordinal":
            parts.append(column.values[:, None])
            names.append(column.name)
        else:
            parts.append((column.values[:, None] == np.arange(len(column.words))).astype(np.float64))
            names += [f"{column.name}={word}" for word in column.words]
    return torch.from_numpy(np.concatenate(parts, 1)), tuple(names)


def classes_of(column: CSVColumn) -> tuple[Tensor, tuple[str, ...]]:
    """Return the labels ``(N,)`` that a column of words gives, and the classes' names.

    Classes are in the order of their names, or of the numbers that these say; names of the same number are one class.

    Raises:
        UserError: There is one class alone.
    """
    words = column.words or ()
    numbers = [_number(word) for word in words]
    if None in numbers:
        names, place = words, np.arange(len(words))
    else:
        values, place = np.unique(np.array(numbers, dtype=np.float64), return_inverse=True)
        names = tuple(f"{value:.0f}" if value.is_integer() else repr(float(value)) for value in values)
    refuse(len(names) < 2, f"label: column {column.name!r} has one class alone, {names[0]!r}")
    return torch.from_numpy(place[column.values.astype(np.int64)].astype(np.int64)), names


def by_threshold(column: CSVColumn, threshold: float, at_least: bool) -> tuple[Tensor, tuple[str, str]]:
    """Return labels ``(N,)``, 1 where a column's number is above a threshold and else 0, and the classes' names.

    Args:
        column: A column of numbers.
        threshold: The threshold.
        at_least: Whether a number that equals the threshold is of class 1, too.

    Raises:
        UserError: The column has words; all numbers lie on one side.
    """
    refuse(column.words is not None, f"threshold: column {column.name!r} has words, not numbers; leave it null")
    labels = column.values >= threshold if at_least else column.values > threshold
    names = (
        (f"below {threshold:g}", f"at least {threshold:g}")
        if at_least
        else (f"at most {threshold:g}", f"above {threshold:g}")
    )
    refuse(
        labels.all() or not labels.any(),
        f"threshold: every {column.name} is {names[int(labels.any())]}; they are from {column.values.min():g} to "
        f"{column.values.max():g}",
    )
    return torch.from_numpy(labels).long(), names


def split(
    rows: Rows, sizes: Mapping[str, int | None], arguments: Mapping[str, str], classes: int, draw: torch.Generator
) -> dict[str, Rows]:
    """Split rows at random, stratified.

    Args:
        rows: The rows.
        sizes: How many each split gets; ``None``, of one of them, for all that are left.
        arguments: What the user calls the size of each split.
        classes: Number of classes.
        draw: The only source of randomness.

    Returns:
        The rows of each split that gets any, and of ``craft``.

    Raises:
        UserError: More rows are asked for than there are; a split other than ``craft`` would lack a class.
    """
    asked = {part: size for part, size in sizes.items() if size is not None}
    left, most = len(rows.labels) - sum(asked.values()), max(asked, key=lambda part: asked[part])
    told = ", ".join(f"{arguments[part]} {size}" for part, size in asked.items())
    line = f"{arguments[most]}: {told} are too many for {len(rows.labels)} rows"
    refuse(left < 0, line)
    refuse(
        len(asked) < len(sizes) and left < classes,
        f"{line}: {left} would be left for the adversary, where there are {classes} classes",
    )
    wanted = [left if size is None else size for size in sizes.values()]
    shares = [size / len(rows.labels) for size in (*wanted, len(rows.labels) - sum(wanted))]
    parts = dict(zip(sizes, stratified(rows.labels, shares, draw), strict=False))
    for part, indices in parts.items():
        counts = torch.bincount(rows.labels[indices], minlength=classes)
        absent = int(counts.argmin())
        refuse(
            part != "craft" and len(indices) and not counts[absent],
            f"{arguments[part]}: {len(indices)} rows have none of class {absent}, of which there are "
            f"{int((rows.labels == absent).sum())} in all; take more, or do without that class",
        )
    return {part: rows.take(indices) for part, indices in parts.items() if len(indices) or part == "craft"}


def scaled(parts: Mapping[str, Rows], by: str) -> dict[str, Tensor]:
    """Scale features so that they are from 0 to 1 in one split.

    What is the same in all rows of that split becomes 0 everywhere, since no scale of it is known. Other splits may lie
    beyond 0 and 1: nothing is clipped.

    Args:
        parts: The rows of each split.
        by: The split that tells where features begin and end.

    Returns:
        The features of each split, float32 ``(N, D)``.

    Raises:
        UserError: A feature's range in that split is too small, or too large, for its numbers to be divided by.
    """
    own = parts[by].values
    low, high = own.amin(0), own.amax(0)
    varies = high > low
    width = torch.where(varies, high - low, 1.0)
    found = {part: torch.where(varies, (rows.values - low) / width, 0.0).float() for part, rows in parts.items()}
    for x in found.values():
        bad = (~x.isfinite()).any(0).nonzero()[:, 0].tolist()
        refuse(
            bad,
            f"column {parts[by].names[bad[0]]!r} cannot be scaled by {by}, where it is from {low[bad[0]]:g} to "
            f"{high[bad[0]]:g}; leave it out"
            if bad
            else "",
        )
    return found


def _number(word: str) -> float | None:
    try:
        return None if "_" in word else float(word)
    except ValueError:
        return None
