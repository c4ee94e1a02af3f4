"""Beta sampling: where its splits come from, what they are labelled by, and what of them depends on the density."""

from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from aal.datamodules import BetaSampling
from aal.errors import UserError
from aal.theory.regression_functions import ETAS


def made(**arguments: Any) -> BetaSampling:
    data = BetaSampling(**arguments)
    data.setup("fit")
    return data


def split(data: BetaSampling, name: str) -> tuple[Tensor, Tensor]:
    return data.samples[name][torch.arange(len(data.samples[name]))], data.labels[name]


@pytest.mark.parametrize("eta", ETAS)
def test_tests_are_uniform_and_labelled_by_the_bayes_classifier(eta: str) -> None:
    data = made(eta=eta, beta=1.0, n=100, test=4000, validation=500)
    for name, size in (("test", 4000), ("val", 500)):
        x, labels = split(data, name)
        assert x.shape == (size, 2)
        assert torch.equal(labels, (ETAS[eta](x) > 0.5).long())
        assert all(stats.kstest(x[:, axis].numpy(), "uniform").pvalue > 0.01 for axis in (0, 1))


def test_the_pool_leans_to_the_boundary_and_its_labels_are_drawn_from_eta() -> None:
    data = made(eta="linear", beta=2.0, floor=0.02, n=20_000, test=100)
    x, labels = split(data, "pool")
    away = (x[:, 0].double() - 0.5).abs()
    inner = 0.04 / 0.02**2 / (2 * (2 / 0.02 - 2))  # the density's mass within the floor
    assert stats.binomtest(int((away < 0.02).sum()), len(x), inner).pvalue > 0.01
    for part in (away < 0.02, (x[:, 0] > 0.55), (x[:, 0] < 0.4)):
        eta = x[part, 0].double()
        spread = float((eta * (1 - eta)).sum().sqrt())
        assert abs(float(labels[part].sum() - eta.sum())) < 3.5 * spread
    assert torch.equal(data.eta(x), x[:, 0].double())


def test_without_noise_all_labels_are_the_bayes_classifiers() -> None:
    data, noisy = (made(eta="moons", beta=1.0, noisy=noisy, n=2000, test=100) for noisy in (False, True))
    x, labels = split(data, "pool")
    assert torch.equal(labels, ETAS["moons"].bayes(x))
    assert torch.equal(split(noisy, "pool")[0], x), "noise moves no sample"
    assert not torch.equal(split(noisy, "pool")[1], labels)


def test_what_is_tested_on_does_not_depend_on_the_density() -> None:
    one, other = (
        made(beta=beta, floor=floor, n=50, test=300, validation=30) for beta, floor in ((0.0, 0.1), (2.0, 0.02))
    )
    for name in ("test", "val"):
        assert torch.equal(split(one, name)[0], split(other, name)[0])
    assert not torch.equal(split(one, "pool")[0], split(other, "pool")[0])
    assert not torch.equal(split(one, "test")[0][:30], split(one, "val")[0])


def test_a_larger_pool_begins_with_the_smaller_one() -> None:
    few, many = (split(made(beta=1.0, n=n, test=50), "pool") for n in (100, 3000))
    assert torch.equal(many[0][:100], few[0])
    assert torch.equal(many[1][:100], few[1])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"eta": "spiral"}, "eta: must be one of linear, sine, moons, got 'spiral'"),
        ({"beta": -0.5}, "beta: must be at least 0, got -0.5"),
        ({"n": 1}, "n: must be at least 2, got 1"),
        ({"dimensions": 1}, "dimensions: SineEta needs at least 2, got 1"),
        ({"validation": -1}, "validation: must be at least 0, got -1"),
    ],
)
def test_numbers_that_make_no_sense_are_named(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        BetaSampling(**arguments)
    assert str(caught.value) == line


def test_a_split_of_one_class_is_refused() -> None:
    one = next(data for data in (BetaSampling(n=2, test=50, seed=seed) for seed in range(20)) if of_one_class(data))
    with pytest.raises(UserError, match=r"^n: all 2 samples drawn are of one class; take more$"):
        one.setup("fit")


def of_one_class(data: BetaSampling) -> bool:
    """Whether a pool of two, as it is drawn for a larger one, begins with two labels that are the same."""
    first = split(made(n=1000, test=50, seed=data.seed), "pool")[1][:2]
    return bool(first[0] == first[1])
