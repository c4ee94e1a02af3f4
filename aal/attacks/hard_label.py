"""What the attacks on labels alone share: their arguments, their call, what they return."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aal.attacks.base import FROM_0, FROM_1, Adversarial, Attack, Task, attacking, check_samples, column
from aal.attacks.black_box import Labels, Predict
from aal.attacks.label_search import LabelSearch
from aal.attacks.norms import NORMS, but_l1
from aal.checks import refuse


@dataclass(frozen=True, kw_only=True)
class HardLabel(Attack):
    """The attacks that see labels alone, and are told how many.

    Args:
        queries: Most queries of the model for a sample, at least 0; the first is for the sample itself. With 0 nothing
            is asked and every sample fails; with 1 only those that are wrong to begin with do not.
        norm: The norm that is minimized and reported: ``l2`` or ``linf``.
        starts: Random points tried as first ones, at least 1; ten times as many where none is of use.
        chunk: Most points that the model is asked about at once, at least 1; memory and time depend on it alone.

    Raises:
        UserError: A value outside its range.
    """

    queries: int = 5000
    norm: str = "l2"
    starts: int = 100
    chunk: int = 1000
    ranges = Attack.ranges | {"queries": FROM_0, "norm": but_l1, "starts": FROM_1, "chunk": FROM_1}

    def __call__(
        self,
        model: nn.Module | Predict,
        x: Tensor,
        y: Tensor,
        *,
        target: Tensor | None = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        seeds: Tensor | None = None,
        start: Tensor | None = None,
    ) -> Adversarial:
        """Attack samples: arguments as of every :class:`Attack`, but for ``model``, and ``start``.

        Args:
            model: A callable from samples ``(B, ...)`` to labels ``(B,)``, whole numbers, which is asked as it is; or a
                module from samples to logits, of which nothing but which is the highest is used.
            x: Samples ``(B, ...)``.
            y: Labels ``(B,)``.
            target: Classes to reach ``(B,)``.
            bounds: The data's range; its ends may be infinite.
            seeds: int64 ``(B,)``.
            start: Points that the attacker has, such as samples of a pool of its own: one ``(B, ...)`` or S
                ``(B, S, ...)`` for each sample, within ``bounds``. Each costs a query, and the first search begins at
                the best of those that reach the goal; where none does, or none is given, at the best of random ones. In
                many dimensions these hardly ever reach a target: give some of its class.

        Returns:
            As of every attack.

        Raises:
            UserError: An argument is not of this kind; the callable does not return labels.
            RunStopped: The module's output is not finite; names the samples by their row.
        """
        asked = model if isinstance(model, nn.Module) else Labels(model)
        with attacking(asked, x, y, target=target, bounds=bounds, seeds=seeds) as task:
            task.start = None if start is None else _starts(task, start)
            found = self.attack(task)
        return self._checked(task, found)

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            The nearest points that were seen to reach the goal, and where there are none, or nothing was to be done,
            the samples as they are; ``success``, ``distance`` in the attack's ``norm``, the ``queries`` made, and in
            ``info`` the size of the perturbations in both norms, ``l2`` and ``linf``.
        """
        search = LabelSearch(task, NORMS[self.norm], self.queries, self.chunk, self.between)
        rows = task.rows if self.queries else task.rows[:0]
        with torch.no_grad():
            there = search.box.reaches(task.x[rows], rows)
            search.keep(rows, task.x[rows], there)
            self.search(search, rows[~there])
        best = search.best
        success = best.distance.isfinite()
        x = torch.where(column(success, task.x), best.x, task.x)
        sizes = {name: NORMS[name].size(x - task.x) for name in ("l2", "linf")}
        return Adversarial(x, success, sizes[self.norm], search.box.asked, sizes)

    @abstractmethod
    def search(self, search: LabelSearch, rows: Tensor) -> None:
        """Look for near points that reach the goal, for ``rows`` ``(N,)``, while queries are left."""

    def between(self, x: Tensor, far: Tensor, share: Tensor) -> Tensor:
        """Return the points at ``share`` ``(N,)`` of ways from samples ``x`` to points ``far`` ``(N, ...)``: straight.

        They are new, and may be a little outside of the data's range.
        """
        return x.lerp(far, column(share, x))


def _starts(task: Task, start: Tensor) -> Tensor:
    """Return points to begin with ``(B, S, ...)``.

    Raises:
        UserError: They are not of the samples' shape, not finite or not within the bounds.
    """
    shape, points = tuple(task.x.shape), start if start.ndim == task.x.ndim + 1 else start[:, None]
    fits = len(points) == shape[0] and tuple(points.shape[2:]) == shape[1:] and points.shape[1] > 0
    several = (shape[0], "S", *shape[1:])
    refuse(not fits, f"start: must be {shape}, or {several} with S points a sample, not {tuple(start.shape)}")
    moved = points.detach().to(task.x)
    check_samples(moved, (task.low, task.high), "start")
    return moved
