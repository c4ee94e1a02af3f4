"""Dawid and Skene's estimate of how labelers err, from samples that several of them labelled."""

from dataclasses import dataclass

import torch
from torch import Tensor

LEAST = 1e-10  # what a count that is 0 is taken for, as in the crowd-kit package: its logarithm must be finite


@dataclass(frozen=True)
class Estimate:
    """What answers say about labelers and samples, all float64.

    Attributes:
        confusion: Probability that a labeler says a label, by the true one, ``(K, C, C)``: labeler, true, said. A row
            of a class that a labeler has not met says nothing: it is uniform.
        prior: Share of each class among the samples ``(C,)``.
        posterior: Probability of each class for each sample ``(N, C)``.
        error: Share of each labeler's answers that are wrong, as the posterior has it, ``(K,)``; NaN without answers.
    """

    confusion: Tensor
    prior: Tensor
    posterior: Tensor
    error: Tensor


def dawid_skene(
    samples: Tensor,
    labelers: Tensor,
    labels: Tensor,
    *,
    num_labelers: int,
    num_classes: int,
    iterations: int = 200,
    tolerance: float = 1e-6,
) -> Estimate:
    """Estimate true labels and labelers' confusion by expectation maximisation, beginning with the shares of the votes.

    Source: A. P. Dawid, A. M. Skene, *Maximum likelihood estimation of observer error-rates using the EM algorithm*,
    Applied Statistics 28 (1979), equations 2.3 to 2.5.

    Args:
        samples: The sample of each answer, from 0 to N - 1, each of which has an answer, ``(A,)`` int64.
        labelers: Its labeler, from 0 to K - 1, ``(A,)``.
        labels: What was said ``(A,)``.
        num_labelers: Number of labelers K.
        num_classes: Number of classes C.
        iterations: Most steps.
        tolerance: Change of the posterior, at its largest, below which they end.
    """
    size = int(samples.max()) + 1 if len(samples) else 0
    votes = torch.zeros(size, num_classes, dtype=torch.float64)
    votes.index_put_((samples, labels), torch.ones(len(samples), dtype=torch.float64), accumulate=True)
    posterior = votes / votes.sum(1, keepdim=True)
    for _ in range(iterations):
        counts, confusion, prior = _maximised(samples, labelers, labels, posterior, num_labelers)
        # what an answer says about each true class, added up over a sample's answers
        said = confusion.log()[labelers, :, labels]
        joint = prior.clamp(min=LEAST).log().repeat(size, 1).index_add_(0, samples, said)
        before, posterior = posterior, joint.softmax(1)
        if not size or float((posterior - before).abs().max()) < tolerance:
            break
    counts, confusion, prior = _maximised(samples, labelers, labels, posterior, num_labelers)
    return Estimate(confusion, prior, posterior, 1 - counts.diagonal(dim1=1, dim2=2).sum(1) / counts.sum((1, 2)))


def _maximised(
    samples: Tensor, labelers: Tensor, labels: Tensor, posterior: Tensor, num_labelers: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the expected numbers of answers ``(K, C, C)``, the confusion ``(K, C, C)`` and the prior ``(C,)``."""
    c = posterior.shape[1]
    by_answer = torch.zeros(num_labelers * c, c, dtype=torch.float64)  # labeler and said, by true
    by_answer.index_add_(0, labelers * c + labels, posterior[samples])
    counts = by_answer.view(num_labelers, c, c).transpose(1, 2)
    bounded = counts.clamp(min=LEAST)
    return counts, bounded / bounded.sum(2, keepdim=True), posterior.mean(0)
