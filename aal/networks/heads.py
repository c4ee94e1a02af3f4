"""The dense heads of the paper: NN1, one layer on the features, and NN2, a hidden layer and the output."""

from dataclasses import dataclass

from torch import nn

from aal.checks import at_least, refuse


@dataclass(frozen=True, kw_only=True)
class DenseHead:
    """What is trained on top of a backbone.

    Source: Müller and Böttinger, "Adversarial Vulnerability of Active Transfer Learning", sections IV.A and IV.C.

    Args:
        hidden: Neurons of the hidden layer; 0 for no such layer (NN1).
        dropout: Share of inputs dropped before each dense layer in training, in [0, 0.5].

    Raises:
        UserError: A value is outside its range.
    """

    hidden: int = 0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        at_least(0, {"hidden": self.hidden})
        refuse(not 0 <= self.dropout <= 0.5, f"dropout: must be in [0, 0.5], got {self.dropout}")

    @property
    def name(self) -> str:
        """The paper's name: ``"NN1"`` or ``"NN2"``."""
        return "NN2" if self.hidden else "NN1"

    def build(self, features: int, classes: int) -> nn.Sequential:
        """Return fresh layers from ``(B, features)`` to logits ``(B, classes)``; the last one is the output."""
        dropout = [nn.Dropout(self.dropout)] if self.dropout else []
        hidden = [nn.Linear(features, self.hidden), nn.ReLU(), *dropout] if self.hidden else []
        return nn.Sequential(*dropout, *hidden, nn.Linear(self.hidden or features, classes))
