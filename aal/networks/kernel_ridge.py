"""Kernel ridge regression as a classifier: the least squares fit of the labels in the space of a kernel."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from aal.attacks.soft_vote import squared_distances
from aal.checks import at_least, at_least_or_none, count, one_of, refuse
from aal.distances import faults
from aal.networks.instance_network import InstanceNetwork

KERNELS = ("linear", "rbf", "polynomial")
ELEMENTS = 2**23  # of a block of the kernel's matrix: 64 MiB in float64
EPS = torch.finfo(torch.float64).eps


class KernelRidge(InstanceNetwork):
    """Classifies by ``f(x) = sum_i a_i K(x, z_i)``, the ``a`` of the training points z from ``(K + alpha I) a = y``.

    Of two classes ``y`` is -1 and +1, and the logits are ``(-f, f)``; of more it is one-hot, with an ``f`` a class. The
    lower class is predicted where both are equal. As in scikit-learn's ``KernelRidge`` there is no intercept, and

    - ``linear`` is ``x z``,
    - ``rbf`` is ``exp(-gamma |x - z|^2)``,
    - ``polynomial`` is ``(gamma x z + coef0)^degree``.

    The system is solved in float64 by Cholesky's decomposition, when it is first needed after points were taken in:
    ``24 N^2`` bytes. One that is singular, which takes an ``alpha`` of about 0, has the least of its least squares
    solutions, as scikit-learn's. A forward pass takes the memory of its batch and a block of the kernel's matrix; it is
    differentiable. Source: paper *shadow*, section 3.3 and Equation 6, whose lambda is ``alpha``.

    Args:
        sample_shape: Shape of a sample.
        num_classes: Number of classes C.
        kernel: ``linear``, ``rbf`` or ``polynomial``.
        alpha: The penalty, at least 0.
        gamma: As above, at least 0; ``null`` for 1 by the number of a sample's elements.
        degree: The power of a polynomial kernel, a whole number from 1.
        coef0: What is added in a polynomial kernel, at least 0.

    Raises:
        UserError: A value outside its range; another ``kernel``; no class; in ``forward``, training points whose kernel
            is beyond the numbers of float64.

    Attributes:
        coefficients: The ``a``, ``(N, 1)`` of two classes, else ``(N, C)``; none before they are needed.
    """

    coefficients: Tensor

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        num_classes: int,
        kernel: str = "linear",
        alpha: float = 1.0,
        gamma: float | None = None,
        degree: int = 3,
        coef0: float = 1.0,
    ) -> None:
        super().__init__(sample_shape, num_classes)
        one_of(KERNELS, {"kernel": kernel})
        at_least(0, {"alpha": alpha, "coef0": coef0})
        at_least_or_none(0, {"gamma": gamma})
        count({"degree": degree})
        size = max(1, torch.Size(sample_shape).numel())
        self.kernel, self.alpha, self.gamma = kernel, alpha, 1 / size if gamma is None else gamma
        self.degree, self.coef0 = degree, coef0
        self.outputs = 1 if num_classes == 2 else num_classes
        self.register_buffer("coefficients", torch.empty(0, self.outputs, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, *sample_shape)`` to logits ``(B, C)``.

        They are all 0 without training points, and NaN for a sample that is not finite.
        """
        if not self.labels.numel():
            return x.new_zeros(len(x), self.num_classes)
        self._solve()
        samples, coefficients = x.flatten(1).double(), self.coefficients.double()
        size = max(1, ELEMENTS // len(coefficients))
        found = torch.cat([self._kernel(part) @ coefficients for part in samples.split(size)])
        found = found + faults(samples.detach())[:, None]
        return (torch.cat([-found, found], dim=1) if self.outputs == 1 and self.num_classes == 2 else found).to(x.dtype)

    def _kernel(self, x: Tensor) -> Tensor:
        """Return the kernel of samples ``(B, D)`` and the training points, ``(B, N)``."""
        points = self.points.flatten(1).double()
        if self.kernel == "rbf":
            origin = points.mean(0)
            return squared_distances(x - origin, points - origin).mul_(-self.gamma).exp_()
        products = x @ points.T
        return products if self.kernel == "linear" else products.mul_(self.gamma).add_(self.coef0) ** self.degree

    @torch.inference_mode(False)
    @torch.no_grad()
    def _solve(self) -> None:
        """Solve for the coefficients, if that has not been done since points were taken in."""
        if len(self.coefficients) == len(self.labels):
            return
        targets = one_hot(self.labels, self.num_classes).double()
        if self.num_classes == 2:
            targets = targets[:, 1:] - targets[:, :1]
        matrix = self._kernel(self.points.flatten(1).double())
        matrix.diagonal().add_(self.alpha)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if failed:
            finite = matrix.isfinite().all()
            refuse(not finite, f"kernel: the {self.kernel} kernel of the training points is beyond float64")
            solved = torch.linalg.lstsq(
                matrix.cpu(), targets.cpu(), rcond=len(matrix) * EPS, driver="gelsd"
            )  # on CPUs alone
            self.coefficients = solved.solution.to(targets)
        else:
            self.coefficients = torch.cholesky_solve(targets, factor)

    def take_in(self, x: Tensor, labels: Tensor) -> None:
        """As of every such network; the system is to be solved anew."""
        super().take_in(x, labels)
        self.coefficients = self.coefficients.new_empty(0, self.outputs)

    def add(self, x: Tensor, labels: Tensor) -> None:
        """As of every such network; the system is to be solved anew."""
        super().add(x, labels)
        self.coefficients = self.coefficients.new_empty(0, self.outputs)
