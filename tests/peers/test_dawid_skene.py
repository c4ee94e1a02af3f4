"""Dawid and Skene's estimates beside those of the crowd-kit package: the same, step for step."""

import math

import pytest
import torch

from aal.oracles.dawid_skene import dawid_skene
from tests.oracles.test_dawid_skene import C, K, planted

aggregation = pytest.importorskip("crowdkit.aggregation", reason="crowd-kit is not installed (extra peers)")
pandas = pytest.importorskip("pandas", reason="pandas, which crowd-kit needs, is not installed")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:crowdkit")
@pytest.mark.parametrize("iterations", [1, 30])
def test_crowd_kit_says_the_same(iterations: int) -> None:
    samples, labelers, labels, _, _ = planted(300, seed=1)
    found = dawid_skene(samples, labelers, labels, num_labelers=K, num_classes=C, iterations=iterations, tolerance=0)
    table = pandas.DataFrame({"task": samples.numpy(), "worker": labelers.numpy(), "label": labels.numpy()})
    peer = aggregation.DawidSkene(n_iter=iterations, tol=-math.inf).fit(table)
    posterior = torch.tensor(peer.probas_.sort_index()[list(range(C))].to_numpy())
    torch.testing.assert_close(found.posterior, posterior, rtol=1e-6, atol=1e-8)
    prior = torch.tensor(peer.priors_.sort_index().to_numpy())
    torch.testing.assert_close(found.prior, prior, rtol=1e-6, atol=1e-8)
    for (labeler, said), row in peer.errors_.iterrows():
        column = torch.tensor(row[list(range(C))].to_numpy(dtype=float))
        torch.testing.assert_close(found.confusion[labeler, :, said], column, rtol=1e-6, atol=1e-8)
