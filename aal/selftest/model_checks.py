"""Checks of the model and its data: what an attack takes for granted before it moves a sample."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from aal.attacks.ascent import log_odds
from aal.attacks.draws import uniform
from aal.selftest.examinee import Examinee, Verdict, first_of, percent, share

LEAST_USED = 0.1  # of the bounds: less, and data and bounds have other units
MOST_UNUSED = 0.25  # of the bounds, at one end
ROUNDING = 1e-2  # by which sums of probabilities may miss 1
SAME_AGAIN = 1e-3  # largest difference between two evaluations, in standard deviations of the logits
SAME_ELSEWHERE = 1e-2  # the same between batches: kernels round otherwise for other sizes
FEW = 0.05  # share of samples with zero gradients that a sound network may have
STEPS = (1e-2, 1e-3, 1e-4)  # of finite differences, as shares of the range
DIRECTIONS = 8
AGREE = 0.5  # largest relative difference between gradient and finite differences where they agree
MOST_AGREE, SOME_AGREE = 0.95, 0.8  # shares of samples whose gradients must agree: for sound, for usable


def bounds(examinee: Examinee) -> Verdict:
    """Judge whether the declared bounds are the data's range."""
    low, high = examinee.bounds
    least, most = float(examinee.x.min()), float(examinee.x.max())
    flat = examinee.x.flatten(1)
    outside = share(((flat < low) | (flat > high)).any(1))
    figures = {"least": least, "most": most, "outside": outside}
    data, declared = f"the data reach from {least:.4g} to {most:.4g}", f"the bounds are [{low:g}, {high:g}]"
    used = (most - least) / (high - low)
    if not outside and math.isfinite(high - low):
        figures["used"] = used
    unused = max(least - low, high - most) / (high - low)
    return first_of(
        "bounds",
        figures,
        (
            outside > 0,
            "failed",
            f"{percent(outside)} of the samples leave the bounds, which attacks refuse: {data}, {declared}.",
        ),
        (math.isinf(high - low), "passed", f"All data are within the bounds, which are open: {data}."),
        (used < LEAST_USED, "failed", f"Data and bounds have other units, so no radius fits both: {data}, {declared}."),
        (unused > MOST_UNUSED, "warned", f"Attacks may go where no data lie: {data}, {declared}."),
        sound=f"Data and bounds agree: {data}, {declared}.",
    )


def logits(examinee: Examinee) -> Verdict:
    """Judge whether the model returns logits, or log-probabilities, rather than probabilities."""
    outputs = examinee.logits
    least, most = (float(end) for end in outputs.aminmax())
    seen = f"they reach from {least:.3g} to {most:.3g}"
    free = least < 0 or most > 1 or least == most
    single = outputs.shape[1] == 2 and not outputs[:, 0].any()  # how attacks see one logit
    odds = single or bool(((outputs.sum(1) - 1).abs() < ROUNDING).all())
    text = "The outputs are probabilities, whose gradients vanish and whose odds are not the model's: return logits"
    return first_of(
        "logits",
        {"classes": outputs.shape[1], "least": least, "most": most},
        (free, "passed", f"The outputs are no probabilities: {seen}."),
        (odds, "failed", f"{text}, or end in nn.Sigmoid." if single else f"{text}."),
        (
            True,
            "warned",
            f"All outputs lie in [0, 1] ({seen}): if they are probabilities, return the logits they come from.",
        ),
        sound="",
    )


def repeatable(examinee: Examinee) -> Verdict:
    """Judge whether a sample has the same output again, and in another batch."""
    first, again = examinee.logits, examinee.outputs(examinee.x)
    elsewhere = torch.empty_like(first)
    for half in (slice(0, None, 2), slice(1, None, 2)):
        if len(first[half]):
            elsewhere[half] = examinee.outputs(examinee.x[half])
    scale = max(float(first.std()), torch.finfo(first.dtype).tiny) if first.numel() > 1 else 1.0
    by_chance, by_batch = (float((other - first).abs().max()) / scale for other in (again, elsewhere))
    return first_of(
        "repeatable",
        {"difference_again": by_chance, "difference_in_another_batch": by_batch},
        (
            by_chance > SAME_AGAIN,
            "failed",
            f"The same samples have other outputs each time, by up to {by_chance:.2g} standard deviations: something "
            "random is left on in eval mode, and successes are chance.",
        ),
        (
            by_batch > SAME_ELSEWHERE,
            "failed",
            f"A sample's output depends on the others in its batch, by up to {by_batch:.2g} standard deviations: batch "
            "statistics are used in eval mode, and an attacked sample is another one alone.",
        ),
        sound="A sample has the same output each time, whatever batch it is in.",
    )


def accuracy(examinee: Examinee) -> Verdict:
    """Judge whether the model has learnt anything that an attack could take away."""
    right = share(examinee.labels == examinee.y)
    chance = float(examinee.y.unique(return_counts=True)[1].max()) / len(examinee.y)
    margin = 2 * math.sqrt(chance * (1 - chance) / len(examinee.y))  # two standard errors
    found = f"{percent(right)} of the natural samples are classified rightly, {percent(chance)} are of one class"
    return first_of(
        "accuracy",
        {"accuracy": right, "chance": chance},
        (
            right <= chance + margin,
            "warned",
            f"{found}: guessing could do as well, and robustness of a model that knows nothing means nothing.",
        ),
        sound=f"{found}.",
    )


def gradient(examinee: Examinee) -> Verdict:
    """Judge whether the loss has a gradient by the input."""
    by_log_odds = examinee.gradient(examinee.x, log_odds)
    by_entropy = examinee.gradient(examinee.x, partial(F.cross_entropy, reduction="none"))
    if by_log_odds is None or by_entropy is None:
        return Verdict(
            "gradient",
            "failed",
            "Autograd finds no way from the input to the output: something is detached, or made without gradients.",
            {"zero": 1.0},
        )
    flat = by_log_odds.flatten(1)
    broken = share(~flat.isfinite().all(1))
    zero = share((flat == 0).all(1))
    entropy_zero = share((by_entropy.flatten(1) == 0).all(1))
    none = f"The gradient is zero for {percent(zero)} of the samples"
    return first_of(
        "gradient",
        {"not_finite": broken, "zero": zero, "cross_entropy_zero": entropy_zero},
        (
            broken > 0,
            "failed",
            f"The gradient is not finite for {percent(broken)} of the samples: attacks cannot move them.",
        ),
        (zero > FEW, "failed", f"{none}: attacks that follow it do not move them."),
        (
            entropy_zero > FEW,
            "warned",
            f"The cross entropy's gradient is zero for {percent(entropy_zero)} of the samples, where its probability "
            "rounds to 1: attacks here follow the log-odds, which do not saturate, but other tools see robustness.",
        ),
        (zero > 0, "warned", f"{none}, which count as robust against gradients."),
        sound="Every sample has a finite gradient that is not zero.",
    )


def differences(examinee: Examinee) -> Verdict:
    """Judge whether the gradient says how the loss changes, by finite differences in random directions."""
    low, high = examinee.range
    steps = [step * (high - low) for step in STEPS]
    shape, room = tuple(examinee.x.shape[1:]), max(steps)
    # the jitter breaks ties, as of max pooling on an even background, where a gradient has one of many values
    jitter = uniform(examinee.seeds, 0, shape, examinee.x.dtype).mul_(2 * room).sub_(room)
    x = examinee.x.clamp(low + 2 * room, high - 2 * room) + jitter
    by_autograd = examinee.gradient(x, log_odds)
    if by_autograd is None:
        return Verdict(
            "slope",
            "failed",
            "Autograd finds no way from the input to the output: there is no gradient to compare.",
            {"agree": 0.0},
        )
    draws = [uniform(examinee.seeds, 1 + k, shape, x.dtype) for k in range(DIRECTIONS)]
    directions = [(draw < 0.5).to(x.dtype) * 2 - 1 for draw in draws]
    told = torch.stack([(by_autograd * direction).flatten(1).sum(1) for direction in directions], dim=1)
    error = torch.stack([_error(examinee, x, directions, told, step) for step in steps]).amin(0)
    judged = error.isfinite()
    agree = share(error[judged] <= AGREE)
    text = f"Gradient and finite differences agree for {percent(agree)} of the samples"
    return first_of(
        "slope",
        {"agree": agree, "judged": share(judged)},
        (
            not judged.any(),
            "warned",
            "The output changes too little with the input to tell whether the gradient is right.",
        ),
        (agree < SOME_AGREE, "failed", f"{text}: the gradient that attacks follow is not the model's."),
        (agree < MOST_AGREE, "warned", f"{text}: for the others attacks may be led astray."),
        sound=f"{text}.",
    )


def _error(examinee: Examinee, x: Tensor, directions: list[Tensor], told: Tensor, step: float) -> Tensor:
    """Return the relative difference ``(N,)`` between what autograd told and finite differences; inf for noise."""
    seen = torch.empty_like(told)
    for k, direction in enumerate(directions):
        ends = [examinee.outputs(x + sign * step * direction) for sign in (1, -1)]
        ahead, behind = (log_odds(end, examinee.labels) for end in ends)
        seen[:, k] = (ahead - behind) / (2 * step)
    rounding = 10 * torch.finfo(x.dtype).eps * (examinee.logits.abs().amax(1) + examinee.loss.abs()) / step
    size = torch.linalg.vector_norm(told, dim=1).maximum(torch.linalg.vector_norm(seen, dim=1))
    return torch.where(
        size > rounding * math.sqrt(DIRECTIONS), torch.linalg.vector_norm(seen - told, dim=1) / size, torch.inf
    )
