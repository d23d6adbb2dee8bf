"""Do the draws come from where they should?

A draw of Beta(a, b), put through its own distribution function, is uniform: one
Kolmogorov-Smirnov test over all draws of all steps, at a level of 1e-3. A float stands for the
interval that is rounded to it, and the least one that PyTorch lets pass for everything below it;
within its interval each draw is spread evenly at random, by a fixed seed, so that what the
precision does is no departure. Draws that fail and could all be the prior's, those of each latent
too, are said to be. (The p-value is that of M. A. Stephens, "Use of the Kolmogorov-Smirnov,
Cramer-von Mises and related statistics without extensive tables", 1970.)

What the precision does is said apart: how many draws sit at its ends, and the exact expectation of
what that adds to the loss. With c kept above t, to first order in t,

    E[log max(c, t) - log c] = t^a / (a^2 B(a, b)),

which counts A times at t = tiny in the densities, and K times at t = eps in the likelihood; and
the mirror image, 1 - c being kept above eps/2 and eps. It is a mistake where it is more than 0.1
standard deviations of the step's loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.findings import Finding, Status
from elbo_ref.distributions.beta import BETA
from elbo_ref.recording.replay.program import Columns
from elbo_ref.recording.replay.trace import Tape

RULED_OUT = ("draw_mismatch", "float32_saturation")
LEVEL = 1e-3
MATTERS = 0.1
"""A bias of fewer standard deviations of a step's loss does not matter."""

_NAME = "float32_saturation"


def judge_draws(tape: Tape) -> list[Finding]:
    """Test where the draws come from, and count those at the ends of the precision."""
    if tape.guide.name in ("delta", "laplace"):
        return []
    return [_origin(tape), *_saturation(tape)]


def _origin(tape: Tape) -> Finding:
    reading, guide, source = tape.reading, tape.guide, tape.own
    if guide.source is BETA:
        source = guide.source_parameters(reading.prior, tape.own)
    own = _uniform(tape, source)
    p_value = _kolmogorov(own)
    words, reason = f"p-value of {tape.draws.size} draws", "Kolmogorov-Smirnov"
    if p_value >= LEVEL:
        return Finding("draws", words, p_value, None, None, reason, "agrees")
    if guide.source is BETA and len(reading.guide_parameters):
        prior = _uniform(tape, reading.prior)
        each = [_kolmogorov(prior[:, :, latent]) for latent in range(tape.num_latents)]
        if min(_kolmogorov(prior), len(each) * min(each)) >= LEVEL:
            reason = "they are draws from the prior"
            return Finding("latent_not_in_guide", words, p_value, None, None, reason, "mistake")
    reason += f", at a level of {LEVEL:g}"
    return Finding("draw_mismatch", words, p_value, None, None, reason, "mistake")


def _uniform(tape: Tape, source: FloatArray) -> FloatArray:
    """The draws through the distribution function of these parameters, (T, P, L)."""
    if tape.guide.name == "normal":
        loc, scale = source[:, :, None]
        return np.asarray(sc.ndtr((tape.logits - loc) / scale))
    a, b = source[:, :, None]
    low, high = (sc.betainc(a, b, x) for x in _interval(tape.draws))
    spread = np.random.default_rng(0).random(tape.draws.shape)
    return np.asarray(low + spread * (high - low))


def _kolmogorov(uniform: FloatArray) -> float:
    """The p-value of numbers, if they were uniform."""
    sample = np.sort(uniform.ravel())
    rank = np.arange(sample.size + 1) / sample.size
    distance = max((rank[1:] - sample).max(), (sample - rank[:-1]).max())
    root = np.sqrt(sample.size)
    return float(sc.kolmogorov((root + 0.12 + 0.11 / root) * distance))


def _interval(c: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """What is rounded to a draw."""
    kind = c.dtype.type
    low, high = ends(c.dtype)
    below, above = (
        (c.astype(np.float64) + np.nextafter(c, kind(end)).astype(np.float64)) / 2 for end in (0, 1)
    )
    return np.where(c <= low, 0.0, below), np.where(c >= high, 1.0, above)


def ends(dtype: Any) -> tuple[float, float]:
    """Between which a draw of PyTorch's Beta is kept."""
    info = np.finfo(dtype)
    return float(info.tiny), float(1 - info.epsneg)


def _saturation(tape: Tape) -> list[Finding]:
    """Draws at the ends, and what that does to the loss."""
    low, high = ends(tape.draws.dtype)
    if tape.guide.name == "normal":
        high = 1 - float(np.finfo(tape.draws.dtype).eps)
    count = int(np.count_nonzero((tape.draws <= low) | (tape.draws >= high)))
    if not count:
        return []
    words, name = f"{count} of {tape.draws.size} draws at the ends of {tape.program.dtype}", _NAME
    exact = tape.guide.origin == "posterior"
    if tape.guide.name == "normal" or tape.bound is not None or exact:
        return [Finding(name, words, None, None, None, "", "note")]
    share = clip_bias(tape) / _loss_std(tape)
    where = int(np.argmax(np.abs(share)))
    words += (
        f"; expected effect on the loss, in its standard deviations, at step {where} where it is "
        "largest,"
    )
    reason = "what c and 1 - c are kept above, in expectation"
    status: Status = "mistake" if abs(share[where]) > MATTERS else "note"
    if tape.program.dtype == "float64":
        status = "note"
    return [Finding(name, words, float(share[where]), 0.0, MATTERS, reason, status)]


def _loss_std(tape: Tape) -> FloatArray:
    """Of the loss of each step, exactly (E5); (T,)."""
    guide, prior, own = tape.guide, tape.reading.prior, tape.own
    tilt = _tilt(tape, prior, own, tape.data_scale * tape.outcomes)
    each = guide.source.variance(tilt, guide.source_parameters(prior, own))
    variance = np.broadcast_to(each, tape.draws.shape[::2]).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(variance / tape.draws.shape[1], 1e-300)))


def _tilt(tape: Tape, prior: FloatArray, own: FloatArray, outcomes: FloatArray) -> FloatArray:
    """What log c and log(1 - c) are times in the loss; closed divergences have no draws."""
    return outcomes if tape.program.closed else tape.guide.tilt(prior, own, outcomes)


def clip_bias(tape: Tape) -> FloatArray:
    """What keeping draws off 0 and 1 adds to the loss of each step, in expectation; (T,)."""
    info, guide = np.finfo(tape.draws.dtype), tape.guide

    def look(columns: Columns) -> FloatArray:
        prior, own, outcomes = columns.prior, columns.own, columns.outcomes
        x = guide.source_parameters(prior, own)
        tilt = _tilt(tape, prior, own, np.zeros_like(outcomes))
        total = np.zeros(x.shape[1])
        for end, t in ((0, float(info.tiny)), (1, float(info.epsneg))):
            a, b = x[end], x[1 - end]
            total += tilt[end] * _raised(t, a, b)
            total += outcomes[end] * _raised(
                tape.program.least if end == 0 else float(info.eps), a, b
            )
        return -total

    return np.asarray(tape.over_steps(look).sum(axis=-1))


def _raised(t: float, a: FloatArray, b: FloatArray) -> FloatArray:
    """E[log max(c, t) - log c] under Beta(a, b), for a small t."""
    return np.asarray(np.exp(a * np.log(t) - sc.betaln(a, b)) / a**2)
