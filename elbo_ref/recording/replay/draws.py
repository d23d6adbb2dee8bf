"""The draws of a run beside the distribution that they should come from.

A draw of Beta(a, b), put through its own distribution function, is uniform: one
Kolmogorov-Smirnov test over all draws of all steps, at a level of 1e-5. A float stands for the
interval that is rounded to it, and the least one that PyTorch lets pass for everything below it;
within its interval each draw is spread evenly at random, by a fixed seed, so that what the
precision does is no departure. Draws that fail and could all be the prior's, those of each latent
too, are said to be. Draws whose quantiles are those of the step before are made by a seed that is
set again. (The p-value is that of M. A. Stephens, "Use of the Kolmogorov-Smirnov,
Cramer-von Mises and related statistics without extensive tables", 1970.)

The effect of the precision is said apart: how many draws sit at its ends, and the exact expectation
of what that adds to the loss. With c kept above t, to first order in t,

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
from elbo_ref.crosscheck.arithmetic import draw_ends, probability_ends
from elbo_ref.crosscheck.findings import Finding, Status
from elbo_ref.crosscheck.given_draws import Columns
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.recording.replay.trace import ReplayTrace

RULED_OUT = ("draw_mismatch", "repeated_draws", "float32_saturation")
LEVEL, _COULD_BE = 1e-5, 1e-3
"""Level of the test, and p-value from which on draws could be the prior's."""

_NEAR, _BY_CHANCE = 0.02, 1e-9
"""Difference of two quantiles that are near, no end being so, and probability of so many."""

MATTERS = 0.1
"""Bias of the loss, in standard deviations of a step, from which saturation matters."""


def compare_draws(trace: ReplayTrace) -> list[Finding]:
    """Test where the draws come from, and count those at the ends of the precision."""
    return [] if trace.guide.is_point else [_origin(trace), *_saturation(trace)]


def _origin(trace: ReplayTrace) -> Finding:
    guide, prior = trace.guide, trace.model.prior
    source = guide.source_parameters(prior, trace.model.guide_parameters)
    uniform = _uniform(trace, source)
    p_value = _p_value(uniform)
    inside = np.abs(uniform[1:] - 0.5) < 0.5 - _NEAR
    near = inside & (np.abs(np.diff(uniform, axis=0)) < _NEAR)
    if 2 * near.sum() > near.size and sc.bdtrc(near.sum() - 1, near.size, 2 * _NEAR) < _BY_CHANCE:
        words = "share of the draws at the quantile of the step before"
        reason = "is a seed set in every step"
        share = float(near.mean())
        return Finding("repeated_draws", words, share, 2 * _NEAR, None, reason, "mistake")
    words, reason = f"p-value of {trace.draws.c.size} draws", "Kolmogorov-Smirnov"
    if p_value >= LEVEL:
        return Finding("draws", words, p_value, reason=reason)
    if guide.source is BETA and guide.origin != "prior":
        uniform = _uniform(trace, prior)
        each = [_p_value(uniform[:, :, latent]) for latent in range(trace.num_latents)]
        if min(_p_value(uniform), len(each) * min(each)) >= _COULD_BE:
            reason = "they are draws from the prior"
            return Finding("latent_not_in_guide", words, p_value, reason=reason, status="mistake")
    reason += f", at a level of {LEVEL:g}"
    return Finding("draw_mismatch", words, p_value, reason=reason, status="mistake")


def _uniform(trace: ReplayTrace, source: FloatArray) -> FloatArray:
    """Put the draws through the distribution function of these parameters, (T, P, L)."""
    if trace.guide.source is LOGIT_NORMAL:
        loc, scale = source[:, :, None]
        return np.asarray(sc.ndtr((trace.draws.logit - loc) / scale))
    a, b = source[:, :, None]
    low, high = (sc.betainc(a, b, x) for x in _interval(trace.draws.c))
    spread = np.random.default_rng(0).random(trace.draws.c.shape)
    return np.asarray(low + spread * (high - low))


def _p_value(uniform: FloatArray) -> float:
    """Test by Kolmogorov and Smirnov whether numbers are uniform."""
    sample = np.sort(uniform.ravel())
    rank = np.arange(sample.size + 1) / sample.size
    distance = max((rank[1:] - sample).max(), (sample - rank[:-1]).max())
    root = np.sqrt(sample.size)
    return float(sc.kolmogorov((root + 0.12 + 0.11 / root) * distance))


def _interval(c: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """Find the interval that is rounded to each draw."""
    kind = c.dtype.type
    ends = draw_ends(c.dtype)
    below, above = (
        (c.astype(np.float64) + np.nextafter(c, kind(end)).astype(np.float64)) / 2 for end in (0, 1)
    )
    return np.where(c <= ends.low, 0.0, below), np.where(c >= ends.high, 1.0, above)


def _saturation(trace: ReplayTrace) -> list[Finding]:
    """Count draws at the ends of the precision, and weigh their effect on the loss."""
    guide, dtype = trace.guide, trace.model.dtype
    ends = draw_ends(trace.draws.c.dtype, guide.source)
    count = int(np.count_nonzero((trace.draws.c <= ends.low) | (trace.draws.c >= ends.high)))
    if not count:
        return []
    name, words = (
        "float32_saturation",
        f"{count} of {trace.draws.c.size} draws at the ends of {dtype}",
    )
    exact = guide.source is LOGIT_NORMAL or guide.origin == "posterior"
    if exact or trace.model.renyi:
        return [Finding(name, words, status="note")]
    share = clip_bias(trace) / _loss_std(trace)
    step = int(np.argmax(np.abs(share)))
    words += (
        f"; expected effect on the loss, in its standard deviations, at step {step} where it is "
        "largest,"
    )
    reason = "what c and 1 - c are kept above, in expectation"
    matters = abs(share[step]) > MATTERS and dtype != "float64"
    status: Status = "mistake" if matters else "note"
    return [Finding(name, words, float(share[step]), 0.0, MATTERS, reason, status)]


def _loss_std(trace: ReplayTrace) -> FloatArray:
    """Compute the exact standard deviation of the loss of each step (E5), (T,)."""
    form, shape = LinearForm.of(trace.model), trace.draws.c.shape
    each = form.source.variance(form.tilt, form.parameters)
    variance = np.broadcast_to(each, shape[::2]).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(variance / shape[1], 1e-300)))


def clip_bias(trace: ReplayTrace) -> FloatArray:
    """Compute the expected effect on each step's loss of keeping draws off 0 and 1, (T,)."""
    model, kept = trace.model, draw_ends(trace.draws.c.dtype)
    likely = probability_ends(model.dtype, numpyro=model.numpyro)

    def evaluate(columns: Columns) -> FloatArray:
        prior, params, outcomes = columns.prior, columns.guide_parameters, columns.outcomes
        x = trace.guide.source_parameters(prior, params)
        none = np.zeros_like(outcomes)
        tilt = none if model.closed else trace.guide.tilt(prior, params, none)
        total = np.zeros(x.shape[1])
        for end, (draw, probability) in enumerate(zip(kept, likely, strict=True)):
            a, b = x[end], x[1 - end]
            total += tilt[end] * _raised(draw, a, b)
            total += outcomes[end] * _raised(probability, a, b)
        return -total

    return np.asarray(trace.over_steps(evaluate).sum(axis=-1))


def _raised(t: float, a: FloatArray, b: FloatArray) -> FloatArray:
    """Compute E[log max(c, t) - log c] under Beta(a, b), for a small t."""
    return np.asarray(np.exp(a * np.log(t) - sc.betaln(a, b)) / a**2)
