"""A model of which only labels are seen: every point asked about is counted, and none is asked that was not granted."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from aal.attacks.base import Task
from aal.checks import kind_of, refuse
from aal.errors import UserError

Predict = Callable[[Tensor], Any]


class Labels(nn.Module):
    """A callable from samples ``(B, ...)`` to labels ``(B,)``, as the module that an attack's call takes.

    Args:
        predict: Returns whole numbers: a tensor of any integer type on any device, an array or a list. It may do to the
            samples what it likes; they are a copy.

    Raises:
        UserError: It cannot be called.
    """

    def __init__(self, predict: Predict) -> None:
        super().__init__()
        refuse(
            not callable(predict),
            f"model: must be a module with logits or a callable that returns labels, not {kind_of(predict)}",
        )
        self.predict = predict

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` to labels, int64 ``(B,)``, on their device.

        Raises:
            UserError: What the callable returned is something else.
        """
        given = self.predict(x.clone())
        wanted = f"model: must map {len(x)} samples to {len(x)} labels, whole numbers"
        try:
            labels = torch.as_tensor(given)
        except (TypeError, ValueError, RuntimeError):
            raise UserError(f"{wanted}, not {kind_of(given)}") from None
        whole = not (labels.is_floating_point() or labels.is_complex())
        refuse(labels.shape != (len(x),) or not whole, f"{wanted}, not {kind_of(labels)}")
        return labels.to(x.device, torch.int64)


class BlackBox:
    """Says of points whether they reach a task's goal, and counts them.

    Attributes:
        asked: Points that were asked about for each sample, int64 ``(B,)``.
        most: How many may be, int64 ``(B,)``; points beyond are not asked about, and count as not reaching it.
    """

    def __init__(self, task: Task, queries: int, chunk: int) -> None:
        self.task, self.chunk = task, chunk
        self.asked = torch.zeros_like(task.rows)
        self.most = torch.full_like(task.rows, queries)

    def left(self, rows: Tensor) -> Tensor:
        """Return how many more points may be asked about for ``rows`` ``(N,)``, int64 ``(N,)``."""
        return self.most[rows] - self.asked[rows]

    def reaches(self, points: Tensor, rows: Tensor) -> Tensor:
        """Tell whether points ``(N, ...)`` of the different ``rows`` ``(N,)`` reach the goal, bool ``(N,)``."""
        return self.ask(points[:, None], rows)[0][:, 0]

    def ask(self, points: Tensor, rows: Tensor, wanted: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Ask about several points a sample.

        Args:
            points: ``(N, M, ...)``.
            rows: The samples, all different, ``(N,)``.
            wanted: Which of them to ask about, bool ``(N, M)``; ``None`` for all.

        Returns:
            Which reach the goal, and which were asked about: the first of those wanted that the budget allows;
            bool ``(N, M)`` both.
        """
        if wanted is None:
            wanted = torch.ones(points.shape[:2], dtype=torch.bool, device=points.device)
        asked = wanted & (wanted.cumsum(1) <= self.left(rows)[:, None])
        self.asked[rows] += asked.sum(1)
        reached = torch.zeros_like(asked)
        flat = points.flatten(0, 1) if asked.all() else points[asked]  # waits for the device
        of = rows[:, None].expand(asked.shape)[asked]
        if len(flat):
            parts = zip(flat.split(self.chunk), of.split(self.chunk), strict=True)
            reached[asked] = torch.cat([self._reached(*part) for part in parts])
            self.task.refuse_nan()
        return reached, asked

    def _reached(self, points: Tensor, rows: Tensor) -> Tensor:
        task = self.task
        if not isinstance(task.model, Labels):
            return task.reached(task.predict(points, rows), task.labels[rows])
        with torch.no_grad():
            same: Tensor = task.model(points) == task.labels[rows]
        return same if task.targeted else ~same
