"""What a robust evaluation attacks: a model on samples, a batch at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from aal.attacks import Adversarial, Attack
from aal.attacks.base import WarmStart, attacking
from aal.checks import refuse
from aal.data.samples import Samples
from aal.errors import RunStopped, UserError
from aal.robustness.outcomes import COLUMNS
from aal.seeds import sample_seeds

Indexed = Tensor | Samples  # samples by index: a tensor ``(N, ...)``, or what need not be in memory


@dataclass(frozen=True)
class Subject:
    """What is attacked: a model on ``N`` samples, of which ``rows`` are positions, 0 to N - 1."""

    model: nn.Module
    x: Indexed
    index: Tensor
    label: Tensor
    target: Tensor | None
    bounds: tuple[float, float]
    seed: int

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        tensors = chain(self.model.parameters(), self.model.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    def natural(self, rows: Tensor) -> Tensor:
        """Predict the classes of ``rows`` ``(B,)`` without an attack, ``(B,)``."""
        batch = self.batch(rows)
        with located("without an attack", self.index[rows]):
            return self.predicted(batch.x, batch.y)

    def attacked(self, name: str, series: Sequence[Attack], rows: Tensor) -> dict[str, Tensor]:
        """Attack ``rows`` ``(B,)`` with one attack after another, each time those that are left.

        Args:
            name: What to call it where it fails.
            series: The attacks. From the second on each begins, if it can be told to, with what the last one made.
            rows: Which samples.

        Returns:
            The tensors of an outcome ``(B,)``.
        """
        batch, left, start = self.batch(rows), torch.arange(len(rows), device=self.device), None
        found = {name: torch.zeros_like(left, dtype=torch.float64 if name == "distance" else None) for name in COLUMNS}
        for attack in series:
            now = batch.take(left)
            with located(name, self.index[rows][left.cpu()]):
                result = self.attack(attack, now, start)
                after = self.predicted(result.x, now.y)
            found["after"][left], found["distance"][left] = after, result.distance.double()
            found["queries"][left] += result.queries
            found["tried"][left] += 1
            survived = after == now.y if now.target is None else after != now.target
            left, start = left[survived], result.x[survived]
            if len(left) == 0:
                break
        return found

    def batch(self, rows: Tensor) -> "Batch":
        """Return what an attack on ``rows`` ``(B,)`` takes, on the model's device."""
        index = self.index[rows]
        return Batch(
            self.x[index].to(self.device),
            self.label[rows].to(self.device),
            None if self.target is None else self.target[rows].to(self.device),
            sample_seeds(self.seed, "robust", index).to(self.device),
        )

    def attack(self, attack: Attack, batch: "Batch", start: Tensor | None = None) -> Adversarial:
        """Attack a batch, from ``start`` ``(B, ...)`` where it is given and the attack can be told to.

        Raises:
            RunStopped: What came back are no samples like those given, or no distances.
        """
        call = attack if start is None or not isinstance(attack, WarmStart) else partial(attack, start=start)
        result = call(self.model, batch.x, batch.y, target=batch.target, bounds=self.bounds, seeds=batch.seeds)
        low, high = self.bounds
        refuse(
            result.x.shape != batch.x.shape or not ((result.x >= low) & (result.x <= high)).all(),
            f"must return samples {tuple(batch.x.shape)} in [{low}, {high}], as it was given",
            RunStopped,
        )
        refuse(not result.distance.isfinite().all(), "returned a distance that is not finite", RunStopped)
        return result

    def predicted(self, x: Tensor, y: Tensor) -> Tensor:
        """Predict the classes of samples ``(B, ...)`` with labels ``y`` ``(B,)``, ``(B,)``."""
        with attacking(self.model, x, y, target=None, bounds=self.bounds, seeds=None) as task:
            return task.predict(x).argmax(1)


@dataclass(frozen=True)
class Batch:
    """What an attack takes of ``B`` samples: themselves, their labels, targets or ``None``, seeds."""

    x: Tensor
    y: Tensor
    target: Tensor | None
    seeds: Tensor

    def take(self, rows: Tensor) -> "Batch":
        """Return the batch of the samples at ``rows`` ``(K,)`` alone."""
        return Batch(self.x[rows], self.y[rows], None if self.target is None else self.target[rows], self.seeds[rows])


@contextmanager
def located(what: str, index: Tensor) -> Iterator[None]:
    """Say what was done where an error came up, and which samples of ``index`` ``(B,)`` its rows are."""
    try:
        yield
    except (UserError, RunStopped) as error:
        where = f" (counted over all samples: {index[list(error.rows)].tolist()})" if error.rows else ""
        raise type(error)(f"{what}: {error}{where}") from error
