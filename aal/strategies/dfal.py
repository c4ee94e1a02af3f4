"""DFAL: DeepFool active learning. The candidates nearest to a decision boundary, each with its adversarial copy."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from aal.attacks.base import column, divisor
from aal.attacks.deepfool import DeepFool
from aal.attacks.norms import NORMS, but_l1
from aal.checks import FROM_1, one_of, or_none, positive, refuse
from aal.errors import RunStopped
from aal.strategies.base import Crafted, Selection, Strategy, View, ascending, points_in, refuse_nan
from aal.strategies.k_center import k_center
from aal.strategies.least_confidence import doubt_of

CHUNK = 64  # samples attacked between two looks at whether the nearest are found


@dataclass(frozen=True)
class DFAL(Strategy):
    """Query the candidates that DeepFool moves least to another class; each enters training twice.

    The second time it is its adversarial copy, with the label that the oracle gives the sample: it costs no budget. A
    random subset of the pool is looked at; the samples are attacked, through a backbone if there is one, in the space
    of the data.

    The query needs the nearest only. Samples are attacked in the order of their linearised distances, and those whose
    linearised distance is above ``slack`` times the n-th smallest distance found are not attacked: such a sample would
    be chosen only if its distance were less than 1/``slack`` of its linearised one. ``slack: null`` attacks all.

    Those that DeepFool moves to no other class come last, by their linearised distance, and have no copy. Where that
    goes for the first 128, as with a classifier that knows one class only, no more are attacked unless ``slack`` is
    ``null``.

    Source: paper *dfal*, Algorithm 1 (p = 2); ``diversity`` is what its section 4.2 suggests; ``magnitude`` and
    ``rank: confidence`` are those of paper *shadow*, Table 7. That text gives ``e^-k`` as the magnitude of the
    perturbation, which can be read as its whole size or as what is added to it: ``beyond`` chooses. It does not say how
    either is made.

    Args:
        subset: How many candidates to look at, K (the paper does not say how many); ``null`` for all.
        norm: The norm of perturbations: ``l2`` or ``linf``.
        steps: Most steps of DeepFool.
        slack: See above, at least 1; ``null`` for the exact order.
        diversity: The ``diversity`` times n nearest are thinned to n by greedy k-center on the features; 1 for the n
            nearest themselves.
        rank: ``distance``, or ``confidence``: query those whose adversarial copies are classified with the highest
            probability; scores are then the log-odds that the copy's class is wrong.
        magnitude: Size of the crafted perturbations in ``norm``, less where the data's range cuts them; ``null`` for
            DeepFool's own.
        beyond: Whether ``magnitude`` is added to DeepFool's perturbation, in its direction, instead of replacing it.
        craft: Whether the adversarial copies are trained on.

    Raises:
        UserError: A value outside its range; ``beyond`` without ``magnitude``.
    """

    subset: int | None = 1000
    norm: Literal["l2", "linf"] = "l2"
    steps: int = 50
    slack: float | None = 2.0
    diversity: int = 1
    rank: Literal["distance", "confidence"] = "distance"
    magnitude: float | None = None
    beyond: bool = False
    craft: bool = True
    columns = ("perturbation",)
    ranges = Strategy.ranges | {
        "norm": but_l1,
        **dict.fromkeys(("steps", "diversity"), FROM_1),
        **dict.fromkeys(("subset", "slack"), or_none(FROM_1)),
        "rank": partial(one_of, ("distance", "confidence")),
        "magnitude": or_none(positive),
    }

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        refuse(self.beyond and self.magnitude is None, "beyond: says what magnitude means; give one")

    @property
    def crafts(self) -> bool:
        """Whether its selections may have crafted copies."""
        return self.craft

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose the ``n`` nearest candidates of a random subset, at least as large as ``n``."""
        view = view.among(self.subset, n, generator)
        wanted, linearised = min(self.diversity * n, len(view.candidates)), self._linearised(view)
        order = ascending(linearised, generator)
        if self.rank == "confidence":
            found = self._attacked(view, view.candidates, confidence=True)
            scores = torch.where(found["success"], found["doubt"], torch.inf)
        else:
            scores = self._distances(view, linearised, order, wanted)
        order = order[scores[order].argsort(stable=True)][:wanted]
        if wanted > n:  # those whose features cover the others', together with the labelled samples'
            order = order[k_center(*points_in(self, view.only(order), "features"), n).picks]
        chosen = view.candidates[order]
        copies = self._attacked(view, chosen)
        moved, distances = chosen[copies["success"]], copies["distance"][copies["success"]]
        figures = {"perturbation": float(distances.mean())} if len(distances) else {}
        crafted = Crafted(self._copies(view, moved, copies["x"][copies["success"]]), moved) if self.craft else None
        return Selection(chosen, scores[order], crafted, figures=figures)

    def _distances(self, view: View, linearised: Tensor, order: Tensor, wanted: int) -> Tensor:
        """Return DeepFool's distances of the candidates ``(U,)``, exact for the ``wanted`` nearest.

        Those of the others, and of those that DeepFool moved to no other class, are infinite. Candidates are attacked
        in an order ``(U,)``, that of their linearised distances ``(U,)``.
        """
        distances = torch.full_like(linearised, torch.inf)
        for number, places in enumerate(order.split(max(CHUNK, wanted))):
            nearest = distances.topk(wanted, largest=False).values[-1]
            # A classifier of one class: none of those that should be nearest could be moved.
            vain = number >= 2 and bool(distances.isinf().all())
            if self.slack is not None and (vain or linearised[places[0]] > self.slack * nearest):
                break
            found = self._attacked(view, view.candidates[places])
            distances[places] = torch.where(found["success"], found["distance"], torch.inf)
        return distances

    def _linearised(self, view: View) -> Tensor:
        """Return the linearised distances of the candidates ``(U,)``; stop where the classifier's output is NaN."""

        def linearised(batch: Tensor) -> Tensor:
            x = view.images(batch)
            logits = view.module(x)
            finite, distances = logits.isfinite().all(1), torch.full_like(logits[:, 0], torch.nan)
            if finite.any():
                some, labels = x[finite], logits[finite].argmax(1)
                distances[finite] = DeepFool(norm=self.norm).linearised(view.module, some, labels, bounds=view.bounds)
            return distances

        return refuse_nan(self, view.candidates, view.map(linearised, view.candidates).cpu())

    def _attacked(self, view: View, indices: Tensor, *, confidence: bool = False) -> dict[str, Tensor]:
        """Attack candidates ``(N,)``: ``distance``, ``success`` ``(N,)`` and copies ``x`` ``(N, ...)``, on the CPU.

        With ``confidence`` there is the ``doubt`` ``(N,)`` of the copies' classes, log-odds, instead of all copies.
        """

        def attacked(batch: Tensor) -> dict[str, Tensor]:
            x, attack = view.images(batch), DeepFool(norm=self.norm, steps=self.steps)
            try:
                found = attack(view.module, x, view.module(x).argmax(1), bounds=view.bounds)
            except RunStopped as stop:
                raise RunStopped(f"DFAL, among the indices {batch.tolist()}: {stop}") from None
            kept = {"doubt": doubt_of(view.module(found.x).double())} if confidence else {"x": found.x}
            return {"distance": found.distance, "success": found.success, **kept}

        return {name: part.cpu() for name, part in view.map(attacked, indices).items()}

    def _copies(self, view: View, indices: Tensor, x: Tensor) -> Tensor:
        """Return the copies to train on ``(N, ...)``, of the magnitude asked for, given DeepFool's ``x``."""
        if self.magnitude is None:
            return x
        sources = view.images(indices).cpu()
        way = x - sources
        size = NORMS[self.norm].size(way)
        wanted = size + self.magnitude if self.beyond else torch.full_like(size, self.magnitude)
        return (sources + way * column(wanted / divisor(size), way)).clamp(*view.bounds)
