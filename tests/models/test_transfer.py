"""The transfer learner: what is frozen, what is renewed, what is saved."""

import pytest
import torch

from aal.errors import UserError
from aal.models import TransferClassifier
from aal.networks import DenseHead, DigitBackbone, NamedBackbone
from aal.seeds import generator


def model(**options: object) -> TransferClassifier:
    classifier = TransferClassifier(DigitBackbone(), DenseHead(hidden=8), num_classes=10, **options)  # type: ignore[arg-type]
    classifier.renew(generator(0, "weights", 0))
    return classifier


def images(n: int = 4) -> torch.Tensor:
    return torch.rand(n, 1, 8, 8, generator=generator(0, "images"))


def test_cached_features_give_the_same_logits_as_the_images() -> None:
    frozen, trained = model(), model(freeze=False)
    x = images()
    assert frozen.encoded
    torch.testing.assert_close(frozen.classify(frozen.encode(x)), frozen(x))
    assert not trained.encoded
    torch.testing.assert_close(trained.classify(x), trained(x))
    assert frozen.features(x).shape == (4, 8)
    torch.testing.assert_close(frozen.head[-1](frozen.features(x)), frozen(x))


def test_only_what_is_trained_is_given_to_the_optimizer() -> None:
    frozen = model()
    groups = frozen.configure_optimizers().param_groups
    assert [parameter for group in groups for parameter in group["params"]] == list(frozen.head.parameters())
    frozen_then = model(unfreeze_at=2, backbone_learning_rate=0.5)
    assert len(frozen_then.configure_optimizers().param_groups) == 1
    frozen_then.start_round(2)
    assert not frozen_then.encoded
    assert [group["lr"] for group in frozen_then.configure_optimizers().param_groups] == [1e-3, 0.5]
    assert all(parameter.requires_grad for parameter in frozen_then.backbone.parameters())


def test_every_round_starts_from_the_pre_trained_backbone_and_a_fresh_head() -> None:
    classifier = model(freeze=False)
    pretrained = {name: tensor.clone() for name, tensor in classifier.backbone.state_dict().items()}
    first = classifier.head[-1].weight.clone()
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.add_(1.0)
    classifier.renew(generator(0, "weights", 1))
    assert all(torch.equal(tensor, pretrained[name]) for name, tensor in classifier.backbone.state_dict().items())
    assert not torch.equal(classifier.head[-1].weight, first)
    classifier.renew(generator(0, "weights", 0))
    assert torch.equal(classifier.head[-1].weight, first), "the same generator gives the same weights"


def test_renewing_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    model()
    classifier = model()
    torch.set_rng_state(before)
    classifier.renew(generator(0, "weights", 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_any_module_with_a_feature_size_is_a_backbone() -> None:
    backbone = torch.nn.Flatten()
    with pytest.raises(UserError, match=r"^backbone: Flatten has no feature_size"):
        TransferClassifier(backbone, DenseHead(), num_classes=3)
    backbone.feature_size = 64  # type: ignore[assignment]
    assert TransferClassifier(backbone, DenseHead(), num_classes=3)(images()).shape == (4, 3)


@pytest.mark.parametrize("options", [{"freeze": False, "unfreeze_at": 3}, {"unfreeze_at": -1}, {"learning_rate": 0.0}])
def test_contradictions_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"unfreeze_at|learning_rate"):
        model(**options)


@pytest.mark.parametrize("shape", [(3, 8, 8), (8000,)])
def test_a_backbone_that_cannot_take_the_samples_is_refused_before_it_is_trained(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"^backbone: DigitBackbone cannot take samples of shape"):
        model(sample_shape=shape)
    assert model(sample_shape=(1, 8, 8)).training, "it is as it was before"


def test_a_backbone_that_can_resize_says_so() -> None:
    backbone = NamedBackbone("squeezenet1_1", "none")
    with pytest.raises(
        UserError, match=r"NamedBackbone cannot take .*too small.*images can be resized: set the backbone.s size"
    ):
        TransferClassifier(backbone, DenseHead(), num_classes=3, sample_shape=(1, 8, 8))
    assert TransferClassifier(backbone, DenseHead(), num_classes=3, sample_shape=(1, 40, 40)).feature_size == 512


def test_a_backbone_that_misstates_its_feature_size_is_refused() -> None:
    backbone = torch.nn.Flatten()
    backbone.feature_size = 63  # type: ignore[assignment]
    with pytest.raises(UserError, match=r"backbone: its feature_size is 63, but a sample's features are \(64,\)"):
        TransferClassifier(backbone, DenseHead(), num_classes=3, sample_shape=(1, 8, 8))


def test_a_frozen_backbone_that_asks_for_its_version_comes_back_from_a_checkpoint() -> None:
    classifier = TransferClassifier(NamedBackbone("mnasnet0_5", "none"), DenseHead(), num_classes=3)
    checkpoint = {"state_dict": {name: tensor.clone() for name, tensor in classifier.state_dict().items()}}
    classifier.on_save_checkpoint(checkpoint)
    assert checkpoint["state_dict"].keys() == {"head.0.weight", "head.0.bias"}
    wanted = checkpoint["state_dict"]["head.0.weight"].clone()
    classifier.renew(generator(0, "weights", 1))
    classifier.on_load_checkpoint(checkpoint)
    classifier.load_state_dict(checkpoint["state_dict"])
    assert torch.equal(classifier.head[0].weight, wanted)
