"""Batch norms folded into the convolutions before them while a model is attacked: the same function, less work."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, fx, nn

NORM_OF: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
}
EXACT = (torch.float32, torch.float64)  # half precision would round the folded weights noticeably


@contextmanager
def folded(model: nn.Module) -> Iterator[None]:
    """Let convolutions do the work of the batch norms after them; afterwards everything is as before.

    In evaluation a batch norm is an affine map, and one of a convolution's output is a convolution. Modules in eval
    mode alone are folded, where nothing else sees what is between the two; parameters and buffers stay as they are. A
    model whose forward pass ``torch.fx`` cannot follow, and one with hooks or compiled parts, is left alone.
    """
    pairs = _pairs(model)
    try:
        for convolution, norm in pairs:
            weight, bias = _fold(convolution, norm)
            vars(convolution)["forward"] = partial(convolution._conv_forward, weight=weight, bias=bias)
            vars(norm)["forward"] = nn.Identity().forward
        yield
    finally:
        for pair in pairs:
            for module in pair:
                vars(module).pop("forward", None)


def _pairs(model: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return the convolutions and batch norms of a model that can be folded; what is said of 2d holds for 1d and 3d."""
    modules = dict(model.named_modules())
    # following the forward pass takes some milliseconds
    if not any(type(module) in NORM_OF.values() for module in modules.values()) or any(map(_watched, modules.values())):
        return []
    try:
        nodes = fx.Tracer().trace(model).nodes
    except Exception:  # whatever the user's code raises when it is called without a tensor
        return []
    calls = Counter(node.target for node in nodes if node.op == "call_module")
    pairs = []
    for node in nodes:
        source = node.args[0] if node.args else None
        if node.op == "call_module" and isinstance(source, fx.Node) and source.op == "call_module":
            pair = modules[str(source.target)], modules[str(node.target)]
            if len(source.users) == 1 and calls[source.target] == calls[node.target] == 1 and _foldable(*pair):
                pairs.append(pair)
    return pairs


def _watched(module: nn.Module) -> bool:
    """Tell whether hooks see what goes in or comes out, or compiled code might outlast the folding."""
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return any(hooks) or module._compiled_call_impl is not None


def _foldable(convolution: nn.Module, norm: nn.Module) -> bool:
    """Tell whether the two are a convolution and its batch norm, neither of the user's own kind, in eval mode."""
    return (
        NORM_OF.get(type(convolution)) is type(norm)
        and not norm.training
        and norm.running_mean is not None
        and convolution.weight.dtype in EXACT
        and not any("forward" in vars(module) for module in (convolution, norm))
    )


@torch.no_grad()
def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the weight and bias of the convolution that does both."""
    scale, bias = (norm.get_buffer("running_var") + norm.eps).rsqrt(), -norm.get_buffer("running_mean")
    if norm.weight is not None:
        scale = scale * norm.weight
    if convolution.bias is not None:
        bias = bias + convolution.bias
    bias = bias * scale
    if norm.bias is not None:
        bias = bias + norm.bias
    return convolution.weight * scale.view(-1, *[1] * (convolution.weight.ndim - 1)), bias
