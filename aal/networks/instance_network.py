"""Networks that learn by taking in their training set, which is all the weights that they have."""

from typing import Any

import torch
from torch import Tensor, nn

from aal.checks import at_least, refuse


class InstanceNetwork(nn.Module):
    """A network that classifies by its training set, which grows at a cost in proportion to what is added.

    Points keep the precision that they are given in. Among points that are alike in all else the order counts in which
    they are taken in.

    Args:
        sample_shape: Shape of a sample.
        num_classes: Number of classes C.

    Raises:
        UserError: No class.

    Attributes:
        points: The training points ``(N, *sample_shape)``, none before :meth:`take_in`.
        labels: Their labels ``(N,)``, from 0 to C - 1.
    """

    points: Tensor
    labels: Tensor

    def __init__(self, sample_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        at_least(1, {"num_classes": num_classes})
        self.num_classes = num_classes
        self.register_buffer("points", torch.empty(0, *sample_shape))
        self.register_buffer("labels", torch.empty(0, dtype=torch.int64))
        self._room: tuple[Tensor, Tensor] | None = None  # tensors that points and labels are the beginnings of

    def take_in(self, x: Tensor, labels: Tensor) -> None:
        """Put training points ``(N, *sample_shape)`` and labels ``(N,)`` in the place of what is known.

        Raises:
            UserError: Points of another shape or that are not finite; labels that are no classes, or not one a point.
        """
        x, labels = self._checked(x, labels)
        self.points, self.labels, self._room = x, labels, None

    def add(self, x: Tensor, labels: Tensor) -> None:
        """Take in training points ``(N, *sample_shape)`` and labels ``(N,)`` besides what is known.

        Raises:
            UserError: As of :meth:`take_in`.
        """
        x, labels = self._checked(x, labels)
        known, total = len(self.points), len(self.points) + len(x)
        room = self._room
        if room is None or room[0].data_ptr() != self.points.data_ptr() or len(room[0]) < total:
            room = self.points.new_empty(2 * total, *x.shape[1:]), self.labels.new_empty(2 * total)
            room[0][:known], room[1][:known] = self.points, self.labels
        room[0][known:total], room[1][known:total] = x, labels
        self.points, self.labels, self._room = room[0][:total], room[1][:total], room

    def _checked(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return points, floating-point, and labels on the network's device; refuse what cannot be taken in."""
        shape, known = tuple(x.shape[1:]), tuple(self.points.shape[1:])
        refuse(shape != known, f"x: training points must have the shape {known}, not {shape}")
        refuse(
            labels.shape != x.shape[:1] or labels.is_floating_point(),
            f"labels: must be {len(x)} whole numbers, not {tuple(labels.shape)}, {labels.dtype}",
        )
        ends = torch.stack(torch.aminmax(x)) if x.numel() else x.new_zeros(2)  # no copy of all, as isfinite would need
        refuse(not ends.isfinite().all(), "x: training points must be finite")
        bad = labels[(labels < 0) | (labels >= self.num_classes)]
        refuse(len(bad), f"labels: there is no class {bad[:1].tolist()}, but {self.num_classes} from 0")
        x = x.detach().to(self.points.device)
        return x if x.is_floating_point() else x.to(self.points.dtype), labels.detach().to(self.labels)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Save what is known without the room for more that belongs to the same memory."""
        if self._room is not None:
            self.points, self.labels, self._room = self.points.clone(), self.labels.clone(), None
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take as many points as were saved, in the precision that they were saved in."""
        for name, own in self.named_buffers(recurse=False):
            saved = state_dict.get(prefix + name)
            if saved is not None:
                setattr(self, name, own.new_empty(saved.shape, dtype=saved.dtype))
        self._room = None
        super()._load_from_state_dict(state_dict, prefix, *rest)
