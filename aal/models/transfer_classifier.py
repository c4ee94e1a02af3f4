"""The transfer learner: a pre-trained backbone, frozen or not, and a dense head on its features."""

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from aal.checks import rate, refuse
from aal.models.classifier import Classifier, dry_run, reset_parameters
from aal.networks.heads import DenseHead
from aal.networks.named_backbone import NamedBackbone


class TransferClassifier(Classifier):
    """A dense head on a backbone's features (paper *collision*, section IV.A).

    While the backbone is frozen every split is encoded once and the head is trained on the cached features. From the
    round ``unfreeze_at`` on, backbone and head are trained together on the samples themselves: the paper's defence
    (section IV.E). Each such round starts again from the pre-trained backbone.

    Args:
        backbone: The pre-trained feature extractor: a module from samples to features ``(B, D)`` with an attribute
            ``feature_size`` D, such as an :class:`aal.networks.Backbone`.
        head: The dense head: NN1 without, NN2 with a hidden layer.
        num_classes: Number of classes C; the CLI takes it from the datamodule.
        sample_shape: Shape of a sample, which the backbone must be able to take; the CLI takes it from the datamodule.
            ``None`` leaves it to be seen.
        freeze: Whether the backbone stays as it was pre-trained.
        unfreeze_at: First round in which a frozen backbone is trained too; ``null`` for never.
        learning_rate: Adam's step size for the head.
        backbone_learning_rate: Adam's step size for a backbone that is trained.
        weight_decay: Adam's L2 penalty.

    Raises:
        UserError: A backbone without ``feature_size``, or that cannot take the samples or makes features of another
            size of them; ``unfreeze_at`` with ``freeze: false``, or below 0; a step size that is not positive.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: DenseHead,
        num_classes: int,
        sample_shape: tuple[int, ...] | None = None,
        freeze: bool = True,
        unfreeze_at: int | None = None,
        learning_rate: float = 1e-3,
        backbone_learning_rate: float = 1e-4,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(num_classes, learning_rate, weight_decay)
        refuse(
            unfreeze_at is not None and not freeze,
            "unfreeze_at: only a frozen backbone can be unfrozen; set freeze: true",
        )
        refuse(
            unfreeze_at is not None and unfreeze_at < 0, f"unfreeze_at: must be a round, 0 or later, got {unfreeze_at}"
        )
        rate({"backbone_learning_rate": backbone_learning_rate})
        feature_size: Any = getattr(backbone, "feature_size", None)
        refuse(
            not isinstance(feature_size, int),
            f"backbone: {type(backbone).__name__} has no feature_size, a whole number",
        )
        if sample_shape is not None:
            remedy = "; images can be resized: set the backbone's size" if isinstance(backbone, NamedBackbone) else ""
            made = tuple(dry_run(backbone, sample_shape, "backbone", remedy).shape)
            refuse(
                made != (2, feature_size),
                f"backbone: its feature_size is {feature_size}, but a sample's features are {made[1:]}",
            )
        self.backbone, self.feature_size = backbone, feature_size
        self.head, self.head_name = head.build(feature_size, num_classes), head.name
        self.backbone_learning_rate = backbone_learning_rate
        self.trained_from = unfreeze_at if freeze else 0
        self._pretrained = None if self.trained_from is None else copy.deepcopy(backbone.state_dict())
        self.start_round(0)

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` in the data's range to logits ``(B, C)``."""
        return cast(Tensor, self.head(self.backbone(x)))

    def features(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` to the input of the head's last layer ``(B, D)``."""
        return cast(Tensor, self.head[:-1](self.backbone(x)))

    def encode(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` to the backbone's features ``(B, D)``."""
        return cast(Tensor, self.backbone(x))

    def classify(self, inputs: Tensor) -> Tensor:
        """Map samples, or the backbone's features ``(B, D)`` while it is frozen, to logits ``(B, C)``."""
        return cast(Tensor, self.head(inputs if self.encoded else self.backbone(inputs)))

    def embed(self, inputs: Tensor) -> Tensor:
        """Map samples, or the backbone's features while it is frozen, to the input of the last layer ``(B, D)``."""
        return cast(Tensor, self.head[:-1](inputs if self.encoded else self.backbone(inputs)))

    @property
    def pretrained(self) -> dict[str, Tensor]:
        """The backbone's weights."""
        return cast(dict[str, Tensor], self.backbone.state_dict())

    def start_round(self, round: int) -> None:
        """Freeze or unfreeze the backbone, as this round has it."""
        self.encoded = self.trained_from is None or round < self.trained_from
        self.backbone.requires_grad_(not self.encoded)

    def renew(self, generator: torch.Generator) -> None:
        """Draw a fresh head; the backbone goes back to its pre-trained weights."""
        reset_parameters(self.head, generator)
        if self._pretrained is not None:
            self.backbone.load_state_dict(self._pretrained)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam over the head, and over the backbone with its own step size where it is trained."""
        groups: list[dict[str, Any]] = [{"params": list(self.head.parameters()), "lr": self.learning_rate}]
        if not self.encoded:
            groups.append({"params": list(self.backbone.parameters()), "lr": self.backbone_learning_rate})
        return torch.optim.Adam(groups, weight_decay=self.weight_decay)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave a frozen backbone out: it never changes, and a checkpoint is written every round."""
        if self.encoded:
            weights = checkpoint["state_dict"]
            checkpoint["state_dict"] = {k: v for k, v in weights.items() if not k.startswith("backbone.")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the pre-trained backbone back in where it was left out."""
        weights = self.backbone.state_dict(prefix="backbone.")  # it also says which version of its layers it is of
        weights.update(checkpoint["state_dict"])
        checkpoint["state_dict"] = weights
