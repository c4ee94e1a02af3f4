"""A view of a classifier's samples, for the tests of single strategies."""

from collections.abc import Callable

import torch
from torch import Tensor

from aal.attacks.base import frozen
from aal.models import Classifier
from aal.sharding import Results, Shard
from aal.strategies import View


def view_of(module: Classifier, x: Tensor, batch: int = 4, shard: Shard | None = None) -> View:
    """Return a view in which all inputs ``x`` but the first are candidates, or what a rank of many sees of it."""

    def mapped(function: Callable[[Tensor], Results], indices: Tensor) -> Results:
        with frozen(module), torch.no_grad():
            return (shard or Shard()).map(function, indices, batch)

    candidates, first = torch.arange(1, len(x)), torch.tensor([0])
    return View(
        module,
        candidates,
        first,
        lambda i: x[i],
        lambda i: x[i],
        mapped,
        {},
        len(candidates),
        labelled_labels=torch.tensor([0]),
    )
