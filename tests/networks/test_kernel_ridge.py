"""The kernel ridge network is scikit-learn's, whatever the points are."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge as Theirs
from torch import Tensor

from aal.errors import UserError
from aal.networks import KernelRidge
from aal.seeds import generator

KERNELS = {
    "linear": {},
    "rbf": {"gamma": 0.7},
    "polynomial": {"degree": 2, "coef0": 0.5, "gamma": 0.3},
}


def drawn(n: int, size: int, classes: int = 2) -> tuple[Tensor, Tensor]:
    draw = generator(n, "points", size)
    return torch.randn(n, size, generator=draw, dtype=torch.float64), torch.randint(classes, (n,), generator=draw)


def known(points: Tensor, labels: Tensor, classes: int, kernel: str, **arguments: float) -> KernelRidge:
    network = KernelRidge(tuple(points.shape[1:]), classes, kernel, **arguments)
    network.take_in(points, labels)
    return network


def theirs(points: Tensor, targets: Tensor, x: Tensor, kernel: str, **arguments: float) -> np.ndarray:
    fitted = Theirs(kernel=kernel, **arguments).fit(points.numpy(), targets.double().numpy())
    return np.asarray(fitted.predict(x.numpy()))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("n", "size"), [(1, 1), (5, 1), (80, 3), (60, 90)])
@pytest.mark.parametrize("alpha", [1e-3, 1.0])
def test_two_classes_are_minus_one_and_one(kernel: str, n: int, size: int, alpha: float) -> None:
    (points, labels), x = drawn(n, size), drawn(30, size)[0]
    for arguments in ({}, KERNELS[kernel]):
        logits = known(points, labels, 2, kernel, alpha=alpha, **arguments)(x)
        wanted = theirs(points, 2 * labels - 1, x, kernel, alpha=alpha, **arguments)
        assert np.allclose(logits[:, 1].numpy(), wanted, rtol=1e-9, atol=1e-9)
        assert torch.equal(logits[:, 0], -logits[:, 1])


@pytest.mark.parametrize("kernel", KERNELS)
def test_more_classes_are_one_hot(kernel: str) -> None:
    (points, labels), x = drawn(70, 4, 3), drawn(30, 4)[0]
    wanted = theirs(points, torch.eye(4)[labels], x, kernel, **KERNELS[kernel])  # class 3 has no points
    logits = known(points, labels, 4, kernel, **KERNELS[kernel])(x)
    assert np.allclose(logits.numpy(), wanted, rtol=1e-9, atol=1e-9)
    one = known(points, torch.zeros_like(labels), 1, kernel, **KERNELS[kernel])(x)
    assert np.allclose(one[:, 0].numpy(), theirs(points, torch.ones(70), x, kernel, **KERNELS[kernel]))


@pytest.mark.parametrize("kernel", KERNELS)
def test_lattices_duplicates_constant_features_and_one_class(kernel: str) -> None:
    draw = generator(0, "lattice")
    points = torch.randint(3, (90, 3), generator=draw).double()
    points[:, 1] = 2.0
    x = torch.randint(3, (40, 3), generator=draw).double()
    for labels in (torch.randint(2, (90,), generator=draw), torch.ones(90).long()):
        logits = known(points, labels, 2, kernel, **KERNELS[kernel])(x)
        wanted = theirs(points, 2 * labels - 1, x, kernel, **KERNELS[kernel])
        assert np.allclose(logits[:, 1].numpy(), wanted, rtol=1e-9, atol=1e-9)


def test_in_single_precision_it_is_what_double_precision_gives_of_the_same_points() -> None:
    (points, labels), x = drawn(60, 5), drawn(30, 5)[0].float()
    single = known(points.float(), labels, 2, "rbf")(x)
    assert single.dtype == torch.float32
    wanted = theirs(points.float().double(), 2 * labels - 1, x.double(), "rbf")
    assert np.allclose(single[:, 1].numpy(), wanted, rtol=1e-6, atol=1e-7)


def test_a_system_without_one_solution_has_the_least_one() -> None:
    points = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]).double()
    labels, x = torch.tensor([1, 1, 0]), torch.tensor([[0.5, 3.0], [-2.0, 1.0]]).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs says that it is singular
        wanted = theirs(points, 2 * labels - 1, x, "linear", alpha=0.0)
    network = known(points, labels, 2, "linear", alpha=0.0)
    assert np.allclose(network(x)[:, 1].numpy(), wanted)
    assert np.allclose(wanted, [0.5, -2.0]), "f(x) is the first feature"
    torch.testing.assert_close(network.coefficients[:, 0], torch.full((3,), 1 / 3).double() * torch.tensor([1, 1, -1]))


def test_many_points_without_a_penalty_are_the_least_squares_fit() -> None:
    """Of 97 eigenvalues seven are not 0, and rounding alone must not count as the others."""
    (points, labels), x = drawn(97, 7), drawn(40, 7)[0]
    fit = torch.linalg.lstsq(points, 2 * labels[:, None].double() - 1).solution
    torch.testing.assert_close(known(points, labels, 2, "linear", alpha=0.0)(x)[:, 1:], x @ fit)


def test_what_lies_between_the_classes_is_of_the_lower() -> None:
    network = known(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]), 2, "linear")
    logits = network(torch.tensor([[0.0], [0.1], [-0.1]]))
    assert logits[0].tolist() == [0.0, 0.0]
    assert logits.argmax(1).tolist() == [0, 1, 0]
    swapped = known(torch.tensor([[-1.0], [1.0]]), torch.tensor([1, 0]), 2, "linear")
    assert swapped(torch.tensor([[0.0]])).argmax(1).tolist() == [0]


@pytest.mark.parametrize("kernel", KERNELS)
def test_its_gradient_is_that_of_the_function(kernel: str) -> None:
    network = known(*drawn(20, 3), 2, kernel, **KERNELS[kernel])
    x = drawn(6, 3)[0].requires_grad_()
    assert torch.autograd.gradcheck(network, x)


def test_blocks_change_nothing_and_images_are_flattened(monkeypatch: pytest.MonkeyPatch) -> None:
    (points, labels), x = drawn(30, 12, 3), drawn(20, 12)[0]
    wanted = known(points, labels, 3, "rbf")(x)
    monkeypatch.setattr("aal.networks.kernel_ridge.ELEMENTS", 70)
    images = known(points.view(30, 3, 2, 2), labels, 3, "rbf")(x.view(20, 3, 2, 2))
    torch.testing.assert_close(images, wanted)


def test_it_is_solved_once_and_anew_for_other_points() -> None:
    (points, labels), x = drawn(30, 3), drawn(5, 3)[0]
    network = known(points, labels, 2, "rbf")
    assert len(network.coefficients) == 0
    with torch.inference_mode():
        first = network(x)
    solved = network.coefficients
    leaf = x.clone().requires_grad_()
    torch.testing.assert_close(network(leaf), first)
    assert torch.autograd.grad(network(leaf)[:, 1].sum(), leaf)[0].abs().sum() > 0
    assert network.coefficients is solved
    other = 1 - labels
    network.take_in(points, other)
    torch.testing.assert_close(network(x), -first)
    network.add(points[:1], other[:1])
    assert np.allclose(
        network(x)[:, 1].numpy(),
        theirs(torch.cat([points, points[:1]]), 2 * torch.cat([other, other[:1]]) - 1, x, "rbf"),
    )


@pytest.mark.parametrize(
    ("kernel", "degree", "scale"), [("linear", 1, 1e200), ("rbf", 1, 1e200), ("polynomial", 400, 9.0)]
)
def test_a_kernel_beyond_float64_is_refused_in_a_line(kernel: str, degree: int, scale: float) -> None:
    network = known(drawn(10, 3)[0] * scale, drawn(10, 3)[1], 2, kernel, degree=degree)
    with pytest.raises(UserError, match=rf"^kernel: the {kernel} kernel of the training points is beyond float64$"):
        network(torch.zeros(1, 3))


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("kernel", "poly", r"^kernel: must be one of linear, rbf, polynomial, got 'poly'$"),
        ("alpha", -1.0, r"^alpha: must be at least 0, got -1.0$"),
        ("gamma", -1.0, r"^gamma: must be at least 0, got -1.0$"),
        ("degree", 0, r"^degree: must be at least 1, got 0$"),
        ("degree", 2.5, r"^degree: must be a whole number, got 2.5$"),
        ("coef0", -1.0, r"^coef0: must be at least 0, got -1.0$"),
    ],
)
def test_bad_arguments_are_refused(argument: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        KernelRidge((2,), 2, **{argument: value})  # type: ignore[arg-type]
