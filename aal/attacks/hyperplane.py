"""The shortest way onto a hyperplane that stays within the data's range, exactly, for a whole batch."""

import torch
from torch import Tensor

from aal.attacks.base import divisor


def onto_hyperplane(x: Tensor, slope: Tensor, rise: Tensor, norm: str, low: float, high: float) -> Tensor:
    """Return the smallest ``d`` along which a linear function rises as wanted and ``x + d`` stays within the range.

    Where the range does not reach so far, ``d`` rises as far as it does.

    An element gains ``|slope|`` per unit, and there is room for so much until it meets the end of the range. In L-inf
    all elements move alike until then, in L2 in proportion to their slope: for a time t the element moves
    ``min(t * speed, room)``. What is gained by then grows with t in pieces that are linear, from one element's meeting
    the end to the next one's; the piece in which it is enough gives t.

    Source: Croce and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack", section
    2.1 (the problem; it is solved here by sorting the elements by when they meet the end).

    Args:
        x: Points ``(B, ...)`` within the range.
        slope: The linear function's gradient ``(B, ...)``.
        rise: By how much it must rise, or fall where negative, ``(B,)``.
        norm: In which norm ``d`` is smallest: ``linf`` or ``l2``.
        low: The lower end of the range.
        high: The upper end of the range.
    """
    scale = divisor(slope.flatten(1).abs().amax(1))  # squares of tiny slopes vanish in single precision
    w = slope.flatten(1) / scale[:, None] * rise.sign()[:, None]
    wanted = rise.abs() / scale
    room = torch.where(w > 0, high - x.flatten(1), x.flatten(1) - low).masked_fill_(w == 0, 0)
    gain = w.abs()
    speed = torch.where(w == 0, 1, gain) if norm == "l2" else torch.ones_like(w)
    ends, order = (room / speed).sort(1)
    moving = (gain * speed).gather(1, order).flip(1).cumsum(1).flip(1)  # gained per unit of time from here on
    gained = (gain * room).gather(1, order).cumsum(1)
    before = torch.cat([torch.zeros_like(gained[:, :1]), gained[:, :-1]], dim=1)  # by the elements that do not move
    times = torch.where(moving > 0, (wanted[:, None] - before) / moving, torch.inf)
    piece = (times > ends).sum(1, keepdim=True)
    last = times.shape[1] - 1
    time = times.gather(1, piece.clamp_max(last)).masked_fill_(piece > last, torch.inf)
    return (time * speed).minimum(room).mul_(w.sign()).view_as(x)
