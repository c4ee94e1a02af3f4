"""Expected gradient length: the candidates whose label is expected to change the weights most."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from aal.checks import FROM_1, one_of, or_none, refuse
from aal.errors import UserError
from aal.models import Classifier
from aal.models.classifier import OnInputs
from aal.strategies.base import Selection, Strategy, View, highest

# Numbers of gradients held at a time: more than its caches take make a processor slower; a GPU is slow to start a step.
FLOATS = {"cpu": 2**23, "cuda": 2**27}


@dataclass(frozen=True)
class EGL(Strategy):
    """Query the highest expected length of the gradient of the cross entropy by the weights.

    For each class the gradient's L2 norm, were that the label, is weighted by the class's predicted probability.

    Source: Settles, Craven and Ray, "Multiple-Instance Active Learning", section 3.2; with a random subset of the
    unlabelled samples, whose size it does not say, in paper *dfal*, section 4.2.

    Args:
        scope: Of which weights: ``"last_layer"``, the last dense layer's weight and bias, in closed form, or
            ``"network"``, all that the round trains. The latter differentiates C times a sample and holds at most
            2**23 numbers of gradients (32 MiB) on a CPU, 2**27 on a GPU, or one sample's gradient if that is larger.
        subset: Candidates looked at, drawn anew for each query, but never fewer than it queries; ``null`` for all.

    Raises:
        UserError: Another scope, or a subset below 1; in ``check``, no dense layer with ``"last_layer"``; in
            ``select``, a network that ``torch.func`` cannot differentiate sample by sample.
    """

    scope: Literal["last_layer", "network"] = "last_layer"
    subset: int | None = 1000
    ranges = Strategy.ranges | {"scope": partial(one_of, ("last_layer", "network")), "subset": or_none(FROM_1)}

    def check(self, module: Classifier) -> None:
        """Refuse a classifier without a dense layer where the last one's gradient is asked for.

        Raises:
            UserError: It has none.
        """
        refuse(
            self.scope == "last_layer" and not any(isinstance(layer, nn.Linear) for layer in module.modules()),
            f"scope: {type(module).__name__} has no nn.Linear; set it to network",
        )

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose the ``n`` candidates of highest expected gradient length."""
        some = view.among(self.subset, n, generator)
        if self.scope == "last_layer":
            lengths = some.map(lambda batch: last_layer_lengths(some.module, some.inputs(batch)), some.candidates)
        else:
            names = trained(some.module)  # asked here: within ``map`` nothing is trained
            lengths = some.map(lambda batch: network_lengths(some.module, names, some.inputs(batch)), some.candidates)
        return highest(self, some, lengths, n, generator)


def last_layer_lengths(module: Classifier, inputs: Tensor) -> Tensor:
    """Return the expected length of the gradient by the last dense layer's weight and bias.

    With class probabilities p and the layer's input h, label y gives the gradient (p - e_y) h^T by the weight and
    p - e_y by the bias; its length is |p - e_y| sqrt(|h|^2 + 1).

    Args:
        module: A classifier whose last ``nn.Linear``, in order of definition, makes the logits.
        inputs: What ``module.classify`` takes, ``(B, ...)``.

    Returns:
        One value a sample ``(B,)``, float64.
    """
    layer = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
    embedded = module.embed(inputs)
    probabilities: Tensor = layer(embedded).double().softmax(-1)
    residuals = (_others(probabilities.square()) + _others(probabilities).square()).sqrt()
    bias = 0.0 if layer.bias is None else 1.0
    return (probabilities * residuals).sum(-1) * (embedded.double().square().sum(-1) + bias).sqrt()


def _others(values: Tensor) -> Tensor:
    """Sum the other columns, for each column of values ``(..., C)``; 1 - p would have no digits of a small sum."""
    before, after = values.cumsum(-1), values.flip(-1).cumsum(-1).flip(-1)
    return nn.functional.pad(before[..., :-1], (1, 0)) + nn.functional.pad(after[..., 1:], (0, 1))


def trained(module: Classifier) -> list[str]:
    """Return the names of the parameters that the present round trains."""
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]


def network_lengths(module: Classifier, names: list[str], inputs: Tensor) -> Tensor:
    """Return the expected length of the gradient by the named parameters, by differentiating once a class.

    The passes of a chunk, one a sample and class, are no more than ``inputs`` has samples, so that activations take
    the memory of a batch; how many gradients are held at a time stands in :class:`EGL`.

    Args:
        module: A classifier in eval mode.
        names: Parameters as ``named_parameters`` has them.
        inputs: What ``module.classify`` takes, ``(B, ...)``.

    Returns:
        One value a sample ``(B,)``, float64.

    Raises:
        UserError: The network cannot be differentiated sample by sample: it changes a state of its own in place, say,
            or branches on values.
    """
    network, own = OnInputs(module), dict(module.named_parameters())
    parameters = {f"module.{name}": own[name].detach() for name in names}
    size = sum(parameter.numel() for parameter in parameters.values())
    at_once = max(min(FLOATS.get(inputs.device.type, FLOATS["cpu"]) // size, len(inputs)), 1)
    labels = min(at_once, module.num_classes)

    def expected(x: Tensor) -> Tensor:
        logits, pull = vjp(lambda changed: functional_call(network, changed, (x.unsqueeze(0),))[0], parameters)[:2]
        probabilities: Tensor = logits.double().softmax(-1)
        same = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        residuals = torch.where(same, -_others(probabilities), probabilities)
        sizes: Tensor = residuals.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)

        def length(residual: Tensor) -> Tensor:
            norms = [torch.linalg.vector_norm(gradient) for gradient in pull(residual)[0].values()]
            return torch.stack(norms).square().sum().sqrt()

        # Of residuals of length 1, for squares of small ones would be 0 in float32.
        each: Tensor = vmap(length, chunk_size=labels)((residuals / sizes).to(logits.dtype))
        return (probabilities * sizes.squeeze(-1)) @ each.double()

    try:
        lengths: Tensor = vmap(expected, chunk_size=max(at_once // labels, 1))(inputs)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        named = getattr(module, "backbone", None) or getattr(module, "network", module)
        raise UserError(
            f"scope: {type(named).__name__} cannot be differentiated sample by sample "
            f"({str(error).strip().splitlines()[0]}); set it to last_layer"
        ) from None
    return lengths
