"""Path length: flip labels of samples that are just so far from the decision boundary."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from aal.attacks.adversarial_path import AdversarialPath
from aal.checks import FROM_1, one_of, refuse
from aal.flips.base import FlipSelector, TooFew
from aal.flips.flip_view import ARRIVED, LENGTH, STEPS, FlipView
from aal.strategies.base import Selection

PAPERS_WALK = partial(AdversarialPath, step_size=0.01, steps=100)  # on samples from 0 to 1


@dataclass(frozen=True)
class PathLength(FlipSelector):
    """Put samples into buckets by the length of their adversarial path, and flip labels at random in one bucket.

    The length is the number of steps; samples with as many steps go by the path's size in L2, and those whose path
    never arrived count as the longest; among equal ones chance decides. Bucket 0 is next to the boundary. Source: paper
    *noise*, section 4.3.3.

    Args:
        attack: The walk, of 0.01 a step in the paper, on samples from 0 to 1.
        targeted: Whether a path leads to the class that its sample would be labelled; else to any other class.
        buckets: Number of buckets.
        divide: ``quantile``: all buckets have the same number of samples, to within one. ``width``: all take the same
            range of steps; one may hold fewer samples than the budget, or none, and is passed over then.
        bucket: The bucket to flip labels in, from 0; ``null`` for each in turn.

    Raises:
        UserError: Fewer than 1 bucket, or a bucket that there is not.
    """

    attack: AdversarialPath = field(default_factory=PAPERS_WALK)
    targeted: bool = True
    buckets: int = 10
    divide: Literal["quantile", "width"] = "quantile"
    bucket: int | None = None
    ranges = FlipSelector.ranges | {"buckets": FROM_1, "divide": partial(one_of, ("quantile", "width"))}

    def __post_init__(self) -> None:
        """Refuse buckets that make no sense."""
        super().__post_init__()
        refuse(
            self.bucket is not None and not 0 <= self.bucket < self.buckets,
            f"bucket: must be from 0 to {self.buckets - 1}, got {self.bucket}",
        )

    @property
    def position(self) -> float | None:
        """The number of the bucket."""
        return None if self.bucket is None else float(self.bucket)

    def variants(self) -> tuple[FlipSelector, ...]:
        """Return one selector a bucket, or this one where it names its bucket."""
        if self.bucket is not None:
            return (self,)
        return tuple(replace(self, bucket=bucket) for bucket in range(self.buckets))

    def room(self, size: int) -> int:
        """Return how many samples the largest of equally large buckets has."""
        return -(-size // self.buckets) if self.divide == "quantile" else size

    def select(self, view: FlipView, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` candidates of the bucket at random; their scores are their numbers of steps.

        The figures tell the bucket's mean number of steps, and the share of its paths that arrived: where few do, as
        towards a class that the clean classifier has never seen, lengths say little.
        """
        paths = view.paths(self.attack, targeted=self.targeted)
        assert self.bucket is not None
        shuffled = view.shuffled
        inside = shuffled[bucket_of(paths[shuffled], self.buckets, self.divide) == self.bucket]
        refuse(len(inside) < n, f"bucket {self.bucket} of {self.buckets} has {len(inside)} samples", TooFew)
        chosen = inside[torch.randperm(len(inside), generator=generator)[:n]]
        steps, _, arrived = paths[inside].mean(0).tolist()
        return Selection(
            view.candidates[chosen], paths[chosen, STEPS], figures={"path_steps": steps, "path_arrived": arrived}
        )


def bucket_of(paths: Tensor, buckets: int, divide: str) -> Tensor:
    """Return the bucket of each path, int64 ``(U,)``.

    Args:
        paths: As :meth:`aal.flips.FlipView.paths` gives them, ``(U, 3)``.
        buckets: Number of buckets.
        divide: ``quantile`` or ``width``, as of :class:`PathLength`.
    """
    steps = paths[:, STEPS]
    if divide == "width":
        low, high = steps.min(), steps.max()
        width = (high - low) / buckets if high > low else torch.ones_like(high)
        return ((steps - low) / width).long().clamp_(max=buckets - 1)
    return shortest_first(paths).argsort() * buckets // len(paths)


def shortest_first(paths: Tensor) -> Tensor:
    """Return the order ``(U,)`` of paths ``(U, 3)``: by steps, then by size in L2; what never arrived comes last."""
    return torch.from_numpy(np.lexsort((paths[:, LENGTH], paths[:, STEPS], -paths[:, ARRIVED])))
