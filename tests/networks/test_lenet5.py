"""LeNet-5: the sizes of its layers."""

import pytest
import torch

from aal.networks import LeNet5


def test_the_layers_are_the_papers() -> None:
    sizes = [tuple(parameter.shape) for name, parameter in LeNet5().named_parameters() if name.endswith("weight")]
    assert sizes == [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]


@pytest.mark.parametrize("classes", [2, 10])
def test_it_maps_images_to_logits_that_depend_on_every_pixel(classes: int) -> None:
    torch.manual_seed(0)
    network = LeNet5(num_classes=classes)
    x = torch.rand(3, 1, 28, 28, requires_grad=True)
    logits = network(x)
    assert logits.shape == (3, classes)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), x)
    assert (gradient.amax((2, 3)) > 0).all()
    assert torch.equal(gradient.isfinite(), torch.ones_like(x, dtype=torch.bool))
